//! What is shown of a session, and that the way its events came makes no difference.

use lanyard_protocol::approval::Decision;
use lanyard_protocol::event::{EventBody, PolicyVerdict, SessionEvent};
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::method::HistoryPage;
use lanyard_protocol::tool::ToolStatus;
use proptest::prelude::*;

use super::samples::{Fate, Log};
use super::*;
use crate::markdown::Document;

fn applied(events: &[SessionEvent]) -> Timeline {
    let mut timeline = Timeline::default();
    for event in events {
        timeline.event(event);
    }
    timeline
}

fn items(timeline: &Timeline) -> Vec<Item> {
    timeline.order().into_iter().map(|no| timeline.entry(no).unwrap().item.clone()).collect()
}

fn calls(timeline: &Timeline) -> Vec<Call> {
    let call = |item| match item {
        Item::Call(call) => Some(*call),
        _ => None,
    };
    items(timeline).into_iter().filter_map(call).collect()
}

fn answers(timeline: &Timeline) -> Vec<Answer> {
    let answer = |item| match item {
        Item::Answer(answer) => Some(answer),
        _ => None,
    };
    items(timeline).into_iter().filter_map(answer).collect()
}

fn kinds(timeline: &Timeline) -> String {
    let letter = |item: Item| match item {
        Item::Prompt(_) => 'P',
        Item::Step(_) => 's',
        Item::Answer(_) => 'A',
        Item::Call(_) => 'c',
        Item::Note(_) => 'n',
        Item::End(_) => 'E',
    };
    items(timeline).into_iter().map(letter).collect()
}

#[test]
fn a_task_reads_from_prompt_to_end() {
    let mut log = Log::default();
    log.task("do it");
    log.step();
    log.answer("I look.", 2);
    log.calls(&[Fate::Done, Fate::Refused], "one\ntwo");
    log.step_done(2);
    log.step();
    log.answer("Done.", 0);
    log.step_done(0);
    log.done("Done.\n\nChanged 1 file.");
    let timeline = applied(&log.events);
    assert_eq!(kinds(&timeline), "PsAccsAE");
    let made = calls(&timeline);
    assert_eq!((made[0].state(), made[1].state()), (CallState::Done, CallState::Denied));
    assert_eq!(made[1].refusal(), Some(("local", "because")));
    assert_eq!(made[0].output.folded.iter().map(|line| line.text()).collect::<Vec<_>>(), ["one", "two"]);
    let Item::End(End { how: Ending::Completed { added, .. }, began, .. }) = items(&timeline).pop().unwrap()
    else {
        panic!("no end")
    };
    assert_eq!((added, began.is_some()), (Document::whole("Changed 1 file."), true));
    assert_eq!(timeline.activity(), Activity::Idle);
    let totals = timeline.totals(&log.task_id());
    assert_eq!((totals.steps, totals.calls, totals.added, totals.removed), (2, 2, 8, 2));
}

#[test]
fn what_happens_now_is_told() {
    let mut log = Log::default();
    let now = |log: &Log| applied(&log.events).activity();
    log.task("x");
    assert_eq!(now(&log), Activity::Working);
    log.step();
    assert_eq!(now(&log), Activity::Thinking);
    log.piece(0, "Hel");
    assert_eq!(now(&log), Activity::Writing);
    log.retry();
    assert!(matches!(now(&log), Activity::Retrying(_)));
    log.answer("Hello", 1);
    let call = log.request();
    log.judged(&call, PolicyVerdict::ApprovalRequired);
    log.asked(&call);
    assert_eq!(now(&log), Activity::Asking(1));
    assert_eq!(calls(&applied(&log.events))[0].waiting().unwrap().title, "Run this command?");
    log.resolved(&call, Decision::Approved);
    assert_eq!(now(&log), Activity::Running(1));
    assert_eq!(applied(&log.events).course().step(), Some((1, 50)));
    log.cancelled();
    assert_eq!((now(&log), applied(&log.events).course().task()), (Activity::Idle, None));
    assert_eq!(calls(&applied(&log.events))[0].state(), CallState::Cancelled);
    log.task("again");
    assert_eq!(applied(&log.events).course().step(), None, "the step of the task before is not this one's");
}

