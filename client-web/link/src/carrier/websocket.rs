//! A WebSocket of the page's own origin.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, MessageEvent, WebSocket};

use super::{Carrier, Event, HIGH_WATER, Sink};
use crate::browser::{Listener, Timer, origin, words};
use crate::link::CarrierKind;

/// What the two speak; a host refuses others.
const SUBPROTOCOL: &str = "lanyard.v1";

/// A browser does not say when a WebSocket has sent what it took; it is looked at again after so many milliseconds.
const DRAIN_MS: u64 = 10;

/// See the module.
pub(super) struct Socket {
    socket: WebSocket,
    sink: Sink,
    /// Looks whether there is room again.
    drain: Cell<Option<Timer>>,
    _listeners: [Listener; 4],
}

impl Socket {
    /// Begins to open one.
    ///
    /// # Errors
    /// The browser refuses at once. A sentence.
    pub(super) fn open(sink: Sink) -> Result<Self, String> {
        // `http` becomes `ws`, `https` becomes `wss`.
        let url = format!("{}/channel", origin()?.replacen("http", "ws", 1));
        let socket = WebSocket::new_with_str(&url, SUBPROTOCOL).map_err(|error| words(&error))?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let ended = Rc::new(Cell::new(false));
        let opened = {
            let sink = sink.clone();
            Listener::on(&socket, "open", move |_| sink(Event::Opened(CarrierKind::WebSocket)))
        };
        let message = {
            let (sink, ended) = (sink.clone(), ended.clone());
            Listener::on(&socket, "message", move |event| {
                let data = event.unchecked_into::<MessageEvent>().data();
                match data.dyn_into::<ArrayBuffer>() {
                    Ok(bytes) => sink(Event::Message(Uint8Array::new(&bytes).to_vec())),
                    // No host of ours sends text.
                    Err(_) => lost(&sink, &ended, "what answers is not a Lanyard host"),
                }
            })
        };
        // What an error was is not told to pages, for good reasons; `close` follows it.
        let error = {
            let (sink, ended) = (sink.clone(), ended.clone());
            Listener::on(&socket, "error", move |_| lost(&sink, &ended, "the connection broke"))
        };
        let close = {
            let (sink, ended) = (sink.clone(), ended.clone());
            Listener::on(&socket, "close", move |_| lost(&sink, &ended, "the connection was closed"))
        };
        Ok(Self { socket, sink, drain: Cell::new(None), _listeners: [opened, message, error, close] })
    }
}

fn lost(sink: &Sink, ended: &Cell<bool>, why: &str) {
    if !ended.replace(true) {
        sink(Event::Lost(why.to_owned()));
    }
}

impl Carrier for Socket {
    fn can_take(&self) -> bool {
        if self.socket.ready_state() != WebSocket::OPEN {
            return false;
        }
        if (self.socket.buffered_amount() as usize) < HIGH_WATER {
            return true;
        }
        let sink = self.sink.clone();
        self.drain.set(Timer::after(DRAIN_MS, move || sink(Event::Writable)));
        false
    }

    fn send(&mut self, message: Vec<u8>) -> Result<(), String> {
        self.socket.send_with_u8_array(&message).map_err(|error| words(&error))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What was taken is still sent. It fails for codes that pages may not use; none is given here.
        let _ = self.socket.close();
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("url", &self.socket.url()).finish_non_exhaustive()
    }
}
