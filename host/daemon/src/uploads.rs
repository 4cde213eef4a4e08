//! Files on their way into a workspace, piece by piece.
//!
//! Until its last piece has come, a file is one without a name in the state directory: it takes room there and nothing
//! else, nobody finds it, and a host that dies leaves nothing behind. Then it is copied into the workspace at once.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{CommandId, PrincipalId, SessionId};
use lanyard_protocol::limits::MAX_ATTACHMENT_BYTES;
use lanyard_tools::{AttachError, is_full};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// Files under way for one session: a handful of photos at once.
const MAX_OF_A_SESSION: usize = 4;

/// Files under way in all; together they take at most this many times [`MAX_ATTACHMENT_BYTES`] of the disk.
const MAX_OF_ALL: usize = 16;

/// Files under way of one device, so that it leaves the others room.
const MAX_OF_A_DEVICE: usize = 4;

/// Finished ones remembered, so that a last piece that is sent again gets the same answer.
const MAX_DONE: usize = 64;

/// How long nothing may come of a file before it is given up: a phone that sleeps on the way comes back sooner, or asks
/// its person again.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// How often that is looked after.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Whose file it is: chosen by a client, so that it says nothing outside one principal's own session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) principal: PrincipalId,
    pub(crate) session: SessionId,
    pub(crate) attachment: CommandId,
}

/// One piece.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) last: bool,
}

/// Why a piece is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("nothing of this file is here (any more): begin again with its first byte")]
    Unknown,
    #[error("{length} bytes of the file are here: go on from there")]
    Gap { length: u64 },
    #[error("other bytes were put there before: choose a new attachmentId for another file")]
    Different,
    #[error("an attachment has at most {MAX_ATTACHMENT_BYTES} bytes")]
    TooLong,
    #[error("{0} files are being attached already; wait for one to end")]
    TooMany(usize),
    #[error("there is no room for the file on the host's disk: {0}")]
    Full(io::Error),
    #[error("the file cannot be kept: {0}")]
    Io(io::Error),
    #[error(transparent)]
    Attach(#[from] AttachError),
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Self::Full(error) } else { Self::Io(error) }
    }
}

impl From<UploadError> for WireError {
    fn from(error: UploadError) -> Self {
        let code = match error {
            UploadError::Unknown | UploadError::Different | UploadError::TooLong => ErrorCode::InvalidRequest,
            UploadError::Gap { length } => {
                return WireError::new(ErrorCode::InvalidRequest, error.to_string()).with("length", length);
            }
            UploadError::TooMany(_) => ErrorCode::RateLimited,
            UploadError::Full(_) => ErrorCode::StorageFull,
            UploadError::Io(_) => ErrorCode::InternalError,
            UploadError::Attach(error) => return error.into(),
        };
        WireError::new(code, error.to_string())
    }
}

/// What has come of a file.
#[derive(Debug)]
enum Upload {
    Filling(File, u64),
    Done {
        length: u64,
        /// Of the last piece, where it began and what it hashes to.
        last: (u64, [u8; 32]),
        path: String,
    },
    /// It failed; what follows of it is unknown.
    GivenUp,
}

#[derive(Debug)]
struct Entry {
    upload: Arc<Mutex<Upload>>,
    done: bool,
    touched: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Uploads {
    dir: PathBuf,
    entries: Mutex<HashMap<Key, Entry>>,
}

impl Uploads {
    /// Files are kept in this directory, which is private and on the state directory's file system.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.to_owned(), entries: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        // Held for map operations only, which do not panic half-way.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a piece. `attach` puts the whole file into the workspace. Returns the bytes that are here, and where the
    /// file lies after the last piece. Blocks.
    ///
    /// # Errors
    /// [`UploadError`]. After one of the disk the file has to be sent anew.
    pub(crate) fn put(
        &self,
        key: &Key,
        piece: &Piece,
        attach: impl FnOnce(&mut dyn Read) -> Result<String, AttachError>,
    ) -> Result<(u64, Option<String>), UploadError> {
        let upload = self.entry(key, piece)?;
        let mut upload = upload.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = upload.take(piece, attach);
        match (&taken, &*upload) {
            (_, Upload::GivenUp) => drop(self.entries().remove(key)),
            (Ok((_, Some(_))), _) => self.finished(key),
            _ => {}
        }
        taken
    }

