//! Diffs: inline, or side by side where there is room.
//!
//! Every line carries a sign besides its colour, and a word for screen readers. Numbers and signs are drawn by the style
//! sheet, so that what is selected and copied is the text alone. Lines wrap, so that nothing of them lies out of sight;
//! who wants them whole can have the box scroll instead. Long diffs scroll in a box of their own, in which only the rows
//! in sight exist.

use std::sync::Arc;

use lanyard_web_state::diff::{Diff, End, Kind as Change, Line, Row, Side, Span, side_by_side};
use lanyard_web_state::words;
use lanyard_web_view::{Content, Effect, View, component, view};
use leptos::html;
use leptos::prelude::*;

use crate::list::VirtualList;

/// Rows that are all made: more are a list with a box of its own.
const WHOLE_ROWS: usize = 400;

/// Pixels from which two sides of code fit next to each other. Of the diff's own box: a wide screen has narrow columns too.
const WIDE: i32 = 700;

/// How a diff is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Side by side where the box is wide enough.
    #[default]
    Auto,
    /// One column.
    Inline,
    /// Two columns.
    Sides,
}

/// See the module.
#[component]
pub fn DiffView(
    /// What is shown.
    #[prop(into)]
    diff: Signal<Arc<Diff>>,
    /// What it is the diff of, for screen readers.
    #[prop(into)]
    label: Signal<String>,
    /// How it is laid out; shared between several where one is handed in.
    #[prop(optional, into)]
    mode: Option<RwSignal<Layout>>,
    /// The host has cut it: it is longer than is sent.
    #[prop(optional, into)]
    truncated: Signal<bool>,
) -> impl IntoView {
    let mode = mode.unwrap_or_else(|| RwSignal::new(Layout::Auto));
    let frame = NodeRef::new();
    let wide = wide_enough(frame);
    let sides = Signal::derive(move || match mode.get() {
        Layout::Auto => wide.get(),
        Layout::Inline => false,
        Layout::Sides => true,
    });
    let whole = RwSignal::new(false);
    let digits = move || format!("{}ch", diff.with(|diff| diff.number_width()));
    let body = move || {
        let diff = diff.get();
        if diff.is_empty() {
            return view! { <p class="diff-none">"Nothing to show as text: the file is data, or was only moved."</p> };
        }
        let lines = laid_out(&diff, sides.get());
        if lines.len() <= WHOLE_ROWS {
            let rows = lines.iter().map(|line| row(&diff, *line)).collect_view();
            return view! { <div class="diff-rows">{rows}</div> };
        }
        let (first, end) = (0_i64, i64::try_from(lines.len()).unwrap_or(i64::MAX));
        let one = move |number: i64| {
            let line = usize::try_from(number).ok().and_then(|number| lines.get(number).copied());
            line.map(|line| row(&diff, line))
        };
        view! {
            <div class="diff-rows">
                <VirtualList first end estimate=20.0 label row=one/>
            </div>
        }
    };
    let long = move || diff.with(|diff| diff.rows.len() > WHOLE_ROWS);
    view! {
        <div class="diff" node_ref=frame class:diff-whole=move || whole.get() class:diff-sides=move || sides.get()>
            <Bar diff wide mode sides whole/>
            <div
                class="diff-box"
                class:diff-long=long
                data-scroll=""
                tabindex="0"
                role="region"
                aria-label=move || label.get()
                style:--diff-digits=digits
            >
                {body}
            </div>
            {move || left_out(diff.with(|diff| diff.left_out), truncated.get())}
        </div>
    }
}

/// The counts, and how it is laid out.
#[component]
fn Bar(
    diff: Signal<Arc<Diff>>,
    wide: Signal<bool>,
    mode: RwSignal<Layout>,
    sides: Signal<bool>,
    whole: RwSignal<bool>,
) -> impl IntoView {
    let spoken = move || {
        diff.with(|diff| {
            let added = words::count(u64::from(diff.added), "line");
            format!("{added} added, {} removed", words::count(u64::from(diff.removed), "line"))
        })
    };
    let turn = move |_| mode.set(if sides.get_untracked() { Layout::Inline } else { Layout::Sides });
    let says = move || if sides.get() { "Inline" } else { "Side by side" };
    let wraps = move || if whole.get() { "Wrap lines" } else { "Do not wrap" };
    view! {
        <div class="diff-bar">
            <span class="diff-counts">
                <span class="unseen">{spoken}</span>
                <span class="diff-plus" aria-hidden="true">{move || format!("+{}", diff.with(|diff| diff.added))}</span>
                <span class="diff-minus" aria-hidden="true">
                    {move || format!("\u{2212}{}", diff.with(|diff| diff.removed))}
                </span>
            </span>
            {move || {
                wide.get().then(|| view! { <button type="button" class="diff-turn" on:click=turn>{says}</button> })
            }}
            <button type="button" class="diff-turn" on:click=move |_| whole.update(|whole| *whole = !*whole)>
                {wraps}
            </button>
        </div>
    }
}

