//! A device and a host that do anything at any time, over a channel that is as slow as it likes.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use proptest::sample::Index;

use crate::mux::{
    Class, Limits, MAX_MESSAGE_BYTES, Mux, MuxEvent, OpenError, Read, ResetCode, Role, StreamError, StreamId,
};

#[derive(Debug, Clone)]
enum Act {
    Open(Class),
    Write(Index, usize),
    Read(Index),
    Finish(Index),
    Reset(Index),
    Transmit,
    Deliver,
}

fn act() -> impl Strategy<Value = (bool, Act)> {
    let any_index = any::<Index>;
    let act = prop_oneof![
        3 => prop_oneof![Just(Class::Interactive), Just(Class::Bulk)].prop_map(Act::Open),
        6 => (any_index(), prop_oneof![0usize..20, 0usize..60_000]).prop_map(|(pick, size)| Act::Write(pick, size)),
        6 => any_index().prop_map(Act::Read),
        2 => any_index().prop_map(Act::Finish),
        1 => any_index().prop_map(Act::Reset),
        6 => Just(Act::Transmit),
        6 => Just(Act::Deliver),
    ];
    (any::<bool>(), act)
}

/// What one side has done to a stream, and seen of it.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    written: usize,
    read: usize,
    finished: bool,
    end_read: bool,
    /// Reset, by whichever side.
    over: bool,
}

struct Side {
    mux: Mux,
    seen: BTreeMap<StreamId, Seen>,
    /// On their way to the other side.
    wire: VecDeque<Vec<u8>>,
}

struct Lab {
    sides: [Side; 2],
    limits: Limits,
}

/// The byte that stands at an offset of a stream, in the direction that begins at `side`.
fn byte(side: usize, stream: StreamId, offset: usize) -> u8 {
    (offset.wrapping_mul(31) ^ (offset >> 8) ^ (stream.0 as usize * 7) ^ (side * 101)) as u8
}

impl Lab {
    fn new(limits: Limits) -> Self {
        let side = |role| Side { mux: Mux::new(role, limits), seen: BTreeMap::new(), wire: VecDeque::new() };
        Self { sides: [side(Role::Initiator), side(Role::Responder)], limits }
    }

    fn picked(&self, side: usize, pick: &Index) -> Option<StreamId> {
        let seen = &self.sides[side].seen;
        (!seen.is_empty()).then(|| *seen.keys().nth(pick.index(seen.len())).unwrap())
    }

    fn act(&mut self, side: usize, act: &Act) {
        match act {
            Act::Open(class) => self.open(side, *class),
            Act::Write(pick, size) => {
                self.picked(side, pick).into_iter().for_each(|id| self.write(side, id, *size))
            }
            Act::Read(pick) => self.picked(side, pick).into_iter().for_each(|id| {
                self.read(side, id);
            }),
            Act::Finish(pick) => self.picked(side, pick).into_iter().for_each(|id| self.finish(side, id)),
            Act::Reset(pick) => self.picked(side, pick).into_iter().for_each(|id| {
                if self.sides[side].mux.reset(id, ResetCode(7)).is_ok() {
                    self.sides[side].seen.get_mut(&id).unwrap().over = true;
                }
            }),
            Act::Transmit => {
                self.transmit(side);
            }
            Act::Deliver => {
                self.deliver(side);
            }
        }
        self.check();
    }

    fn check(&self) {
        for side in &self.sides {
            assert!(side.mux.buffered() <= self.limits.max_buffered());
            assert!(side.mux.streams.len() <= 2 * self.limits.streams() as usize);
            let queued = side.mux.interactive.len() + side.mux.bulk.len() + side.mux.controls.len();
            assert!(queued <= 2 * side.mux.streams.len());
        }
    }

    fn open(&mut self, side: usize, class: Class) {
        match self.sides[side].mux.open(class) {
            Ok(id) => {
                self.sides[side].seen.insert(id, Seen::default());
            }
            Err(error) => assert_eq!(error, OpenError::TooMany),
        }
    }

    fn write(&mut self, side: usize, id: StreamId, size: usize) {
        let seen = self.sides[side].seen.get_mut(&id).unwrap();
        let bytes: Vec<u8> = (seen.written..seen.written + size).map(|at| byte(side, id, at)).collect();
        match self.sides[side].mux.write(id, &bytes) {
            Ok(taken) => seen.written += taken,
            Err(StreamError::Finished(_)) => assert!(seen.finished),
            Err(_) => assert!(seen.over || seen.finished && seen.end_read),
        }
    }

