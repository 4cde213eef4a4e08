//! The seccomp filter: which system calls children may make.
//!
//! A list of refusals over "allowed", because children are arbitrary development tools; numbers above the newest call
//! reviewed here answer ENOSYS, so a new kernel adds nothing to what children can do. Arguments are compared by their
//! low 32 bits wherever the kernel takes an `int` (comparing all 64 let `TIOCSTI | 1 << 32` pass elsewhere:
//! CVE-2019-10063). The program runs on every system call; the kernel caches the answer for all calls that do not
//! depend on arguments.
//!
//! Why `socketpair` is limited to streams: a *datagram* pair can be sent from, or connected, to any named socket.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod program;
#[cfg(test)]
mod tests;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use program::SYS_FCHMODAT2;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) const SYS_FCHMODAT2: libc::c_long = 452;

/// A compiled filter. Empty where the processor is not supported.
#[derive(Debug)]
pub(super) struct Program(Vec<libc::sock_filter>);

impl Program {
    pub(super) fn instructions(&self) -> &[libc::sock_filter] {
        &self.0
    }
}

/// What a filter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Purpose {
    /// IP sockets may be made.
    pub(super) network: bool,
    /// Landlock cannot refuse truncation (before ABI 3), so the filter does: no `truncate` by path, no opening for
    /// reading that empties the file. Opening for writing is Landlock's business in every version.
    pub(super) guards_truncation: bool,
}

/// The filter for a purpose.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn program(purpose: Purpose) -> Program {
    Program(program::build(purpose))
}

/// Call numbers and their arguments differ by processor: none is better than a wrong one.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn program(_: Purpose) -> Program {
    Program(Vec::new())
}
