//! Elements: their fixed part as steps to follow, the rest as a list of parts.

use leptos::ev::EventDescriptor;
use leptos::prelude::{NodeRef, Owner, RenderEffect};
use leptos::tachys::html::element::ElementType;
use leptos::tachys::html::node_ref::NodeRefContainer;
use leptos::tachys::renderer::types::Element as DomElement;
use leptos::tachys::renderer::{RemoveEventHandler, Rndr};
use leptos::tachys::view::{Mountable, Render};
use send_wrapper::SendWrapper;
use wasm_bindgen::{JsCast, JsValue};

use crate::content::{Content, Kind, View};
use crate::state::State;
use crate::steps;
use crate::value::{Given, Setting, Value};

/// An element with everything in it. [`view!`](crate::view) writes these.
pub struct Element {
    steps: &'static str,
    parts: Vec<Part>,
}

impl std::fmt::Debug for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Element").field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// What is not known before the page runs.
enum Part {
    Value(Given),
    Listener(Owner, SendWrapper<Box<dyn FnMut(JsValue)>>),
    Know(Box<dyn FnOnce(&DomElement) + Send>),
    Show(View),
}

impl Element {
    /// Without its parts, which follow in the order in which `steps` takes them.
    #[must_use]
    pub fn new(steps: &'static str) -> Box<Self> {
        Box::new(Self { steps, parts: Vec::new() })
    }

    fn with(mut self: Box<Self>, part: Part) -> Box<Self> {
        self.parts.push(part);
        self
    }

    /// The value of an attribute, class, style or property.
    #[must_use]
    pub fn set(self: Box<Self>, value: impl Setting) -> Box<Self> {
        self.with(Part::Value(value.given()))
    }

    /// What takes an event.
    #[must_use]
    pub fn on<E>(self: Box<Self>, _event: E, mut take: impl FnMut(E::EventType) + 'static) -> Box<Self>
    where
        E: EventDescriptor,
        E::EventType: From<JsValue>,
    {
        self.listen(Box::new(move |event| take(event.into())))
    }

    fn listen(self: Box<Self>, take: Box<dyn FnMut(JsValue)>) -> Box<Self> {
        self.with(Part::Listener(Owner::current().unwrap_or_default(), SendWrapper::new(take)))
    }

    /// What wants to know the element.
    #[must_use]
    pub fn know<E>(self: Box<Self>, place: NodeRef<E>) -> Box<Self>
    where
        E: ElementType + 'static,
        E::Output: JsCast + 'static,
    {
        self.with(Part::Know(Box::new(move |element| place.load(element))))
    }

    /// What stands in it.
    #[must_use]
    pub fn show(self: Box<Self>, content: impl Content) -> Box<Self> {
        self.with(Part::Show(content.view()))
    }

    /// With everything in it.
    #[must_use]
    pub fn view(self: Box<Self>) -> View {
        View(Kind::Element(self))
    }
}

/// An element in the document.
pub struct Shown {
    pub(crate) root: DomElement,
    steps: &'static str,
    parts: Vec<Held>,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// A part in the document.
enum Held {
    Value(Spot, Now),
    Listener(DomElement, &'static str, RemoveEventHandler<DomElement>),
    Know(DomElement),
    Show(State),
}

/// Where a value goes.
#[derive(Clone)]
struct Spot {
    element: DomElement,
    kind: char,
    name: &'static str,
}

/// What it is now.
enum Now {
    Fixed(Value),
    Live(RenderEffect<Value>),
}

impl Element {
    pub(crate) fn build(self) -> Option<Shown> {
        let Self { steps, parts } = self;
        let mut parts = parts.into_iter();
        let mut held = Vec::with_capacity(parts.len());
        let mut open: Vec<DomElement> = Vec::new();
        let mut root = None;
        let mut attribute = "";
        let mut rest = steps;
        while let Some((kind, words, after)) = step(rest) {
            rest = after;
            if let steps::OPEN | steps::OPEN_SVG = kind {
                let space = (kind == steps::OPEN_SVG).then_some("http://www.w3.org/2000/svg");
                open.push(Rndr::create_element(words, space));
                continue;
            }
            if kind == steps::CLOSE {
                let done = open.pop()?;
                match open.last() {
                    Some(parent) => Rndr::insert_node(parent, &done, None),
                    None => root = Some(done),
                }
                continue;
            }
            let element = open.last()?;
            match kind {
                steps::ATTRIBUTE => attribute = words,
                steps::IS => Rndr::set_attribute(element, attribute, words),
                steps::TEXT => Rndr::insert_node(element, &Rndr::create_text_node(words), None),
                steps::SET
                | steps::CLASS
                | steps::STYLE
                | steps::PROPERTY
                | steps::LISTEN
                | steps::KNOW
                | steps::SHOW => {
                    held.push(parts.next()?.build(element, kind, words));
                }
                _ => return None,
            }
        }
        Some(Shown { root: root?, steps, parts: held })
    }

