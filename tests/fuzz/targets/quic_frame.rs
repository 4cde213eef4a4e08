//! The bytes of a stream between a device and a host, at both ends.
//!
//! However the stream is cut into pieces, and however often reading is cancelled in between, the same frames come out,
//! none beyond the cap. What is understood, as a call or as an answer, is written and read again the same.
#![no_main]

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use lanyard_protocol::codec::{Codec, IncomingReply, PostcardCodec};
use lanyard_protocol::method::Method;
use lanyard_protocol::rpc::RequestId;
use lanyard_transport::framing::{FrameError, FrameReader, read_frame, write_frame};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, ReadBuf};

/// Small, so that frames at it and beyond it are found.
const CAP: usize = 4096;

/// Gives so many bytes at a time and lets the reader wait in between.
struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
    wait: bool,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.wait = !self.wait;
        if self.wait {
            return Poll::Pending;
        }
        let (piece, rest) = self.rest.split_at(self.size.min(buffer.remaining()).min(self.rest.len()));
        buffer.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

/// One poll of a future that is dropped then.
fn once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match once(future) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("bytes in memory make nobody wait"),
    }
}

/// The frames until the end or the first error, and whether there was one.
fn whole(mut stream: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut frames = Vec::new();
    loop {
        match now(read_frame(&mut stream, CAP)) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, true),
            Err(FrameError::TooLong { length, cap }) => {
                assert!(length > cap);
                return (frames, false);
            }
            Err(FrameError::Io(_)) => return (frames, false),
        }
    }
}

fn in_pieces(rest: &[u8], size: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut stream, mut reader) = (Pieces { rest, size, wait: false }, FrameReader::default());
    let mut frames = Vec::new();
    loop {
        match once(reader.next(&mut stream, CAP)) {
            Poll::Pending => {}
            Poll::Ready(Ok(Some(frame))) => frames.push(frame),
            Poll::Ready(Ok(None)) => return (frames, true),
            Poll::Ready(Err(_)) => return (frames, false),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((size, stream)) = data.split_first() else { return };
    let (frames, ended) = whole(stream);
    assert_eq!((frames.clone(), ended), in_pieces(stream, usize::from(*size).max(1)));
    let mut written = Vec::new();
    for frame in &frames {
        assert!(frame.len() <= CAP);
        now(write_frame(&mut written, frame)).expect("memory takes every frame");
    }
    assert_eq!(written, stream[..written.len()], "frames are written as they were read");
    for frame in &frames {
        if let Ok(call) = PostcardCodec.decode_call(frame) {
            let id = call.id.unwrap_or(RequestId::Number(0));
            let once =
                PostcardCodec.encode_call(&id, &call.request).expect("an understood call can be written");
            let again = PostcardCodec.decode_call(&once).expect("a written call is understood");
            assert_eq!(PostcardCodec.encode_call(&id, &again.request).expect("as before"), once);
        }
        if let Ok(IncomingReply::Frame(answer)) =
            PostcardCodec.decode_server(frame, &|_| Some(Method::Health))
        {
            let once = PostcardCodec.encode_server(&answer).expect("an understood answer can be written");
            let again = PostcardCodec.decode_server(&once, &|_| Some(Method::Health));
            let Ok(IncomingReply::Frame(again)) = again else { panic!("a written answer is understood") };
            assert_eq!(PostcardCodec.encode_server(&again).expect("as before"), once);
        }
    }
});
