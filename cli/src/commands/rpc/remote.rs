//! A paired host: each line of JSON is read, checked as a host would, and sent as a postcard frame; what comes back is
//! written as the same lines a local host would write. Ids are the caller's own. The end of the input is waited out: the
//! command ends once everything asked has been answered.

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};

use lanyard_protocol::WireError;
use lanyard_protocol::codec::{Codec, FrameError, IncomingReply, JsonRpcCodec, PostcardCodec, ServerFrame};
use lanyard_protocol::limits::{MAX_FRAME_BYTES, MAX_IN_FLIGHT};
use lanyard_protocol::rpc::{INVALID_PARAMS, METHOD_NOT_FOUND, RequestId};
use lanyard_transport::close::Ended;
use lanyard_transport::session::Session;
use tokio::sync::mpsc;

use crate::exit::{Exit, Failure};
use crate::host::Route;
use crate::invocation::Invocation;
use crate::known::KnownHost;

/// Lines read ahead of what is sent.
const MAX_WAITING: usize = 16;

/// Begins the id of a call that wants no answer: the wire of frames has no other way to say so.
const SILENT: &str = "lanyard-notification-";

/// A line of the input.
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

pub(super) async fn run(host: KnownHost, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let reached = Route::new(host, invocation.hosts_file()?)?.reach().await?;
    if let Some(notice) = &reached.notice {
        // Standard output is the protocol's.
        invocation.terminal.note(notice)?;
    }
    let (sender, lines) = mpsc::channel(MAX_WAITING);
    // Never joined: it may be waiting for input when the host is gone. The process ends without it.
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        read_lines(&mut std::io::stdin().lock(), &|line| sender.blocking_send(line).is_ok());
    })?;
    let mut output = |line: Vec<u8>| {
        let mut out = std::io::stdout().lock();
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        out.flush()
    };
    Bridge::default().run(reached.session, lines, &mut output).await
}

