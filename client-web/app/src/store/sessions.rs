//! The list of sessions, as the host's log moves it. (`state::sessions` decides; here it is asked and told.)

use lanyard_protocol::event::HostEvent;
use lanyard_protocol::method::ListSessions;
use lanyard_web_state::sessions::PAGE_ROWS;
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::{Failed, Store};

impl Store {
    /// Asks for the list anew: after connecting, and when the log had a gap.
    pub(crate) fn list_sessions(self) {
        spawn_local(async move {
            if let Err(failed) = self.page_of_sessions(None).await {
                self.warn(failed.said);
            }
        });
    }

    /// Asks for the rows after those that are here; nothing where all are.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn more_sessions(self) -> Result<(), Failed> {
        let next = self.sessions.with_untracked(|sessions| sessions.next().map(str::to_owned));
        match next {
            Some(cursor) => self.page_of_sessions(Some(cursor)).await,
            None => Ok(()),
        }
    }

    async fn page_of_sessions(self, cursor: Option<String>) -> Result<(), Failed> {
        let anew = cursor.is_none();
        let page = self.call(ListSessions { limit: Some(PAGE_ROWS), cursor, query: None }).await?;
        self.sessions.update(|sessions| sessions.page(&page, anew));
        Ok(())
    }

    /// The next event of the host's log.
    pub(super) fn hear_of_session(self, event: &HostEvent) {
        // Most events say nothing new of a list; those wake nobody.
        let heard = self.sessions.try_maybe_update(|sessions| {
            let changed = sessions.host_event(event);
            (changed, ())
        });
        debug_assert!(heard.is_some(), "the store lives as long as the page");
    }
}
