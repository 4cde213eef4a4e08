//! The host of this machine: a plain pump of bytes between standard input and output and its socket. Nothing is read
//! into, changed or added, so that what works over the socket works here. The end of the input is passed on; the host
//! answers what is under way and closes, and then the command ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::{Exit, Failure};

/// Bytes moved at a time.
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) fn run(host: UnixStream) -> Result<Exit, Failure> {
    let input = unbuffered(io::stdin())?;
    let mut output = unbuffered(io::stdout())?;
    let to_host = host.try_clone()?;
    let input_ended = Arc::new(AtomicBool::new(false));
    let ended = input_ended.clone();
    // Never joined: it may be waiting for input when the host is gone. The process ends without it.
    std::thread::Builder::new().name("stdin".into()).spawn(move || pump_in(input, to_host, &ended))?;
    pump_out(host, &mut output)?;
    match input_ended.load(Ordering::Acquire) {
        true => Ok(Exit::Completed),
        // Whoever speaks to it may have stopped it: no word, only the code.
        false => Ok(Exit::Unreachable),
    }
}

/// The stream itself, without the standard library's line buffering.
fn unbuffered(stream: impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

/// Hands on what there is as soon as it is there. Not `io::copy`: it would let the kernel splice, which may hold a
/// line back until the next one comes.
fn pump(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(buffer.get(..length).unwrap_or_default())?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn pump_in(mut input: File, mut host: UnixStream, ended: &AtomicBool) {
    let pumped = pump(&mut input, &mut host);
    ended.store(pumped.is_ok(), Ordering::Release);
    // After an error the host is gone, which the other direction notices.
    let _ = host.shutdown(Shutdown::Write);
}

fn pump_out(mut host: UnixStream, output: &mut File) -> Result<(), Failure> {
    match pump(&mut host, output) {
        Ok(()) => {}
        // A host that was killed with data on its way.
        Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {}
        Err(e) => return Err(e.into()),
    }
    Ok(())
}
