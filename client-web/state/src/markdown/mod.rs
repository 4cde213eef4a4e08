//! The words of a model, as a safe subset of Markdown: paragraphs, headings, lists, quotes, fenced code, simple tables,
//! emphasis, inline code and links to the web.
//!
//! There is no passthrough of HTML and nothing is ever fetched: what is not of the subset stays text. [`Document`]
//! takes text as it streams and parses only its last block anew; a fence that is not closed yet is a code block.

mod block;
mod inline;
mod link;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;

pub use link::Target;

/// Blocks within blocks (a list in a quote in a list); deeper ones are text. Real answers have two or three.
const MAX_DEPTH: usize = 6;

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// Running text.
    Paragraph(Vec<Inline>),
    /// A heading.
    Heading {
        /// 1–6.
        level: u8,
        /// Its text.
        text: Vec<Inline>,
    },
    /// Code.
    Code {
        /// The first word after the fence; empty when there is none.
        language: String,
        /// As it is, what hides written out, without the last line feed.
        text: String,
        /// The fence is closed.
        closed: bool,
    },
    /// A list.
    List {
        /// Number of the first item; none: bullets.
        start: Option<u32>,
        /// Its items.
        items: Vec<Item>,
    },
    /// A quotation.
    Quote(Vec<Block>),
    /// A table.
    Table {
        /// The first row.
        head: Vec<Vec<Inline>>,
        /// The others, each as long as the first.
        rows: Vec<Vec<Vec<Inline>>>,
    },
    /// A line across.
    Rule,
}

/// One item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// A task, and whether it is done.
    pub done: Option<bool>,
    /// What it holds.
    pub blocks: Vec<Block>,
}

/// A piece of running text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inline {
    /// Text.
    Text(String),
    /// Code.
    Code(String),
    /// Bold.
    Strong(Vec<Inline>),
    /// Italic.
    Emphasis(Vec<Inline>),
    /// Struck out.
    Struck(Vec<Inline>),
    /// A link to the web.
    Link {
        /// Where to.
        target: Target,
        /// What it is called.
        text: Vec<Inline>,
    },
    /// A new line.
    Break,
}

/// A text that may still grow. Equal when they show the same.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Those before the last one never change again.
    blocks: Vec<Arc<Block>>,
    /// Blocks made of text that is not kept any more.
    settled: usize,
    /// The text of the blocks after them.
    open: String,
    /// Bytes taken.
    bytes: usize,
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.blocks == other.blocks
    }
}

impl Document {
    /// The whole of a text.
    pub fn whole(text: &str) -> Self {
        let mut document = Self::default();
        document.push(text);
        document
    }

    /// More text.
    pub fn push(&mut self, text: &str) {
        self.bytes += text.len();
        self.open.push_str(text);
        let parsed = block::blocks(&self.open, MAX_DEPTH);
        let unsettled = self.blocks.split_off(self.settled);
        // Closed are those before one whose first line is complete: a line that still grows may yet belong to the block
        // above it.
        let unfinished = block::unfinished_line(&self.open);
        if let Some(last) = parsed.iter().rposition(|(_, start)| *start < unfinished) {
            let start = parsed.get(last).map_or(0, |(_, start)| *start);
            self.settled += last;
            self.open.drain(..start);
        }
        let mut now: Vec<Arc<Block>> = parsed.into_iter().map(|(block, _)| Arc::new(block)).collect();
        keep_same(&mut now, &unsettled);
        self.blocks.extend(now);
    }

    /// Replaces what was streamed by the whole; blocks that stay the same stay the same object.
    pub fn complete(&mut self, whole: &str) {
        let mut now = Self::whole(whole);
        keep_same(&mut now.blocks, &self.blocks);
        *self = now;
        self.open = String::new();
        self.settled = self.blocks.len();
    }

    /// What is to be shown.
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// Whether there is nothing to be shown.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Bytes of text it was made of.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Blocks that show the same as before stay the same object, so that the page does not touch them.
fn keep_same(now: &mut [Arc<Block>], before: &[Arc<Block>]) {
    for (new, old) in now.iter_mut().zip(before) {
        if new == old {
            *new = old.clone();
        }
    }
}