#[test]
fn streamed_text_grows_and_is_replaced_by_the_whole_in_place() {
    let mut log = Log::default();
    log.task("x");
    log.step();
    log.piece(0, "# Title\n\nsome wo");
    let mut timeline = applied(&log.events);
    let before = answers(&timeline)[0].clone();
    let no = *timeline.order().last().unwrap();
    let told = log.events.len();
    log.answer("# Title\n\nsome words", 0);
    let touched = timeline.event(&log.events[told]);
    assert!(touched.items.contains(&no) && !touched.order, "it stays where it is: {touched:?}");
    let after = &answers(&timeline)[0];
    assert!(Arc::ptr_eq(&before.text.blocks()[0], &after.text.blocks()[0]));
    assert_eq!((after.streams(), after.whole()), (false, Some("# Title\n\nsome words")));
}

#[test]
fn a_piece_touches_one_item() {
    let mut log = Log::default();
    log.task("x");
    log.step();
    log.answer("go", 1);
    log.calls(&[Fate::Done, Fate::Open], "a");
    let mut timeline = applied(&log.events);
    let call = log.request();
    timeline.event(log.events.last().unwrap());
    log.output(&call, 0, "more\n");
    let touched = timeline.event(log.events.last().unwrap());
    assert_eq!((touched.items.len(), touched.order), (1, false));
}

#[test]
fn void_text_goes_and_does_not_come_back() {
    let mut log = Log::default();
    log.task("x");
    log.step();
    log.piece(0, "void");
    let void = log.events.last().unwrap().clone();
    log.retry();
    let mut timeline = applied(&log.events);
    assert_eq!(kinds(&timeline), "Psn");
    assert!(timeline.event(&void).is_empty(), "late pieces of it are void too");
}

#[test]
fn words_that_were_read_stay_when_the_task_is_cancelled() {
    let mut log = Log::default();
    log.task("x");
    log.step();
    log.piece(0, "half an ans");
    let late = log.events.last().unwrap().clone();
    log.cancelled();
    let mut timeline = applied(&log.events);
    assert_eq!(kinds(&timeline), "PsAE");
    let [answer] = &answers(&timeline)[..] else { panic!("one answer") };
    assert!(answer.lost && !answer.streams());
    assert!(timeline.event(&late).is_empty());
    log.task("next");
    timeline.event(log.events.last().unwrap());
    assert_eq!(kinds(&timeline), "PsAEP", "it stays above what follows");
}

#[test]
fn a_hole_in_a_text_is_not_papered_over() {
    let mut log = Log::default();
    log.task("x");
    log.step();
    let mut timeline = applied(&log.events);
    log.piece(0, "one ");
    timeline.event(log.events.last().unwrap());
    log.piece(8, "three");
    timeline.delta(log.events.last().unwrap(), 4);
    assert_eq!(answers(&timeline)[0].text, Document::whole("one"));
    assert!(answers(&timeline)[0].incomplete);
    log.answer("one two three", 0);
    timeline.event(log.events.last().unwrap());
    assert_eq!(answers(&timeline)[0].text, Document::whole("one two three"));
    assert!(!answers(&timeline)[0].incomplete);
}

#[test]
fn text_waits_for_its_step() {
    let mut log = Log::default();
    log.task("x");
    log.step();
    log.answer("first", 1);
    log.calls(&[Fate::Done], "a");
    log.step_done(1);
    let told = log.events.len();
    log.step();
    log.piece(0, "second");
    let mut timeline = applied(&log.events[..told]);
    // The piece overtakes the two events of its step.
    assert!(timeline.event(&log.events[told + 2]).is_empty());
    timeline.event(&log.events[told]);
    assert_eq!(kinds(&timeline), "PsAcsA");
}

#[test]
fn an_answer_that_is_judged_again_waits_again() {
    let mut log = Log::default();
    log.task("x");
    log.step();
    let call = log.request();
    log.judged(&call, PolicyVerdict::ApprovalRequired);
    log.asked(&call);
    log.resolved(&call, Decision::Approved);
    log.paused();
    log.judged(&call, PolicyVerdict::ApprovalRequired);
    assert_eq!(calls(&applied(&log.events))[0].state(), CallState::Planned);
    log.asked(&call);
    assert_eq!(calls(&applied(&log.events))[0].state(), CallState::Asks);
    assert_eq!(calls(&applied(&log.events))[0].resolution(), None);
    log.finished(&call, ToolStatus::Cancelled, "");
    assert_eq!(calls(&applied(&log.events))[0].state(), CallState::Cancelled);
}

