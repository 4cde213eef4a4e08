//! Tests of the turn machine: single transitions, then any sequence of them.

use lanyard_ports::model::AskedArguments;
use lanyard_protocol::Timestamp;
use lanyard_protocol::message::Role;
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::tool::{ToolResult, ToolStatus};
use proptest::prelude::*;
use serde_json::json;

use super::asking::message_call;
use super::guards::MAX_CONTINUATIONS;
use super::record::{AcceptedCall, CallOutcome};
use super::*;
use crate::tests::cases;
use crate::tests::fakes::{self, ask_for, malformed, names, says};

fn mark(max_steps: u32) -> Checkpoint {
    let options = TaskOptions { max_steps, ..TaskOptions::default() };
    Checkpoint { options, ..fakes::checkpoint() }
}

fn begin(max_steps: u32) -> Moved<Asking> {
    Asking::begin(mark(max_steps), fakes::workspace_id())
}

fn answered(answer: ModelAnswer) -> Answered {
    let usage = answer.usage.unwrap_or_default();
    Answered { answer, usage, stream_id: StreamId::new("stream_1").unwrap(), duration_ms: 1 }
}

fn ids(step: u32) -> FreshIds {
    FreshIds {
        calls: (0..200).map(|n| fakes::call_id(step * 1_000 + n)).collect(),
        next_step: StepId::new(format!("step_{}", step + 1)).unwrap(),
    }
}

fn bodies(records: &[Record]) -> Vec<EventBody> {
    records
        .iter()
        .filter_map(|record| match record {
            Record::Event { body, .. } => Some((**body).clone()),
            _ => None,
        })
        .collect()
}

fn drafts(records: &[Record]) -> Vec<&Draft> {
    records
        .iter()
        .filter_map(|record| match record {
            Record::Message(draft) => Some(draft),
            _ => None,
        })
        .collect()
}

fn ended(next: Next) -> TaskEnd {
    match next {
        Next::End(Ended { end }) => end,
        other => panic!("not over: {other:?}"),
    }
}

fn outcomes(calling: &Calling, text: &str) -> Vec<CallOutcome> {
    let outcome = |call: &AcceptedCall| {
        let mut result = ToolResult::of(&call.request, ToolStatus::Succeeded);
        result.output_text = Some(text.to_owned());
        CallOutcome { result, told: true }
    };
    calling.calls().iter().map(outcome).collect()
}

#[test]
fn an_answer_in_words_ends_the_task() {
    let Moved { records, next } = begin(5).next.answered(answered(says("hello")), ids(1)).unwrap();
    assert_eq!(names(&bodies(&records)), ["llm_request_completed", "step_completed", "task_completed"]);
    assert_eq!(ended(next), TaskEnd::Completed { text: "hello".into() });
    assert_eq!(drafts(&records)[0].role, Role::Assistant);
    assert!(matches!(records.last(), Some(Record::TaskEnded { steps: 1, .. })));
}

#[test]
fn an_answer_with_calls_is_checkpointed_before_they_run() {
    let answer = ask_for(&[("ReadFile", json!({})), ("RunCommand", json!({}))]);
    let Moved { records, next } = begin(5).next.answered(answered(answer), ids(1)).unwrap();
    assert!(records.iter().any(|record| matches!(record, Record::Checkpoint(mark) if mark.calls_under_way)));
    assert!(records.contains(&Record::State(SessionState::WaitingForTool)));
    let Next::Call(calling) = next else { panic!("calls are to be run") };
    let ids: Vec<_> = calling.calls().iter().map(|call| call.request.tool_call_id.clone()).collect();
    assert_eq!(ids, [fakes::call_id(1_000), fakes::call_id(1_001)], "the model's own ids are not used");
}

