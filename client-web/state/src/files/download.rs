//! A file fetched in pieces, without the browser.

use lanyard_protocol::limits::MAX_FILE_PIECE_BYTES;
use lanyard_protocol::method::{FilePiece, GetFile};

use crate::words;

/// Longest file that is fetched: it is put together in the tab's memory, and a phone's tab is ended at some hundreds of
/// megabytes.
pub const MAX_DOWNLOAD_BYTES: u64 = 256 << 20;

/// Why a download came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadFault {
    /// Longer than [`MAX_DOWNLOAD_BYTES`].
    TooLarge(u64),
    /// The file has another length than when the download began.
    Changed,
    /// The host sent nothing although there is more.
    Stuck,
}

impl std::fmt::Display for DownloadFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge(bytes) => write!(
                f,
                "This file has {}; a browser can take {} from here. Copy it from the machine by other means, or give \
                 the machine a task that packs or splits it.",
                words::bytes(*bytes),
                words::bytes(MAX_DOWNLOAD_BYTES)
            ),
            Self::Changed => {
                f.write_str("The file was changed while it was fetched. Try again when it is at rest.")
            }
            Self::Stuck => f.write_str("The host stopped sending in the middle of the file. Try again."),
        }
    }
}

/// What follows a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask for the next.
    More,
    /// It is whole.
    Done,
}

/// A download under way. The pieces themselves go where they are put together; here they are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    path: String,
    got: u64,
    total: Option<u64>,
    most: u64,
}

impl Download {
    /// Of the whole file.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), got: 0, total: None, most: MAX_DOWNLOAD_BYTES }
    }

    /// The call for the next piece.
    pub fn next(&self) -> GetFile {
        GetFile { path: self.path.clone(), offset: self.got, length: Some(MAX_FILE_PIECE_BYTES) }
    }

    /// Its answer.
    ///
    /// # Errors
    /// See [`DownloadFault`].
    pub fn take(&mut self, piece: &FilePiece) -> Result<Step, DownloadFault> {
        if *self.total.get_or_insert(piece.total) != piece.total {
            return Err(DownloadFault::Changed);
        }
        if piece.total > self.most {
            return Err(DownloadFault::TooLarge(piece.total));
        }
        let length = u64::try_from(piece.bytes.0.len()).unwrap_or(u64::MAX);
        let got = self.got.saturating_add(length);
        if got > piece.total {
            return Err(DownloadFault::Changed);
        }
        self.got = got;
        match (got == piece.total, length) {
            (true, _) => Ok(Step::Done),
            (false, 0) => Err(DownloadFault::Stuck),
            (false, _) => Ok(Step::More),
        }
    }

    /// From 0 to 1.
    pub fn share(&self) -> f64 {
        match self.total {
            None => 0.0,
            Some(0) => 1.0,
            #[expect(clippy::cast_precision_loss, reason = "a share of some hundreds of megabytes")]
            Some(total) => self.got as f64 / total as f64,
        }
    }

    /// "1.2 MB of 3.4 MB".
    pub fn words(&self) -> String {
        match self.total {
            Some(total) => format!("{} of {}", words::bytes(self.got), words::bytes(total)),
            None => "asking the host".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Download, DownloadFault, MAX_DOWNLOAD_BYTES, Step};
    use lanyard_protocol::bytes::Bytes;
    use lanyard_protocol::method::FilePiece;
    use proptest::prelude::*;

    fn piece(length: usize, total: u64) -> FilePiece {
        FilePiece { bytes: Bytes(vec![0; length]), total, text: false }
    }

    #[test]
    fn pieces_follow_each_other_to_the_end() {
        let mut download = Download::new("/w/x");
        assert_eq!((download.next().offset, download.share()), (0, 0.0));
        assert_eq!(download.take(&piece(600, 1_000)), Ok(Step::More));
        assert_eq!((download.next().offset, download.words().as_str()), (600, "600 B of 1.0 KB"));
        assert_eq!(download.take(&piece(400, 1_000)), Ok(Step::Done));
        assert_eq!(Download::new("e").take(&piece(0, 0)), Ok(Step::Done));
    }

    #[test]
    fn faults_are_told() {
        let large = Download::new("x").take(&piece(1, MAX_DOWNLOAD_BYTES + 1)).unwrap_err();
        assert!(large.to_string().contains("268 MB"), "{large}");
        let mut download = Download::new("x");
        download.take(&piece(10, 100)).unwrap();
        assert_eq!(download.take(&piece(10, 99)), Err(DownloadFault::Changed));
        assert_eq!(Download::new("x").take(&piece(0, 5)), Err(DownloadFault::Stuck));
        assert_eq!(Download::new("x").take(&piece(6, 5)), Err(DownloadFault::Changed));
    }

    proptest! {
        #[test]
        fn a_download_ends_whatever_the_host_sends(pieces in proptest::collection::vec((0_usize..50, 0_u64..200), 1..50)) {
            let mut download = Download::new("x");
            for (length, total) in pieces {
                let before = download.next().offset;
                match download.take(&piece(length, total)) {
                    Ok(Step::More) => prop_assert!(download.next().offset > before),
                    Ok(Step::Done) | Err(_) => break,
                }
                prop_assert!((0.0..=1.0).contains(&download.share()));
            }
        }
    }
}
