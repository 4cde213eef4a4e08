//! What a page's link does without a browser. Runs on this machine with the other tests, and once more compiled for a
//! browser (`cargo xtask test --only wasm`).

use lanyard_web_link::lab::story;

#[test]
fn a_phone_pairs_in_its_sleep() {
    story::a_phone_pairs_in_its_sleep();
}

#[test]
fn a_paired_page_loses_nothing() {
    story::a_paired_page_loses_nothing();
}
