//! Drives a [`Machine`] in a browser: opens the carriers it wants, moves messages, sets its timer, wakes it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use lanyard_protocol::Tick;
use wasm_bindgen_futures::spawn_local;

use crate::browser::{Listener, PAUSE_MS, SleepWatch, Timer, on_wake, uptime_ms};
use crate::carrier::{Carrier, Event, Sink, dial};
use crate::machine::Machine;

/// See the module. Ends with its last handle.
pub(crate) struct Pump<M: Machine>(Rc<Inner<M>>);

struct Inner<M: Machine> {
    state: RefCell<State<M>>,
    on_output: Box<dyn Fn(M::Output)>,
    /// Outputs are being handed on; whoever does that hands on new ones too, in order.
    telling: Cell<bool>,
    sleeps: SleepWatch,
    /// Held for as long as the pump lives.
    wakers: RefCell<Vec<Listener>>,
}

struct State<M> {
    machine: M,
    carrier: Option<Line>,
    timer: Option<(Tick, Timer)>,
}

/// A carrier under the number the machine gave it.
struct Line {
    number: u64,
    carrier: Box<dyn Carrier>,
    open: bool,
}

/// The page's time, as machines want it.
pub(crate) fn now() -> Tick {
    // Whole milliseconds are enough; a page is not loaded for longer than a u64 holds.
    Tick::from_millis(uptime_ms() as u64)
}

impl<M: Machine + 'static> Pump<M> {
    /// Starts, once the caller has come to its end; `on_output` may call the pump.
    pub(crate) fn start(machine: M, on_output: impl Fn(M::Output) + 'static) -> Self {
        let inner = Rc::new(Inner {
            state: RefCell::new(State { machine, carrier: None, timer: None }),
            on_output: Box::new(on_output),
            telling: Cell::new(false),
            sleeps: SleepWatch::default(),
            wakers: RefCell::default(),
        });
        let waking = Rc::downgrade(&inner);
        *inner.wakers.borrow_mut() = on_wake(move || {
            if let Some(inner) = waking.upgrade() {
                inner.act(|machine, now| machine.on_wake(now));
            }
        });
        let begin = Rc::downgrade(&inner);
        spawn_local(async move {
            if let Some(inner) = begin.upgrade() {
                inner.act(|_, _| ());
            }
        });
        Self(inner)
    }

    /// Does something to the machine, then everything that follows from it.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut M, Tick) -> T) -> T {
        self.0.act(act)
    }
}

impl<M: Machine + 'static> Inner<M> {
    fn act<T>(self: &Rc<Self>, act: impl FnOnce(&mut M, Tick) -> T) -> T {
        let paused = self.sleeps.look() | self.is_late();
        let done = {
            let mut state = self.state.borrow_mut();
            let now = now();
            let done = act(&mut state.machine, now);
            if paused {
                state.machine.on_wake(now);
            }
            state.settle(Rc::downgrade(self), now);
            done
        };
        self.tell();
        done
    }

    /// Whether the timer should have rung long ago: the page was frozen, and no event has told of it.
    fn is_late(&self) -> bool {
        let state = self.state.borrow();
        let pause = Duration::from_millis(PAUSE_MS.into());
        state.timer.as_ref().is_some_and(|(at, _)| now().since(*at) > pause)
    }

    fn timeout(self: &Rc<Self>) {
        let late = self.is_late();
        // So that it is set anew, should it have come too early.
        self.state.borrow_mut().timer = None;
        self.act(|machine, now| {
            if late {
                machine.on_wake(now);
            }
            machine.handle_timeout(now);
        });
    }

    fn tell(&self) {
        if self.telling.replace(true) {
            return;
        }
        loop {
            let output = self.state.borrow_mut().machine.poll_output();
            match output {
                Some(output) => (self.on_output)(output),
                None => break,
            }
        }
        self.telling.set(false);
    }

    /// What a carrier says; those of earlier numbers say nothing any more.
    fn hear(self: &Rc<Self>, number: u64, event: Event) {
        let heard = {
            let mut state = self.state.borrow_mut();
            match &mut state.carrier {
                Some(line) if line.number == number => {
                    line.open |= matches!(event, Event::Opened(_));
                    if matches!(event, Event::Lost(_)) {
                        state.carrier = None;
                    }
                    true
                }
                _ => false,
            }
        };
        if !heard {
            return;
        }
        self.act(|machine, now| match event {
            Event::Opened(kind) => machine.on_open(kind, now),
            Event::Message(message) => machine.on_message(&message, now),
            Event::Writable => {}
            Event::Lost(why) => machine.on_lost(why, now),
        });
    }
}

impl<M: Machine + 'static> State<M> {
    /// Sends what there is, has the carrier that is wanted, and the timer.
    fn settle(&mut self, inner: Weak<Inner<M>>, now: Tick) {
        self.send(now);
        let wanted = self.machine.wanted();
        if self.carrier.as_ref().map(|line| line.number) != wanted {
            // First the old one, which may hold a connection the new one needs.
            self.carrier = None;
            self.carrier = wanted.map(|number| {
                let heard = inner.clone();
                let sink: Sink = Rc::new(move |event| {
                    if let Some(inner) = heard.upgrade() {
                        inner.hear(number, event);
                    }
                });
                Line { number, carrier: dial(sink), open: false }
            });
        }
        let due = self.machine.next_timeout();
        // One that comes too early finds nothing to do and is set anew: cheaper than a fresh one for each message.
        let is_set = self.timer.as_ref().is_some_and(|(at, _)| due.is_some_and(|due| *at <= due));
        if !is_set {
            self.timer = due.and_then(|at| {
                let wait = u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX);
                let timer = Timer::after(wait, move || {
                    if let Some(inner) = inner.upgrade() {
                        inner.timeout();
                    }
                });
                timer.map(|timer| (at, timer))
            });
        }
    }

    fn send(&mut self, now: Tick) {
        while let Some(line) = &mut self.carrier
            && line.open
            && line.carrier.can_take()
        {
            let Some(message) = self.machine.poll_transmit(now) else { return };
            if let Err(why) = line.carrier.send(message) {
                self.carrier = None;
                self.machine.on_lost(why, now);
            }
        }
    }
}

impl<M: Machine> Clone for Pump<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Machine> std::fmt::Debug for Pump<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump").finish_non_exhaustive()
    }
}
