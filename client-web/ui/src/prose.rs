//! The words of a model as elements. Text goes into text nodes only; links say where they lead.

use std::sync::Arc;

use lanyard_web_state::markdown::{Block, Document, Inline, Item};
use lanyard_web_view::{Content, For, View, component, view};
use leptos::prelude::*;

use crate::copying::copy;
use crate::icon::{Glyph, Icon};

/// A text that may still grow: each block is an element of its own, and only those that change are touched.
#[component]
pub fn Prose(
    /// The text.
    #[prop(into)]
    text: Signal<Document>,
) -> impl IntoView {
    let count = Memo::new(move |_| text.with(|text| text.blocks().len()));
    let one = move |at: usize| {
        // The same object shows the same.
        let block = Memo::new_with_compare(
            move |_| text.with(|text| text.blocks().get(at).cloned()),
            |before: Option<&Option<Arc<Block>>>, now: Option<&Option<Arc<Block>>>| match (before, now) {
                (Some(Some(before)), Some(Some(now))) => !Arc::ptr_eq(before, now),
                (before, now) => before != now,
            },
        );
        move || block.get().map(|block| block_view(&block))
    };
    view! {
        <div class="prose" dir="auto">
            <For each=move || 0..count.get() key=|at| *at children=one/>
        </div>
    }
}

fn block_view(block: &Block) -> View {
    match block {
        Block::Paragraph(text) => view! { <p dir="auto">{inlines(text)}</p> },
        // The page's own headings are above these.
        Block::Heading { level: 1 | 2, text } => view! { <h3 dir="auto">{inlines(text)}</h3> },
        Block::Heading { level: 3, text } => view! { <h4 dir="auto">{inlines(text)}</h4> },
        Block::Heading { text, .. } => view! { <h5 dir="auto">{inlines(text)}</h5> },
        Block::Code { language, text, .. } => code(language.clone(), text.clone()),
        Block::List { start: None, items } => {
            view! { <ul>{items.iter().map(item).collect_view()}</ul> }
        }
        Block::List { start: Some(start), items } => {
            view! { <ol start=start.to_string()>{items.iter().map(item).collect_view()}</ol> }
        }
        Block::Quote(blocks) => {
            view! { <blockquote>{blocks.iter().map(block_view).collect_view()}</blockquote> }
        }
        Block::Table { head, rows } => table(head, rows),
        Block::Rule => view! { <hr/> },
    }
}

fn item(item: &Item) -> View {
    let done = item.done.map(|done| {
        let (mark, said) = if done { ("☑ ", "done: ") } else { ("☐ ", "open: ") };
        view! { <span aria-hidden="true">{mark}</span><span class="unseen">{said}</span> }
    });
    let is_task = item.done.is_some();
    // A single paragraph needs no distance of its own.
    let content = match item.blocks.as_slice() {
        [Block::Paragraph(text)] => View::all(inlines(text)),
        [Block::Paragraph(text), rest @ ..] => {
            view! { {inlines(text)} {rest.iter().map(block_view).collect_view()} }
        }
        blocks => View::all(blocks.iter().map(block_view).collect()),
    };
    view! { <li class:task=is_task dir="auto">{done}{content}</li> }
}

fn inlines(text: &[Inline]) -> Vec<View> {
    text.iter().map(inline).collect()
}

fn inline(piece: &Inline) -> View {
    match piece {
        Inline::Text(text) => text.clone().view(),
        Inline::Code(text) => view! { <code>{text.clone()}</code> },
        Inline::Strong(text) => view! { <strong>{inlines(text)}</strong> },
        Inline::Emphasis(text) => view! { <em>{inlines(text)}</em> },
        Inline::Struck(text) => view! { <s>{inlines(text)}</s> },
        Inline::Break => view! { <br/> },
        Inline::Link { target, text } => {
            let plain = matches!(text.as_slice(), [Inline::Text(text)] if *text == target.href || *text == target.host);
            // What a link is called says nothing about where it leads.
            let host =
                (!plain).then(|| view! { <span class="link-host">" (" {target.host.clone()} ")"</span> });
            view! {
                <a href=target.href.clone() target="_blank" rel="noreferrer noopener nofollow" title=target.href.clone()>
                    {inlines(text)}
                </a>
                {host}
            }
        }
    }
}

fn code(language: String, text: String) -> View {
    let label = if language.is_empty() { "code".to_owned() } else { language };
    let copied = RwSignal::new(false);
    let source = text.clone();
    view! {
        <figure class="code-block">
            <figcaption class="code-head">
                <span>{label}</span>
                <button type="button" class="code-copy" aria-label="Copy the code" on:click=move |_| copy(&source, copied)>
                    <Icon name=Glyph::Copy/>
                    <span role="status">{move || copied.get().then_some("copied")}</span>
                </button>
            </figcaption>
            <pre tabindex="0"><code>{text}</code></pre>
        </figure>
    }
}

fn table(head: &[Vec<Inline>], rows: &[Vec<Vec<Inline>>]) -> View {
    let head = head.iter().map(|cell| view! { <th scope="col">{inlines(cell)}</th> }).collect_view();
    let row = |row: &Vec<Vec<Inline>>| {
        let cells = row.iter().map(|cell| view! { <td>{inlines(cell)}</td> }).collect_view();
        view! { <tr>{cells}</tr> }
    };
    let rows = rows.iter().map(row).collect_view();
    view! {
        <div class="table-scroll" tabindex="0">
            <table>
                <thead>
                    <tr>{head}</tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
}
