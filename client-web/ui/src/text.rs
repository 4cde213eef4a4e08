//! Text of machines: code, output, ids. It wraps or scrolls inside its own box, the page never scrolls sideways.

use lanyard_web_view::{component, view};
use leptos::prelude::*;

/// Lines shown before somebody asks for the rest.
const FOLDED_LINES: usize = 10;

/// Lines of which a box says how many there are: from here on they may not all be in sight at once.
const TOLD_LINES: usize = 8;

/// Characters that fill as much as [`TOLD_LINES`] on the narrowest screen.
const TOLD_CHARS: usize = 240;

/// A few words of a machine within a sentence: ids, paths. Broken anywhere if need be.
#[component]
pub fn Mono(
    /// The words.
    #[prop(into)]
    text: Signal<String>,
) -> impl IntoView {
    view! { <code class="mono">{move || text.get()}</code> }
}

/// Text of a machine in a box of its own.
#[component]
pub fn Code(
    /// The text.
    #[prop(into)]
    text: Signal<String>,
    /// Long lines scroll inside the box instead of being wrapped.
    #[prop(optional)]
    scroll: bool,
) -> impl IntoView {
    // Only what scrolls has to be reached by the keyboard.
    let reach = scroll.then_some("0");
    view! { <pre class="code" class:code-scroll=scroll tabindex=reach><code>{move || text.get()}</code></pre> }
}

/// Opens and closes what is folded. Nothing is shown where nothing is hidden.
#[component]
pub fn FoldButton(
    /// Lines there are.
    #[prop(into)]
    total: Signal<usize>,
    /// Lines shown when folded.
    #[prop(default = FOLDED_LINES)]
    lines: usize,
    /// Whether everything is shown.
    open: RwSignal<bool>,
) -> impl IntoView {
    let says = move || {
        if open.get() { "show less".to_owned() } else { format!("show all {} lines", total.get()) }
    };
    move || {
        (total.get() > lines).then(|| {
            view! {
                <button
                    type="button"
                    class="fold-button"
                    aria-expanded=move || if open.get() { "true" } else { "false" }
                    on:click=move |_| open.update(|open| *open = !*open)
                >
                    {says}
                </button>
            }
        })
    }
}

/// Text of a machine, folded where it is long.
#[component]
pub fn Fold(
    /// The text.
    #[prop(into)]
    text: Signal<String>,
    /// Lines shown when folded.
    #[prop(default = FOLDED_LINES)]
    lines: usize,
    /// The last lines are shown instead of the first: for output that is still coming.
    #[prop(optional, into)]
    tail: Signal<bool>,
) -> impl IntoView {
    let open = RwSignal::new(false);
    let total = Memo::new(move |_| text.with(|text| text.lines().count()));
    let shown = Signal::derive(move || {
        text.with(|text| if open.get() { text.clone() } else { folded(text, lines, tail.get()) })
    });
    view! {
        <div class="fold">
            <Code text=shown/>
            <FoldButton total lines open/>
        </div>
    }
}

/// Text of a machine that somebody has to know to its end: it scrolls within a box, which says how much it holds.
#[component]
pub fn Long(
    /// The text.
    #[prop(into)]
    text: Signal<String>,
    /// What it is, for screen readers.
    #[prop(into)]
    label: String,
    /// Lines shown at most, unless `whole`.
    most: usize,
    /// Everything is shown, however long. Whoever sets it tells, where it counts, how much is missing until then.
    #[prop(into)]
    whole: Signal<bool>,
) -> impl IntoView {
    let told =
        Memo::new(move |_| text.with(|text| extent(text, if whole.get() { usize::MAX } else { most })));
    let shown = move || text.with(|text| if whole.get() { text.clone() } else { folded(text, most, false) });
    view! {
        <div class="long">
            <pre class="code long-box" tabindex="0" role="region" aria-label=label><code>{shown}</code></pre>
            {move || told.get().map(|told| view! { <p class="long-told">{told}</p> })}
        </div>
    }
}

/// How much a text is, where it may not all be in sight; `most` lines of it are in the box.
fn extent(text: &str, most: usize) -> Option<String> {
    let (lines, chars) = (text.lines().count(), text.chars().count());
    if lines > most {
        return Some(format!("only the first {most} of {lines} lines"));
    }
    (lines > TOLD_LINES || chars > TOLD_CHARS).then(|| {
        let lines = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
        format!("{lines}, {chars} characters: scroll to see all of it")
    })
}

/// The first or the last lines of a text.
fn folded(text: &str, lines: usize, tail: bool) -> String {
    let all: Vec<&str> = text.lines().collect();
    let kept = if tail { &all[all.len().saturating_sub(lines)..] } else { &all[..lines.min(all.len())] };
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{extent, folded};

    #[test]
    fn a_fold_keeps_one_end() {
        let text = "1\n2\n3\n4\n";
        assert_eq!(folded(text, 2, false), "1\n2");
        assert_eq!(folded(text, 2, true), "3\n4");
        assert_eq!(folded(text, 9, true), "1\n2\n3\n4");
        assert_eq!(folded("", 2, true), "");
    }

    #[test]
    fn a_box_says_how_much_it_holds_when_it_may_hide_some() {
        assert_eq!(extent("a\nb\n", 200), None);
        assert_eq!(extent(&"a\n".repeat(9), 200).unwrap(), "9 lines, 18 characters: scroll to see all of it");
        assert!(
            extent(&" ".repeat(500), 200).unwrap().starts_with("1 line, 500 characters"),
            "one long line"
        );
        assert_eq!(extent(&"a\n".repeat(9), 8).unwrap(), "only the first 8 of 9 lines");
    }
}