fn page(events: &[SessionEvent], range: std::ops::Range<usize>) -> HistoryPage {
    let has_more = range.start > 0;
    let last_seq = u64::try_from(events.len()).unwrap();
    let next_seq = events.get(range.start).and_then(|event| event.seq);
    HistoryPage { events: events[range].to_vec(), first_seq: 1, last_seq, has_more, next_seq }
}

/// Loads a log backwards, `size` events at a time.
fn paged(events: &[SessionEvent], size: usize) -> Timeline {
    let mut timeline = Timeline::default();
    let mut end = events.len();
    timeline.page(&page(events, end.saturating_sub(size)..end), None);
    while let Some(before) = timeline.earlier() {
        end = usize::try_from(before - 1).unwrap();
        timeline.page(&page(events, end.saturating_sub(size)..end), Some(before));
    }
    timeline
}

/// A long session of small steps.
fn long(steps: u32) -> Log {
    let mut log = Log::default();
    log.task("long");
    for _ in 0..steps {
        log.step();
        log.answer("next", 1);
        log.calls(&[Fate::Done], &"line\n".repeat(50));
        log.step_done(1);
    }
    log
}

#[test]
fn fifty_thousand_events_leave_a_bounded_timeline() {
    let log = long(7_200);
    let events = log.durable();
    assert!(events.len() > 50_000, "{}", events.len());
    let mut timeline = Timeline::default();
    for event in &events {
        timeline.event(event);
        timeline.trim(MIN_ITEMS);
        assert!(timeline.len() <= MIN_ITEMS + 3, "{}", timeline.len());
    }
    assert_eq!(timeline.entries.len(), timeline.order.len());
    assert_eq!(timeline.about.len(), timeline.order.len());
    // What was dropped can be loaded again and fits.
    let before = timeline.earlier().unwrap();
    let end = usize::try_from(before - 1).unwrap();
    timeline.page(&page(&events, end - 200..end), Some(before));
    let from = timeline.order.keys().next().unwrap().0;
    let whole = applied(&events[usize::try_from(from - 1).unwrap()..]);
    assert!(calls(&timeline).iter().all(|call| call.state() == CallState::Done));
    assert_eq!(kinds(&timeline), kinds(&whole));
}

#[test]
fn a_page_that_does_not_fit_any_more_is_not_taken() {
    let events = long(200).durable();
    let mut timeline = applied(&events);
    let before = timeline.earlier();
    assert_eq!(before, None, "all of it is here");
    timeline.trim(30);
    let asked = timeline.earlier();
    timeline.trim(10);
    let end = usize::try_from(asked.unwrap() - 1).unwrap();
    assert!(timeline.page(&page(&events, end - 20..end), asked).is_empty());
}

#[test]
fn who_reads_far_back_leaves_the_end_and_the_state_stays_true() {
    let mut log = long(1_500);
    let events = log.durable();
    let mut timeline = Timeline::default();
    let mut end = events.len();
    timeline.page(&page(&events, end - 200..end), None);
    while let Some(before) = timeline.earlier() {
        end = usize::try_from(before - 1).unwrap();
        timeline.page(&page(&events, end.saturating_sub(200)..end), Some(before));
        assert!(timeline.len() <= MAX_READING_ITEMS + 8);
    }
    assert!(timeline.is_detached() && kinds(&timeline).starts_with("Psc".trim_end_matches('c')));
    log.cancelled();
    let touched = timeline.event(log.events.last().unwrap());
    assert_eq!(touched, Touched { course: true, ..Touched::default() });
    assert_eq!(timeline.activity(), Activity::Idle);
}

#[test]
fn outputs_beyond_the_budget_are_dropped_oldest_first_and_can_be_found_again() {
    let mut log = Log::default();
    log.task("x");
    for _ in 0..40 {
        log.step();
        log.answer("", 1);
        log.calls(&[Fate::Done], &"x".repeat(100_000));
        log.step_done(1);
    }
    let timeline = applied(&log.events);
    let made = calls(&timeline);
    let kept: usize = made.iter().map(Call::kept_bytes).sum();
    assert!(kept <= MAX_OUTPUT_BYTES && kept > MAX_OUTPUT_BYTES - 200_000, "{kept}");
    assert!(made[0].output.kept.is_none() && made[39].output.kept.is_some());
    assert_eq!(made[0].output.folded.len(), 1, "the folded lines stay");
    let seq = usize::try_from(made[0].result_seq()).unwrap();
    assert!(matches!(&log.durable()[seq - 1].body, EventBody::ToolCompleted(_)));
}

