//! Lists of central's, however long. What is near their beginning is kept current; what lies further back than one answer
//! reaches is fetched page by page when somebody asks for it, and stays as it was then.

use std::cmp::Reverse;
use std::collections::HashMap;

use lanyard_governance_api::agent::AgentInfo;
use lanyard_governance_api::approval::ApprovalInfo;
use lanyard_governance_api::enrolment::EnrolmentToken;
use lanyard_governance_api::job::Job;
use lanyard_governance_api::limits::MAX_PAGE;
use lanyard_governance_api::page::Page;
use lanyard_governance_api::people::{Person, TenantInfo};
use lanyard_governance_api::policy::PolicyVersionSummary;
use lanyard_governance_api::session::SessionInfo;
use lanyard_protocol::Timestamp;
use lanyard_web_ui::Button;
use lanyard_web_view::{Content, For, View, view};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::api::Failed;
use crate::central::Central;
use crate::parts::State;
use crate::poll::Poll;

/// Rows asked for at first. Each wish for more triples them, up to what one answer holds.
const ROWS: u32 = 50;

/// Most rows held: nobody scrolls further, and a browser keeps them all.
const MOST: usize = 10_000;

/// Something that central lists.
pub(crate) trait Listed: Clone + PartialEq + Send + Sync + 'static {
    /// Its place: ascending, as central orders the list.
    type Place: Ord;

    /// Names it.
    fn id(&self) -> String;

    /// See [`Listed::Place`].
    fn place(&self) -> Self::Place;
}

/// Newest first, then by id downwards: how most lists are ordered.
type Newest = (Reverse<Timestamp>, Reverse<String>);

macro_rules! listed {
    ($($kind:ty, $id:expr, $at:expr;)*) => {
        $(impl Listed for $kind {
            type Place = Newest;

            fn id(&self) -> String {
                let id: fn(&Self) -> &str = $id;
                id(self).to_owned()
            }

            fn place(&self) -> Newest {
                let at: fn(&Self) -> Timestamp = $at;
                (Reverse(at(self)), Reverse(self.id()))
            }
        })*
    };
}

listed! {
    SessionInfo, |session| session.session_id.as_str(), |session| session.created_at;
    Job, |job| job.job_id.as_str(), |job| job.created_at;
    ApprovalInfo, |info| info.record.request.approval_id.as_str(), |info| info.received_at;
    Person, |person| person.user_id.as_str(), |person| person.since;
    EnrolmentToken, |token| token.token_id.as_str(), |token| token.created_at;
    // Hosts that were heard of last are first, so that they change places all the time.
    AgentInfo, |agent| agent.agent_id.as_str(), |agent| agent.last_seen_at.unwrap_or(agent.enrolled_at);
}

impl Listed for TenantInfo {
    type Place = String;

    fn id(&self) -> String {
        self.tenant_id.to_string()
    }

    fn place(&self) -> String {
        self.tenant_id.to_string()
    }
}

impl Listed for PolicyVersionSummary {
    type Place = Reverse<u64>;

    fn id(&self) -> String {
        self.version.to_string()
    }

    fn place(&self) -> Reverse<u64> {
        Reverse(self.version)
    }
}

/// The rows held, in order.
#[derive(Debug, Clone, PartialEq)]
struct Held<T> {
    rows: Vec<T>,
    /// Where each row is.
    at: HashMap<String, usize>,
    /// Where the next page begins, if there is one.
    next: Option<String>,
    /// Pages behind the first one are among the rows.
    further: bool,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), at: HashMap::new(), next: None, further: false }
    }
}

impl<T: Listed> Held<T> {
    /// The beginning as it is now. What lies behind its last row stays as it was; what it should contain and does not is
    /// gone.
    fn begin(&mut self, page: Page<T>) {
        let Page { items, next_token } = page;
        let before = std::mem::take(&mut self.rows);
        self.rows = items;
        self.number();
        let end = self.rows.last().map(Listed::place).filter(|_| self.further && next_token.is_some());
        let behind = before.into_iter().filter(|row| {
            end.as_ref().is_some_and(|end| row.place() > *end) && !self.at.contains_key(&row.id())
        });
        let behind: Vec<T> = behind.collect();
        if behind.is_empty() {
            (self.next, self.further) = (next_token, false);
        }
        self.rows.extend(behind);
        self.number();
    }

