//! The list of sessions: what waits for a person first, then what is under way, then the rest.
//!
//! Kept by pages of `ListSessions` and by the host's log. Both tell whole rows, so the newer row of a session counts,
//! whichever comes first.

pub mod draft;
mod row;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use lanyard_protocol::event::{HostEvent, HostEventBody};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::SessionPage;
use lanyard_protocol::session::SessionSummary;

pub use row::{Standing, Where, detail, standing, title};

/// Rows kept. Ten screens of a desktop; older sessions are found by paging on, or by the search.
pub const MAX_ROWS: usize = 1_000;

/// Deleted sessions remembered, so that a page that was on its way does not bring one back.
const MAX_GONE: usize = 256;

/// Rows asked for at a time: some screens of a phone.
pub const PAGE_ROWS: u32 = 50;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sessions {
    rows: BTreeMap<SessionId, SessionSummary>,
    gone: BTreeSet<SessionId>,
    next: Option<String>,
    loaded: bool,
}

/// The list as it is shown; ids, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// A person is asked, or a task stands still until one says so.
    pub waits: Vec<SessionId>,
    /// A task is under way.
    pub now: Vec<SessionId>,
    /// Everything else.
    pub earlier: Vec<SessionId>,
}

impl Groups {
    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.waits.is_empty() && self.now.is_empty() && self.earlier.is_empty()
    }
}

impl Sessions {
    /// The host's first answer is there; before it an empty list says nothing.
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// The cursor of the next page; none when everything is here.
    pub fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// One row.
    pub fn get(&self, id: &SessionId) -> Option<&SessionSummary> {
        self.rows.get(id)
    }

    /// Takes a page. `anew`: the first one of a fresh list; rows that a page of its reach does not hold are gone.
    pub fn page(&mut self, page: &SessionPage, anew: bool) {
        if anew {
            let oldest = page.sessions.iter().map(|row| row.updated_at).min();
            // Not collected: that would sort them first, with 5 KB of program.
            let mut listed = BTreeSet::new();
            listed.extend(page.sessions.iter().map(|row| &row.session_id));
            let whole = page.next_cursor.is_none();
            // What changed after the page was made is newer than all of it and stays.
            let newest = page.sessions.iter().map(|row| row.updated_at).max();
            self.rows.retain(|id, row| {
                let within = whole || oldest.is_none_or(|oldest| row.updated_at >= oldest);
                let newer = newest.is_some_and(|newest| row.updated_at > newest);
                listed.contains(id) || !within || newer
            });
            self.loaded = true;
        }
        for row in &page.sessions {
            self.changed(row);
        }
        if anew || self.next.is_some() {
            self.next.clone_from(&page.next_cursor);
        }
        self.keep_bound();
    }

    /// Takes an event of the host's log. Returns whether the list has changed.
    pub fn host_event(&mut self, event: &HostEvent) -> bool {
        match &event.body {
            HostEventBody::SessionChanged(changed) => {
                let new = self.changed(&changed.session);
                self.keep_bound();
                new
            }
            HostEventBody::SessionDeleted(deleted) => self.delete(&deleted.session_id),
            _ => false,
        }
    }

    fn changed(&mut self, row: &SessionSummary) -> bool {
        if self.gone.contains(&row.session_id) {
            return false;
        }
        match self.rows.get(&row.session_id) {
            // Numbers of events only grow; times may go back with the host's clock.
            Some(known)
                if (known.last_seq, known.updated_at) > (row.last_seq, row.updated_at) || known == row =>
            {
                false
            }
            _ => {
                self.rows.insert(row.session_id.clone(), row.clone());
                true
            }
        }
    }

    fn delete(&mut self, id: &SessionId) -> bool {
        if self.gone.len() >= MAX_GONE {
            // Which one is forgotten hardly matters: a page is not under way for that long.
            self.gone.pop_first();
        }
        self.gone.insert(id.clone());
        self.rows.remove(id).is_some()
    }

    fn keep_bound(&mut self) {
        let surplus = self.rows.len().saturating_sub(MAX_ROWS);
        if surplus == 0 {
            return;
        }
        let mut oldest: Vec<_> =
            self.rows.values().map(|row| (row.updated_at, row.session_id.clone())).collect();
        oldest.sort_unstable();
        for (_, id) in oldest.into_iter().take(surplus) {
            self.rows.remove(&id);
        }
        // Paging on would bring them back only to be dropped again.
        self.next = None;
    }

    /// The list as it is shown.
    pub fn groups(&self) -> Groups {
        let mut groups = Groups::default();
        for row in self.newest_first() {
            let group = match standing(row).place() {
                Where::Waits => &mut groups.waits,
                Where::Now => &mut groups.now,
                Where::Earlier => &mut groups.earlier,
            };
            group.push(row.session_id.clone());
        }
        groups
    }

    /// Last used first; those of the same moment by their ids, as they are kept.
    fn newest_first(&self) -> Vec<&SessionSummary> {
        let mut rows: Vec<&SessionSummary> = self.rows.values().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.updated_at));
        rows
    }

    /// Directories that sessions were about, last used first, for pickers and examples.
    pub fn directories(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for root in self.newest_first().into_iter().filter_map(|row| row.workspace_roots.first()) {
            if !seen.contains(root) {
                seen.push(root.clone());
            }
        }
        seen
    }
}