#[test]
fn texts_beyond_the_budget_go_with_their_steps() {
    let mut log = Log::default();
    log.task("x");
    for _ in 0..60 {
        log.step();
        log.answer(&"word ".repeat(40_000), 0);
        log.step_done(0);
    }
    let timeline = applied(&log.events);
    let bytes: usize = answers(&timeline).iter().map(|answer| 2 * answer.text.bytes()).sum();
    assert!(bytes <= MAX_TEXT_BYTES + 500_000 && bytes > MAX_TEXT_BYTES / 2, "{bytes}");
    assert!(timeline.earlier().is_some());
}

#[test]
fn events_of_a_newer_host_are_counted() {
    let mut log = Log::default();
    log.task("x");
    let mut timeline = applied(&log.events);
    timeline.skipped(3);
    log.step();
    for event in &log.events {
        timeline.event(event);
    }
    assert_eq!(kinds(&timeline), "Pns");
    assert!(items(&timeline).contains(&Item::Note(Note::Unreadable(3))));
}

#[test]
fn nothing_foreign_is_shown_raw() {
    let mut log = Log::default();
    log.task("x\u{202e}y\u{1b}[2J");
    log.step();
    log.answer("<img src=x onerror=alert(1)> a\u{202e}b", 1);
    log.calls(&[Fate::Done], "\u{1b}]52;c;x\u{7}out\u{202e}");
    log.done("z\u{200b}");
    let shown = format!(
        "{:?}",
        items(&applied(&log.events))
            .iter()
            .map(|item| match item {
                Item::Answer(answer) => format!("{:?}", answer.text.blocks()),
                Item::Call(call) => format!("{:?}", call.output.folded),
                Item::Prompt(prompt) => prompt.text.to_string(),
                Item::End(End { how: Ending::Completed { added, .. }, .. }) =>
                    format!("{:?}", added.blocks()),
                _ => String::new(),
            })
            .collect::<Vec<_>>()
    );
    assert!(!shown.chars().any(|c| c.is_control() || lanyard_protocol::visible::is_invisible(c)), "{shown}");
    assert!(shown.contains("<img"), "markup is text");
}

#[test]
fn calls_say_what_became_of_them() {
    let names = crate::approvals::words::Names::new(PrincipalId::new("owner").unwrap());
    let mut log = Log::default();
    log.task("x");
    log.step();
    log.calls(
        &[Fate::Done, Fate::Refused, Fate::Denied, Fate::Expired, Fate::Approved, Fate::Unknown, Fate::Open],
        "",
    );
    let said: Vec<String> = calls(&applied(&log.events))
        .iter()
        .map(|call| words::facts(call, Some(&names)).join(" · "))
        .collect();
    assert_eq!(
        said,
        [
            "38 ms",
            "refused by the local policy: because · 38 ms",
            "denied by you · 38 ms",
            "nobody answered in time: denied · 38 ms",
            "38 ms · approved by you",
            "it is not known whether this took effect · 38 ms",
            "runs",
        ]
    );
}

#[test]
fn what_was_only_read_is_quiet() {
    let mut log = Log::default();
    log.task("x");
    log.step();
    let call = log.request();
    assert!(!calls(&applied(&log.events))[0].is_quiet());
    for event in &mut log.events {
        if let EventBody::ToolRequested(asked) = &mut event.body {
            asked.capability = Some(lanyard_protocol::policy::Capability::FileRead);
        }
    }
    log.finished(&call, ToolStatus::Failed, "no such file");
    assert!(!calls(&applied(&log.events))[0].is_quiet(), "a failure is worth the room");
    log.finished(&call, ToolStatus::Succeeded, "text");
    assert!(calls(&applied(&log.events))[0].is_quiet());
}

#[test]
fn ends_say_how_long_it_took() {
    let names = crate::approvals::words::Names::new(PrincipalId::new("owner").unwrap());
    let said = |finish: &dyn Fn(&mut Log)| {
        let mut log = Log::default();
        log.task("x");
        log.step();
        log.answer("a", 0);
        finish(&mut log);
        let timeline = applied(&log.events);
        let last = timeline.entry(*timeline.order().last().unwrap()).unwrap();
        let Item::End(end) = &last.item else { panic!("no end") };
        words::end(end, last.at, Some(&names)).1
    };
    assert_eq!(said(&|log| log.done("a")), "Done in 4.0 s · 1 step · 13 tokens");
    assert_eq!(said(&Log::failed), "The model is gone");
    assert_eq!(said(&Log::cancelled), "Cancelled after 1 step");
}