#[test]
fn results_must_answer_the_calls_one_for_one() {
    let answer = || answered(ask_for(&[("A", json!({})), ("B", json!({}))]));
    let calling = || match begin(5).next.answered(answer(), ids(1)).unwrap().next {
        Next::Call(calling) => calling,
        other => panic!("{other:?}"),
    };
    let mut swapped = outcomes(&calling(), "x");
    swapped.swap(0, 1);
    let mut missing = outcomes(&calling(), "x");
    missing.pop();
    let next = || StepId::new("step_2").unwrap();
    assert_eq!(
        calling().finished(swapped, next()).unwrap_err(),
        TurnError::ResultMismatch { step: 1, position: 0 }
    );
    assert_eq!(
        calling().finished(missing, next()).unwrap_err(),
        TurnError::ResultMismatch { step: 1, position: 1 }
    );
    assert!(calling().finished(outcomes(&calling(), "x"), next()).is_ok());
}

#[test]
fn too_few_ids_are_refused() {
    let few = FreshIds { calls: Vec::new(), next_step: StepId::new("step_2").unwrap() };
    let answer = answered(ask_for(&[("A", json!({}))]));
    assert_eq!(
        begin(5).next.answered(answer, few).unwrap_err(),
        TurnError::TooFewIds { given: 0, needed: 1 }
    );
}

#[test]
fn malformed_arguments_are_told_to_the_model_without_the_router() {
    let answer = ModelAnswer { calls: vec![malformed("WriteFile\u{1b}[2J!", "{\"path\": ")], ..ask_for(&[]) };
    let Moved { records, next } = begin(5).next.answered(answered(answer), ids(1)).unwrap();
    assert_eq!(names(&bodies(&records)), ["llm_request_completed", "tool_requested"]);
    let Next::Call(calling) = next else { panic!() };
    let call = &calling.calls()[0];
    assert_eq!(call.request.tool_name, "WriteFile__2J_", "a name any gateway takes back");
    let result = call.refusal().unwrap();
    assert!(result.error.as_ref().unwrap().message.contains("expected `}`"));
    let refused = vec![CallOutcome { result, told: false }];
    let Moved { records, .. } = calling.finished(refused, ids(2).next_step).unwrap();
    assert_eq!(names(&bodies(&records)), ["tool_completed", "step_completed", "step_started"]);
    assert!(drafts(&records)[0].content.contains("one JSON object that matches the schema"));
}

#[test]
fn a_flood_of_calls_is_cut_and_the_model_told() {
    let calls: Vec<_> = (0..MAX_CALLS_PER_STEP + 9).map(|_| ("ReadFile", json!({}))).collect();
    let Moved { records, next } = begin(5).next.answered(answered(ask_for(&calls)), ids(1)).unwrap();
    assert_eq!(drafts(&records)[0].tool_calls.len(), MAX_CALLS_PER_STEP);
    let Next::Call(calling) = next else { panic!() };
    let mut results = outcomes(&calling, "x");
    for (n, outcome) in results.iter_mut().enumerate() {
        outcome.result.output_text = Some(n.to_string());
    }
    let Moved { records, .. } = calling.finished(results, ids(2).next_step).unwrap();
    assert!(drafts(&records).last().unwrap().content.contains("asked for 73 calls"));
}

