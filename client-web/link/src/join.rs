//! Pairing from a page: by the link it was opened with, or by a typed code.

use futures_channel::mpsc;
use futures_util::StreamExt;
use lanyard_pairing::device::{About, Secret};
use lanyard_pairing::link::LinkError;
use lanyard_pairing::{Abort, Grant, IdentityKeys, PairingCode, PairingLink};
use lanyard_protocol::principal::Scope;
use rand_core::OsRng;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::browser::{self, sleep, words};
use crate::joiner::{Joiner, LAST_WORDS, Told};
use crate::profile::{Pending, Profile, ProfileError, Profiles};
use crate::pump::{Pump, now};

/// What a joiner tells at most: agreed, then granted or aborted, then done.
const TOLD: usize = 8;

/// Why a page was not paired.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// One of the two ended it.
    #[error(transparent)]
    Abort(#[from] Abort),
    /// The host could not be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The browser keeps nothing.
    #[error(transparent)]
    Storage(#[from] ProfileError),
}

/// The secret in the fragment of the page's own address, if it has one; the fragment is taken out of the address bar and
/// the history at once, so that it is neither bookmarked nor shared.
///
/// # Errors
/// When it is damaged, or of another version.
pub fn pairing_secret() -> Result<Option<Secret>, LinkError> {
    let Ok(window) = browser::window() else { return Ok(None) };
    let fragment = zeroize::Zeroizing::new(window.location().hash().unwrap_or_default());
    let link = match PairingLink::from_fragment(&fragment) {
        // One of the page's own.
        Err(LinkError::NotALink) => return Ok(None),
        link => link,
    };
    let cleared = window.location().pathname().and_then(|path| {
        let history = window.history()?;
        history.replace_state_with_url(&JsValue::NULL, "", Some(&path))
    });
    if let Err(error) = cleared {
        browser::warn(&format!("the link stays in the address bar, used up: {}", words(&error)));
    }
    link.map(|link| Some(Secret::Link(link.secret, link.host)))
}

/// What a page that is being paired shows. Ended by dropping it; the host is told.
#[derive(Debug)]
pub struct Joining {
    /// What the host calls itself, confirmed by the proof that it knows the secret.
    pub host_name: String,
    /// The host's id in its short form.
    pub host_short: String,
    /// To be compared, or typed at the host: `407192`.
    pub digits: String,
    talk: Talk,
    pending: Pending,
}

/// A joiner at work. Gives up when dropped.
#[derive(Debug)]
struct Talk {
    pump: Pump<Joiner<OsRng>>,
    told: mpsc::Receiver<Told>,
    profiles: Profiles,
    /// Nothing is left to be given up.
    over: bool,
}

impl Talk {
    fn start(joiner: Joiner<OsRng>, profiles: &Profiles) -> Self {
        let (tell, told) = mpsc::channel(TOLD);
        let tell = std::cell::RefCell::new(tell);
        let pump = Pump::start(joiner, move |said| {
            // Nobody listens any more.
            let _ = tell.borrow_mut().try_send(said);
        });
        Self { pump, told, profiles: profiles.clone(), over: false }
    }

    /// What comes next; how it ended, when it has.
    async fn next(&mut self) -> Result<Told, JoinError> {
        match self.told.next().await {
            Some(Told::Aborted(why)) => {
                self.over = true;
                self.profiles.set_pending(None).await?;
                self.linger();
                Err(why.into())
            }
            Some(Told::Unreachable(why)) => {
                self.over = true;
                Err(JoinError::Unreachable(why))
            }
            Some(told) => Ok(told),
            None => Err(JoinError::Unreachable("the pairing was given up".to_owned())),
        }
    }

    /// Lets last words arrive.
    fn linger(&self) {
        let pump = self.pump.clone();
        spawn_local(async move {
            sleep(u64::try_from(LAST_WORDS.as_millis()).unwrap_or(u64::MAX)).await;
            drop(pump);
        });
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.pump.act(|joiner, now| joiner.give_up(now));
        self.linger();
        let profiles = self.profiles.clone();
        spawn_local(async move {
            if let Err(error) = profiles.set_pending(None).await {
                // The host does not know it any more and says so when it is taken up again.
                browser::warn(&error.to_string());
            }
        });
    }
}

/// Pairs as far as the digits: some tens of milliseconds. `name` and `platform` say what this device is.
///
/// # Errors
/// See [`JoinError`].
pub async fn join(
    profiles: &Profiles,
    secret: Secret,
    name: &str,
    platform: &str,
) -> Result<Joining, JoinError> {
    let keys = match profiles.load().await {
        // The host puts the new pairing in place of the old one, and no second device appears in its list.
        Ok(Some(profile)) => profile.keys,
        Ok(None) | Err(ProfileError::Damaged(_)) => IdentityKeys::generate(&mut OsRng),
        Err(refused) => return Err(refused.into()),
    };
    // A browser that keeps nothing is found out before the code is used up.
    profiles.set_pending(None).await?;
    let mut scopes = vec![Scope::Observe, Scope::Operate, Scope::Approve];
    if !browser::is_https() {
        // The owner's own page, which only a link made for it opens.
        scopes.push(Scope::Admin);
    }
    let about = About { name: name.to_owned(), platform: platform.to_owned(), scopes };
    let joiner = Joiner::start(keys.clone(), about, secret, OsRng, now());
    let mut talk = Talk::start(joiner, profiles);
    loop {
        if let Told::Agreed(join) = talk.next().await? {
            let pending = Pending { keys, join };
            profiles.set_pending(Some(&pending)).await?;
            return Ok(Joining::of(talk, pending));
        }
    }
}

impl Joining {
    fn of(talk: Talk, pending: Pending) -> Self {
        let join = &pending.join;
        Self {
            host_name: join.host_name().to_owned(),
            host_short: join.host().fingerprint().short(),
            digits: join.digits().to_string().replace(' ', ""),
            talk,
            pending,
        }
    }

    /// The pairing that this page waited for when it was closed, or loaded again.
    ///
    /// # Errors
    /// [`JoinError::Storage`]; what cannot be read is forgotten.
    pub async fn resume(profiles: &Profiles) -> Result<Option<Self>, JoinError> {
        let pending = match profiles.pending().await {
            Ok(Some(pending)) => pending,
            Ok(None) => return Ok(None),
            Err(error) => {
                if matches!(error, ProfileError::Damaged(_)) {
                    profiles.set_pending(None).await?;
                }
                return Err(error.into());
            }
        };
        let joiner = Joiner::resume(pending.keys.clone(), pending.join.clone(), OsRng, now());
        Ok(Some(Self::of(Talk::start(joiner, profiles), pending)))
    }

    /// Waits until a person on the host has decided, through lost connections and a locked phone. The pairing is stored
    /// before this returns.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn answer(self) -> Result<Profile, JoinError> {
        let Self { mut talk, pending, .. } = self;
        let grant = loop {
            if let Told::Granted(grant) = talk.next().await? {
                break grant;
            }
        };
        talk.over = true;
        let profile = profile(&talk.profiles, pending, grant);
        talk.profiles.store(&profile).await?;
        talk.profiles.set_pending(None).await?;
        ask_to_persist();
        talk.pump.act(|joiner, now| joiner.written_down(now));
        // Bounded: the joiner gives its last words two seconds. The host takes the first connection for them.
        while !matches!(talk.next().await, Ok(Told::Done) | Err(_)) {}
        Ok(profile)
    }
}

