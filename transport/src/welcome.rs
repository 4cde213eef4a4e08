//! The host's first words to a paired device: it is let in, and which version of the contract the host speaks.
//!
//! In TLS 1.3 a client is done before the server has seen its key. Without this a device that was turned away would
//! believe itself connected and fail on first use. The host opens one stream for it, with the packet that ends the
//! handshake, so waiting for it costs no further round trip. A reader takes what it knows and ignores what follows.

use lanyard_protocol::version::PROTOCOL_VERSION;

use crate::close::{CloseCode, Ended};
use crate::framing::{read_frame, write_frame};
use crate::peer;

/// Longest welcome, whatever a later version says in it.
const MAX_BYTES: usize = 1024;

/// Lets a device in. Does not wait until it knows.
pub(crate) async fn say(connection: &quinn::Connection) -> Result<(), Ended> {
    say_version(connection, PROTOCOL_VERSION).await
}

pub(crate) async fn say_version(connection: &quinn::Connection, version: u16) -> Result<(), Ended> {
    let mut stream = connection.open_uni().await?;
    let written = write_frame(&mut stream, &version.to_be_bytes()).await;
    if written.is_err() || stream.finish().is_err() {
        return Err(connection.close_reason().map_or(Ended::Here, Ended::from));
    }
    Ok(())
}

/// Waits to be let in; gives the host's version.
pub(crate) async fn hear(connection: &quinn::Connection) -> Result<u16, Ended> {
    let mut stream = connection.accept_uni().await?;
    match read_frame(&mut stream, MAX_BYTES).await {
        Ok(Some(frame)) if frame.len() >= 2 => Ok(u16::from_be_bytes([frame[0], frame[1]])),
        Ok(_) | Err(_) => {
            let ended = connection.close_reason().map(Ended::from);
            peer::close(connection, CloseCode::Protocol);
            Err(ended.unwrap_or_else(|| Ended::Failed("its welcome cannot be read".to_owned())))
        }
    }
}
