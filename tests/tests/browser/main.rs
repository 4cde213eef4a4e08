//! The page in a real browser, driven as a person would: by what is written on it.

mod approvals;
mod desk;
mod endings;
mod files;
mod first;
mod injected;
mod locked;
mod pictures;
mod proxy;
mod scene;
mod second;
mod steady;
mod transfer;
mod trust;