    /// Whether there was something.
    fn read(&mut self, side: usize, id: StreamId) -> bool {
        let seen = self.sides[side].seen.get_mut(&id).unwrap();
        match self.sides[side].mux.read(id) {
            Ok(Read::Chunk(chunk)) => {
                for got in chunk {
                    assert_eq!(got, byte(1 - side, id, seen.read), "stream {id}, byte {}", seen.read);
                    seen.read += 1;
                }
                true
            }
            Ok(Read::Blocked) => false,
            Ok(Read::Finished) => {
                let news = !seen.end_read;
                seen.end_read = true;
                news
            }
            Err(_) => {
                assert!(seen.over || seen.finished && seen.end_read);
                false
            }
        }
    }

    fn finish(&mut self, side: usize, id: StreamId) {
        if self.sides[side].mux.finish(id).is_ok() {
            self.sides[side].seen.get_mut(&id).unwrap().finished = true;
        }
    }

    fn transmit(&mut self, side: usize) -> bool {
        let message = self.sides[side].mux.poll_transmit();
        if let Some(message) = &message {
            assert!(!message.is_empty() && message.len() <= MAX_MESSAGE_BYTES);
        }
        let was_said = message.is_some();
        self.sides[side].wire.extend(message);
        was_said
    }

    /// The next message of `side` arrives.
    fn deliver(&mut self, side: usize) -> bool {
        let Some(message) = self.sides[side].wire.pop_front() else { return false };
        let other = &mut self.sides[1 - side];
        other.mux.feed(&message).unwrap();
        while let Some(event) = other.mux.poll_event() {
            match event {
                MuxEvent::Opened { stream, .. } => {
                    assert!(other.seen.insert(stream, Seen::default()).is_none());
                }
                MuxEvent::Reset { stream, code } => {
                    assert_eq!(code, ResetCode(7));
                    other.seen.get_mut(&stream).unwrap().over = true;
                }
                MuxEvent::Readable(_) | MuxEvent::Writable(_) | MuxEvent::CanOpen => {}
                MuxEvent::Closed(code) => panic!("nobody has closed with {code}"),
            }
        }
        true
    }

    /// Everybody finishes, and everything arrives and is read.
    fn drain(&mut self) {
        loop {
            let mut moved = false;
            for side in 0..2 {
                let streams: Vec<_> = self.sides[side].seen.keys().copied().collect();
                for id in streams {
                    self.finish(side, id);
                    while self.read(side, id) {
                        moved = true;
                    }
                }
                moved |= self.transmit(side);
                moved |= self.deliver(side);
                self.check();
            }
            if !moved {
                break;
            }
        }
    }

    /// Nothing is left, nothing is lost, and every slot is back.
    fn conclude(mut self) {
        for side in 0..2 {
            for (id, seen) in &self.sides[side].seen {
                let Some(other) = self.sides[1 - side].seen.get(id) else {
                    panic!("stream {id} never arrived")
                };
                if !seen.over && !other.over {
                    assert_eq!(seen.read, other.written, "stream {id}");
                    assert!(seen.end_read && seen.finished);
                } else {
                    assert!(seen.read <= other.written);
                }
            }
            assert_eq!(self.sides[side].mux.streams.len(), 0);
            assert_eq!(self.sides[side].mux.buffered(), 0);
        }
        for side in 0..2 {
            for _ in 0..self.limits.streams() {
                self.sides[side].mux.open(Class::Interactive).unwrap();
            }
            assert_eq!(self.sides[side].mux.open(Class::Interactive), Err(OpenError::TooMany));
        }
    }
}

fn runs() -> ProptestConfig {
    let long = std::env::var_os("LANYARD_LONG").is_some();
    ProptestConfig::with_cases(if long { 5_000 } else { 256 })
}

proptest! {
    #![proptest_config(runs())]

    #[test]
    fn what_is_written_is_what_is_read(
        streams in 1u32..5,
        window in prop_oneof![1u32..100, 20_000u32..70_000],
        acts in proptest::collection::vec(act(), 0..200),
    ) {
        let mut lab = Lab::new(Limits { streams, window });
        for (side, act) in &acts {
            lab.act(usize::from(*side), act);
        }
        lab.drain();
        lab.conclude();
    }
}
