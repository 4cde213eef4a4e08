//! The timeline of a session on a page: its items as they come ([`Items`]), a row for each ([`RowView`]), what a call printed
//! and what a task changed ([`ChangedFiles`]).
//!
//! Where events come from, and what else a page knows of them, it says itself: by what it puts into [`Items`], and by
//! [`Extras`].

pub mod changes;
pub mod items;
pub mod output;
pub mod rows;

use std::collections::BTreeSet;
use std::sync::Arc;

use lanyard_protocol::id::TaskId;
use lanyard_web_state::timeline::Entry;
use lanyard_web_view::View;
use leptos::prelude::*;

pub use changes::{ChangedFiles, Look};
pub use items::Items;
pub use rows::RowView;

/// An item as a row reads it; none once it is gone.
pub type Read = Signal<Option<Arc<Entry>>>;

/// What a page adds to the rows of a timeline. Provided by it as a context. `Copy`.
#[derive(Debug, Clone, Copy)]
pub struct Extras {
    /// The whole of what a call printed, in a sheet that is open.
    pub whole: Callback<(Read,), View>,
    /// What is to be looked at of a task's changes.
    pub changes: RwSignal<Option<Look>>,
    /// The tasks whose changes are kept; none: those of every task.
    pub kept: Signal<Option<Arc<BTreeSet<TaskId>>>>,
}

impl Extras {
    /// Those of the page.
    ///
    /// # Panics
    /// Where there are none above, which is a defect of the page.
    #[expect(clippy::expect_used, reason = "a page provides them before any row exists")]
    fn take() -> Self {
        use_context().expect("the page of a timeline provides what it adds")
    }

    /// Whether a task's changes can be looked at. Follows.
    fn has_changes(self, task: &TaskId) -> bool {
        self.kept.with(|kept| kept.as_ref().is_none_or(|kept| kept.contains(task)))
    }
}
