//! Which kind of carrier: a WebSocket first. When it does not even open while a plain request gets through, this browser
//! refuses WebSockets here, and the other kind is used for as long as the page is loaded.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use wasm_bindgen_futures::spawn_local;

use super::fetch::{Fetch, Probe};
use super::websocket::Socket;
use super::{Carrier, Event, Sink};
use crate::browser::Timer;
use crate::link::CarrierKind;

/// How long a WebSocket may take to open before the other kind is tried. Some networks swallow what they do not know.
const OPEN_MS: u64 = 5_000;

/// What people are told when nothing gets through.
const UNREACHABLE: &str = "the host cannot be reached";

thread_local! {
    /// What has worked on this page.
    static WORKS: Cell<Option<CarrierKind>> = const { Cell::new(None) };
}

/// Begins to open a carrier.
pub(crate) fn dial(sink: Sink) -> Box<dyn Carrier> {
    let choice = Rc::new(Choice {
        sink,
        carrier: RefCell::new(None),
        limit: Cell::new(None),
        asking: Cell::new(None),
    });
    let begin = choice.clone();
    // Not before this function has returned: nothing is told while the carrier is being made.
    spawn_local(async move { begin.begin() });
    Box::new(Chosen(choice))
}

struct Choice {
    sink: Sink,
    /// Given up by dropping it.
    carrier: RefCell<Option<Box<dyn Carrier>>>,
    limit: Cell<Option<Timer>>,
    asking: Cell<Option<Probe>>,
}

impl Choice {
    fn begin(self: Rc<Self>) {
        // Dropped by now: nobody wants it any more.
        if Rc::strong_count(&self) == 1 {
            return;
        }
        if WORKS.get() == Some(CarrierKind::Fetch) {
            return self.ask();
        }
        let choice = Rc::downgrade(&self);
        let opened = Cell::new(false);
        let sink: Sink = Rc::new(move |event| {
            let Some(choice) = choice.upgrade() else { return };
            if matches!(event, Event::Opened(_)) {
                opened.set(true);
                choice.limit.set(None);
                WORKS.set(Some(CarrierKind::WebSocket));
            }
            match event {
                Event::Lost(_) if !opened.get() => choice.refused(),
                event => (choice.sink)(event),
            }
        });
        match Socket::open(sink) {
            Ok(socket) => {
                *self.carrier.borrow_mut() = Some(Box::new(socket));
                let late = Rc::downgrade(&self);
                self.limit.set(Timer::after(OPEN_MS, move || {
                    if let Some(choice) = late.upgrade() {
                        choice.refused();
                    }
                }));
            }
            Err(_) => self.refused(),
        }
    }

    /// The WebSocket did not open. That it closed again is all that a browser says.
    fn refused(self: Rc<Self>) {
        self.limit.set(None);
        let socket = self.carrier.take();
        // Dropped later and not here: it may be what has just told us.
        spawn_local(async move { drop(socket) });
        if WORKS.get() == Some(CarrierKind::WebSocket) {
            return (self.sink)(Event::Lost(UNREACHABLE.to_owned()));
        }
        self.ask();
    }

    /// Whether a plain request gets through. One that does not is an absence, and never to be taken for a refusal.
    fn ask(self: Rc<Self>) {
        let Ok((probe, answer)) = Probe::send() else {
            return (self.sink)(Event::Lost(UNREACHABLE.to_owned()));
        };
        self.asking.set(Some(probe));
        let choice = Rc::downgrade(&self);
        spawn_local(async move {
            let reaches = answer.await;
            let Some(choice) = choice.upgrade() else { return };
            choice.asking.set(None);
            match reaches {
                true => choice.fetch(),
                false => (choice.sink)(Event::Lost(UNREACHABLE.to_owned())),
            }
        });
    }

    fn fetch(self: Rc<Self>) {
        let choice = Rc::downgrade(&self);
        let sink: Sink = Rc::new(move |event| forward(&choice, event));
        match Fetch::open(sink) {
            Ok(fetch) => *self.carrier.borrow_mut() = Some(Box::new(fetch)),
            Err(why) => (self.sink)(Event::Lost(why)),
        }
    }
}

fn forward(choice: &Weak<Choice>, event: Event) {
    let Some(choice) = choice.upgrade() else { return };
    if matches!(event, Event::Message(_)) && WORKS.get().is_none() {
        WORKS.set(Some(CarrierKind::Fetch));
    }
    (choice.sink)(event);
}

/// Whichever it is.
struct Chosen(Rc<Choice>);

impl Carrier for Chosen {
    fn can_take(&self) -> bool {
        self.0.carrier.borrow().as_ref().is_some_and(|carrier| carrier.can_take())
    }

    fn send(&mut self, message: Vec<u8>) -> Result<(), String> {
        match self.0.carrier.borrow_mut().as_mut() {
            Some(carrier) => carrier.send(message),
            None => Err("the connection is not open".to_owned()),
        }
    }
}

impl std::fmt::Debug for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Chosen").field(&self.0.carrier).finish()
    }
}