    /// The page that begins at `next`.
    fn go_on(&mut self, page: Page<T>) {
        let fresh = page.items.into_iter().filter(|row| !self.at.contains_key(&row.id()));
        let fresh: Vec<T> = fresh.collect();
        self.rows.extend(fresh);
        (self.next, self.further) = (page.next_token, true);
        self.number();
    }

    fn number(&mut self) {
        self.at = self.rows.iter().enumerate().map(|(at, row)| (row.id(), at)).collect();
    }

    fn find(&self, id: &str) -> Option<&T> {
        self.rows.get(*self.at.get(id)?)
    }
}

/// See the module. `Copy`: handles to signals. Goes with its owner.
#[derive(Debug)]
pub(crate) struct Listing<T: Listed> {
    poll: Poll<Page<T>>,
    held: RwSignal<Held<T>>,
    busy: RwSignal<bool>,
    more: Callback<()>,
}

impl<T: Listed> Clone for Listing<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Listed> Copy for Listing<T> {}

impl<T: Listed> Listing<T> {
    /// Begins. `ask` fetches so many rows of the list that `filter` describes, from a token on; with another filter the
    /// list begins anew.
    pub(crate) fn start<F, A>(
        filter: Signal<F>,
        ask: impl Fn(F, Option<u32>, Option<String>) -> A + Copy + Send + Sync + 'static,
    ) -> Self
    where
        F: Clone + PartialEq + Send + Sync + 'static,
        A: Future<Output = Result<Page<T>, Failed>> + 'static,
    {
        let central = Central::take();
        let limit = RwSignal::new(ROWS);
        let poll = Poll::start(move || ask(filter.get(), Some(limit.get()), None));
        let held = RwSignal::new(Held::default());
        Effect::new(move |before: Option<F>| {
            let now = filter.get();
            if before.is_some_and(|before| before != now) {
                limit.maybe_update(|limit| std::mem::replace(limit, ROWS) != ROWS);
                held.set(Held::default());
                poll.now.set(None);
            }
            now
        });
        Effect::new(move |_| {
            if let Some(page) = poll.now.get() {
                held.update(|held| held.begin(page));
            }
        });
        let busy = RwSignal::new(false);
        let more = Callback::new(move |()| {
            if limit.get_untracked() < MAX_PAGE {
                limit.update(|limit| *limit = (*limit * 3).min(MAX_PAGE));
                return;
            }
            let Some(token) = held.with_untracked(|held| held.next.clone()) else { return };
            let (filter, page) = (filter.get_untracked(), Some(token.clone()));
            busy.set(true);
            spawn_local(async move {
                let answer = ask(filter, Some(MAX_PAGE), page).await;
                let _ = busy.try_set(false);
                match answer {
                    Ok(page) => {
                        // Another list is looked at since, or nobody looks any more.
                        let _ = held.try_update(|held| {
                            if held.next == Some(token) {
                                held.go_on(page);
                            }
                        });
                    }
                    Err(failed) if failed.is_signed_out() => central.signed_out(),
                    Err(failed) => central.warn(failed.said),
                }
            });
        });
        Self { poll, held, busy, more }
    }

    /// Asks now.
    pub(crate) fn again(self) {
        self.poll.again();
    }

    /// Something of the rows held. Follows.
    pub(crate) fn of<R>(self, read: impl FnOnce(&[T]) -> R) -> R {
        self.held.with(|held| read(&held.rows))
    }

    /// The list. `what` completes "Fetching …"; `none` stands in its place when it is empty; `keep`: rows that are shown.
    /// Rows are kept as long as what they show, whatever happens to the others: so is the focus.
    pub(crate) fn shown<V: Content + 'static>(
        self,
        what: &'static str,
        none: impl Fn() -> View + Send + Sync + 'static,
        keep: fn(&T) -> bool,
        row: impl Fn(&T) -> V + Copy + Send + Sync + 'static,
    ) -> View {
        let Self { poll, held, busy, more } = self;
        let ids = Memo::new(move |_| {
            held.with(|held| held.rows.iter().filter(|row| keep(row)).map(Listed::id).collect::<Vec<_>>())
        });
        let bare = Memo::new(move |_| poll.now.with(Option::is_some) && ids.with(Vec::is_empty));
        let rest = Memo::new(move |_| held.with(|held| held.next.as_ref().map(|_| held.rows.len())));
        let one = Callback::new(move |(id,): (String,)| {
            let found = Memo::new(move |before: Option<&Option<T>>| {
                let found = held.with(|held| held.find(&id).cloned());
                found.or_else(|| before.cloned().flatten())
            });
            (move || found.get().map(|item| row(&item))).view()
        });
        let state = view! { <State poll what/> };
        Rows { state, bare, none: Box::new(none), ids, one, rest, busy, more }.shown()
    }
}

