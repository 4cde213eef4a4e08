//! One session as a timeline: prompts, answers, calls, notes, ends.
//!
//! Every durable event says something about one item, with its number; of two tellings the later counts, and an item
//! stands where its first event stands. So events may be applied in any order and any number of times: live ones,
//! replays after a broken connection and older pages loaded while the reader scrolls up all go the same way and end in
//! the same timeline. Streamed pieces are shown at its end until the event comes that holds the whole.
//!
//! Bounded: see [`bounds`]. Each change names the items it touched, so that a page changes those and nothing else.

mod apply;
mod bounds;
mod call;
mod course;
mod item;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
mod told;
pub mod words;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lanyard_protocol::event::Usage;
use lanyard_protocol::id::{StreamId, TaskId};
use lanyard_protocol::method::HistoryPage;

pub use bounds::{MAX_OUTPUT_BYTES, MAX_READING_ITEMS, MAX_TEXT_BYTES, MIN_ITEMS};
pub use call::{Call, CallState, FOLD_LINES, Finished, MAX_CHANGES, Output, Question, Resolution};
pub use course::{Activity, Course};
pub use item::{Answer, End, Ending, Entry, Item, ItemNo, Note, Prompt, Step};

use course::Held;
use item::{About, LAST, Place};

/// Streams remembered as void; pieces of one may still be on their way.
const MAX_VOID: usize = 8;

/// What a change touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Items that show something else than before.
    pub items: Vec<ItemNo>,
    /// Items came, went or moved.
    pub order: bool,
    /// [`Timeline::activity`] or [`Timeline::course`] may say something else.
    pub course: bool,
}

impl Touched {
    fn item(&mut self, no: ItemNo) {
        if !self.items.contains(&no) {
            self.items.push(no);
        }
    }

    /// Both.
    pub fn and(mut self, other: Touched) -> Self {
        other.items.into_iter().for_each(|no| self.item(no));
        self.order |= other.order;
        self.course |= other.course;
        self
    }

    /// Nothing.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && !self.order && !self.course
    }
}

/// What a task came to, as far as its items are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Steps begun.
    pub steps: u32,
    /// Calls made.
    pub calls: u32,
    /// Tokens used by answers.
    pub usage: Usage,
    /// Lines added by calls.
    pub added: u32,
    /// Lines removed by calls.
    pub removed: u32,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    entries: BTreeMap<ItemNo, Arc<Entry>>,
    order: BTreeMap<Place, ItemNo>,
    about: BTreeMap<About, ItemNo>,
    next: u32,
    course: Course,
    /// Text whose step was not told yet.
    held: Option<Held>,
    void: VecDeque<StreamId>,
    /// Lowest number from which on everything is here; none while there is nothing.
    low: Option<u64>,
    /// Highest number seen.
    high: u64,
    /// Lowest number the host keeps.
    kept_from: u64,
    /// The newest items were dropped in favour of older ones.
    detached: bool,
}

/// Equal when the same is shown in the same order.
impl PartialEq for Timeline {
    fn eq(&self, other: &Self) -> bool {
        let shown = |timeline: &Self| -> Vec<Arc<Entry>> { timeline.in_order().cloned().collect() };
        self.course == other.course && shown(self) == shown(other)
    }
}

impl Timeline {
    /// The items, oldest first.
    pub fn order(&self) -> Vec<ItemNo> {
        self.order.values().copied().collect()
    }

