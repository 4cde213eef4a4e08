//! What is done again whenever what it read changes.

/// Leptos' effect, compiled once instead of once for each closure.
#[derive(Debug)]
pub struct Effect;

impl Effect {
    /// Runs it soon, and again after each change, until the current owner is gone.
    #[expect(clippy::new_ret_no_self, reason = "stands for Leptos' effect, whose handle no page wants")]
    pub fn new(mut run: impl FnMut(Option<()>) + 'static) {
        boxed(Box::new(move || run(None)));
    }
}

fn boxed(mut run: Box<dyn FnMut()>) {
    leptos::prelude::Effect::new(move |_: Option<()>| run());
}