    /// Brings what is shown up to date; gives itself back where that is another element.
    pub(crate) fn rebuild(self, shown: &mut Shown) -> Result<(), Self> {
        if self.steps != shown.steps {
            return Err(self);
        }
        for (part, held) in self.parts.into_iter().zip(&mut shown.parts) {
            part.rebuild(held);
        }
        Ok(())
    }
}

/// The first step: its mark, its words, and what comes after it.
fn step(steps: &'static str) -> Option<(char, &'static str, &'static str)> {
    let mut chars = steps.chars();
    let mark = chars.next()?;
    let rest = chars.as_str();
    let end = rest.bytes().position(|byte| byte & 0xf0 == 0x10).unwrap_or(rest.len());
    let (words, after) = rest.split_at_checked(end)?;
    Some((mark, words, after))
}

impl Part {
    fn build(self, element: &DomElement, kind: char, name: &'static str) -> Held {
        match self {
            Self::Value(given) => {
                let spot = Spot { element: element.clone(), kind, name };
                let now = spot.keep(given, None);
                Held::Value(spot, now)
            }
            Self::Listener(owner, take) => {
                Held::Listener(element.clone(), name, listen(element, name, owner, take))
            }
            Self::Know(tell) => {
                tell(element);
                Held::Know(element.clone())
            }
            Self::Show(view) => {
                let mut state = view.build();
                state.mount(element, None);
                Held::Show(state)
            }
        }
    }

    fn rebuild(self, held: &mut Held) {
        match (self, held) {
            (Self::Value(given), Held::Value(spot, now)) => {
                let before = match now {
                    Now::Fixed(value) => Some(std::mem::replace(value, Value::Absent)),
                    Now::Live(effect) => effect.take_value(),
                };
                *now = spot.keep(given, before);
            }
            (Self::Listener(owner, take), Held::Listener(element, name, handler)) => {
                *handler = listen(element, name, owner, take);
            }
            (Self::Know(tell), Held::Know(element)) => tell(element),
            (Self::Show(view), Held::Show(state)) => view.rebuild(state),
            _ => {}
        }
    }
}

fn listen(
    element: &DomElement,
    name: &str,
    owner: Owner,
    take: SendWrapper<Box<dyn FnMut(JsValue)>>,
) -> RemoveEventHandler<DomElement> {
    let mut take = take.take();
    Rndr::add_event_listener(element, name, Box::new(move |event| owner.with(|| take(event))))
}

impl Spot {
    /// Sets it, and keeps it up to date if it is computed.
    fn keep(&self, given: Given, before: Option<Value>) -> Now {
        match given {
            Given::Fixed(value) => {
                self.set(before.as_ref(), &value);
                Now::Fixed(value)
            }
            Given::Live(mut compute) => {
                let spot = self.clone();
                let compute = move |before: Option<Value>| {
                    let value = compute();
                    spot.set(before.as_ref(), &value);
                    value
                };
                Now::Live(RenderEffect::new_with_value(compute, before))
            }
        }
    }

    fn set(&self, before: Option<&Value>, value: &Value) {
        let Self { element, kind, name } = self;
        // A person may have changed a property since.
        if *kind == steps::PROPERTY {
            let value = match value {
                Value::Absent if before.is_none() => return,
                Value::Absent => JsValue::NULL,
                Value::Flag(flag) => JsValue::from_bool(*flag),
                Value::Text(text) => JsValue::from_str(text),
            };
            return Rndr::set_property_or_value(element, name, &value);
        }
        if before == Some(value) {
            return;
        }
        let words = match value {
            Value::Absent | Value::Flag(false) => None,
            Value::Flag(true) => Some(""),
            Value::Text(text) => Some(&**text),
        };
        match (*kind, words) {
            (_, None) if before.is_none() => {}
            (steps::CLASS, Some(_)) => Rndr::add_class(&Rndr::class_list(element), name),
            (steps::CLASS, None) => Rndr::remove_class(&Rndr::class_list(element), name),
            (steps::STYLE, Some(words)) => Rndr::set_css_property(&Rndr::style(element), name, words),
            (steps::STYLE, None) => Rndr::remove_css_property(&Rndr::style(element), name),
            (_, Some(words)) => Rndr::set_attribute(element, name, words),
            (_, None) => Rndr::remove_attribute(element, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view;

    fn written(view: View) -> (String, usize) {
        let Kind::Element(element) = view.0 else { panic!("no element: {view:?}") };
        let mut steps = String::new();
        let mut rest = element.steps;
        while let Some((mark, words, after)) = step(rest) {
            steps.push_str(&format!("{:x}{words} ", u32::from(mark) - 0x10));
            rest = after;
        }
        (steps.trim_end().to_owned(), element.parts.len())
    }

    #[test]
    fn what_is_known_is_steps_and_the_rest_parts() {
        let (name, shown) = ("alice".to_owned(), true);
        let view = view! {
            <p class="soft" class:on=shown id=name data-scroll="">
                "Line\nbreak" {move || 1_u32} <b>"x"</b>
            </p>
        };
        let (steps, parts) = written(view);
        assert_eq!(steps, "0p 2class 3soft 7on 6id 2data-scroll 3 4Line\nbreak c 0b 4x 5 5");
        assert_eq!(parts, 3);
    }

    #[test]
    fn drawings_are_of_another_kind() {
        let (steps, parts) = written(view! { <svg viewBox="0 0 1 1"><path d="M0 0"></path></svg> });
        assert_eq!((steps.as_str(), parts), ("1svg 2viewBox 30 0 1 1 1path 2d 3M0 0 5 5", 0));
    }

    #[test]
    fn several_stand_beside_each_other() {
        let view = view! { <i></i> "and" {None::<String>} };
        let Kind::All(views) = view.0 else { panic!("one: {view:?}") };
        let kinds: Vec<String> = views.iter().map(|view| format!("{view:?}")).collect();
        assert_eq!(kinds, ["View(Element)", "View(and)", "View(All)"]);
    }
}