    /// One item.
    pub fn entry(&self, no: ItemNo) -> Option<Arc<Entry>> {
        self.entries.get(&no).cloned()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The highest number seen: where a subscription goes on.
    pub fn last_seq(&self) -> u64 {
        self.high
    }

    /// The `beforeSeq` of the page of older events; none when there is none, or nothing has come yet.
    pub fn earlier(&self) -> Option<u64> {
        self.low.filter(|low| *low > self.kept_from.max(1))
    }

    /// Takes a page of the log: the newest one, or that before [`Timeline::earlier`] as it was when `before` was asked
    /// for. A page that does not fit any more (older items were dropped meanwhile) changes nothing.
    pub fn page(&mut self, page: &HistoryPage, before: Option<u64>) -> Touched {
        if before.is_some() && before != self.low {
            return Touched::default();
        }
        let mut touched = Touched { course: true, ..Touched::default() };
        for event in &page.events {
            touched = touched.and(self.apply(event));
        }
        self.kept_from = page.first_seq;
        self.high = self.high.max(page.events.last().and_then(|event| event.seq).unwrap_or_default());
        if !page.has_more {
            self.low = Some(page.first_seq.max(1));
        }
        touched = touched.and(self.keep_bounds());
        if before.is_some() { touched.and(self.drop_newest()) } else { touched }
    }

    /// Whether the end of the session is not among the items any more, because somebody read far back: to be shown
    /// again, start anew from the newest page.
    pub fn is_detached(&self) -> bool {
        self.detached
    }

    /// Events that this page cannot read come before the next one.
    pub fn skipped(&mut self, count: u64) -> Touched {
        let place = Place(self.high, 2);
        self.put(About::Gap(self.high), place, None, Default::default(), || {
            Item::Note(Note::Unreadable(count))
        })
    }

    /// Where the task under way stands.
    pub fn course(&self) -> &Course {
        &self.course
    }

    /// What a task came to, as far as its items are here.
    pub fn totals(&self, task: &TaskId) -> Totals {
        let mut totals = Totals::default();
        for entry in self.in_order().filter(|entry| entry.task.as_ref() == Some(task)) {
            match &entry.item {
                Item::Step(step) => {
                    let usage = step.usage();
                    totals.steps += 1;
                    totals.usage.input_tokens = totals.usage.input_tokens.saturating_add(usage.input_tokens);
                    totals.usage.output_tokens =
                        totals.usage.output_tokens.saturating_add(usage.output_tokens);
                }
                Item::Call(call) => {
                    totals.calls += 1;
                    let finished = call.finished();
                    totals.added = totals.added.saturating_add(finished.map_or(0, |finished| finished.added));
                    totals.removed =
                        totals.removed.saturating_add(finished.map_or(0, |finished| finished.removed));
                }
                _ => {}
            }
        }
        totals
    }

    /// What happens at this moment.
    pub fn activity(&self) -> Activity {
        let mut calls = Vec::new();
        let mut writes = false;
        for entry in self.order.values().rev().filter_map(|no| self.entries.get(no)) {
            match &entry.item {
                Item::Call(call) => calls.push(call.state()),
                Item::Answer(answer) => writes |= answer.streams(),
                Item::Step(_) | Item::Prompt(_) | Item::End(_) => break,
                Item::Note(_) => {}
            }
        }
        self.course.activity(writes, &calls)
    }

    fn in_order(&self) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
        self.order.values().filter_map(|no| self.entries.get(no))
    }

    fn find(&self, about: &About) -> Option<&Arc<Entry>> {
        self.entries.get(self.about.get(about)?)
    }

    /// Makes an item where there is none.
    fn put(
        &mut self,
        about: About,
        place: Place,
        task: Option<TaskId>,
        at: lanyard_protocol::Timestamp,
        item: impl FnOnce() -> Item,
    ) -> Touched {
        if let Some(no) = self.about.get(&about).copied() {
            return self.moved(no, place, at);
        }
        let no = ItemNo(self.next);
        self.next = self.next.wrapping_add(1);
        self.about.insert(about.clone(), no);
        self.order.insert(place, no);
        self.entries.insert(no, Arc::new(Entry { task, at, item: item(), about, place }));
        Touched { items: vec![no], order: true, course: false }
    }

    /// An event that is older than those known of the item moves it up; one that gives streamed text a number gives it
    /// its place.
    fn moved(&mut self, no: ItemNo, place: Place, at: lanyard_protocol::Timestamp) -> Touched {
        let Some(entry) = self.entries.get_mut(&no).filter(|entry| place < entry.place) else {
            return Touched::default();
        };
        self.order.remove(&entry.place);
        let before = entry.place;
        let entry = Arc::make_mut(entry);
        entry.place = place;
        entry.at = at;
        self.order.insert(place, no);
        // Text that was last and still is has not moved for the reader.
        let still_last = before.0 == LAST && self.order.range(place..).nth(1).is_none();
        Touched { items: vec![no], order: !still_last, course: false }
    }

    fn edit(&mut self, about: &About, change: impl FnOnce(&mut Item)) -> Touched {
        let Some(no) = self.about.get(about).copied() else { return Touched::default() };
        let Some(entry) = self.entries.get_mut(&no) else { return Touched::default() };
        change(&mut Arc::make_mut(entry).item);
        Touched { items: vec![no], order: false, course: false }
    }

    fn remove(&mut self, about: &About) -> Touched {
        let Some(no) = self.about.remove(about) else { return Touched::default() };
        if let Some(entry) = self.entries.remove(&no) {
            self.order.remove(&entry.place);
        }
        Touched { items: vec![no], order: true, course: true }
    }
}
