//! One attempt at something a confined program must not do, for the confinement tests.
//!
//! The attempt is named on standard input, one word a line, so that nothing in the command line gives it away to
//! policy: what is tried here is the sandbox behind it. Prints `ok` or `refused ERRNO`.

#[cfg(target_os = "linux")]
fn main() {
    match attempt::from_stdin() {
        Ok(text) => println!("ok {}", text.replace('\n', " ")),
        Err(error) => println!("refused {} {error}", error.raw_os_error().unwrap_or_default()),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("refused 0 only Linux confines programs");
}

#[cfg(target_os = "linux")]
mod attempt {
    use std::fs::{self, File, OpenOptions};
    use std::io::{self, Read};
    use std::net::{TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use rustix::process::{Pid, Signal};

    pub(super) fn from_stdin() -> io::Result<String> {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        let mut words = text.lines();
        let what = words.next().unwrap_or_default();
        let on = words.next().unwrap_or_default();
        let done = |()| String::new();
        match what {
            "read" => fs::read_to_string(on),
            "list" => Ok(fs::read_dir(on)?.count().to_string()),
            "append" => OpenOptions::new().append(true).open(on).map(|_| String::new()),
            "create" => File::create_new(on).map(|_| String::new()),
            "remove" => fs::remove_file(on).map(done),
            "connect" => UnixStream::connect(on).map(|_| String::new()),
            "send" => UnixDatagram::unbound()?.send_to(b"x", on).map(|sent| sent.to_string()),
            "tcp" => TcpStream::connect(on).map(|_| String::new()),
            "udp" => UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", on).map(|sent| sent.to_string()),
            // Harmless where it works: the host runs already.
            "signal" => {
                rustix::process::kill_process(pid(on)?, Signal::CONT).map(done).map_err(io::Error::from)
            }
            "test-signal" => rustix::process::test_kill_process(pid(on)?).map(done).map_err(io::Error::from),
            // Opening it takes the right to trace the process.
            "memory" => File::open(format!("/proc/{on}/mem")).map(|_| String::new()),
            "environment" => fs::read(format!("/proc/{on}/environ")).map(|bytes| bytes.len().to_string()),
            // Their numbers are no secret; where they lead is.
            "descriptor" => fs::read_link(format!("/proc/{on}/fd/0")).map(|_| String::new()),
            other => Err(io::Error::other(format!("no attempt is called {other:?}"))),
        }
    }

    fn pid(text: &str) -> io::Result<Pid> {
        text.parse()
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other(format!("{text:?} is no pid")))
    }
}
