//! Counts how many bytes of text are looked at, in tests: that hostile text costs little is told by that, whatever else the
//! machine does meanwhile.

#[cfg(test)]
thread_local! {
    static DONE: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// So many bytes were looked at.
#[cfg(test)]
pub(super) fn done(bytes: usize) {
    DONE.with(|done| done.set(done.get() + bytes as u64));
}

/// Nothing is counted outside of tests.
#[cfg(not(test))]
pub(super) fn done(_: usize) {}

/// Bytes looked at on this thread since the last call.
#[cfg(test)]
pub(super) fn take() -> u64 {
    DONE.with(|done| done.replace(0))
}
