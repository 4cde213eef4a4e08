//! What things stand on: cards, rows, sections, and the forms that empty and bad states take.

use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::icon::{Glyph, Icon};

/// What colour says. Amber is for what waits for a person and nothing else, red for refusal and danger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// Under way.
    Run,
    /// Waits for a person.
    Ask,
    /// Refused, failed, dangerous.
    Bad,
    /// Well.
    Good,
}

impl Tone {
    /// Cards that wait for a person: another word for [`Tone::Ask`].
    #[expect(non_upper_case_globals, reason = "reads like the variant it is")]
    pub const Waits: Tone = Tone::Ask;

    fn word(self) -> &'static str {
        match self {
            Tone::Plain => "plain",
            Tone::Run => "run",
            Tone::Ask => "ask",
            Tone::Bad => "bad",
            Tone::Good => "good",
        }
    }
}

/// A framed ground.
#[component]
pub fn Card(
    /// What its colour says.
    #[prop(optional, into)]
    tone: Signal<Tone>,
    /// What stands on it.
    children: Children,
) -> impl IntoView {
    view! { <div class=move || format!("card card-{}", tone.get().word())>{children()}</div> }
}

/// A word or two in a coloured capsule.
#[component]
pub fn Pill(
    /// What its colour says.
    #[prop(optional, into)]
    tone: Signal<Tone>,
    /// The words.
    children: Children,
) -> impl IntoView {
    view! { <span class=move || format!("pill pill-{}", tone.get().word())>{children()}</span> }
}

/// A coloured dot, beside words that say the same.
#[component]
pub fn Dot(
    /// What its colour says.
    #[prop(optional, into)]
    tone: Signal<Tone>,
) -> impl IntoView {
    view! { <span class=move || format!("dot dot-{}", tone.get().word()) aria-hidden="true"></span> }
}

/// One line of a list, a card of its own: a title, what is known beyond it, and something at the end. With `href` or
/// `on_press` the whole of it can be pressed.
#[component]
pub fn Row(
    /// The first line; cut where it is too long.
    #[prop(into)]
    title: Signal<String>,
    /// The second line, softer.
    #[prop(optional, into)]
    detail: MaybeProp<String>,
    /// Where it leads.
    #[prop(optional, into)]
    href: MaybeProp<String>,
    /// What a press does, where it leads nowhere.
    #[prop(optional, into)]
    on_press: Option<Callback<()>>,
    /// It is the one that is open (beside it, on a wide screen).
    #[prop(optional, into)]
    current: Signal<bool>,
    /// Before the words.
    #[prop(optional_no_strip, into)]
    icon: Option<Glyph>,
    /// What its colour says.
    #[prop(optional, into)]
    tone: Signal<Tone>,
    /// The second line may take as many lines as it needs.
    #[prop(optional)]
    wrap: bool,
    /// What stands at its end: pills, buttons.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let class = move || format!("row card card-{}", tone.get().word());
    let words = view! {
        {icon.map(|icon| view! { <Icon name=icon/> })}
        <span class="row-words" class:row-wrap=wrap>
            <span class="row-title">{move || title.get()}</span>
            {move || detail.get().map(|detail| view! { <span class="row-detail">{detail}</span> })}
        </span>
        {children.map(|children| view! { <span class="row-end">{children()}</span> })}
    };
    let current = move || current.get().then_some("true");
    match (href.get_untracked(), on_press) {
        (Some(_), _) => view! {
            <a class=class href=move || href.get() aria-current=current>{words}</a>
        },
        (None, Some(on_press)) => view! {
            <button type="button" class=class aria-current=current on:click=move |_| on_press.run(())>{words}</button>
        },
        (None, None) => view! { <div class=class>{words}</div> },
    }
}

/// A row that leads somewhere, with the sign for it.
#[component]
pub fn LinkRow(
    /// The first line.
    #[prop(into)]
    title: Signal<String>,
    /// The second line.
    #[prop(optional, into)]
    detail: MaybeProp<String>,
    /// Where it leads.
    #[prop(into)]
    href: MaybeProp<String>,
    /// Before the words.
    #[prop(optional_no_strip, into)]
    icon: Option<Glyph>,
) -> impl IntoView {
    view! {
        <Row title detail href icon=icon>
            <Icon name=Glyph::Forward/>
        </Row>
    }
}

/// Things that belong together, under a small heading.
#[component]
pub fn Section(
    /// The heading.
    #[prop(into)]
    title: Signal<String>,
    /// The things.
    children: Children,
) -> impl IntoView {
    view! {
        <section class="section">
            <h2 class="section-title">{move || title.get()}</h2>
            {children()}
        </section>
    }
}

/// Names and what they stand for, on a card.
#[component]
pub fn KeyValue(
    /// The rows.
    #[prop(into)]
    rows: Signal<Vec<(String, String)>>,
) -> impl IntoView {
    let lines = move || {
        let line = |(name, value)| view! { <div><dt>{name}</dt><dd>{value}</dd></div> };
        rows.get().into_iter().map(line).collect_view()
    };
    view! { <dl class="key-value">{lines}</dl> }
}

/// Nothing here yet, and what to do about it.
#[component]
pub fn Empty(
    /// What there is none of.
    #[prop(into)]
    title: Signal<String>,
    /// What to do.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    view! {
        <div class="empty">
            <p class="empty-title">{move || title.get()}</p>
            {children.map(|children| children())}
        </div>
    }
}

/// A bad state: what happened, what it means, what can be done.
#[component]
pub fn Problem(
    /// What happened, as a sentence without codes.
    #[prop(into)]
    title: Signal<String>,
    /// What it means for the person.
    #[prop(optional, into)]
    meaning: MaybeProp<String>,
    /// For whoever looks into it: the code, the exact words.
    #[prop(optional, into)]
    code: MaybeProp<String>,
    /// It waits for a person rather than being a failure: amber instead of red.
    #[prop(optional)]
    waits: bool,
    /// What can be done: buttons.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let tone = if waits { Tone::Ask } else { Tone::Bad };
    let detail = move |code| {
        view! { <details class="problem-code"><summary>"Details"</summary><code>{code}</code></details> }
    };
    view! {
        <div class=format!("problem card card-{}", tone.word())>
            <p class="problem-title">{move || title.get()}</p>
            {move || meaning.get().map(|meaning| view! { <p class="problem-meaning">{meaning}</p> })}
            {children.map(|children| view! { <div class="problem-actions">{children()}</div> })}
            {move || code.get().map(detail)}
        </div>
    }
}
