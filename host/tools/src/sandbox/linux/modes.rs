//! File modes, changed on behalf of children.
//!
//! Landlock does not mediate `chmod`: without more, a child could open the state directory to everybody or close the
//! owner's home, for the files are its own user's. So the seccomp filter hands these calls to the host, which opens the
//! file, sees whether it lies where the child may write, and changes the mode of what it opened. The call is never
//! continued in the child: its arguments could change meanwhile.
//!
//! The listening end comes into being in the child, which sends it over a socket before it starts the program.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use tokio::io::unix::AsyncFd;

use super::sys::{self, Request};

/// PATH_MAX, with the closing NUL.
const MAX_PATH: usize = 4096;

/// Room for one descriptor.
const ANCILLARY: usize = rustix::cmsg_space!(ScmRights(1));

/// The child's end of the way its listener takes.
#[derive(Debug)]
pub(super) struct Outlet(OwnedFd);

impl Outlet {
    /// Sends the listener to the host. Async-signal-safe: buffers on the stack, one system call.
    pub(super) fn send(&self, listener: BorrowedFd<'_>) -> io::Result<()> {
        let descriptors = [listener];
        let mut space = [MaybeUninit::uninit(); ANCILLARY];
        let mut message = SendAncillaryBuffer::new(&mut space);
        if !message.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(Errno::NOBUFS.into());
        }
        sendmsg(&self.0, &[IoSlice::new(b"l")], &mut message, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// The host's end, until the child has started.
#[derive(Debug)]
pub(crate) struct Inlet {
    socket: Option<OwnedFd>,
    writable: Arc<[PathBuf]>,
}

/// Both ends. Without a filter there is nothing to listen to.
pub(super) fn channel(filtered: bool, writable: Arc<[PathBuf]>) -> io::Result<(Option<Outlet>, Inlet)> {
    if !filtered {
        return Ok((None, Inlet { socket: None, writable }));
    }
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    Ok((Some(Outlet(theirs)), Inlet { socket: Some(ours), writable }))
}

impl Inlet {
    /// Takes the listener of a child that has started. Needs an async runtime.
    pub(crate) fn listen(self) -> io::Result<Modes> {
        let Some(socket) = self.socket else { return Ok(Modes { listener: None, writable: self.writable }) };
        let mut space = [MaybeUninit::uninit(); ANCILLARY];
        let mut message = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        // Sent before the program was started, so it is there.
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        recvmsg(&socket, &mut [IoSliceMut::new(&mut byte)], &mut message, flags)?;
        let listener = message.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let listener = listener.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        Ok(Modes { listener: Some(sys::watch(listener)?), writable: self.writable })
    }
}

/// Answers the `chmod` calls of one call's processes.
#[derive(Debug)]
pub(crate) struct Modes {
    /// `None` when there is no filter, and once no process is left that could ask.
    listener: Option<AsyncFd<OwnedFd>>,
    writable: Arc<[PathBuf]>,
}

impl Modes {
    /// Answers one request. Never returns when there can be none. Cancel-safe: a request is taken and answered without
    /// waiting in between.
    pub(crate) async fn serve(&mut self) -> io::Result<()> {
        loop {
            let Some(listener) = &self.listener else { return std::future::pending().await };
            let mut ready = listener.readable().await?;
            // Receiving blocks when there is nothing, whatever the descriptor's flags; so it is asked first.
            match pending(listener.get_ref().as_fd())? {
                Pending::Request => return self.answer(listener.get_ref().as_fd()),
                Pending::Nothing => ready.clear_ready(),
                Pending::Never => {
                    drop(ready);
                    self.listener = None;
                }
            }
        }
    }

    fn answer(&self, listener: BorrowedFd<'_>) -> io::Result<()> {
        let request = match sys::receive_request(listener) {
            Ok(request) => request,
            // The caller was killed or interrupted meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
            Err(error) => return Err(error),
        };
        let result = self.change(listener, &request).map_err(Errno::raw_os_error);
        match sys::answer_request(listener, request.id, result.err().unwrap_or(0)) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }

    fn change(&self, listener: BorrowedFd<'_>, request: &Request) -> Result<(), Errno> {
        let (target, mode) = Target::of(request)?;
        let file = target.open(request.thread)?;
        // The thread's number may have been given to another since.
        sys::request_is_valid(listener, request.id).map_err(|_| Errno::SRCH)?;
        let link = link_to(file.as_fd());
        let path = std::fs::read_link(&link).map_err(|_| Errno::ACCESS)?;
        if !self.writable.iter().any(|writable| path.starts_with(writable)) {
            return Err(Errno::ACCESS);
        }
        let metadata = fstat(&file)?;
        if FileType::from_raw_mode(metadata.st_mode).is_symlink() {
            return Err(Errno::OPNOTSUPP);
        }
        rustix::fs::chmod(&link, mode)
    }
}

enum Pending {
    Request,
    Nothing,
    Never,
}

fn pending(listener: BorrowedFd<'_>) -> io::Result<Pending> {
    let mut asked = [PollFd::from_borrowed_fd(listener, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    let found = asked[0].revents();
    Ok(if found.contains(PollFlags::IN) {
        Pending::Request
    } else if found.intersects(PollFlags::HUP | PollFlags::ERR) {
        Pending::Never
    } else {
        Pending::Nothing
    })
}

fn link_to(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file))
}

/// What a call names.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// A descriptor of the caller.
    Descriptor(u32),
    /// A path of the caller, by its address; from one of its directories (`None`: the working directory).
    Path { directory: Option<u32>, address: u64, follow: bool, may_be_empty: bool },
}

impl Target {
    fn of(request: &Request) -> Result<(Self, Mode), Errno> {
        let argument = |index: usize| request.arguments[index];
        // The kernel takes `int` and `mode_t`: 32 bits.
        let directory = |value: u64| (value as u32 as i32 != libc::AT_FDCWD).then_some(value as u32);
        let path = |directory, address, flags: AtFlags| Self::Path {
            directory,
            address,
            follow: !flags.contains(AtFlags::SYMLINK_NOFOLLOW),
            may_be_empty: flags.contains(AtFlags::EMPTY_PATH),
        };
        let (target, mode) = match request.call {
            libc::SYS_fchmod => (Self::Descriptor(argument(0) as u32), argument(1)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod => (path(None, argument(0), AtFlags::empty()), argument(1)),
            libc::SYS_fchmodat => (path(directory(argument(0)), argument(1), AtFlags::empty()), argument(2)),
            super::filter::SYS_FCHMODAT2 => {
                let flags = AtFlags::from_bits_retain(argument(3) as u32);
                if !(AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH).contains(flags) {
                    return Err(Errno::INVAL);
                }
                (path(directory(argument(0)), argument(1), flags), argument(2))
            }
            _ => return Err(Errno::NOSYS),
        };
        Ok((target, Mode::from_raw_mode(mode as u32 & 0o7777)))
    }

    /// Opens what the thread would have meant.
    fn open(&self, thread: u32) -> Result<OwnedFd, Errno> {
        match *self {
            Self::Descriptor(number) => open_descriptor(thread, number),
            Self::Path { directory, address, follow, may_be_empty } => {
                let path = read_path(thread, address)?;
                if let Some(number) = own_descriptor(&path) {
                    return open_descriptor(thread, number);
                }
                match (path.as_os_str().is_empty(), directory) {
                    (true, _) if !may_be_empty => Err(Errno::NOENT),
                    (true, Some(number)) => open_descriptor(thread, number),
                    (true, None) => open_path(CWD, &PathBuf::from(format!("/proc/{thread}/cwd")), true, true),
                    (false, _) if path.is_absolute() => open_path(CWD, &path, follow, false),
                    (false, Some(number)) => {
                        open_path(open_descriptor(thread, number)?.as_fd(), &path, follow, false)
                    }
                    (false, None) => {
                        let cwd = open_path(CWD, &PathBuf::from(format!("/proc/{thread}/cwd")), true, true)?;
                        open_path(cwd.as_fd(), &path, follow, false)
                    }
                }
            }
        }
    }
}

fn open_descriptor(thread: u32, number: u32) -> Result<OwnedFd, Errno> {
    let link = format!("/proc/{thread}/fd/{number}");
    match open(&link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => Err(Errno::BADF),
        other => other,
    }
}

/// `magic`: whether links may be followed that are no paths (`/proc/PID/cwd`). A child's own are none of ours: what
/// it calls `/proc/self` would be the host here.
fn open_path(base: BorrowedFd<'_>, path: &Path, follow: bool, magic: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, !follow);
    let resolve = if magic { ResolveFlags::empty() } else { ResolveFlags::NO_MAGICLINKS };
    openat2(base, path, flags, Mode::empty(), resolve)
}

/// The names C libraries use to change the mode of something they hold open.
fn own_descriptor(path: &Path) -> Option<u32> {
    let path = path.to_str()?;
    ["/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/"]
        .iter()
        .find_map(|start| path.strip_prefix(start))
        .and_then(|number| number.parse().ok())
}

fn read_path(thread: u32, address: u64) -> Result<PathBuf, Errno> {
    let memory = File::open(format!("/proc/{thread}/mem")).map_err(|_| Errno::PERM)?;
    let mut bytes = vec![0; MAX_PATH];
    let mut length = 0;
    // A read ends at a page that is not there, which is no error when the path ends before it.
    while !bytes[..length].contains(&0) {
        if length == bytes.len() {
            return Err(Errno::NAMETOOLONG);
        }
        match memory.read_at(&mut bytes[length..], address.wrapping_add(length as u64)) {
            Ok(0) | Err(_) => return Err(Errno::FAULT),
            Ok(read) => length += read,
        }
    }
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(length));
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(call: libc::c_long, arguments: [u64; 6]) -> Request {
        Request { id: 1, thread: std::process::id(), call, arguments }
    }

