//! The models that a task can be given. Their names are a gateway's.

use lanyard_protocol::method::ModelPage;

use super::paint::{Paint, Tone};
use super::timeline::model_words;
use super::visible::line;

/// The host's own choice, and what else there is.
pub(crate) fn models(paint: Paint, page: &ModelPage, use_one: &str) -> String {
    let mut shown = format!("Unless a task names another: {}\n", model_words(&page.current));
    if page.models.is_empty() {
        shown.push_str("The gateway does not list its models; a task can name any that it has.\n");
    }
    for name in &page.models {
        let name_shown = line(name);
        match *name == page.current.name {
            true => shown.push_str(&format!("* {}\n", paint.tone(Tone::Strong, &name_shown))),
            false => shown.push_str(&format!("  {name_shown}\n")),
        }
    }
    if !page.current.demo {
        shown.push_str(&format!("Use one for a task: {use_one}\n"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::method::ModelPage;
    use lanyard_protocol::session::ModelInfo;

    use super::models;
    use crate::render::Paint;

    #[test]
    fn models_word_for_word() {
        let current = ModelInfo {
            name: "big".into(),
            endpoint: "http://gw/v1".into(),
            demo: false,
            source: "config".into(),
        };
        let page = ModelPage { current, models: vec!["big".into(), "x\u{1b}[2J".into()] };
        let shown = models(Paint::PLAIN, &page, "lanyard run --model NAME");
        let lines: Vec<_> = shown.lines().skip(1).collect();
        assert_eq!(lines, ["* big", "  x⟦U+001B⟧[2J", "Use one for a task: lanyard run --model NAME"]);
        let silent = ModelPage { models: vec![], ..page };
        assert!(models(Paint::PLAIN, &silent, "x").contains("does not list"));
    }
}
