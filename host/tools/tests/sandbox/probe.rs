//! The child's side: one attempt at something, made by this test binary when it is started again with a mark in its
//! environment and the attempt on its standard input.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;

/// Set in the environment of a probe.
pub(crate) const MARK: &str = "SANDBOX_PROBE";
/// Makes the test harness run nothing but [`entry`].
pub(crate) const ARGUMENTS: [&str; 4] = ["--exact", "probe::entry", "--nocapture", "--test-threads=1"];

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It worked, with what it found.
    Ok(String),
    /// The kernel refused.
    Errno(i32),
    /// It was killed for it.
    Signal(i32),
    /// The probe itself failed.
    Broken(String),
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self) -> String {
        match self {
            Self::Ok(text) => text,
            other => panic!("expected success, got {other:?}"),
        }
    }
}

pub(crate) fn request(name: &str, arguments: &[&str]) -> String {
    [&[name], arguments].concat().join("\n")
}

/// Reads the line `PROBE …` among what the harness prints.
pub(crate) fn answer(output: &str) -> Answer {
    let line = output.lines().find_map(|line| line.split_once("PROBE ").map(|(_, answer)| answer));
    match line.and_then(|line| line.split_once('=')) {
        Some(("ok", text)) => Answer::Ok(text.to_owned()),
        Some(("errno", number)) => Answer::Errno(number.parse().unwrap()),
        _ => Answer::Broken(output.to_owned()),
    }
}

/// Not a test: where a probe starts.
#[test]
fn entry() {
    if std::env::var_os(MARK).is_none() {
        return;
    }
    let mut request = String::new();
    io::stdin().read_to_string(&mut request).unwrap();
    let mut words = request.split('\n');
    let name = words.next().unwrap();
    let arguments: Vec<_> = words.collect();
    if name == "be_host" {
        return crate::host_death::be_host(arguments[0], arguments[1]);
    }
    match attempt(name, &arguments) {
        Ok(text) => println!("\nPROBE ok={}", text.replace('\n', "\\n")),
        Err(error) => println!("\nPROBE errno={}", error.raw_os_error().unwrap_or(-1)),
    }
}

fn attempt(name: &str, arguments: &[&str]) -> io::Result<String> {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or_default();
    let path = Path::new(argument(0));
    let number = |index: usize| argument(index).parse::<i64>().unwrap();
    let done = |()| String::new();
    match name {
        "read" => fs::read_to_string(path),
        "write" => OpenOptions::new().write(true).open(path).map(|_| String::new()),
        "create" => File::create_new(path).map(|_| String::new()),
        "truncate" => {
            let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
            // SAFETY: a valid string.
            checked(unsafe { libc::truncate(path.as_ptr(), 0) }.into()).map(done)
        }
        "chmod" => fs::set_permissions(path, PermissionsExt::from_mode(0o777)).map(done),
        "fchmod" => File::open(path)?.set_permissions(PermissionsExt::from_mode(0o777)).map(done),
        "chmod_of_descriptor" => {
            let file = File::open(path)?;
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            fs::set_permissions(link, PermissionsExt::from_mode(0o777)).map(done)
        }
        "chmod_beneath" => {
            let directory = File::open(path)?;
            let name = std::ffi::CString::new(argument(1))?;
            // SAFETY: a valid string.
            checked(unsafe { libc::fchmodat(directory.as_raw_fd(), name.as_ptr(), 0o777, 0) }.into())
                .map(done)
        }
        "special_mode" => {
            let file = File::open(path)?;
            let (path, mode) = (std::ffi::CString::new(path.as_os_str().as_bytes())?, argument(2));
            let mode = libc::mode_t::from_str_radix(mode, 8).map_err(io::Error::other)?;
            // SAFETY: a valid string and an open file.
            let result = unsafe {
                match argument(1) {
                    "chmod" => libc::chmod(path.as_ptr(), mode).into(),
                    "fchmod" => libc::fchmod(file.as_raw_fd(), mode).into(),
                    "fchmodat" => libc::syscall(libc::SYS_fchmodat, libc::AT_FDCWD, path.as_ptr(), mode),
                    _ => libc::syscall(452, libc::AT_FDCWD, path.as_ptr(), mode, 0),
                }
            };
            checked(result).map(done)
        }
        "setxattr" => {
            let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
            // SAFETY: valid strings and one byte.
            let result =
                unsafe { libc::setxattr(path.as_ptr(), c"user.x".as_ptr(), c"y".as_ptr().cast(), 1, 0) };
            checked(result.into()).map(done)
        }
        "list" => Ok(fs::read_dir(path)?.count().to_string()),
        "remove" => fs::remove_file(path).map(done),
        "mkdir" => fs::create_dir(path).map(done),
        "link" => fs::hard_link(path, argument(1)).map(done),
        "rename" => fs::rename(path, argument(1)).map(done),
        "symlink_and_read" => {
            std::os::unix::fs::symlink(path, argument(1))?;
            fs::read_to_string(argument(1))
        }
        "read_link" => fs::read_link(path).map(|target| target.display().to_string()),
        "connect" => UnixStream::connect(path).map(|_| String::new()),
        "bind" => UnixListener::bind(path).map(|_| String::new()),
        "connect_abstract" => {
            UnixStream::connect_addr(&SocketAddr::from_abstract_name(argument(0))?).map(|_| String::new())
        }
        "pair_then_send_to" => pair_then_send_to(path),
        "stream_pair" => UnixStream::pair().map(|_| String::new()),
        "tcp" => TcpStream::connect(argument(0)).map(|_| String::new()),
        "udp" => UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", argument(0)).map(|_| String::new()),
        "syscall" => {
            let mut values = [0_i64; 6];
            for (index, value) in values.iter_mut().enumerate().take(arguments.len() - 1) {
                *value = number(index + 1);
            }
            let [a, b, c, d, e, f] = values;
            // SAFETY: the callers pass numbers and null pointers only.
            checked(unsafe { libc::syscall(number(0), a, b, c, d, e, f) }).map(done)
        }
        "clone" => clone(number(0)),
        "limit_of_other" => set_limit(number(0), libc::RLIMIT_NOFILE),
        "limit_tag" => set_limit(0, libc::RLIMIT_LOCKS),
        "limit_own" => set_limit(0, libc::RLIMIT_NOFILE),
        "queue_signal" => {
            // SAFETY: all of the structure is initialised by zeroing it.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            info.si_code = -1;
            // SAFETY: a valid structure.
            checked(unsafe {
                libc::syscall(libc::SYS_rt_sigqueueinfo, number(0), libc::SIGCONT, &raw const info)
            })
            .map(done)
        }
        "pidfd_signal" => {
            // SAFETY: numbers only.
            let pidfd = checked_value(unsafe { libc::syscall(libc::SYS_pidfd_open, number(0), 0) })?;
            // SAFETY: numbers and a null pointer.
            checked(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, libc::SIGCONT, 0, 0) })
                .map(done)
        }
        "type_into_terminal" => {
            let letter = b'x';
            // SAFETY: a valid byte.
            checked(unsafe { libc::ioctl(0, libc::TIOCSTI, &raw const letter) }.into()).map(done)
        }
        "trace_own_child" => {
            let mut child = std::process::Command::new("sleep").arg("1000").spawn()?;
            // SAFETY: numbers only.
            let traced =
                checked(unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_SEIZE, child.id(), 0, 0) });
            child.kill()?;
            traced.map(done)
        }
        "foreign_abi" => foreign_abi(),
        "descriptors" => descriptors(),
        "session" => {
            // SAFETY: cannot fail.
            let (pid, session) = unsafe { (libc::getpid(), libc::getsid(0)) };
            Ok((pid == session).to_string())
        }
        other => Err(io::Error::other(format!("no probe {other}"))),
    }
}

