//! The rows of the timeline, one a kind of item. A row reads its item alone, so an event touches one row.

use lanyard_protocol::event::FileChange;
use lanyard_protocol::id::TaskId;
use lanyard_web_state::timeline::words::{self, Weight};
use lanyard_web_state::timeline::{Answer, Call, CallState, End, Ending, Entry, Item, ItemNo, Note, Prompt};
use lanyard_web_view::{View, component, view};
use leptos::prelude::*;

use super::output::Output;
use super::{Extras, Items, Look, Read};
use crate::{Ago, Fold, Pill, Prose, Tone};

/// Lines of a prompt that are shown before it is unfolded.
const PROMPT_LINES: usize = 12;

/// Files named under a call before the rest is asked for.
const FILES: usize = 5;

/// See the module.
#[component]
pub fn RowView(
    /// The item.
    no: ItemNo,
) -> impl IntoView {
    let items = Items::take();
    on_cleanup(move || items.forget(no));
    let entry = Signal::derive(move || items.entry(no));
    // The kind of an item never changes.
    match items.peek(no).map(|entry| entry.item.clone()) {
        Some(Item::Prompt(prompt)) => view! { <PromptRow prompt entry/> },
        Some(Item::Step(_)) => view! { <StepRow entry/> },
        Some(Item::Answer(_)) => view! { <AnswerRow entry/> },
        Some(Item::Call(_)) => view! { <CallRow entry/> },
        Some(Item::Note(note)) => view! { <NoteRow note/> },
        Some(Item::End(_)) => view! { <EndRow entry/> },
        None => View::none(),
    }
}

#[component]
fn PromptRow(prompt: Prompt, #[prop(into)] entry: Read) -> impl IntoView {
    let names = Items::take().names;
    let by = prompt.by.clone();
    let mine = Memo::new(move |_| names.with(|names| names.as_ref().is_some_and(|names| *names.me() == by)));
    let who = prompt.by_name.clone();
    let at =
        Signal::derive(move || entry.with(|entry| entry.as_ref().map(|entry| entry.at)).unwrap_or_default());
    let cut = (prompt.cut > 0).then(|| format!("… {} more characters", prompt.cut));
    let lines = prompt.text.lines().count();
    let text = prompt.text.to_string();
    let body = if lines > PROMPT_LINES {
        view! { <Fold text=text lines=PROMPT_LINES/> }
    } else {
        view! { <p class="bubble-text" dir="auto">{text}</p> }
    };
    let demo = prompt.demo.then(|| {
        view! {
            <p class="demo-note">
                <Pill tone=Tone::Ask>"demo"</Pill>
                " No AI answers here: the built-in demo understands a handful of plain requests."
            </p>
        }
    });
    let model = (!prompt.demo).then(|| format!(" · {}", prompt.model));
    let rules = (!prompt.instructions.is_empty()).then(|| {
        let files = prompt.instructions.join(", ");
        view! { <p class="row-aside">"Instructions in force: " {files}</p> }
    });
    view! {
        <article class="prompt">
            <h2 class="unseen">"Task"</h2>
            <div class="bubble">{body} {cut}</div>
            <p class="row-aside prompt-by">
                {move || if mine.get() { "you".to_owned() } else { who.clone() }} " · " <Ago at/> {model}
            </p>
            {rules}
            {demo}
        </article>
    }
}

/// Where a step begins: said to screen readers, not shown.
#[component]
fn StepRow(#[prop(into)] entry: Read) -> impl IntoView {
    let number = Memo::new(move |_| {
        entry.with(|entry| match entry.as_deref() {
            Some(Entry { item: Item::Step(step), .. }) => step.number(),
            _ => None,
        })
    });
    move || number.get().map(|number| view! { <h3 class="unseen">"Step " {number}</h3> })
}

#[component]
fn AnswerRow(#[prop(into)] entry: Read) -> impl IntoView {
    let read = move |read: &dyn Fn(&Answer) -> bool| {
        entry.with(|entry| match entry.as_deref() {
            Some(Entry { item: Item::Answer(answer), .. }) => read(answer),
            _ => false,
        })
    };
    let text = Signal::derive(move || {
        entry.with(|entry| match entry.as_deref() {
            Some(Entry { item: Item::Answer(answer), .. }) => answer.text.clone(),
            _ => Default::default(),
        })
    });
    let streams = Memo::new(move |_| read(&Answer::streams));
    let incomplete = Memo::new(move |_| read(&|answer| answer.incomplete));
    let cut = Memo::new(move |_| read(&|answer| answer.cut));
    let lost = Memo::new(move |_| read(&|answer| answer.lost));
    view! {
        <article class="answer" class:answer-lost=lost aria-busy=move || streams.get().then_some("true")>
            <Prose text/>
            {move || incomplete.get().then(|| view! {
                <p class="row-aside">"A piece was missed on the way here; the whole comes when the answer is finished."</p>
            })}
            {move || lost.get().then(|| view! {
                <p class="row-aside">"Cut off here. The host keeps no answer that was not finished: this is only on this page."</p>
            })}
            {move || cut.get().then(|| view! {
                <p class="row-aside row-notable">"The model stopped at its longest answer."</p>
            })}
        </article>
    }
}

