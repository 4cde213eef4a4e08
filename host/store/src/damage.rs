//! What is remembered of a damaged file from one run to the next.
//!
//! redb checks the sums of its pages only when it is told to, which takes as long as the file is large. A damaged
//! page is therefore met in use, and redb may panic on it, which ends a release build at once. So that the next start
//! does not run into the same page, a note is left beside the store before the process ends:
//!
//! * met in use: the next start checks every page first;
//! * met while opening, or during that check: the next start does not touch the file and moves it aside.
//!
//! The note is left by a panic hook, which [`watch`] installs once, in front of whatever hook there was; it acts only
//! on panics of redb on threads that are at work in a store.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::{Arc, Once};

/// When a damage was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// While the file was opened or checked.
    Opening,
    /// Afterwards.
    InUse,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Phase::Opening => "opening",
            Phase::InUse => "in use",
        }
    }
}

/// A note left by an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// When the damage was met.
    pub(crate) phase: Phase,
    /// What was seen of it.
    pub(crate) text: String,
}

impl Note {
    /// The note at `path`, if there is one. One that cannot be read counts as "in use", which is checked.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let whole = String::from_utf8_lossy(&bytes);
        let (first, text) = whole.split_once('\n').unwrap_or((&whole, ""));
        let phase = if first == Phase::Opening.as_str() { Phase::Opening } else { Phase::InUse };
        Some(Self { phase, text: text.to_owned() })
    }

    /// Leaves a note.
    pub(crate) fn leave(path: &Path, phase: Phase, text: &dyn std::fmt::Display) -> std::io::Result<()> {
        std::fs::write(path, format!("{}\n{text}", phase.as_str()))
    }
}

thread_local! {
    /// The stores this thread is at work in, outermost first, each by the place of its note.
    static AT_WORK: RefCell<Vec<(Phase, Arc<Path>)>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, its thread is at work in a store.
#[derive(Debug)]
pub(crate) struct AtWork {
    /// Belongs to the thread that made it.
    _thread: PhantomData<*const ()>,
}

impl AtWork {
    /// `note` is where a note is left.
    pub(crate) fn new(phase: Phase, note: Arc<Path>) -> Self {
        AT_WORK.with_borrow_mut(|stack| stack.push((phase, note)));
        Self { _thread: PhantomData }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.with_borrow_mut(|stack| stack.pop());
    }
}

/// Installs the hook, once per process. A hook set later should call the one it replaces.
pub(crate) fn watch() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            note_panic(info);
            before(info);
        }));
    });
}

/// Leaves a note if redb panicked while this thread was at work in a store.
fn note_panic(info: &PanicHookInfo<'_>) {
    if !info.location().is_some_and(|location| location.file().contains("redb")) {
        return;
    }
    // Neither a thread that is ending nor a stack in use may make the panic worse.
    let _ = AT_WORK.try_with(|stack| {
        if let Ok(stack) = stack.try_borrow()
            && let Some((phase, note)) = stack.first()
        {
            let _ = Note::leave(note, *phase, &message(info));
        }
    });
}

/// The panic's own words.
fn message<'i>(info: &'i PanicHookInfo<'_>) -> &'i str {
    let payload = info.payload();
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("redb gave up without a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note");
        assert_eq!(Note::read(&path), None);
        for phase in [Phase::Opening, Phase::InUse] {
            Note::leave(&path, phase, &"two\nlines").unwrap();
            assert_eq!(Note::read(&path), Some(Note { phase, text: "two\nlines".to_owned() }));
        }
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(Note::read(&path).unwrap().phase, Phase::InUse);
    }
}