/// What is shown of a list, whatever its rows are: once in the program, not once for each kind.
struct Rows {
    state: View,
    /// It is known, and there is nothing in it.
    bare: Memo<bool>,
    none: Box<dyn Fn() -> View + Send + Sync>,
    ids: Memo<Vec<String>>,
    one: Callback<(String,), View>,
    /// There is more than these rows.
    rest: Memo<Option<usize>>,
    busy: RwSignal<bool>,
    more: Callback<()>,
}

impl Rows {
    fn shown(self) -> View {
        let Self { state, bare, none, ids, one, rest, busy, more } = self;
        let below = move || {
            let many = rest.get()?;
            Some(if many >= MOST {
                let says = "That is as much as a page should hold. What is older is in the audit records.";
                view! { <p class="soft center">{says}</p> }
            } else {
                view! { <Button busy on_press=move || more.run(())>"Show more"</Button> }
            })
        };
        view! {
            {state}
            {move || bare.get().then(&none)}
            <div class="rows rows-long" hidden=move || ids.with(Vec::is_empty)>
                <For each=move || ids.get() key=Clone::clone children=move |id| one.run((id,))/>
            </div>
            {below}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: u32) -> TenantInfo {
        TenantInfo {
            tenant_id: format!("t-{id:03}").parse().unwrap(),
            name: id.to_string(),
            created_at: Timestamp::from_millis(0),
        }
    }

    fn page(ids: impl IntoIterator<Item = u32>, next: Option<&str>) -> Page<TenantInfo> {
        Page { items: ids.into_iter().map(tenant).collect(), next_token: next.map(str::to_owned) }
    }

    fn shown(held: &Held<TenantInfo>) -> Vec<u32> {
        assert!(held.rows.iter().all(|row| held.find(&row.id()) == Some(row)));
        held.rows.iter().map(|row| row.name.parse().unwrap()).collect()
    }

    #[test]
    fn pages_are_read_one_after_the_other_to_the_end() {
        let mut held = Held::default();
        held.begin(page(0..3, Some("3")));
        held.go_on(page(3..6, Some("6")));
        assert_eq!((shown(&held), held.next.as_deref()), ((0..6).collect(), Some("6")));
        held.go_on(page(5..8, None));
        assert_eq!((shown(&held), held.next.clone()), ((0..8).collect(), None), "none of them twice");
    }

    #[test]
    fn the_beginning_follows_and_what_lies_behind_it_stays() {
        let mut held = Held::default();
        held.begin(page([2, 4, 6], Some("6")));
        held.go_on(page([8, 10], Some("10")));
        // One came, one is gone, and one was pushed out of what is asked for.
        held.begin(page([1, 2, 4], Some("4")));
        assert_eq!(shown(&held), [1, 2, 4, 6, 8, 10]);
        held.begin(page([1, 4, 6], Some("6")));
        assert_eq!(shown(&held), [1, 4, 6, 8, 10], "2 is not there any more");
        assert_eq!(held.next.as_deref(), Some("10"), "the end is where it was");
    }

    #[test]
    fn what_falls_out_of_the_only_page_is_fetched_again_when_it_is_asked_for() {
        let mut held = Held::default();
        held.begin(page([2, 4, 6], Some("6")));
        held.begin(page([1, 2, 4], Some("4")));
        assert_eq!((shown(&held), held.next.as_deref()), (vec![1, 2, 4], Some("4")));
    }

    #[test]
    fn a_list_that_is_here_whole_keeps_nothing_of_the_past() {
        let mut held = Held::default();
        held.begin(page(0..3, Some("3")));
        held.begin(page([1], None));
        assert_eq!((shown(&held), held.next.clone()), (vec![1], None));
        held.begin(page([], None));
        assert_eq!(shown(&held), [0_u32; 0]);
    }
}
