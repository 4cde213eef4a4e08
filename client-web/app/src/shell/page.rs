//! One page: its head, what scrolls, and what stays under the thumb.

use lanyard_web_ui::{Frame, Wide};
use lanyard_web_view::{component, view};
use leptos::html;
use leptos::prelude::*;

use super::Connection;
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
    let aside = aside || use_context::<Aside>().is_some();
    let brief = back.is_some();
    // A wide screen shows the connection once, in its left column.
    let state = move || (!wide.get()).then(|| view! { <Connection brief/> });
    view! {
        <Frame
            title
            back=back.map(|back| back.href())
            end
            state
            foot
            scroller
            aside
            gone_to=!aside && routes.was_moved()
            children
        />
    }
}
