//! What a person sees, word for word.

use lanyard_protocol::approval::{ApprovalRecord, ApprovalState, Decision, RiskLevel};
use lanyard_protocol::event::{
    ApprovalRequested, EventBody, LlmRequestCompleted, LlmRetry, SessionEvent, TaskCompleted, TaskStarted,
};
use lanyard_protocol::id::{PrincipalId, StepId, StreamId, ToolCallId};
use lanyard_protocol::method::{PatchFile, PatchPreview};
use lanyard_protocol::policy::Remember;
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::tool::ToolStatus;
use lanyard_protocol::{ErrorCode, WireError};

use super::samples::{
    answered, at, change, command_detail, command_request, command_request_of, demo, event, file_request,
    output, requested, resolved, step, task_cancelled, task_completed, task_failed, text, tool_completed,
};
use super::{Paint, Timeline, approval, approvals, patch, sessions};

const PLAIN: Paint = Paint::PLAIN;

/// What a timeline makes of events, deltas included.
fn timeline(bodies: Vec<EventBody>) -> String {
    let mut timeline = Timeline::new(PLAIN, 10);
    bodies.into_iter().map(|body| show(&mut timeline, body, 0)).collect()
}

fn show(timeline: &mut Timeline, body: EventBody, missing: u64) -> String {
    let event = event(body);
    match event.body.is_durable() {
        true => timeline.event(&event, at()),
        false => timeline.delta(&event, missing),
    }
}

#[test]
fn a_task_from_prompt_to_end() {
    let mut ran = tool_completed(ToolStatus::Succeeded);
    ran.exit_code = Some(0);
    ran.changes = vec![change("src/a.rs")];
    let started = TaskStarted {
        prompt: "do it".into(),
        options: TaskOptions::default(),
        initiator: Principal {
            id: PrincipalId::new("owner").unwrap(),
            name: "owner".into(),
            scopes: Vec::new(),
            local: true,
        },
        model: demo(),
        instructions: vec!["AGENTS.md".into()],
    };
    let shown = timeline(vec![
        EventBody::TaskStarted(started),
        step(1),
        text(0, "\n\nI will "),
        text(9, "test.\nThen"),
        text(19, " stop."),
        answered("\n\nI will test.\nThen stop."),
        requested("c1", "Run cargo test", RiskLevel::High),
        EventBody::ApprovalRequested(ApprovalRequested { approval: command_request() }),
        resolved(Decision::Approved, Remember::Task, None),
        output("c1", 0, "one\ntw"),
        output("c1", 6, "o\n"),
        EventBody::ToolCompleted(ran),
        step(2),
        answered("All done."),
        EventBody::TaskCompleted(task_completed()),
    ]);
    let expected = "\
Model: demo — built in, no AI; it understands a handful of plain requests
Instructions in force: AGENTS.md
● Step 1
  I will test.
  Then stop.
  → Run cargo test · high risk
    ? Waits for approval · high risk · Run this command?
        $ cargo test 'a b' 'it'\\''s' ''
        in /w · no network · sandbox full
      Why: Programs are asked about.
      Who may answer: anyone with the right to approve
      Without an answer in 5:00 it counts as denied. Id: apr1
    ✓ approved by phone for this task
    │ one
    │ two
    created src/a.rs (+3 −1)
    ✓ exit 0 · 12 ms
● Step 2
  All done.
✓ Done in 2 steps, 1,234 tokens
";
    assert_eq!(shown, expected);
}

#[test]
fn denials_expiries_and_other_ends() {
    let shown = timeline(vec![
        requested("c1", "Write a", RiskLevel::Medium),
        resolved(Decision::Denied, Remember::Once, Some("not\nthat")),
        EventBody::ToolCompleted(tool_completed(ToolStatus::Denied)),
        EventBody::ToolCompleted(tool_completed(ToolStatus::Indeterminate)),
        EventBody::TaskFailed(task_failed(ErrorCode::MaxStepsExceeded)),
        EventBody::TaskCancelled(task_cancelled()),
    ]);
    let expected = "  → Write a
    ✗ denied by phone: not⟦U+000A⟧that
  → RunCommand
    ? it is not known whether this took effect: it did not work
✗ Failed after 1 step: It gave up.
  code: MAX_STEPS_EXCEEDED
■ Cancelled by owner after 1 step
";
    assert_eq!(shown, expected);
}

