//! The page in a real browser, driven as a person would: by what is written on it.

mod first;
mod scene;
mod second;
