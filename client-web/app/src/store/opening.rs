//! From an address to a connection: what the page was opened with, what the browser has stored, and the first link.

use lanyard_web_link::{Ending, Joining, Link, Profile, Profiles, Status, pairing_secret};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::{Invitation, Pairing, Phase, Store};

/// A link that is opened in a page that is there already changes nothing but the fragment: it is taken from there.
pub(super) fn follow_links(store: Store) {
    let heard = window_event_listener(leptos::ev::hashchange, move |_| match pairing_secret() {
        Ok(None) => {}
        Ok(Some(secret)) => {
            let paired = store.pairing.with_untracked(Option::is_some);
            let invitation = if paired { Invitation::Again(secret) } else { Invitation::Link(secret) };
            store.phase.set(Phase::Join(invitation));
        }
        // A paired page goes on as it is.
        Err(error) if store.pairing.with_untracked(Option::is_some) => store.warn(error.to_string()),
        Err(error) => store.phase.set(Phase::Join(Invitation::Damaged(error))),
    });
    on_cleanup(move || heard.remove());
}

/// Looks for a pairing link in the address and a pairing in the storage.
pub(super) async fn open(store: Store) {
    spawn_local(async move { store.verified.set(lanyard_web_link::is_verified().await) });
    let invited = pairing_secret();
    let profiles = match Profiles::open().await {
        Ok(profiles) => profiles,
        Err(error) => return store.phase.set(Phase::Broken(error.to_string())),
    };
    store.profiles.set_value(Some(profiles.clone()));
    let stored = match profiles.load().await {
        Ok(stored) => stored,
        // A person decides to pair again; that replaces what cannot be read.
        Err(error) => return store.phase.set(Phase::Broken(error.to_string())),
    };
    if let Some(profile) = &stored {
        store.remember(profile);
    }
    if matches!(invited, Ok(None)) {
        match Joining::resume(&profiles).await {
            Ok(Some(joining)) => {
                store.joining.set_value(Some(joining));
                return store.phase.set(Phase::Join(Invitation::Begun));
            }
            Ok(None) => {}
            // What the page waited for cannot be read: it has been forgotten, and the person begins again.
            Err(error) => store.warn(error.to_string()),
        }
    }
    match (stored, invited) {
        (Some(profile), Ok(None) | Err(_)) => store.paired(profile),
        (Some(_), Ok(Some(secret))) => store.phase.set(Phase::Join(Invitation::Again(secret))),
        (None, Ok(Some(secret))) => store.phase.set(Phase::Join(Invitation::Link(secret))),
        (None, Ok(None)) => store.phase.set(Phase::Join(Invitation::None)),
        (None, Err(error)) => store.phase.set(Phase::Join(Invitation::Damaged(error))),
    }
}

impl Store {
    /// The browser's storage; none before the page has looked for it.
    pub(crate) fn profiles(self) -> Option<Profiles> {
        self.profiles.try_get_value().flatten()
    }

    /// The page is paired: it connects, and goes on doing so for as long as it lives.
    pub(crate) fn paired(self, profile: Profile) {
        let Some(profiles) = self.profiles() else { return };
        self.leave();
        self.remember(&profile);
        self.phase.set(Phase::Paired);
        let link = Link::start(profile, profiles, move |event| self.receive(event));
        self.link.set_value(Some(link));
    }

    /// The page goes on with the pairing it has, although it was opened with a link.
    pub(crate) fn keep_pairing(self) {
        spawn_local(async move {
            let Some(profiles) = self.profiles() else { return };
            match profiles.load().await {
                Ok(Some(profile)) => self.paired(profile),
                Ok(None) => self.phase.set(Phase::Join(Invitation::None)),
                Err(error) => self.phase.set(Phase::Broken(error.to_string())),
            }
        });
    }

    /// Forgets the pairing here, whatever the host knows of it, and asks for a new one.
    pub(crate) fn forget(self) {
        self.leave();
        spawn_local(async move {
            if let Some(profiles) = self.profiles()
                && let Err(error) = profiles.forget().await
            {
                return self.phase.set(Phase::Broken(error.to_string()));
            }
            self.pairing.set(None);
            self.phase.set(Phase::Join(Invitation::None));
        });
    }

    /// The host has confirmed that the pairing is over: nothing is kept, and the page says so.
    pub(super) fn forget_quietly(self) {
        spawn_local(async move {
            if let Some(profiles) = self.profiles()
                && let Err(error) = profiles.forget().await
            {
                self.warn(error.to_string());
            }
        });
    }

    /// Ends the connection and drops everything that came over it.
    fn leave(self) {
        if let Some(link) = self.link.try_update_value(Option::take).flatten() {
            link.stop();
        }
        self.followed.set_value(false);
        self.status.set(Status::Connecting);
        self.me.set(None);
        self.health.set(None);
        self.sessions.set(Default::default());
        self.approvals.set(Default::default());
        self.open.set(None);
    }

    fn remember(self, profile: &Profile) {
        self.pairing.set(Some(Pairing {
            host_name: profile.host_name.clone(),
            device_name: profile.device_name.clone(),
            device_id: profile.keys.public().fingerprint().to_string(),
            storage: profile.storage,
        }));
    }

    /// Why the connection is over for good, if it is.
    pub(crate) fn ending(self) -> Option<Ending> {
        self.status.with(|status| match status {
            Status::Ended(ending) => Some(ending.clone()),
            _ => None,
        })
    }
}