#[test]
fn who_answered_is_named_in_short() {
    let device = crate::known::samples::identity(3).fingerprint();
    let answer = |decision| match resolved(decision, Remember::Once, None) {
        EventBody::ApprovalResolved(mut resolved) => {
            resolved.answer.decided_by = PrincipalId::new(device.to_string()).unwrap();
            EventBody::ApprovalResolved(resolved)
        }
        other => other,
    };
    let mut cancelled = task_cancelled();
    cancelled.by = Some(PrincipalId::new(device.to_string()).unwrap());
    let shown = timeline(vec![
        requested("c1", "Write a", RiskLevel::Medium),
        answer(Decision::Approved),
        answer(Decision::Denied),
        EventBody::TaskCancelled(cancelled),
    ]);
    let short = device.short();
    let expected = format!(
        "  → Write a
    ✓ approved by device {short} this once
    ✗ denied by device {short}
■ Cancelled by device {short} after 1 step
"
    );
    assert_eq!(shown, expected);
}

#[test]
fn an_effect_nobody_knows_is_told_once() {
    let mut unknown = tool_completed(ToolStatus::Indeterminate);
    let text = "it is not known whether this call took effect: the host restarted. It was not repeated";
    unknown.result.error = Some(WireError::new(ErrorCode::OutcomeUnknown, text));
    let shown = timeline(vec![EventBody::ToolCompleted(unknown)]);
    assert_eq!(shown, format!("  → RunCommand\n    ? {text}\n"));
}

#[test]
fn output_is_folded_and_a_failure_shows_its_end() {
    let all: String = (1..=30).map(|n| format!("line {n}\n")).collect();
    let mut failed = tool_completed(ToolStatus::Failed);
    failed.exit_code = Some(2);
    failed.result.artifact_uris = vec!["artifact:sha256-ab".into()];
    let bodies = |end| vec![requested("c1", "Run x", RiskLevel::Low), output("c1", 0, &all), end];
    let shown = timeline(bodies(EventBody::ToolCompleted(failed)));
    assert!(
        shown.contains("│ line 10\n    … 15 more lines · all of it: lanyard artifact sha256-ab\n"),
        "{shown}"
    );
    assert!(shown.ends_with("│ line 30\n    ✗ exit 2 · 12 ms · it did not work\n"), "{shown}");
    let shown = timeline(bodies(EventBody::ToolCompleted(tool_completed(ToolStatus::Succeeded))));
    assert!(shown.ends_with("│ line 10\n    … 20 more lines\n    ✓ 12 ms\n"), "{shown}");
}

#[test]
fn a_call_that_does_not_stream_shows_what_the_model_got() {
    let mut read = tool_completed(ToolStatus::Succeeded);
    read.result.output_text = Some("a\nb".into());
    let shown = timeline(vec![requested("c1", "Read x", RiskLevel::Low), EventBody::ToolCompleted(read)]);
    assert_eq!(shown, "  → Read x\n    │ a\n    │ b\n    ✓ 12 ms\n");
}

#[test]
fn parallel_calls_are_told_apart() {
    let mut second = tool_completed(ToolStatus::Succeeded);
    second.result.tool_call_id = ToolCallId::new("c2").unwrap();
    let shown = timeline(vec![
        requested("c1", "Read a", RiskLevel::Low),
        requested("c2", "Read b", RiskLevel::Low),
        output("c1", 0, "from a\n"),
        output("c2", 0, "from b\n"),
        EventBody::ToolCompleted(tool_completed(ToolStatus::Succeeded)),
        EventBody::ToolCompleted(second),
    ]);
    let expected = "  → Read a
  → Read b
  → Read a
    │ from a
  → Read b
    │ from b
  → Read a
    ✓ 12 ms
  → Read b
    ✓ 12 ms
";
    assert_eq!(shown, expected);
}

#[test]
fn a_missed_piece_is_made_up_for_by_the_whole() {
    let mut late = Timeline::new(PLAIN, 10);
    let mut shown = show(&mut late, text(0, "one "), 0);
    shown.push_str(&show(&mut late, text(8, "three"), 4));
    shown.push_str(&show(&mut late, answered("one two three"), 0));
    assert_eq!(shown, "  one two three\n");
}