    /// The file a piece belongs to; a new one for a first piece.
    fn entry(&self, key: &Key, piece: &Piece) -> Result<Arc<Mutex<Upload>>, UploadError> {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(key) {
            entry.touched = Instant::now();
            return Ok(entry.upload.clone());
        }
        if piece.offset > 0 {
            return Err(UploadError::Unknown);
        }
        let under_way = || entries.iter().filter(|(_, entry)| !entry.done).map(|(key, _)| key);
        let of_session = under_way().filter(|other| other.session == key.session).count();
        if of_session >= MAX_OF_A_SESSION {
            return Err(UploadError::TooMany(of_session));
        }
        let of_device = under_way().filter(|other| other.principal == key.principal).count();
        if of_device >= MAX_OF_A_DEVICE {
            return Err(UploadError::TooMany(of_device));
        }
        let of_all = under_way().count();
        if of_all >= MAX_OF_ALL {
            return Err(UploadError::TooMany(of_all));
        }
        let upload = Arc::new(Mutex::new(Upload::Filling(self.nameless()?, 0)));
        entries.insert(key.clone(), Entry { upload: upload.clone(), done: false, touched: Instant::now() });
        Ok(upload)
    }

    /// A file that nobody else can open and that is gone with its handle.
    fn nameless(&self) -> io::Result<File> {
        let mut bytes = [0u8; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::from)?;
        let path = self.dir.join(format!("attachment-{}", data_encoding::HEXLOWER.encode(&bytes)));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }

    fn finished(&self, key: &Key) {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(key) {
            entry.done = true;
        }
        let done = entries.iter().filter(|(_, entry)| entry.done);
        if done.clone().count() > MAX_DONE {
            let oldest = done.min_by_key(|(_, entry)| entry.touched).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| entries.remove(&oldest));
        }
    }

    /// Gives up what nothing has come of for a while. One that is being written to stays until the next time.
    fn sweep(&self, now: Instant) {
        self.entries().retain(|key, entry| {
            let idle = now.saturating_duration_since(entry.touched) >= IDLE && entry.upload.try_lock().is_ok();
            if idle && !entry.done {
                tracing::info!(session = %key.session, "an attachment did not come to its end and is given up");
            }
            !idle
        });
    }

    /// Sweeps until the host stops.
    pub(crate) async fn keep_swept(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SWEEP_EVERY) => self.sweep(Instant::now()),
            }
        }
    }
}

impl Upload {
    fn take(
        &mut self,
        piece: &Piece,
        attach: impl FnOnce(&mut dyn Read) -> Result<String, AttachError>,
    ) -> Result<(u64, Option<String>), UploadError> {
        let end = piece.offset.saturating_add(piece.bytes.len() as u64);
        match self {
            Self::GivenUp => Err(UploadError::Unknown),
            Self::Done { length, last, path } => {
                // Only the last piece is known; one before it, sent again, has nothing to wait for either.
                let same = !piece.last && end <= *length || (piece.last && *last == mark(piece));
                if same { Ok((*length, Some(path.clone()))) } else { Err(UploadError::Different) }
            }
            Self::Filling(file, length) => {
                if piece.offset > *length || (piece.offset < *length && end > *length) {
                    return Err(UploadError::Gap { length: *length });
                }
                let written = match piece.offset < *length || piece.bytes.is_empty() {
                    true => again(file, piece).map(|()| *length),
                    false => append(file, piece, end),
                };
                let filled = written.and_then(|written| {
                    *length = written;
                    if !piece.last {
                        return Ok(None);
                    }
                    if end < written {
                        return Err(UploadError::Different);
                    }
                    file.rewind()?;
                    Ok(Some(attach(file)?))
                });
                let length = *length;
                match filled {
                    Ok(None) => Ok((length, None)),
                    Ok(Some(path)) => {
                        *self = Self::Done { length, last: mark(piece), path: path.clone() };
                        Ok((length, Some(path)))
                    }
                    // The person may yet make room where it goes, and send the last piece again.
                    Err(error @ (UploadError::Different | UploadError::Attach(_))) => Err(error),
                    Err(error) => {
                        *self = Self::GivenUp;
                        Err(error)
                    }
                }
            }
        }
    }
}

