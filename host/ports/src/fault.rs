//! Named points at which a test may have the process killed. Compiled into debug builds only; in release builds a
//! point is nothing.
//!
//! `LANYARD_FAULT=NAME:N` sends SIGKILL to the process the N-th time it reaches the point, exactly as a power cut or
//! `kill -9` would: no destructor runs, nothing is flushed.

/// Ends the process here if a test asked for it.
#[cfg(all(debug_assertions, unix))]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("LANYARD_FAULT").ok()?;
        let (name, count) = text.split_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    let Some((_, count)) = wanted.as_ref().filter(|(wanted, _)| wanted == name) else { return };
    if REACHED.fetch_add(1, Ordering::SeqCst) + 1 == *count {
        if rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).is_err() {
            std::process::abort();
        }
        // The signal is on its way to this very process.
        loop {
            std::thread::park();
        }
    }
}

/// Does nothing in a release build.
#[cfg(not(all(debug_assertions, unix)))]
pub fn point(_: &str) {}
