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

/// A compiled filter. Empty where the processor is not supported.
#[derive(Debug)]
pub(super) struct Program(Vec<libc::sock_filter>);

impl Program {
    pub(super) fn instructions(&self) -> &[libc::sock_filter] {
        &self.0
    }
}

/// The filter for children with (`network`) or without IP sockets.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn program(network: bool) -> Program {
    Program(program::build(network))
}

/// Call numbers and their arguments differ by processor: none is better than a wrong one.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn program(_network: bool) -> Program {
    Program(Vec::new())
}
