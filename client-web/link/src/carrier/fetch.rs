//! A streaming download and POSTs, one after the other, for browsers that refuse WebSockets to a host whose certificate
//! they warn of.
//!
//! `POST /carrier` takes the first message and answers with the carrier's id; `GET /carrier` then streams what the host
//! sends, each message behind its length; `POST /carrier/0`, `/1`, … take what the device sends, in the same form.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{Reflect, Uint8Array};
use lanyard_pairing::noise::MAX_SEALED_BYTES;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AbortController, Headers, ReadableStreamDefaultReader, RequestCache, RequestInit, RequestRedirect,
    Response,
};

use super::{Carrier, Event, HIGH_WATER, Sink};
use crate::browser::{sleep, window, words};
use crate::frames::{Frames, HEADER as HEADER_BYTES, framed};
use crate::link::CarrierKind;

/// Where carriers are.
const PATH: &str = "/carrier";

/// Names the carrier a request belongs to.
const HEADER: &str = "Lanyard-Carrier";

/// Characters of a carrier's id.
const ID: usize = 32;

/// Most bytes in one POST, as the host has it: several messages share one, as each costs a round trip.
const BATCH: usize = 256 * 1024;

/// How long last words may take, ours after the carrier was dropped, the host's after it takes no more. Requests that hang hold the few connections a browser
/// makes to one host, and the next carrier needs some.
const LAST_WORDS_MS: u64 = 1_000;

/// What people are told when a request fails.
const BROKE: &str = "the connection broke";

/// A plain request, given up when this is dropped: one that hangs would hold a connection.
pub(super) struct Probe(AbortController);

impl Probe {
    /// Sends it. Whatever the host answers, it is there.
    ///
    /// # Errors
    /// The browser is too old. A sentence.
    pub(super) fn send() -> Result<(Self, impl Future<Output = bool>), String> {
        let abort = AbortController::new().map_err(|error| words(&error))?;
        let probe = Self(abort.clone());
        Ok((probe, async move { request("GET", PATH, None, None, &abort).await.is_ok() }))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// See the module.
pub(super) struct Fetch(Rc<Shared>);

struct Shared {
    sink: Sink,
    abort: AbortController,
    /// Messages that wait for the POST under way.
    queue: RefCell<VecDeque<Vec<u8>>>,
    waiting: Cell<usize>,
    /// The carrier was asked for.
    opening: Cell<bool>,
    id: RefCell<String>,
    /// Number of the next POST.
    next: Cell<u64>,
    posting: Cell<bool>,
    /// A message was refused for want of room.
    refused: Cell<bool>,
    /// Nobody listens any more.
    over: Cell<bool>,
}

impl Fetch {
    /// A carrier; the host learns of it with the first message.
    ///
    /// # Errors
    /// The browser is too old. A sentence.
    pub(super) fn open(sink: Sink) -> Result<Self, String> {
        let shared = Rc::new(Shared {
            sink,
            abort: AbortController::new().map_err(|error| words(&error))?,
            queue: RefCell::default(),
            waiting: Cell::new(0),
            opening: Cell::new(false),
            id: RefCell::default(),
            next: Cell::new(0),
            posting: Cell::new(false),
            refused: Cell::new(false),
            over: Cell::new(false),
        });
        let opened = shared.clone();
        spawn_local(async move { opened.tell(Event::Opened(CarrierKind::Fetch)) });
        Ok(Self(shared))
    }
}

impl Carrier for Fetch {
    fn can_take(&self) -> bool {
        let room = !self.0.over.get() && self.0.waiting.get() < HIGH_WATER;
        self.0.refused.set(!room);
        room
    }

    fn send(&mut self, message: Vec<u8>) -> Result<(), String> {
        let shared = self.0.clone();
        if !shared.opening.replace(true) {
            shared.posting.set(true);
            spawn_local(async move { shared.begin(message).await });
            return Ok(());
        }
        shared.waiting.set(shared.waiting.get() + message.len());
        shared.queue.borrow_mut().push_back(message);
        if !shared.posting.replace(true) {
            spawn_local(async move { shared.post().await });
        }
        Ok(())
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        let shared = self.0.clone();
        shared.over.set(true);
        if !shared.posting.get() {
            return shared.abort.abort();
        }
        spawn_local(async move {
            sleep(LAST_WORDS_MS).await;
            shared.abort.abort();
        });
    }
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetch").field("next", &self.0.next).field("waiting", &self.0.waiting).finish()
    }
}

impl Shared {
    fn tell(&self, event: Event) {
        if !self.over.get() {
            (self.sink)(event);
        }
    }

    fn lost(&self, why: String) {
        self.tell(Event::Lost(why));
        self.over.set(true);
        self.abort.abort();
    }

