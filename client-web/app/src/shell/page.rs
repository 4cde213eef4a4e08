//! One page: its head, what scrolls, and what stays under the thumb.

use lanyard_web_ui::{Glyph, Icon};
use leptos::html;
use leptos::prelude::*;

use super::{Connection, Wide};
use crate::route::{Route, Routes};

/// Provided in the side columns of a wide screen: pages there do not take the focus.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aside;

/// See the module. `title` is announced and focused when the page appears.
#[component]
pub(crate) fn Page(
    /// What the page is.
    #[prop(into)]
    title: Signal<String>,
    /// The page above it.
    #[prop(optional, into)]
    back: Option<Route>,
    /// Beside the title: pills, buttons.
    #[prop(optional, into)]
    end: ViewFnOnce,
    /// Below what scrolls: the composer, the buttons of a question.
    #[prop(optional, into)]
    foot: ViewFnOnce,
    /// What scrolls. Kept here for pages that follow the end.
    #[prop(optional)]
    scroller: NodeRef<html::Div>,
    /// It stands beside another page, whichever way the screen is divided.
    #[prop(optional)]
    aside: bool,
    /// What it holds.
    children: Children,
) -> impl IntoView {
    let wide = Wide::take().0;
    let routes = Routes::take();
    let head = NodeRef::<html::H1>::new();
    let aside = aside || use_context::<Aside>().is_some();
    if !aside && routes.was_moved() {
        focus(head);
    }
    let is_sub = back.is_some();
    let back = back.map(|back| {
        view! {
            <a class="back" href=back.href() aria-label="Back"><Icon name=Glyph::Back/></a>
        }
    });
    // A wide screen shows the connection once, in its left column.
    let state = move || (!wide.get()).then(|| view! { <Connection brief=is_sub/> });
    view! {
        <div class="page" class:page-aside=aside>
            <div class="page-head">
                {back}
                <h1 class="page-title" tabindex="-1" node_ref=head>{move || title.get()}</h1>
                <div class="page-end">{end.run()}</div>
                {state}
            </div>
            <div class="page-scroll" data-scroll="" tabindex="0" node_ref=scroller>
                <div class="page-body">{children()}</div>
            </div>
            {foot.run()}
        </div>
    }
}

/// Moves the focus to the head of a page that has just been gone to, so that screen readers say where one is and the tab
/// key begins there. Not on the first page: the browser does that itself.
fn focus(head: NodeRef<html::H1>) {
    Effect::new(move |_| {
        if let Some(head) = head.get() {
            // Refused only by elements that are no longer there.
            let _ = head.focus();
        }
    });
}

/// Moves the focus to the middle column.
pub(super) fn focus_content() {
    use wasm_bindgen::JsCast;
    let content = document().get_element_by_id("main");
    if let Some(content) = content.and_then(|content| content.dyn_into::<web_sys::HtmlElement>().ok()) {
        // As above.
        let _ = content.focus();
    }
}
