//! A shell text that a model wants to run, as policy reads it.
//!
//! What is understood is bounded, has no hidden words, and means the same when it is written out again, quoted, and
//! read a second time.
#![no_main]

use lanyard_policy::commands::assess_all;
use lanyard_policy::shell::{
    Joiner, MAX_BYTES, MAX_COMMANDS, Opaque, RedirectTarget, ShellPlan, SimpleCommand, join, parse, quote,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(plan) = parse(text) else { return };
    assert!(text.len() <= MAX_BYTES);
    let commands = plan.commands();
    assert!((1..=MAX_COMMANDS).contains(&commands.len()));
    for (at, command) in commands.iter().enumerate() {
        assert_eq!(command.joined_by.is_none(), at == 0, "only the first command follows nothing");
        assert!(!command.argv.is_empty() && !command.argv[0].is_empty(), "a command has a program");
        assert!(command.redirects.iter().all(|redirect| redirect.fd <= 2));
        // No word can be longer than the text it came from, so nothing was expanded.
        assert!(command.argv.iter().map(String::len).sum::<usize>() <= text.len());
        for found in assess_all(&command.argv) {
            assert!(found.assessment.hidden.is_some() || !found.argv.is_empty());
        }
    }
    reads_back(&plan, commands);
});

/// What is read a second time is never anything else. It may be refused: quoting makes text longer, and the second
/// reader stumbles over a few honest forms, where a person is asked.
fn reads_back(plan: &ShellPlan, commands: &[SimpleCommand]) {
    let written = commands.iter().map(written).collect::<String>();
    match parse(&written) {
        Ok(again) => assert_eq!(&again, plan, "{written:?} is read differently"),
        Err(Opaque::TooLong { .. }) => assert!(written.len() > MAX_BYTES),
        Err(why) => assert_eq!(why, Opaque::Disagreement, "{written:?} is no longer understood"),
    }
}

fn written(command: &SimpleCommand) -> String {
    let joiner = match command.joined_by {
        None => "",
        Some(Joiner::And) => " && ",
        Some(Joiner::Or) => " || ",
        Some(Joiner::Pipe) => " | ",
        Some(Joiner::Then) => "; ",
    };
    let mut text = format!("{joiner}{}", join(&command.argv));
    for redirect in &command.redirects {
        let fd = match (redirect.fd, &redirect.target) {
            (0, RedirectTarget::Read(_)) | (1, RedirectTarget::Write(_) | RedirectTarget::Append(_)) => {
                String::new()
            }
            (fd, _) => fd.to_string(),
        };
        text += &match &redirect.target {
            RedirectTarget::Read(path) => format!(" {fd}< {}", quote(path)),
            RedirectTarget::Write(path) => format!(" {fd}> {}", quote(path)),
            RedirectTarget::Append(path) => format!(" {fd}>> {}", quote(path)),
            RedirectTarget::Duplicate(to) => format!(" {fd}>&{to}"),
        };
    }
    text
}
