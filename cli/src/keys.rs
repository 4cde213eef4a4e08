//! Single keys from the terminal, while a question is on the screen.
//!
//! The terminal is switched to one-key mode for the life of a [`Keys`] only, and read only then, so that what is
//! typed at other times stays for the shell. What was typed before the question, or within its first moments, was
//! meant for something else and is dropped.

use std::io;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::stdio::stdin;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcsetattr,
};
use tokio::sync::mpsc;

/// Keys in the first moments of a question are not an answer to it.
const INERT: Duration = Duration::from_millis(400);

/// Keys waiting to be looked at; more than a person presses before the screen follows.
const MAX_WAITING: usize = 16;

/// What counts as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// One at a time: pasted text is no answer to a question.
    Keys,
    /// Every printable one, however they come.
    Text,
}

/// The terminal in one-key mode; put back on drop.
pub(crate) struct Keys {
    before: Termios,
    pressed: mpsc::Receiver<io::Result<char>>,
    inert_until: Instant,
    /// Its end tells the reader to stop.
    stop: Option<UnixStream>,
    reader: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("inert_until", &self.inert_until).finish_non_exhaustive()
    }
}

impl Keys {
    /// Switches standard input, which must be a terminal, to one-key mode. Ctrl-C and Ctrl-Z keep their meaning.
    pub(crate) fn open() -> io::Result<Self> {
        Self::open_reading(Reading::Keys)
    }

    /// [`Keys::open`] for something that is typed letter by letter and may be pasted: what comes in one piece counts
    /// too, unless it holds an arrow or function key.
    pub(crate) fn open_for_text() -> io::Result<Self> {
        Self::open_reading(Reading::Text)
    }

    fn open_reading(reading: Reading) -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let (stop, stopped) = UnixStream::pair()?;
        let (sender, pressed) = mpsc::channel(MAX_WAITING);
        let mut one_key = before.clone();
        one_key.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // A read returns at once with what is there.
        one_key.special_codes[SpecialCodeIndex::VMIN] = 0;
        one_key.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(stdin(), OptionalActions::Now, &one_key)?;
        // From here on the drop puts the terminal back, whatever fails.
        let mut keys = Self { before, pressed, inert_until: Instant::now(), stop: Some(stop), reader: None };
        let read = move || read(&stopped, &sender, reading);
        keys.reader = Some(std::thread::Builder::new().name("keys".into()).spawn(read)?);
        keys.new_question()?;
        Ok(keys)
    }

    /// Another question is on the screen: what was typed so far was not meant for it.
    pub(crate) fn new_question(&mut self) -> io::Result<()> {
        tcflush(stdin(), QueueSelector::IFlush)?;
        while self.pressed.try_recv().is_ok() {}
        self.inert_until = Instant::now() + INERT;
        Ok(())
    }

    /// The next key. Cancel-safe.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) async fn next(&mut self) -> io::Result<char> {
        loop {
            match self.pressed.recv().await {
                Some(Ok(_)) if Instant::now() < self.inert_until => {}
                Some(key) => return key,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stop = None;
        // A reader that waits for room goes on, and ends.
        self.pressed.close();
        if let Some(reader) = self.reader.take() {
            // It ends at once; that it panicked would not change what is to be done here.
            let _ = reader.join();
        }
        // The terminal may be gone; then there is nothing to put back.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// Reads keys until the other end of `stopped` is closed or nobody wants them.
fn read(stopped: &UnixStream, pressed: &mpsc::Sender<io::Result<char>>, reading: Reading) {
    loop {
        let terminal = stdin();
        let mut sources = [PollFd::new(&terminal, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        let keys = match poll(&mut sources, None) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => Err(error.into()),
            Ok(_) if !sources[1].revents().is_empty() => return,
            Ok(_) => read_keys(reading),
        };
        match keys {
            Ok(keys) => {
                for key in keys {
                    if pressed.blocking_send(Ok(key)).is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                // Nobody may want to know; it is the end all the same.
                let _ = pressed.blocking_send(Err(error));
                return;
            }
        }
    }
}

fn read_keys(reading: Reading) -> io::Result<Vec<char>> {
    let mut bytes = [0; 64];
    match rustix::io::read(stdin(), &mut bytes)? {
        // Ready, and nothing there: the terminal has hung up.
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => Ok(keys_in(bytes.get(..length).unwrap_or_default(), reading)),
    }
}

/// The keys that bytes of a terminal stand for. Arrow keys come as several bytes and are no answer, and neither is
/// text pasted where one key is asked for.
fn keys_in(bytes: &[u8], reading: Reading) -> Vec<char> {
    match (reading, bytes) {
        (_, [key]) => vec![char::from(*key)],
        // Terminals that hand over whole lines.
        (Reading::Keys, [key, b'\n' | b'\r']) => vec![char::from(*key)],
        (Reading::Keys, _) => Vec::new(),
        (Reading::Text, bytes) if bytes.contains(&0x1b) => Vec::new(),
        (Reading::Text, bytes) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Reading, keys_in};

    #[test]
    fn one_key_is_one_key() {
        let keys = |bytes: &[u8]| keys_in(bytes, Reading::Keys);
        assert_eq!(keys(b"y"), ['y']);
        assert_eq!(keys(b"y\n"), ['y']);
        assert!(keys(b"yes").is_empty() && keys(b"\x1b[A").is_empty());
    }

    #[test]
    fn text_may_be_pasted() {
        let keys = |bytes: &[u8]| keys_in(bytes, Reading::Text);
        assert_eq!(keys(b"123 456\r"), ['1', '2', '3', ' ', '4', '5', '6', '\r']);
        assert!(keys(b"\x1b[A").is_empty());
    }
}