/// An event of a step, answers on a stream of that step.
fn of_step(id: &str, mut body: EventBody) -> SessionEvent {
    let stream = StreamId::new(format!("x-{id}")).unwrap();
    let step_id = StepId::new(id).unwrap();
    match &mut body {
        EventBody::StepStarted(step) => step.step_id = step_id.clone(),
        EventBody::TextDelta(delta) => delta.stream_id = stream,
        EventBody::LlmRequestCompleted(done) => done.stream_id = stream,
        _ => {}
    }
    SessionEvent { step_id: Some(step_id), ..event(body) }
}

fn show_all(timeline: &mut Timeline, events: &[SessionEvent]) -> String {
    let show = |event: &SessionEvent| match event.body.is_durable() {
        true => timeline.event(event, at()),
        false => timeline.delta(event, 0),
    };
    events.iter().map(show).collect()
}

#[test]
fn text_waits_for_its_step() {
    // The order in which a fast model's text overtakes the events on their way through the store.
    let shown = show_all(
        &mut Timeline::new(PLAIN, 10),
        &[
            of_step("a", step(1)),
            of_step("a", text(0, "I fetch")),
            of_step("a", text(7, " it.")),
            of_step("b", text(0, "It was ")),
            of_step("b", text(7, "refused.")),
            of_step("a", answered("I fetch it.")),
            of_step("a", requested("c1", "GET x", RiskLevel::Medium)),
            of_step("a", EventBody::ToolCompleted(tool_completed(ToolStatus::Denied))),
            of_step("b", step(2)),
            of_step("b", text(15, " So be it.")),
            of_step("b", answered("It was refused. So be it.")),
        ],
    );
    let expected = "\
● Step 1
  I fetch it.
  → GET x
    ✗ not run: it did not work
● Step 2
  It was refused. So be it.
";
    assert_eq!(shown, expected);
}

#[test]
fn text_streams_for_who_attaches_in_the_middle() {
    let shown = show_all(&mut Timeline::new(PLAIN, 10), &[of_step("b", text(0, "half an"))]);
    assert_eq!(shown, "  half an");
}

#[test]
fn text_that_waits_does_not_grow_without_end() {
    let piece = "0123456789abcdef\n".repeat(1_000);
    let mut timeline = Timeline::new(PLAIN, 10);
    show_all(&mut timeline, &[of_step("a", step(1))]);
    let (mut whole, mut events) = (String::new(), Vec::new());
    for _ in 0..10 {
        events.push(of_step("b", text(whole.len().try_into().unwrap(), &piece)));
        whole.push_str(&piece);
    }
    assert_eq!(show_all(&mut timeline, &events), "");
    let begun = show_all(&mut timeline, &[of_step("b", step(2))]);
    assert!(begun.len() < 100_000, "{}", begun.len());
    let rest = show_all(&mut timeline, &[of_step("b", answered(&whole))]);
    assert_eq!((begun + &rest).matches("0123456789abcdef").count(), 10_000, "all of it, once");
}

#[test]
fn what_a_cut_answer_goes_on_with_is_not_told_again() {
    let cut = |text: &str| match answered(text) {
        EventBody::LlmRequestCompleted(done) => {
            EventBody::LlmRequestCompleted(LlmRequestCompleted { finish_reason: "length".into(), ..done })
        }
        other => other,
    };
    let done = |text: &str| EventBody::TaskCompleted(TaskCompleted { text: text.into(), ..task_completed() });
    let shown = timeline(vec![cut("alpha "), answered("omega"), done("alpha omega")]);
    assert_eq!((shown.matches("alpha").count(), shown.matches("omega").count()), (1, 1), "{shown}");
    let shown = timeline(vec![cut("alpha "), cut("omega"), done("alpha omega\n[cut]")]);
    assert_eq!((shown.matches("omega").count(), shown.matches("\n  [cut]\n").count()), (1, 1), "{shown}");
    let shown = timeline(vec![answered("one"), done("onerous")]);
    assert!(shown.contains("onerous"), "{shown}");
}