/// One row of either layout.
fn laid_out(diff: &Diff, sides: bool) -> Vec<Side> {
    if sides { side_by_side(diff) } else { (0..diff.rows.len()).map(Side::Whole).collect() }
}

fn row(diff: &Diff, side: Side) -> View {
    match side {
        Side::Whole(at) => diff.rows.get(at).map(inline).view(),
        Side::Two(left, right) => {
            let cell = |at: Option<usize>, right: bool| half(at.and_then(|at| diff.rows.get(at)), right);
            view! { <div class="diff-pair">{cell(left, false)}{cell(right, true)}</div> }
        }
    }
}

fn inline(row: &Row) -> View {
    match row {
        Row::Hunk { old, new, about } => {
            let line = if *new > 0 { new } else { old };
            let about = if about.is_empty() { String::new() } else { format!(" · {about}") };
            view! { <div class="diff-hunk">{format!("Line {line}{about}")}</div> }
        }
        Row::Note(text) => view! { <div class="diff-note">{text.clone()}</div> },
        Row::Line(line) => {
            let class = format!("diff-line {}", class_of(line.kind));
            view! {
                <div class=class>
                    <span class="diff-no diff-old" data-no=number(line.old) aria-hidden="true"></span>
                    <span class="diff-no diff-new" data-no=number(line.new) aria-hidden="true"></span>
                    {content(line)}
                </div>
            }
        }
    }
}

/// One side of a pair; without a line an empty ground.
fn half(row: Option<&Row>, right: bool) -> View {
    let Some(Row::Line(line)) = row else {
        return view! { <div class="diff-half diff-gap"></div> };
    };
    let no = if right { line.new } else { line.old };
    view! {
        <div class=format!("diff-half diff-line {}", class_of(line.kind))>
            <span class="diff-no" data-no=number(no) aria-hidden="true"></span>
            {content(line)}
        </div>
    }
}

fn content(line: &Line) -> View {
    let piece = |span: &Span| {
        let text = span.text.clone();
        if span.changed {
            view! { <mark>{text}</mark> }
        } else {
            text.view()
        }
    };
    let pieces = line.spans.iter().map(piece).collect_view();
    let sign = if line.continued { "\u{21aa}" } else { line.kind.sign() };
    let spoken = if line.continued { "" } else { line.kind.spoken() };
    let end = match line.end {
        End::Plain => None,
        End::CrLf => Some(("CR", "ends with a carriage return")),
        End::NoNewline => Some(("no newline", "the file ends here without a line end")),
    };
    view! {
        <span class="diff-sign" data-sign=sign aria-hidden="true"></span>
        <code class="diff-text">
            {(!spoken.is_empty()).then(|| view! { <span class="unseen diff-said">{spoken}</span> })}
            {pieces}
            {end.map(|(short, long)| view! { <span class="diff-end" title=long>{short}</span> })}
        </code>
    }
}

fn class_of(kind: Change) -> &'static str {
    match kind {
        Change::Same => "diff-same",
        Change::Added => "diff-added",
        Change::Removed => "diff-removed",
    }
}

fn number(number: Option<u32>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// What is not there is said.
fn left_out(rows: usize, truncated: bool) -> Option<View> {
    let said = match (rows, truncated) {
        (0, false) => return None,
        (0, true) => "The diff is longer than is sent and ends here. The rest is not shown.".to_owned(),
        (rows, _) => {
            let lines = words::count(u64::try_from(rows).unwrap_or(u64::MAX), "line");
            format!("{lines} more of the diff are not shown.")
        }
    };
    Some(view! { <p class="diff-cut">{said}</p> })
}

/// Whether the box is wide, as a signal.
fn wide_enough(frame: NodeRef<html::Div>) -> Signal<bool> {
    let wide = RwSignal::new(false);
    let look = move || {
        let is = frame.get_untracked().is_some_and(|frame| frame.client_width() >= WIDE);
        if wide.try_get_untracked().is_some_and(|was| was != is) {
            wide.set(is);
        }
    };
    Effect::new(move |_| {
        frame.track();
        look();
    });
    let turned = window_event_listener(leptos::ev::resize, move |_| look());
    on_cleanup(move || turned.remove());
    wide.into()
}