/// Reads the call of a row.
fn of_call<T>(entry: Read, read: impl FnOnce(&Call) -> T) -> Option<T> {
    entry.with(|entry| match entry.as_deref() {
        Some(Entry { item: Item::Call(call), .. }) => Some(read(call)),
        _ => None,
    })
}

#[component]
fn CallRow(#[prop(into)] entry: Read) -> impl IntoView {
    let state = Memo::new(move |_| of_call(entry, Call::state).unwrap_or(CallState::Planned));
    let summary = Memo::new(move |_| of_call(entry, |call| call.summary().to_owned()).unwrap_or_default());
    let names = Items::take().names;
    let facts = Memo::new(move |_| {
        let said = names.with(|names| of_call(entry, |call| words::facts(call, names.as_ref())));
        said.unwrap_or_default().join(" · ")
    });
    let changes = Memo::new(move |_| of_call(entry, |call| call.finished().map(Changed::of)).flatten());
    let task = move || entry.with(|entry| entry.as_ref().and_then(|entry| entry.task.clone()));
    view! {
        <article class="call" data-state=move || words::state(state.get())>
            <span class="call-rail" aria-hidden="true"><i class="knob"></i></span>
            <div class="call-body">
                <h4 class="call-title" dir="auto">
                    {move || summary.get()} <span class="unseen">" (" {move || words::state(state.get())} ")"</span>
                </h4>
                <p class="call-facts">{move || facts.get()}</p>
                {move || changes.get().map(|changes| view! { <Files changes task=task()/> })}
                <Output entry/>
            </div>
        </article>
    }
}

/// Files that a call changed.
#[derive(Debug, Clone, PartialEq)]
struct Changed {
    files: Vec<FileChange>,
    more: usize,
}

impl Changed {
    fn of(finished: &lanyard_web_state::timeline::Finished) -> Self {
        let files: Vec<FileChange> = finished.changes.iter().take(FILES).cloned().collect();
        let more = finished.more_changes + finished.changes.len() - files.len();
        Self { files, more }
    }
}

#[component]
fn Files(changes: Changed, task: Option<TaskId>) -> impl IntoView {
    let extras = Extras::take();
    let file = |change: FileChange| {
        let (task, path) = (task.clone(), change.path.clone());
        let look = move || {
            let task = task.clone().filter(|task| extras.has_changes(task))?;
            let path = path.clone();
            let open =
                move |_| extras.changes.set(Some(Look { task: task.clone(), path: Some(path.clone()) }));
            Some(view! { " · " <button type="button" class="text-button" on:click=open>"view diff"</button> })
        };
        view! {
            <li>
                <code class="mono">{change.path.clone()}</code>
                " " {words::change(&change)} " "
                <span class="added">"+" {change.lines_added}</span> " "
                <span class="removed">"−" {change.lines_removed}</span>
                {look}
            </li>
        }
    };
    let files = changes.files.into_iter().map(file).collect_view();
    let more = (changes.more > 0).then(|| view! { <li>"and " {changes.more} " more"</li> });
    view! { <ul class="call-files tabular">{files}{more}</ul> }
}

fn weight(weight: Weight) -> &'static str {
    match weight {
        Weight::Quiet => "note",
        Weight::Notable => "note note-notable",
        Weight::Bad => "note note-bad",
    }
}

#[component]
fn NoteRow(note: Note) -> impl IntoView {
    let (heavy, said) = words::note(&note);
    view! { <p class=weight(heavy) dir="auto">{said}</p> }
}

#[component]
fn EndRow(#[prop(into)] entry: Read) -> impl IntoView {
    let (extras, names) = (Extras::take(), Items::take().names);
    let read = Memo::new(move |_| entry.get());
    let said = move || {
        let entry = read.get()?;
        let Item::End(end) = &entry.item else { return None };
        let (heavy, line, more) = names.with(|names| words::end(end, entry.at, names.as_ref()));
        let code = match &end.how {
            Ending::Failed { code, .. } => Some(*code),
            _ => None,
        };
        let changes = entry.task.clone().filter(|task| extras.has_changes(task)).map(|task| {
            let open = move |_| extras.changes.set(Some(Look { task: task.clone(), path: None }));
            view! { " · " <button type="button" class="text-button" on:click=open>"changes"</button> }
        });
        Some(view! {
            <div class=weight(heavy)>
                <p dir="auto">{line} {changes}</p>
                {more.map(|more| view! { <p class="row-aside">{more} " " {code.map(|code| view! { <code class="mono">{code}</code> })}</p> })}
            </div>
        })
    };
    let added = Signal::derive(move || {
        read.with(|entry| match entry.as_deref() {
            Some(Entry { item: Item::End(End { how: Ending::Completed { added, .. }, .. }), .. }) => {
                added.clone()
            }
            _ => Default::default(),
        })
    });
    let extra = Memo::new(move |_| !added.with(lanyard_web_state::markdown::Document::is_empty));
    view! {
        <article class="end">
            {move || extra.get().then(|| view! { <Prose text=added/> })}
            {said}
        </article>
    }
}