fn append(file: &mut File, piece: &Piece, end: u64) -> Result<u64, UploadError> {
    if end > MAX_ATTACHMENT_BYTES {
        return Err(UploadError::TooLong);
    }
    file.seek(SeekFrom::Start(piece.offset))?;
    file.write_all(&piece.bytes)?;
    Ok(end)
}

/// A piece that was put before: it must be the same.
fn again(file: &mut File, piece: &Piece) -> Result<(), UploadError> {
    let mut there = vec![0; piece.bytes.len()];
    file.seek(SeekFrom::Start(piece.offset))?;
    file.read_exact(&mut there)?;
    if there == piece.bytes { Ok(()) } else { Err(UploadError::Different) }
}

fn mark(piece: &Piece) -> (u64, [u8; 32]) {
    (piece.offset, Sha256::digest(&piece.bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, session: &str) -> Key {
        Key {
            principal: PrincipalId::new("phone").unwrap(),
            session: SessionId::new(session).unwrap(),
            attachment: CommandId::new(name).unwrap(),
        }
    }

    fn piece(offset: u64, bytes: &[u8], last: bool) -> Piece {
        Piece { offset, bytes: bytes.to_vec(), last }
    }

    struct Lab {
        dir: tempfile::TempDir,
        uploads: Uploads,
    }

    impl Lab {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let uploads = Uploads::new(dir.path());
            Self { dir, uploads }
        }

        fn put(&self, key: &Key, piece: &Piece) -> Result<(u64, Option<String>), UploadError> {
            self.uploads.put(key, piece, |content| {
                let mut text = String::new();
                content.read_to_string(&mut text).unwrap();
                Ok(text)
            })
        }

        fn files(&self) -> usize {
            std::fs::read_dir(self.dir.path()).unwrap().count()
        }
    }

    #[test]
    fn pieces_in_order_make_the_file_and_repeating_one_is_harmless() {
        let lab = Lab::new();
        let key = key("a", "s");
        for _ in 0..2 {
            assert_eq!(lab.put(&key, &piece(0, b"abc", false)).unwrap(), (3, None));
        }
        assert_eq!(lab.put(&key, &piece(3, b"de", false)).unwrap(), (5, None));
        assert_eq!(lab.put(&key, &piece(0, b"abc", false)).unwrap(), (5, None));
        assert_eq!(lab.files(), 0, "nobody finds it meanwhile, and nothing is left behind");
        // The answer to the last piece may get lost.
        for _ in 0..2 {
            assert_eq!(lab.put(&key, &piece(5, b"f", true)).unwrap(), (6, Some("abcdef".into())));
        }
        assert_eq!(lab.put(&key, &piece(3, b"de", false)).unwrap().1, Some("abcdef".into()));
        assert_eq!(
            lab.put(&super::tests::key("b", "s"), &piece(0, b"", true)).unwrap(),
            (0, Some(String::new()))
        );
    }

    #[test]
    fn gaps_other_bytes_and_files_nobody_began_are_refused() {
        let lab = Lab::new();
        let key = key("a", "s");
        assert!(matches!(lab.put(&key, &piece(3, b"x", false)), Err(UploadError::Unknown)));
        lab.put(&key, &piece(0, b"abc", false)).unwrap();
        assert!(matches!(lab.put(&key, &piece(4, b"x", false)), Err(UploadError::Gap { length: 3 })));
        assert!(matches!(lab.put(&key, &piece(2, b"cd", false)), Err(UploadError::Gap { length: 3 })));
        assert!(matches!(lab.put(&key, &piece(1, b"xx", false)), Err(UploadError::Different)));
        assert!(matches!(lab.put(&key, &piece(0, b"ab", true)), Err(UploadError::Different)), "bytes follow");
        let other = Key { principal: PrincipalId::new("other").unwrap(), ..key.clone() };
        assert!(matches!(lab.put(&other, &piece(3, b"x", true)), Err(UploadError::Unknown)), "not theirs");
        lab.put(&key, &piece(3, b"d", true)).unwrap();
        assert!(matches!(lab.put(&key, &piece(3, b"e", true)), Err(UploadError::Different)), "another file");
        assert!(matches!(lab.put(&key, &piece(4, b"e", true)), Err(UploadError::Different)));
    }

    #[test]
    fn a_file_that_is_too_long_is_given_up_whole() {
        let lab = Lab::new();
        let key = key("a", "s");
        let large = vec![0; 1 << 20];
        for n in 0..25 {
            lab.put(&key, &piece(n << 20, &large, false)).unwrap();
        }
        assert!(matches!(lab.put(&key, &piece(25 << 20, b"x", true)), Err(UploadError::TooLong)));
        assert!(matches!(lab.put(&key, &piece(25 << 20, b"", true)), Err(UploadError::Unknown)));
        assert!(lab.uploads.entries().is_empty());
    }

    #[test]
    fn a_few_at_a_time_and_the_abandoned_ones_make_room() {
        let lab = Lab::new();
        let begin = |name: usize, session: usize, device: usize| {
            let principal = PrincipalId::new(format!("phone{device}")).unwrap();
            let key = Key { principal, ..key(&format!("a{name}"), &format!("s{session}")) };
            lab.put(&key, &piece(0, b"x", false)).map(|_| key)
        };
        let first = begin(0, 0, 0).unwrap();
        for name in 1..MAX_OF_A_SESSION {
            begin(name, 0, name).unwrap();
        }
        assert!(matches!(begin(9, 0, 9), Err(UploadError::TooMany(MAX_OF_A_SESSION))));
        // Of a device as well, in however many sessions.
        for n in 1..MAX_OF_A_DEVICE {
            begin(n, 100 + n, 0).unwrap();
        }
        assert!(matches!(begin(9, 109, 0), Err(UploadError::TooMany(MAX_OF_A_DEVICE))));
        for n in (MAX_OF_A_SESSION + MAX_OF_A_DEVICE - 1)..MAX_OF_ALL {
            begin(n, n, n).unwrap();
        }
        assert!(matches!(begin(99, 99, 99), Err(UploadError::TooMany(MAX_OF_ALL))));
        // One that is finished is under way no more.
        lab.put(&first, &piece(1, b"", true)).unwrap();
        begin(99, 99, 99).unwrap();
        lab.uploads.sweep(Instant::now() + IDLE - Duration::from_secs(5));
        assert!(!lab.uploads.entries().is_empty());
        lab.uploads.sweep(Instant::now() + IDLE);
        assert!(lab.uploads.entries().is_empty());
    }

    #[test]
    fn what_is_remembered_of_finished_ones_is_bounded() {
        let lab = Lab::new();
        for n in 0..2 * MAX_DONE {
            lab.put(&key(&format!("a{n}"), "s"), &piece(0, b"x", true)).unwrap();
        }
        assert_eq!(lab.uploads.entries().len(), MAX_DONE);
    }

    #[test]
    fn a_workspace_that_takes_nothing_can_be_mended_and_the_last_piece_sent_again() {
        let lab = Lab::new();
        let key = key("a", "s");
        let refuse = |_: &mut dyn Read| Err(AttachError::Refused(".lanyard is a link".into()));
        lab.uploads.put(&key, &piece(0, b"abc", true), refuse).unwrap_err();
        assert_eq!(lab.put(&key, &piece(0, b"abc", true)).unwrap(), (3, Some("abc".into())));
    }
}