#[test]
fn the_warning_comes_at_eighty_percent_and_the_end_at_the_last_step() {
    let mut moved = begin(10);
    let mut warned = Vec::new();
    for step in 1..=10 {
        if names(&bodies(&moved.records)).contains(&"step_limit_near") {
            warned.push(step);
        }
        let answer = answered(ask_for(&[("A", json!({ "n": step }))]));
        let Next::Call(calling) = moved.next.answered(answer, ids(step)).unwrap().next else { panic!() };
        let results = outcomes(&calling, "x");
        let Moved { records, next } = calling.finished(results, ids(step).next_step).unwrap();
        match next {
            Next::Ask(asking) => moved = Moved { records, next: asking },
            Next::End(Ended { end: TaskEnd::Failed(error) }) => {
                assert_eq!((step, error.code), (10, ErrorCode::MaxStepsExceeded));
                assert_eq!(warned, [8]);
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the limit did not hold");
}

#[test]
fn an_empty_answer_is_asked_again_twice() {
    let mut asking = begin(50).next;
    for step in 1..=2 {
        let Moved { records, next } = asking.answered(answered(says(" \n")), ids(step)).unwrap();
        assert!(drafts(&records)[0].content.contains("empty"), "no empty answer in the thread, but a note");
        let Next::Ask(next) = next else { panic!() };
        asking = next;
    }
    let end = ended(asking.answered(answered(says("")), ids(3)).unwrap().next);
    assert!(matches!(end, TaskEnd::Failed(error) if error.code == ErrorCode::LlmUnavailable));
}

#[test]
fn an_answer_cut_at_the_limit_is_continued_and_put_together() {
    let cut = |text: &str| answered(ModelAnswer { finish_reason: "length".into(), ..says(text) });
    let Next::Ask(asking) = begin(50).next.answered(cut("one "), ids(1)).unwrap().next else { panic!() };
    let end = ended(asking.answered(answered(says("two")), ids(2)).unwrap().next);
    assert_eq!(end, TaskEnd::Completed { text: "one two".into() });

    let mut asking = begin(50).next;
    for step in 1..=MAX_CONTINUATIONS {
        let Next::Ask(next) = asking.answered(cut("x"), ids(step)).unwrap().next else { panic!() };
        asking = next;
    }
    let end = ended(asking.answered(cut("x"), ids(9)).unwrap().next);
    assert!(matches!(end, TaskEnd::Completed { text } if text.starts_with("xxxx\n[the answer was cut")));
}

#[test]
fn a_filtered_answer_is_a_guardrail() {
    let filtered = ModelAnswer { finish_reason: "content_filter".into(), ..says("") };
    let end = ended(begin(5).next.answered(answered(filtered), ids(1)).unwrap().next);
    assert!(matches!(end, TaskEnd::Failed(error) if error.code == ErrorCode::LlmGuardrailBlocked));
}

#[test]
fn the_same_call_with_the_same_result_is_pointed_out_and_then_stopped() {
    let mut asking = begin(50).next;
    let mut notes = Vec::new();
    for step in 1..=20 {
        let answer = answered(ask_for(&[("A", json!({ "same": true }))]));
        let Next::Call(calling) = asking.answered(answer, ids(step)).unwrap().next else { panic!() };
        let results = outcomes(&calling, "same");
        let Moved { records, next } = calling.finished(results, ids(step).next_step).unwrap();
        if drafts(&records).iter().any(|draft| draft.content.contains("same result")) {
            notes.push(step);
        }
        asking = match next {
            Next::Ask(asking) => asking,
            next => {
                let end = ended(next);
                assert!(matches!(end, TaskEnd::Failed(error) if error.message.contains("asked for A")));
                assert_eq!((step, notes), (15, vec![5, 10]));
                return;
            }
        };
    }
    panic!("the loop was not stopped");
}

#[test]
fn a_different_result_is_no_loop() {
    let mut asking = begin(50).next;
    for step in 1..=30 {
        let answer = answered(ask_for(&[("A", json!({}))]));
        let Next::Call(calling) = asking.answered(answer, ids(step)).unwrap().next else { panic!() };
        let results = outcomes(&calling, &step.to_string());
        let Next::Ask(next) = calling.finished(results, ids(step).next_step).unwrap().next else { panic!() };
        asking = next;
    }
}

#[test]
fn a_finished_step_clears_the_count_of_resumes() {
    let resumed = Asking::resumed(Checkpoint { resumes: 3, ..mark(5) }, fakes::workspace_id());
    let Moved { next, .. } = resumed.answered(answered(says("")), ids(1)).unwrap();
    let Next::Ask(asking) = next else { panic!() };
    assert_eq!(asking.mark().resumes, 0);
}

/// What the model does next, and what becomes of it.
#[derive(Debug, Clone)]
enum Input {
    Answer { calls: u8, malformed: bool, text: &'static str, finish: &'static str, statuses: Vec<ToolStatus> },
    Fail,
    CancelAsking,
    CancelCalling(u8),
    Expire,
    Suspend(bool),
}

fn input() -> impl Strategy<Value = Input> {
    let status = prop::sample::select(vec![
        ToolStatus::Succeeded,
        ToolStatus::Failed,
        ToolStatus::Denied,
        ToolStatus::Cancelled,
        ToolStatus::Indeterminate,
    ]);
    let answer = (
        prop_oneof![Just(0u8), 1u8..5],
        any::<bool>(),
        prop::sample::select(vec!["", "words"]),
        prop::sample::select(vec!["stop", "tool_calls", "length", "content_filter", "?"]),
        prop::collection::vec(status, 5),
    );
    let answer = answer.prop_map(|(calls, malformed, text, finish, statuses)| Input::Answer {
        calls,
        malformed,
        text,
        finish,
        statuses,
    });
    prop_oneof![
        40 => answer,
        1 => Just(Input::Fail),
        1 => Just(Input::CancelAsking),
        1 => (1u8..5).prop_map(Input::CancelCalling),
        1 => Just(Input::Expire),
        1 => any::<bool>().prop_map(Input::Suspend),
    ]
}

/// Everything recorded so far, and the checks on it.
#[derive(Default)]
struct Book {
    records: Vec<Record>,
    questions: u32,
}

impl Book {
    fn take<S>(&mut self, moved: Moved<S>) -> S {
        self.records.extend(moved.records);
        moved.next
    }

    fn check(&self, max_steps: u32, over: bool) -> Result<(), TestCaseError> {
        let bodies = bodies(&self.records);
        let ends = bodies.iter().filter(|body| body.ends_task()).count();
        prop_assert_eq!(ends, usize::from(over), "exactly one end, and only at the end");
        if over {
            let ended = self.records.iter().filter(|r| matches!(r, Record::TaskEnded { .. })).count();
            prop_assert_eq!(ended, 1);
            prop_assert!(
                matches!(self.records.last(), Some(Record::TaskEnded { .. })),
                "nothing after the end"
            );
        }
        let mut step = 0;
        let mut completed = 0;
        for body in &bodies {
            match body {
                EventBody::StepStarted(started) => {
                    prop_assert_eq!(completed, step, "a step begins when the one before is complete");
                    step += 1;
                    prop_assert_eq!(started.step_number, step);
                }
                EventBody::StepCompleted(_) => {
                    completed += 1;
                    prop_assert_eq!(completed, step);
                }
                _ => {}
            }
        }
        prop_assert!(step <= max_steps);
        let answers = bodies.iter().filter(|b| matches!(b, EventBody::LlmRequestCompleted(_))).count();
        prop_assert!(answers <= self.questions as usize);
        prop_assert!(self.questions <= step + 1, "one question a step, and one more after a pause");
        Ok(())
    }

    /// Every call of the thread has its result behind it, in the model's order.
    fn check_order(&self) -> Result<(), TestCaseError> {
        let mut open: Vec<ToolCallId> = Vec::new();
        for draft in drafts(&self.records) {
            match draft.role {
                Role::Tool => {
                    prop_assert!(!open.is_empty());
                    prop_assert_eq!(Some(&open.remove(0)), draft.tool_call_id.as_ref());
                }
                _ => {
                    prop_assert!(open.is_empty(), "a result is missing");
                    open = draft.tool_calls.iter().map(|call| call.tool_call_id.clone()).collect();
                }
            }
        }
        prop_assert!(open.is_empty(), "a result is missing");
        Ok(())
    }
}

fn results(calling: &Calling, statuses: &[ToolStatus], salt: u32) -> Vec<CallOutcome> {
    let outcome = |(n, call): (usize, &AcceptedCall)| match call.refusal() {
        Some(result) => CallOutcome { result, told: false },
        None => {
            let mut result = ToolResult::of(&call.request, statuses[n % statuses.len()]);
            result.output_text = Some(format!("{salt} {n}"));
            CallOutcome { result, told: true }
        }
    };
    calling.calls().iter().enumerate().map(outcome).collect()
}

fn answer_of(calls: u8, bad: bool, text: &str, finish: &str) -> ModelAnswer {
    let mut answer = ask_for(&vec![("Tool", json!({})); usize::from(calls)]);
    if bad && let Some(call) = answer.calls.first_mut() {
        call.arguments = AskedArguments::Malformed { text: "{".into(), problem: "cut".into() };
    }
    ModelAnswer { text: text.into(), finish_reason: finish.into(), ..answer }
}

proptest! {
    #![proptest_config(cases(256))]

    /// Whatever the model, the tools and the people do: one end, bounded steps, whole pairs, original order.
    #[test]
    fn any_course_keeps_the_invariants(max_steps in 1u32..12, inputs in prop::collection::vec(input(), 1..60)) {
        let mut book = Book::default();
        let mut asking = book.take(begin(max_steps));
        book.questions = 1;
        for (turn, input) in (1u32..).zip(inputs) {
            let next = match input {
                Input::Fail => {
                    let error = WireError::new(ErrorCode::LlmUnavailable, "gone");
                    Next::End(book.take(asking.failed(error)))
                }
                Input::CancelAsking => Next::End(book.take(asking.cancelled(None))),
                Input::Expire | Input::Suspend(false) => {
                    let mark = asking.mark().clone();
                    let paused = if matches!(input, Input::Expire) {
                        asking.expired(Timestamp::from_millis(1), "expired".into())
                    } else {
                        asking.suspended("stop".into())
                    };
                    prop_assert!(!bodies(&paused.records).iter().any(EventBody::ends_task));
                    book.take(paused);
                    book.questions = book.questions.saturating_sub(1);
                    Next::Ask(Asking::resumed(mark, fakes::workspace_id()))
                }
                Input::Answer { calls, malformed, text, finish, statuses } => {
                    let answer = answered(answer_of(calls, malformed, text, finish));
                    match book.take(asking.answered(answer, ids(turn)).unwrap()) {
                        Next::Call(calling) => {
                            let done = results(&calling, &statuses, turn);
                            book.take(calling.finished(done, ids(turn).next_step).unwrap())
                        }
                        next => next,
                    }
                }
                Input::CancelCalling(calls) => {
                    let answer = answered(answer_of(calls, false, "", "stop"));
                    let Next::Call(calling) = book.take(asking.answered(answer, ids(turn)).unwrap()) else {
                        panic!("calls were asked for");
                    };
                    let done = results(&calling, &[ToolStatus::Cancelled], turn);
                    Next::End(book.take(calling.cancelled(done, None).unwrap()))
                }
                Input::Suspend(true) => {
                    let answer = answered(answer_of(2, true, "", "stop"));
                    let Next::Call(calling) = book.take(asking.answered(answer, ids(turn)).unwrap()) else {
                        panic!("calls were asked for");
                    };
                    // The host stops during the calls and takes them up again.
                    let open = calling.calls().iter().map(message_call).collect();
                    let mark = calling.mark().clone();
                    book.take(calling.suspended("stop".into()));
                    let calling = Calling::resumed(mark, fakes::workspace_id(), open);
                    let done = results(&calling, &[ToolStatus::Succeeded], turn);
                    book.take(calling.finished(done, ids(turn).next_step).unwrap())
                }
            };
            match next {
                Next::Ask(next) => {
                    asking = next;
                    book.questions += 1;
                    book.check(max_steps, false)?;
                    book.check_order()?;
                }
                Next::End(_) => {
                    book.check(max_steps, true)?;
                    return book.check_order();
                }
                Next::Call(_) | Next::Pause(_) => panic!("dealt with above"),
            }
        }
    }
}
