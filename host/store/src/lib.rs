//! The durable record of a host: sessions, their event logs and threads, tool calls, approvals, checkpoints and the
//! outbox in one redb file; long outputs and pre-images as content-addressed files beside it.
//!
//! # How it holds together
//!
//! * **One writer thread** (`writer`) owns every change. Batches reach it through a bounded `queue`; those that
//!   wait are written in one transaction (group commit), in the order they came. A transaction costs two fsyncs.
//! * **A batch is whole or not there.** Each is staged in memory first (`writer::stage`); one that breaks an
//!   invariant is dropped alone, its neighbours in the group are committed.
//! * **Nothing is acknowledged before it is on disk**, and observers hear of a commit before its callers are woken:
//!   whoever returns from `commit` knows that every subscriber has been told.
//! * **A fault of the disk stops the writer for good** (`condition`); what was acknowledged stays on disk. A disk
//!   about to be full is noticed before the transaction begins and refuses batches without stopping anything.
//! * **A damaged file is met at most twice** (`damage`), then it is moved aside with its artifacts, never deleted.
//! * **Reads never scan.** Counts are kept in rows, lists follow indices, and every call is bounded in rows or bytes.
//! * **Opening reads a handful of pages**, whatever the size: quick repair keeps the allocator's state with every
//!   commit. Artifacts left without an owner by a crash are looked for afterwards, on a thread of their own.
//!
//! Absent on purpose: see `docs/decisions/0003-store.md`.

mod artifact;
mod condition;
mod damage;
mod error;
mod journal;
mod keys;
mod open;
mod queue;
mod read;
mod record;
mod schema;
mod space;
mod store;
mod table;
mod writer;

#[cfg(test)]
mod tests;

pub use artifact::MAX_READ_BYTES;
pub use open::{MovedAside, OpenError, OpenReport, StoreOptions};
pub use record::fuzz_decode;
pub use store::Store;
