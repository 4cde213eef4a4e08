//! Counts the results that `cargo test` prints.

/// What the test binaries said so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    /// The failed tests' names, in the order they failed.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// Reads one line of `cargo test`'s standard output.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += count(result, " passed");
            self.failed += count(result, " failed");
            self.ignored += count(result, " ignored");
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
    }
}

/// The number before `what` in `ok. 3 passed; 0 failed; …`.
fn count(result: &str, what: &str) -> u64 {
    let number = |part: &str| part.strip_suffix(what)?.rsplit(' ').next()?.parse().ok();
    result.split(';').find_map(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_add_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "   Doc-tests lanyard_protocol",
            "test src/lib.rs - parse (line 12) ... ok",
            "test result: ok. 40 passed; 0 failed; 5 ignored; 0 measured; 3 filtered out; finished in 2.50s",
        ] {
            tally.read(line);
        }
        assert_eq!(tally, Tally { passed: 42, failed: 1, ignored: 5, failures: vec!["a::c".to_owned()] });
    }

    #[test]
    fn other_lines_count_nothing() {
        let mut tally = Tally::default();
        for line in ["", "test result: ", "note: 5 passed; 7 failed", "testing ... FAILED"] {
            tally.read(line);
        }
        assert_eq!(tally, Tally::default());
    }
}