fn fate() -> impl Strategy<Value = Fate> {
    prop::sample::select(vec![
        Fate::Done,
        Fate::Failed,
        Fate::Refused,
        Fate::Approved,
        Fate::Denied,
        Fate::Expired,
        Fate::Unknown,
        Fate::Open,
    ])
}

#[derive(Debug, Clone)]
struct StepPlan {
    pieces: Vec<String>,
    retry: bool,
    fates: Vec<Fate>,
    paused: bool,
    compacted: bool,
}

fn step_plan() -> impl Strategy<Value = StepPlan> {
    let pieces = prop::collection::vec("[a-z*`\n# ]{0,12}", 0..4);
    (pieces, any::<bool>(), prop::collection::vec(fate(), 0..4), any::<bool>(), any::<bool>()).prop_map(
        |(pieces, retry, fates, paused, compacted)| StepPlan { pieces, retry, fates, paused, compacted },
    )
}

/// Any session a host could have.
fn session() -> impl Strategy<Value = Log> {
    let task = (prop::collection::vec(step_plan(), 0..4), 0_u8..4);
    prop::collection::vec(task, 1..4).prop_map(|tasks| {
        let mut log = Log::default();
        let last = tasks.len() - 1;
        for (number, (steps, end)) in tasks.into_iter().enumerate() {
            log.task("prompt");
            let mut text = String::new();
            for plan in steps {
                log.step();
                if plan.compacted {
                    log.compacted();
                }
                if plan.retry {
                    log.piece(0, "void");
                    log.retry();
                }
                text.clear();
                for piece in &plan.pieces {
                    log.piece(u64::try_from(text.len()).unwrap(), piece);
                    text.push_str(piece);
                }
                let calls = u32::try_from(plan.fates.len()).unwrap();
                log.answer(&text, calls);
                log.calls(&plan.fates, "out\rput\n\u{1b}[31mred");
                if plan.paused {
                    log.paused();
                }
                log.step_done(calls);
            }
            match end {
                0 => log.done(&format!("{text}\n\nand more")),
                1 => log.failed(),
                2 => log.cancelled(),
                // Only the last task may still be under way.
                _ if number < last => log.done(&text),
                _ => {}
            }
        }
        log
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn live_is_what_a_replay_shows(log in session()) {
        prop_assert_eq!(applied(&log.events), applied(&log.durable()));
    }

    #[test]
    fn the_order_and_the_number_of_tellings_make_no_difference(
        (log, shuffled, again) in session().prop_flat_map(|log| {
            let events = log.durable();
            let again = prop::sample::subsequence(events.clone(), 0..=events.len());
            (Just(log), Just(events).prop_shuffle(), again)
        }),
    ) {
        let expected = applied(&log.durable());
        let mut timeline = applied(&shuffled);
        prop_assert_eq!(&timeline, &expected);
        for event in &again {
            timeline.event(event);
        }
        prop_assert_eq!(&timeline, &expected);
        prop_assert_eq!(timeline.activity(), expected.activity());
    }

    #[test]
    fn pages_loaded_backwards_make_the_same_timeline(log in session(), size in 1_usize..30) {
        let events = log.durable();
        prop_assert_eq!(paged(&events, size), applied(&events));
    }

    #[test]
    fn deltas_anywhere_never_panic(log in session(), order in any::<prop::sample::Index>(), missing in 0_u64..9) {
        let mut timeline = Timeline::default();
        let start = order.index(log.events.len());
        let rotated = log.events[start..].iter().chain(&log.events[..start]);
        for event in rotated {
            match event.seq {
                Some(_) => timeline.event(event),
                None => timeline.delta(event, missing),
            };
            let _ = timeline.activity();
        }
        prop_assert_eq!(timeline.entries.len(), timeline.order.len());
    }

    #[test]
    fn totals_match_what_the_host_counted(log in session()) {
        let timeline = applied(&log.events);
        for event in log.durable() {
            let EventBody::TaskCompleted(done) = &event.body else { continue };
            let totals = timeline.totals(event.task_id.as_ref().unwrap());
            prop_assert_eq!((totals.steps, totals.usage), (done.steps, done.usage));
        }
    }
}
