//! Tests of the loop against ports held in memory.

mod calls;
mod chosen;
pub(crate) mod fakes;
mod resume;
mod session;
mod task;
mod window;

/// Cases of a property: few in the everyday run, more with `LANYARD_LONG=1`.
pub(crate) fn cases(few: u32) -> proptest::test_runner::Config {
    let many = std::env::var_os("LANYARD_LONG").is_some();
    proptest::test_runner::Config {
        cases: if many { few * 40 } else { few },
        failure_persistence: None,
        ..Default::default()
    }
}