#[test]
fn an_exit_code_is_told_once() {
    let mut failed = tool_completed(ToolStatus::Failed);
    failed.exit_code = Some(3);
    failed.result.error = Some(WireError::new(ErrorCode::ToolExecutionFailed, "exit code 3"));
    assert!(timeline(vec![EventBody::ToolCompleted(failed)]).ends_with("✗ exit 3 · 12 ms\n"));
}

#[test]
fn a_retry_voids_what_was_streamed() {
    let retry = LlmRetry {
        attempt: 1,
        max_attempts: 3,
        delay_ms: 1_200,
        error: WireError::new(ErrorCode::LlmUnavailable, "The answer broke off"),
        stream_id: StreamId::new("x1").unwrap(),
    };
    let shown = timeline(vec![text(0, "half an ans"), EventBody::LlmRetry(retry), answered("whole")]);
    assert_eq!(shown, "  half an ans\n  ↻ The answer broke off. Trying again in 1.2 s (2 of 3).\n  whole\n");
}

#[test]
fn nothing_foreign_acts_on_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{202e}\r";
    let mut failed = tool_completed(ToolStatus::Failed);
    failed.result.error = Some(WireError::new(ErrorCode::ToolExecutionFailed, evil));
    failed.changes = vec![change(evil)];
    failed.result.artifact_uris = vec![format!("artifact:{evil}")];
    let mut request = command_request_of(lanyard_protocol::approval::CommandDetail {
        shell: Some(evil.into()),
        argv: vec![vec![evil.into()], vec![evil.into()]],
        opaque_reason: Some(evil.into()),
        cwd: evil.into(),
        stdin: Some(evil.into()),
        environment: vec![evil.into()],
        network: true,
    });
    request.title = evil.into();
    request.reasons = vec![evil.into()];
    let shown = timeline(vec![
        text(0, evil),
        answered(&format!("{evil}{evil}")),
        requested("c1", evil, RiskLevel::Critical),
        EventBody::ApprovalRequested(ApprovalRequested { approval: request }),
        resolved(Decision::Denied, Remember::Once, Some(evil)),
        output("c1", 0, &format!("{evil}\n").repeat(20)),
        EventBody::ToolCompleted(failed),
    ]);
    let acts = shown.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
    assert_eq!(acts, None, "{shown:?}");
}

#[test]
fn a_shell_text_is_shown_with_what_it_runs() {
    let mut detail = command_detail();
    detail.shell = Some("make && rm -rf out".into());
    detail.argv = vec![vec!["make".into()], vec!["rm".into(), "-rf".into(), "out".into()]];
    detail.environment = vec!["CI=1".into()];
    detail.stdin = Some("yes\n".into());
    detail.network = true;
    let shown = approval(PLAIN, &command_request_of(detail), at(), 10);
    let expected = "    $ make && rm -rf out
    which runs, in this order:
    $ make
    $ rm -rf out
    in /w · may use the network · sandbox full
    with CI=1
    reading:
    | yes
";
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn a_file_change_is_shown_as_its_diff() {
    let shown = approval(PLAIN, &file_request(), at(), 2);
    assert!(
        shown.contains("    src/a.rs would be changed\n    @@ -1 +1 @@\n    -old\n    … 1 more line\n"),
        "{shown}"
    );
}

#[test]
fn lists_and_empty_states() {
    let record = ApprovalRecord {
        request: command_request(),
        state: ApprovalState::Pending,
        answer: None,
        receipts: vec![],
    };
    let shown = approvals(PLAIN, std::slice::from_ref(&record), at());
    assert_eq!(shown, "apr1\n  5:00 left          high     cargo test -p x\n  session s1\n");
    let empty = sessions(PLAIN, &[], None, at());
    assert_eq!(empty.matches("lanyard run").count(), 3, "an empty list teaches: {empty}");
}

#[test]
fn a_patch_names_each_file() {
    let file = PatchFile {
        path: "a".into(),
        change: lanyard_protocol::approval::ChangeKind::Created,
        diff: "@@ -0,0 +1 @@\n+x\n".into(),
        truncated: true,
    };
    let shown = patch(PLAIN, &PatchPreview { files: vec![file] });
    assert!(shown.starts_with("created a\n@@ -0,0 +1 @@\n+x\n… the diff was cut here"), "{shown}");
    assert!(patch(PLAIN, &PatchPreview { files: vec![] }).contains("no file"));
}
