//! What is in the document, and how it follows what is to be shown.

use std::borrow::Cow;

use leptos::prelude::{AddAnyAttr, AnyView, Render, RenderEffect, RenderHtml};
use leptos::tachys::html::attribute::Attribute;
use leptos::tachys::html::attribute::any_attribute::AnyAttribute;
use leptos::tachys::hydration::Cursor;
use leptos::tachys::reactive_graph::RenderEffectState;
use leptos::tachys::renderer::Rndr;
use leptos::tachys::renderer::types::{Element as DomElement, Node, Placeholder, Text};
use leptos::tachys::view::{Mountable, Position, PositionState};

use crate::content::{Kind, View};
use crate::element::Shown;

/// A view in the document.
pub enum State {
    Text(Text, Cow<'static, str>),
    Element(Box<Shown>),
    /// What follows them marks their place.
    All(Vec<State>, Placeholder),
    Live(RenderEffectState<State>),
    Leptos(<AnyView as Render>::State),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}

impl Render for View {
    type State = State;

    fn build(self) -> State {
        match self.0 {
            Kind::Text(text) => State::Text(Rndr::create_text_node(&text), text),
            Kind::Element(element) => match element.build() {
                Some(shown) => State::Element(Box::new(shown)),
                None => State::All(Vec::new(), Rndr::create_placeholder()),
            },
            Kind::All(views) => {
                State::All(views.into_iter().map(Self::build).collect(), Rndr::create_placeholder())
            }
            Kind::Live(mut make) => {
                let follow = move |shown: Option<State>| match shown {
                    Some(mut state) => {
                        make().rebuild(&mut state);
                        state
                    }
                    None => make().build(),
                };
                State::Live(RenderEffect::new(follow).into())
            }
            Kind::Leptos(view) => State::Leptos(view.build()),
        }
    }

    fn rebuild(self, state: &mut State) {
        let view = match (self.0, &mut *state) {
            (Kind::Text(text), State::Text(node, shown)) => {
                if text != *shown {
                    Rndr::set_text(node, &text);
                    *shown = text;
                }
                return;
            }
            (Kind::Element(element), State::Element(shown)) => match element.rebuild(shown) {
                Ok(()) => return,
                Err(element) => Kind::Element(Box::new(element)),
            },
            (Kind::Leptos(view), State::Leptos(shown)) => return view.rebuild(shown),
            (Kind::All(views), State::All(shown, end)) => return rebuild_all(views, shown, end),
            (view, _) => view,
        };
        let mut new = View(view).build();
        state.insert_before_this(&mut new);
        state.unmount();
        *state = new;
    }
}

fn rebuild_all(views: Vec<View>, shown: &mut Vec<State>, end: &Placeholder) {
    for mut left in shown.drain(views.len().min(shown.len())..) {
        left.unmount();
    }
    let mut views = views.into_iter();
    for (state, view) in shown.iter_mut().zip(views.by_ref()) {
        view.rebuild(state);
    }
    for view in views {
        let mut new = view.build();
        // Without a parent yet, all of them are mounted later.
        Rndr::try_mount_before(&mut new, end);
        shown.push(new);
    }
}

impl Mountable for State {
    fn unmount(&mut self) {
        match self {
            Self::Text(node, _) => Rndr::remove(node),
            Self::Element(shown) => Rndr::remove(&shown.root),
            Self::All(states, end) => {
                states.iter_mut().for_each(Self::unmount);
                Rndr::remove(end);
            }
            Self::Live(state) => state.unmount(),
            Self::Leptos(state) => state.unmount(),
        }
    }

    fn mount(&mut self, parent: &DomElement, before: Option<&Node>) {
        match self {
            Self::Text(node, _) => Rndr::insert_node(parent, node, before),
            Self::Element(shown) => Rndr::insert_node(parent, &shown.root, before),
            Self::All(states, end) => {
                for state in states {
                    state.mount(parent, before);
                }
                Rndr::insert_node(parent, end, before);
            }
            Self::Live(state) => state.mount(parent, before),
            Self::Leptos(state) => state.mount(parent, before),
        }
    }

    fn insert_before_this(&self, child: &mut dyn Mountable) -> bool {
        match self {
            Self::Text(node, _) => node.insert_before_this(child),
            Self::Element(shown) => shown.root.insert_before_this(child),
            Self::All(states, end) => {
                states.iter().any(|state| state.insert_before_this(child)) || end.insert_before_this(child)
            }
            Self::Live(state) => state.insert_before_this(child),
            Self::Leptos(state) => state.insert_before_this(child),
        }
    }

    fn elements(&self) -> Vec<DomElement> {
        match self {
            Self::Text(..) => Vec::new(),
            Self::Element(shown) => vec![shown.root.clone()],
            Self::All(states, _) => states.iter().flat_map(Self::elements).collect(),
            Self::Live(state) => state.elements(),
            Self::Leptos(state) => state.elements(),
        }
    }
}

/// Attributes are given where the element is written.
impl AddAnyAttr for View {
    type Output<SomeNewAttr: Attribute> = View;

    fn add_any_attr<NewAttr: Attribute>(self, _: NewAttr) -> View {
        self
    }
}

/// Pages are made in the browser: nothing here is ever written as HTML or found in some.
impl RenderHtml for View {
    type AsyncOutput = View;
    type Owned = View;

    const MIN_LENGTH: usize = 0;

    fn dry_resolve(&mut self) {}

    async fn resolve(self) -> View {
        self
    }

    fn to_html_with_buf(self, _: &mut String, _: &mut Position, _: bool, _: bool, _: Vec<AnyAttribute>) {}

    fn hydrate<const FROM_SERVER: bool>(self, _: &Cursor, _: &PositionState) -> State {
        self.build()
    }

    fn into_owned(self) -> View {
        self
    }
}
