//! What a program wrote, on its way to whoever watches and to the model.

use tokio::sync::mpsc;

use crate::execute::OutputSink;
use crate::process::{End, Finished, OutputChunk};

/// Hands output on while a program runs, in pieces that never split a character.
pub(crate) async fn forward(mut chunks: mpsc::Receiver<OutputChunk>, sink: &OutputSink) {
    let mut pieces = Pieces::default();
    while let Some(chunk) = chunks.recv().await {
        sink.piece(&pieces.push(&chunk.bytes));
    }
    sink.piece(&pieces.finish());
}

/// Bytes that are not yet a whole character.
#[derive(Debug, Default)]
struct Pieces {
    torn: Vec<u8>,
}

impl Pieces {
    fn push(&mut self, bytes: &[u8]) -> String {
        self.torn.extend_from_slice(bytes);
        let end = match std::str::from_utf8(&self.torn) {
            Ok(text) => text.len(),
            // The end may be the beginning of a character; anything else is not UTF-8 and shown as such.
            Err(_) => self.torn.len() - torn_end(&self.torn),
        };
        let rest = self.torn.split_off(end);
        let whole = std::mem::replace(&mut self.torn, rest);
        String::from_utf8_lossy(&whole).into_owned()
    }

    fn finish(self) -> String {
        String::from_utf8_lossy(&self.torn).into_owned()
    }
}

/// Bytes at the end that begin a character without ending it; at most three.
fn torn_end(bytes: &[u8]) -> usize {
    let start = bytes.len().saturating_sub(3);
    (start..bytes.len())
        .map(|at| &bytes[at..])
        .find(|end| {
            std::str::from_utf8(end)
                .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .map_or(0, <[u8]>::len)
}

/// How a program ended, as a line for the model; `None` when all is well.
pub(crate) fn describe_end(finished: &Finished, seconds: u64) -> Option<String> {
    Some(match finished.end {
        End::Exited { code: 0 } => return None,
        End::Exited { code } => format!("exit code {code}"),
        End::Signaled { signal } => format!("ended by signal {signal}"),
        End::TimedOut => format!("ended after its timeout of {seconds} s"),
        End::Cancelled => "ended because the call was cancelled".to_owned(),
        End::OutputLimit => "ended because it wrote too much output".to_owned(),
        End::ProcessLimit => "ended because it started too many processes".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_put_together_are_the_whole(text in ".{0,60}", cuts in prop::collection::vec(0..200_usize, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut pieces = Pieces::default();
            let mut seen = String::new();
            for pair in cuts.windows(2) {
                seen.push_str(&pieces.push(&bytes[pair[0]..pair[1]]));
            }
            seen.push_str(&pieces.finish());
            prop_assert_eq!(seen, text);
        }

        #[test]
        fn any_bytes_are_shown_and_none_waits_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut pieces = Pieces::default();
            let mut seen = String::new();
            for byte in &bytes {
                seen.push_str(&pieces.push(&[*byte]));
                prop_assert!(pieces.torn.len() < 4);
            }
            seen.push_str(&pieces.finish());
            prop_assert_eq!(seen.is_empty(), bytes.is_empty());
        }
    }
}