/// Hands on each line until the end of the input, or until nobody wants more.
fn read_lines(input: &mut impl BufRead, hand_on: &impl Fn(Line) -> bool) {
    let most = u64::try_from(MAX_FRAME_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    loop {
        let mut line = Vec::new();
        let read = input.by_ref().take(most).read_until(b'\n', &mut line);
        let line = match read {
            Ok(0) | Err(_) => return,
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                Line::Whole(line)
            }
            // A last line without its end is a cut one: it is not carried out.
            Ok(_) if line.len() <= MAX_FRAME_BYTES => return,
            Ok(_) => match input.skip_until(b'\n') {
                Ok(_) => Line::TooLong,
                Err(_) => return,
            },
        };
        if !hand_on(line) {
            return;
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
struct Bridge {
    /// Calls without an answer, by id; a caller may use an id twice.
    asked: BTreeMap<RequestId, usize>,
    silent: u64,
}

impl Bridge {
    async fn run(
        mut self,
        mut session: Session,
        mut lines: mpsc::Receiver<Line>,
        output: &mut impl FnMut(Vec<u8>) -> std::io::Result<()>,
    ) -> Result<Exit, Failure> {
        let mut input_ended = false;
        loop {
            if input_ended && self.asked.is_empty() {
                return Ok(Exit::Completed);
            }
            // No more is read than may be under way, so that sending never waits for receiving.
            let room = self.asked.values().sum::<usize>() < MAX_IN_FLIGHT;
            let line = tokio::select! {
                line = lines.recv(), if !input_ended && room => line,
                frame = session.receive() => {
                    match frame {
                        Ok(frame) => self.frame(&frame).into_iter().try_for_each(&mut *output)?,
                        Err(ended) => return gone(&ended),
                    }
                    continue;
                }
            };
            let Some(line) = line else {
                input_ended = true;
                continue;
            };
            match self.line(&line) {
                Ok(None) => {}
                Ok(Some(frame)) => {
                    if let Err(ended) = session.send(frame).await {
                        return gone(&ended);
                    }
                }
                Err(answer) => output(answer)?,
            }
        }
    }

    /// The frame to be sent for a line, or the line that answers it at once.
    fn line(&mut self, line: &Line) -> Result<Option<Vec<u8>>, Vec<u8>> {
        let complain = |error: FrameError| JsonRpcCodec.encode_frame_error(&error).unwrap_or_default();
        let line = match line {
            Line::TooLong => return Err(complain(FrameError::too_long(MAX_FRAME_BYTES))),
            Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => return Ok(None),
            Line::Whole(line) => line,
        };
        let call = match JsonRpcCodec.decode_call(line) {
            Ok(call) => call,
            // JSON-RPC: a notification is never answered.
            Err(FrameError { id: None, number: METHOD_NOT_FOUND | INVALID_PARAMS, .. }) => return Ok(None),
            Err(error) => return Err(complain(error)),
        };
        let refuse = |id: Option<RequestId>, error: WireError| {
            JsonRpcCodec.encode_server(&ServerFrame::Reply(id, Err(error))).unwrap_or_default()
        };
        let id = call.id.clone().unwrap_or_else(|| {
            self.silent += 1;
            RequestId::Text(format!("{SILENT}{}", self.silent))
        });
        let frame =
            PostcardCodec.encode_call(&id, &call.request).map_err(|error| refuse(call.id.clone(), error))?;
        if frame.len() > MAX_FRAME_BYTES {
            let error = FrameError { id: call.id, ..FrameError::too_long(MAX_FRAME_BYTES) };
            return Err(complain(error));
        }
        *self.asked.entry(id).or_default() += 1;
        Ok(Some(frame))
    }

    /// The line to be written for a frame; none for answers nobody wants.
    fn frame(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let frame = match PostcardCodec.decode_server(frame, &|_| None) {
            Ok(IncomingReply::Frame(frame)) => frame,
            Ok(IncomingReply::Unknown(_)) => return None,
            Err(error) => {
                tracing::warn!(%error, "a frame of the host was not understood");
                return None;
            }
        };
        if let ServerFrame::Reply(Some(id), _) = &frame {
            let was_asked = self.asked.get_mut(id).map(|times| {
                *times -= 1;
                *times == 0
            });
            if was_asked == Some(true) {
                self.asked.remove(id);
            }
            if matches!(id, RequestId::Text(text) if text.starts_with(SILENT)) {
                return None;
            }
        }
        match JsonRpcCodec.encode_server(&frame) {
            Ok(line) => Some(line),
            Err(error) => {
                tracing::warn!(%error, "a frame of the host cannot be written as JSON");
                None
            }
        }
    }
}

/// The connection is gone: no word where the caller stopped the host itself, as with a local one; only the code.
fn gone(ended: &Ended) -> Result<Exit, Failure> {
    match ended {
        Ended::ByPeer(lanyard_transport::close::CloseCode::Stopping) => Ok(Exit::Unreachable),
        ended => Err(Failure::Unreachable(ended.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Bridge, Line, read_lines};
    use lanyard_protocol::codec::{Codec, PostcardCodec, ServerFrame};
    use lanyard_protocol::limits::MAX_FRAME_BYTES;
    use lanyard_protocol::method::{Request, Response, RulePage};
    use lanyard_protocol::rpc::RequestId;
    use serde_json::{Value, json};
    use std::cell::RefCell;

    fn ask(bridge: &mut Bridge, line: &str) -> Result<Option<Vec<u8>>, Value> {
        bridge
            .line(&Line::Whole(line.as_bytes().to_vec()))
            .map_err(|answer| serde_json::from_slice(&answer).unwrap())
    }

    fn reply(id: &RequestId) -> Vec<u8> {
        let response = Response::ListRules(RulePage { rules: Vec::new() });
        PostcardCodec.encode_server(&ServerFrame::Reply(Some(id.clone()), Ok(response))).unwrap()
    }

    #[test]
    fn a_call_and_its_answer_keep_the_callers_id() {
        let mut bridge = Bridge::default();
        let line = r#"{"jsonrpc":"2.0","id":"a","method":"ListRules"}"#;
        let frame = ask(&mut bridge, line).unwrap().unwrap();
        let call = PostcardCodec.decode_call(&frame).unwrap();
        assert!(matches!(call.request, Request::ListRules(_)));
        assert_eq!(bridge.asked.len(), 1);
        let answer: Value =
            serde_json::from_slice(&bridge.frame(&reply(&call.id.unwrap())).unwrap()).unwrap();
        assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": "a", "result": { "rules": [] } }));
        assert!(bridge.asked.is_empty());
    }

    #[test]
    fn a_notification_is_carried_out_and_not_answered() {
        let mut bridge = Bridge::default();
        let frame = ask(&mut bridge, r#"{"jsonrpc":"2.0","method":"ListRules"}"#).unwrap().unwrap();
        let id = PostcardCodec.decode_call(&frame).unwrap().id.unwrap();
        assert_eq!(bridge.frame(&reply(&id)), None);
        assert!(bridge.asked.is_empty());
    }

    #[test]
    fn an_id_used_twice_is_answered_twice() {
        let mut bridge = Bridge::default();
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"ListRules"}"#;
        (0..2).for_each(|_| drop(ask(&mut bridge, line).unwrap().unwrap()));
        assert!(bridge.frame(&reply(&RequestId::Number(1))).is_some());
        assert_eq!(bridge.asked.len(), 1, "the command does not end yet");
        assert!(bridge.frame(&reply(&RequestId::Number(1))).is_some());
        assert!(bridge.asked.is_empty());
    }

    #[test]
    fn what_is_no_call_is_answered_here() {
        let mut bridge = Bridge::default();
        assert_eq!(ask(&mut bridge, "nonsense").unwrap_err()["error"]["code"], -32_700);
        let unknown = ask(&mut bridge, r#"{"jsonrpc":"2.0","id":7,"method":"Fly"}"#).unwrap_err();
        assert_eq!((&unknown["id"], &unknown["error"]["code"]), (&json!(7), &json!(-32_601)));
        assert_eq!(ask(&mut bridge, "  ").unwrap(), None);
        let notification = ask(&mut bridge, r#"{"jsonrpc":"2.0","method":"Fly"}"#);
        assert_eq!(notification.unwrap(), None, "never answered");
        assert!(bridge.line(&Line::TooLong).is_err());
        assert!(bridge.frame(b"\xff\xff\xff").is_none());
        assert!(bridge.asked.is_empty());
    }

    #[test]
    fn lines_are_bounded_and_the_next_one_is_read() {
        let mut input = vec![b'x'; MAX_FRAME_BYTES + 5];
        input.extend_from_slice(b"\nshort\nlast");
        let kinds = RefCell::new(Vec::new());
        read_lines(&mut input.as_slice(), &|line| {
            kinds.borrow_mut().push(match line {
                Line::Whole(line) => String::from_utf8(line).unwrap(),
                Line::TooLong => "(too long)".to_owned(),
            });
            true
        });
        assert_eq!(kinds.into_inner(), ["(too long)", "short"], "a cut line is not carried out");
    }
}