    #[test]
    fn calls_are_read_as_the_kernel_reads_them() {
        let cwd = u64::from(libc::AT_FDCWD as u32) | 7 << 32;
        let (target, mode) = Target::of(&request(libc::SYS_fchmodat, [cwd, 5, 0o100_755, 0, 0, 0])).unwrap();
        assert_eq!(target, Target::Path { directory: None, address: 5, follow: true, may_be_empty: false });
        assert_eq!(mode, Mode::from_raw_mode(0o755));
        let (target, _) = Target::of(&request(libc::SYS_fchmod, [3, 0, 0, 0, 0, 0])).unwrap();
        assert_eq!(target, Target::Descriptor(3));
        let flags = AtFlags::SYMLINK_NOFOLLOW.bits().into();
        let (target, _) =
            Target::of(&request(super::super::filter::SYS_FCHMODAT2, [3, 5, 0, flags, 0, 0])).unwrap();
        assert_eq!(
            target,
            Target::Path { directory: Some(3), address: 5, follow: false, may_be_empty: false }
        );
        let odd = Target::of(&request(super::super::filter::SYS_FCHMODAT2, [3, 5, 0, 0x8000, 0, 0]));
        assert_eq!(odd.unwrap_err(), Errno::INVAL);
        assert_eq!(Target::of(&request(libc::SYS_read, [0; 6])).unwrap_err(), Errno::NOSYS);
    }

    #[test]
    fn a_path_is_read_from_another_processs_memory() {
        let this = std::process::id();
        let text = c"/some/path";
        assert_eq!(read_path(this, text.as_ptr() as u64).unwrap(), Path::new("/some/path"));
        let long = vec![b'x'; MAX_PATH + 1];
        assert_eq!(read_path(this, long.as_ptr() as u64), Err(Errno::NAMETOOLONG));
        assert_eq!(read_path(this, 8), Err(Errno::FAULT));
    }

    #[test]
    fn names_of_own_descriptors_are_known() {
        assert_eq!(own_descriptor(Path::new("/proc/self/fd/7")), Some(7));
        assert_eq!(own_descriptor(Path::new("/dev/fd/0")), Some(0));
        assert_eq!(own_descriptor(Path::new("/proc/self/fd/7/x")), None);
        assert_eq!(own_descriptor(Path::new("/proc/1/fd/7")), None);
    }
}
