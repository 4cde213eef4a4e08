//! What can stand in a view.

use std::borrow::Cow;

use leptos::prelude::{AnyView, Get, IntoAny, IntoView, MaybeProp, Memo, RwSignal, Signal};

use crate::element::Element;

/// Something to show.
#[derive(Debug)]
pub struct View(pub(crate) Kind);

/// What it is.
pub(crate) enum Kind {
    Text(Cow<'static, str>),
    Element(Box<Element>),
    All(Vec<View>),
    Live(Box<dyn FnMut() -> View + Send>),
    Leptos(AnyView),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text(text) => text,
            Self::Element(_) => "Element",
            Self::All(_) => "All",
            Self::Live(_) => "Live",
            Self::Leptos(_) => "Leptos",
        })
    }
}

impl View {
    /// All of them, one after the other; nothing where there are none.
    #[must_use]
    pub fn all(views: Vec<View>) -> Self {
        Self(Kind::All(views))
    }

    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::all(Vec::new())
    }

    /// What Leptos made: a component.
    pub fn of(view: impl IntoView + 'static) -> Self {
        Self(Kind::Leptos(view.into_any()))
    }
}

/// What can stand in a view: text, numbers, elements, each of them or nothing, several of them, and closures and signals
/// of these.
pub trait Content {
    /// As one type.
    fn view(self) -> View;
}

impl Content for View {
    fn view(self) -> View {
        self
    }
}

impl Content for AnyView {
    fn view(self) -> View {
        View(Kind::Leptos(self))
    }
}

impl<T: Content> Content for leptos::prelude::View<T> {
    fn view(self) -> View {
        self.into_inner().view()
    }
}

impl Content for &'static str {
    fn view(self) -> View {
        View(Kind::Text(Cow::Borrowed(self)))
    }
}

impl Content for String {
    fn view(self) -> View {
        View(Kind::Text(Cow::Owned(self)))
    }
}

macro_rules! numbers {
    ($($of:ty),*) => {$(
        impl Content for $of {
            fn view(self) -> View {
                self.to_string().view()
            }
        }
    )*};
}

numbers!(u32, u64, usize);

impl Content for () {
    fn view(self) -> View {
        View::none()
    }
}

impl<T: Content> Content for Option<T> {
    fn view(self) -> View {
        self.map_or_else(View::none, Content::view)
    }
}

impl<T: Content> Content for Vec<T> {
    fn view(self) -> View {
        View::all(self.into_iter().map(Content::view).collect())
    }
}

impl<F, T> Content for F
where
    F: FnMut() -> T + Send + 'static,
    T: Content,
{
    fn view(mut self) -> View {
        View(Kind::Live(Box::new(move || self().view())))
    }
}

macro_rules! live {
    ($($of:ident),*) => {$(
        impl<T> Content for $of<T>
        where
            T: Send + Sync + 'static,
            Self: Get<Value: Content>,
        {
            fn view(self) -> View {
                View(Kind::Live(Box::new(move || self.get().view())))
            }
        }
    )*};
}

live!(Signal, Memo, RwSignal, MaybeProp);
