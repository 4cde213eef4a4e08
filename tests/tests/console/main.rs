//! The console in a real browser, against the real central services with real hosts: driven as a person would, by what
//! is written on it.

mod approvals;
mod entering;
mod hosts;
mod jobs;
mod lists;
mod pairings;
mod people;
mod pictures;
mod policy;
mod records;
mod scene;
