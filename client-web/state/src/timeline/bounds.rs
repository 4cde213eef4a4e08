//! How much of a session a page holds: its newest items, and while somebody reads back more of them.
//!
//! Older items are dropped whole steps at a time, so that what is loaded again by `GetHistory` fits what is left. Outputs
//! go first: their folded lines stay, the rest is in the log or in an artifact. Who reads far back leaves the end behind and
//! comes back to it by starting anew from the newest page.

use super::item::{Item, ItemNo, LAST};
use super::{Timeline, Touched};

/// Items kept while the end is followed. Some screens full; each is some tens of elements.
pub const MIN_ITEMS: usize = 300;

/// Items kept while somebody reads back. Beyond it the newest go, and what happens meanwhile is not shown until the
/// reader comes back to the end: a session of a day has tens of thousands.
pub const MAX_READING_ITEMS: usize = 1_500;

/// Bytes of output kept beyond the folded lines, the newest first.
pub const MAX_OUTPUT_BYTES: usize = 2 << 20;

/// Bytes of prompts and answers kept; beyond it the oldest items go.
pub const MAX_TEXT_BYTES: usize = 8 << 20;

impl Timeline {
    /// Drops the oldest items while more than `most` are here. To be called with [`MIN_ITEMS`] when the end is followed.
    pub fn trim(&mut self, most: usize) -> Touched {
        if self.order.len() <= most {
            return Touched::default();
        }
        let over = self.order.len() - most;
        // The first beginning of a step or task at which few enough are left; in the last step nothing is dropped.
        let begins = |no: &ItemNo| {
            self.entries.get(no).is_some_and(|entry| matches!(entry.item, Item::Step(_) | Item::Prompt(_)))
        };
        let cut = self.order.iter().skip(over).find(|(place, no)| place.0 != LAST && begins(no));
        let Some((cut, _)) = cut.map(|(place, no)| (*place, *no)) else { return Touched::default() };
        let kept = self.order.split_off(&cut);
        let dropped = std::mem::replace(&mut self.order, kept);
        let mut touched = Touched { order: true, ..Touched::default() };
        for no in dropped.into_values() {
            if let Some(entry) = self.entries.remove(&no) {
                self.about.remove(&entry.about);
                touched.items.push(no);
            }
        }
        self.low = Some(cut.0);
        touched
    }

    /// Drops the newest items while more than [`MAX_READING_ITEMS`] are here, and no longer takes new ones.
    pub(super) fn drop_newest(&mut self) -> Touched {
        let begins = |no: &ItemNo| {
            self.entries.get(no).is_some_and(|entry| matches!(entry.item, Item::Step(_) | Item::Prompt(_)))
        };
        let cut =
            self.order.iter().skip(MAX_READING_ITEMS).find(|(_, no)| begins(no)).map(|(place, _)| *place);
        let Some(cut) = cut else { return Touched::default() };
        self.detached = true;
        let mut touched = Touched { order: true, ..Touched::default() };
        for no in self.order.split_off(&cut).into_values() {
            if let Some(entry) = self.entries.remove(&no) {
                self.about.remove(&entry.about);
                touched.items.push(no);
            }
        }
        touched
    }

    /// Keeps what must hold always.
    pub(super) fn keep_bounds(&mut self) -> Touched {
        let mut touched = Touched::default();
        let mut outputs = 0_usize;
        let mut texts = 0_usize;
        let mut over = Vec::new();
        let mut fitting = 0_usize;
        for (no, entry) in self.order.values().rev().filter_map(|no| Some((*no, self.entries.get(no)?))) {
            match &entry.item {
                Item::Call(call) if call.kept_bytes() > 0 => {
                    outputs = outputs.saturating_add(call.kept_bytes());
                    if outputs > MAX_OUTPUT_BYTES {
                        over.push((no, entry.about.clone()));
                    }
                }
                // A text is kept twice: as it is, and as blocks.
                Item::Answer(answer) => texts = texts.saturating_add(2 * answer.text.bytes()),
                Item::Prompt(prompt) => texts = texts.saturating_add(prompt.text.len()),
                _ => {}
            }
            fitting += usize::from(texts <= MAX_TEXT_BYTES);
        }
        for (no, about) in over {
            let _touched = self.edit(&about, |item| {
                if let Item::Call(call) = item {
                    call.drop_output();
                }
            });
            touched.items.push(no);
        }
        match texts > MAX_TEXT_BYTES {
            true => touched.and(self.trim(fitting.max(1))),
            false => touched,
        }
    }
}
