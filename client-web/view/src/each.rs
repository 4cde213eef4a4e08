//! Lists of which each row is kept for as long as its key is there.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use leptos::control_flow;
use leptos::prelude::{IntoView, component};

use crate::content::{Content, View};

/// A view for each of some items. Leptos' list, which is compiled once instead of once for each kind of item and key.
#[component]
pub fn For<IF, I, T, EF, N, KF, K>(
    /// The items; their order may change, and which there are.
    each: IF,
    /// What an item is known by.
    key: KF,
    /// What is shown of it.
    children: EF,
) -> impl IntoView
where
    IF: Fn() -> I + Send + 'static,
    I: IntoIterator<Item = T>,
    EF: Fn(T) -> N + Send + Clone + 'static,
    N: Content,
    KF: Fn(&T) -> K + Send + 'static,
    K: Eq + Hash + Send + Sync + 'static,
    T: Send + 'static,
{
    list(Box::new(move || {
        let row = |item: T| {
            let (key, children) = (Arc::new(key(&item)), children.clone());
            Row { key: Known(key), show: Box::new(move || children(item).view()) }
        };
        each().into_iter().map(row).collect()
    }))
}

fn list(rows: Box<dyn Fn() -> Vec<Row> + Send>) -> View {
    let props = control_flow::ForProps::builder().each(rows).key(|row: &Row| row.key.clone());
    View::of(control_flow::For(props.children(|row: Row| (row.show)()).build()))
}

/// An item, whatever it is.
struct Row {
    key: Known,
    show: Box<dyn FnOnce() -> View + Send>,
}

/// A key, whatever it is.
#[derive(Clone)]
struct Known(Arc<dyn Key>);

trait Key: Any + Send + Sync {
    fn is(&self, other: &dyn Any) -> bool;
    fn feed(&self, hasher: &mut dyn Hasher);
}

impl<K: Eq + Hash + Send + Sync + 'static> Key for K {
    fn is(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<K>() == Some(self)
    }

    fn feed(&self, mut hasher: &mut dyn Hasher) {
        self.hash(&mut hasher);
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.0.is(&*other.0)
    }
}

impl Eq for Known {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.feed(hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_equal_as_what_they_hold() {
        let known: HashSet<Known> = [Known(Arc::new(1_u32)), Known(Arc::new("1".to_owned()))].into();
        assert!(known.contains(&Known(Arc::new(1_u32))));
        assert!(known.contains(&Known(Arc::new("1".to_owned()))));
        assert!(!known.contains(&Known(Arc::new(1_i64))), "another type is another key");
        assert!(!known.contains(&Known(Arc::new(2_u32))));
    }
}