fn profile(profiles: &Profiles, pending: Pending, grant: Grant) -> Profile {
    Profile {
        host: *pending.join.host(),
        host_name: pending.join.host_name().to_owned(),
        keys: pending.keys,
        device_name: grant.device_name,
        scopes: grant.scopes,
        storage: profiles.storage(),
    }
}

/// Asks the browser, once for each pairing, not to evict what is stored. It decides by itself, or asks the person.
fn ask_to_persist() {
    if !browser::is_https() {
        return;
    }
    spawn_local(async {
        let asked = async {
            let navigator = browser::window()?.navigator();
            let storage =
                js_sys::Reflect::get(&navigator, &"storage".into()).map_err(|error| words(&error))?;
            let storage: web_sys::StorageManager =
                storage.dyn_into().map_err(|_| "it cannot be asked".to_owned())?;
            let asked = storage.persist().map_err(|error| words(&error))?;
            JsFuture::from(asked).await.map_err(|error| words(&error))
        };
        if let Err(why) = asked.await {
            browser::warn(&format!("the browser may forget this pairing when it needs the room: {why}"));
        }
    });
}

/// A typed code.
///
/// # Errors
/// When it is none.
pub fn typed(code: &str) -> Result<PairingCode, lanyard_pairing::code::CodeError> {
    PairingCode::parse(code)
}