    /// Asks for the carrier with the first message, then listens and sends.
    async fn begin(self: Rc<Self>, first: Vec<u8>) {
        match self.carrier(&first).await {
            Ok(id) => {
                *self.id.borrow_mut() = id;
                let listening = self.clone();
                spawn_local(async move {
                    let why = listening.listen().await.err();
                    listening.lost(why.unwrap_or_else(|| "the connection was closed".to_owned()));
                });
                self.post().await;
            }
            Err(why) => self.lost(why),
        }
    }

    async fn carrier(&self, first: &[u8]) -> Result<String, String> {
        let response = request("POST", PATH, Some(first), None, &self.abort).await?;
        let text = JsFuture::from(checked(&response)?.text().map_err(|error| words(&error))?).await;
        let text = text.map_err(|error| words(&error))?.as_string().unwrap_or_default();
        let id = text.trim_end();
        if id.len() == ID && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(id.to_owned());
        }
        Err("what answers is not a Lanyard host".to_owned())
    }

    /// Reads what the host sends until it ends.
    async fn listen(&self) -> Result<(), String> {
        let id = self.id.borrow().clone();
        let response = request("GET", PATH, None, Some(&id), &self.abort).await?;
        let body = checked(&response)?.body().ok_or("the browser cannot read a stream")?;
        let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
        let mut frames = Frames::up_to(MAX_SEALED_BYTES);
        loop {
            let read = JsFuture::from(reader.read()).await.map_err(|_| BROKE.to_owned())?;
            let field = |name: &str| Reflect::get(&read, &name.into()).map_err(|error| words(&error));
            if field("done")?.is_truthy() {
                return Ok(());
            }
            let bytes = field("value")?.unchecked_into::<Uint8Array>().to_vec();
            let mut rest = &bytes[..];
            let too_long = |_| "what answers is not a Lanyard host".to_owned();
            while let Some(message) = frames.take(&mut rest).map_err(too_long)? {
                // An empty one says only that the host is there.
                if !message.is_empty() {
                    self.tell(Event::Message(message));
                }
            }
        }
    }

    /// Sends what waits, until nothing does.
    async fn post(&self) {
        loop {
            let batch = self.batch();
            if batch.is_empty() {
                self.posting.set(false);
                if self.over.get() {
                    self.abort.abort();
                }
                return;
            }
            if self.refused.replace(false) {
                self.tell(Event::Writable);
            }
            let path = format!("{PATH}/{}", self.next.replace(self.next.get() + 1));
            let id = self.id.borrow().clone();
            let sent = request("POST", &path, Some(&batch), Some(&id), &self.abort).await;
            if let Err(why) = sent.and_then(|response| checked(&response).map(drop)) {
                // The host may be saying why on the other way, which ends when it has.
                sleep(LAST_WORDS_MS).await;
                self.posting.set(false);
                return self.lost(why);
            }
        }
    }

    /// As many messages as fit one request.
    fn batch(&self) -> Vec<u8> {
        let mut queue = self.queue.borrow_mut();
        let mut batch = Vec::new();
        while queue.front().is_some_and(|message| batch.len() + HEADER_BYTES + message.len() <= BATCH) {
            let Some(message) = queue.pop_front() else { break };
            self.waiting.set(self.waiting.get().saturating_sub(message.len()));
            batch.extend_from_slice(&framed(&message));
        }
        batch
    }
}

async fn request(
    method: &str,
    path: &str,
    body: Option<&[u8]>,
    carrier: Option<&str>,
    abort: &AbortController,
) -> Result<Response, String> {
    let fail = |error: JsValue| words(&error);
    let init = RequestInit::new();
    init.set_method(method);
    init.set_cache(RequestCache::NoStore);
    init.set_redirect(RequestRedirect::Error);
    init.set_signal(Some(&abort.signal()));
    let headers = Headers::new().map_err(fail)?;
    if let Some(carrier) = carrier {
        headers.append(HEADER, carrier).map_err(fail)?;
    }
    if let Some(body) = body {
        headers.append("Content-Type", "application/octet-stream").map_err(fail)?;
        init.set_body(&Uint8Array::from(body));
    }
    init.set_headers(&headers);
    let answer = JsFuture::from(window()?.fetch_with_str_and_init(path, &init)).await;
    // All that a browser says is that it failed, each in words of its own.
    let response = answer.map_err(|_| BROKE.to_owned())?;
    response.dyn_into().map_err(fail)
}

fn checked(response: &Response) -> Result<&Response, String> {
    match response.status() {
        200..=299 => Ok(response),
        status => Err(format!("the host refused the connection ({status})")),
    }
}
