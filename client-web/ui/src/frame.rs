//! The frame that both pages stand in: how wide the window is, one page with its head, tabs, the way to the content.

use lanyard_web_view::{Effect, component, view};
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;

use crate::{Glyph, Icon};

/// Whether the window is as wide as a page's columns need. `Copy`.
#[derive(Debug, Clone, Copy)]
pub struct Wide(pub Signal<bool>);

impl Wide {
    /// Follows the window by a media query, for everything below the current owner.
    pub fn provide(query: &str) -> Self {
        let query = window().match_media(query).ok().flatten();
        let is = RwSignal::new(query.as_ref().is_some_and(|query| query.matches()));
        if let Some(query) = query {
            let changed = Closure::<dyn FnMut(web_sys::MediaQueryListEvent)>::new(
                move |event: web_sys::MediaQueryListEvent| is.set(event.matches()),
            );
            query.set_onchange(Some(changed.as_ref().unchecked_ref()));
            // The frame lives as long as the page: so does what it listens with.
            changed.forget();
        }
        let wide = Self(is.into());
        provide_context(wide);
        wide
    }

    /// The one provided above; a narrow one where there is none.
    pub fn take() -> Self {
        use_context().unwrap_or(Self(Signal::stored(false)))
    }
}

/// One page: its head, what scrolls, and what stays below it.
#[component]
pub fn Frame(
    /// What the page is.
    #[prop(into)]
    title: Signal<String>,
    /// The address of the page above it.
    #[prop(optional_no_strip)]
    back: Option<String>,
    /// Beside the title: pills, buttons.
    end: ViewFnOnce,
    /// At the end of the head: what every page has there.
    #[prop(into)]
    state: ViewFn,
    /// Below what scrolls.
    foot: ViewFnOnce,
    /// What scrolls. Kept by pages that follow its end.
    scroller: NodeRef<html::Div>,
    /// It was scrolled.
    #[prop(optional_no_strip)]
    on_scroll: Option<Callback<()>>,
    /// It stands beside another page.
    #[prop(optional)]
    aside: bool,
    /// It has just been gone to: the focus goes to its title, so that screen readers say where one is and the tab key begins
    /// there.
    gone_to: bool,
    /// What it holds.
    children: Children,
) -> impl IntoView {
    let head = NodeRef::<html::H1>::new();
    if gone_to {
        Effect::new(move |_| {
            if let Some(head) = head.get() {
                // Refused only by elements that are no longer there.
                let _ = head.focus();
            }
        });
    }
    let scrolled = move |_| {
        if let Some(on_scroll) = on_scroll {
            on_scroll.run(());
        }
    };
    let back =
        back.map(|back| view! { <a class="back" href=back aria-label="Back"><Icon name=Glyph::Back/></a> });
    view! {
        <div class="page" class:page-aside=aside>
            <div class="page-head">
                {back}
                <h1 class="page-title" tabindex="-1" node_ref=head>{move || title.get()}</h1>
                <div class="page-end">{end.run()}</div>
                {move || state.run()}
            </div>
            <div class="page-scroll" data-scroll="" tabindex="0" node_ref=scroller on:scroll=scrolled>
                <div class="page-body">{children()}</div>
            </div>
            {foot.run()}
        </div>
    }
}

/// The way to a part of the page, and how many questions wait behind it.
#[component]
pub fn TabLink(
    /// Where it leads.
    href: String,
    /// Its sign.
    icon: Glyph,
    /// Its name.
    name: &'static str,
    /// How many wait.
    #[prop(into)]
    count: Signal<usize>,
    /// One is there.
    #[prop(into)]
    current: Signal<bool>,
) -> impl IntoView {
    let count = Memo::new(move |_| count.get());
    let waiting = move || {
        let count = count.get();
        (count > 0)
            .then(|| view! { <span class="tab-count">{count}<span class="unseen">" waiting"</span></span> })
    };
    view! {
        <a class="tab" href=href aria-current=move || current.get().then_some("page")>
            <Icon name=icon/>
            <span class="tab-name">{name}{waiting}</span>
        </a>
    }
}

/// For keyboards: first on the page, past everything that is on every page.
#[component]
pub fn SkipLink(
    /// What it says.
    says: &'static str,
) -> impl IntoView {
    // The fragment is the address of a page here: the link moves the focus by itself.
    let skip = |event: web_sys::MouseEvent| {
        event.prevent_default();
        focus_content();
    };
    view! { <a class="skip" href="#main" on:click=skip>{says}</a> }
}

/// Moves the focus to the column with the content, whose id is `main`.
pub fn focus_content() {
    let content = document().get_element_by_id("main");
    if let Some(content) = content.and_then(|content| content.dyn_into::<web_sys::HtmlElement>().ok()) {
        // Refused only by elements that are no longer there.
        let _ = content.focus();
    }
}