/// A datagram socket needs no `socket` call to reach any address once one exists.
fn pair_then_send_to(path: &Path) -> io::Result<String> {
    let mut pair = [0_i32; 2];
    // SAFETY: room for two descriptors.
    checked(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, pair.as_mut_ptr()) }.into())?;
    // SAFETY: all of the structure is initialised by zeroing it.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(path.as_os_str().as_bytes()) {
        *to = *from as libc::c_char;
    }
    let length = std::mem::size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: one byte and a valid address.
    let sent =
        unsafe { libc::sendto(pair[0], b"x".as_ptr().cast(), 1, 0, (&raw const address).cast(), length) };
    checked(sent as i64).map(|()| String::new())
}

fn clone(flags: i64) -> io::Result<String> {
    // SAFETY: like fork; the child ends at once.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags | i64::from(libc::SIGCHLD), 0, 0, 0, 0) };
    if pid == 0 {
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) }
    }
    checked(pid).map(|()| String::new())
}

fn set_limit(pid: i64, resource: libc::__rlimit_resource_t) -> io::Result<String> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let none = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: valid structures.
    checked(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, none, &raw mut limit) })?;
    // Soft only, and to the hard limit's own value: harmless where it works.
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: valid structures.
    checked(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const limit, none) })?;
    Ok(String::new())
}

/// `getpid` by the 32-bit entry of the kernel.
#[cfg(target_arch = "x86_64")]
fn foreign_abi() -> io::Result<String> {
    let pid: i64;
    // SAFETY: getpid takes nothing and changes nothing but rax.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => pid, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
    };
    checked(pid).map(|()| String::new())
}

#[cfg(not(target_arch = "x86_64"))]
fn foreign_abi() -> io::Result<String> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// What the descriptors of this process above 2 point to.
fn descriptors() -> io::Result<String> {
    let directory = File::open("/proc/self/fd")?;
    let own = directory.as_raw_fd().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let name = entry.file_name();
        if ["0", "1", "2", own.as_str()].iter().any(|known| name == *known) {
            continue;
        }
        if let Ok(target) = fs::read_link(entry.path()) {
            found.push(target.display().to_string());
        }
    }
    Ok(found.join(" "))
}

fn checked_value(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn checked(result: i64) -> io::Result<()> {
    checked_value(result).map(drop)
}
