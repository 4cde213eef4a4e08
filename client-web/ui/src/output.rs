//! What programs print: lines with the few styles that escape sequences may come to.

use lanyard_web_state::ansi::{Colour, Line, Span};
use lanyard_web_state::words;
use lanyard_web_view::{Content, View, view};
use leptos::prelude::*;

/// One line of output.
pub fn output_line(line: &Line) -> View {
    let spans = line.spans.iter().map(span_view).collect_view();
    let cut = (line.cut > 0).then(|| {
        let more = words::count(line.cut.into(), "more character");
        view! { <span class="output-cut">" … " {more}</span> }
    });
    view! { <span class="output-line">{spans}{cut}"\n"</span> }
}

fn span_view(span: &Span) -> View {
    if span.style.is_plain() {
        return span.text.clone().view();
    }
    let mut class = String::new();
    class.push_str(match span.style.colour {
        None => "",
        Some(Colour::Red) => "c-red ",
        Some(Colour::Green) => "c-green ",
        Some(Colour::Yellow) => "c-yellow ",
        Some(Colour::Blue) => "c-blue ",
        Some(Colour::Magenta) => "c-magenta ",
        Some(Colour::Cyan) => "c-cyan ",
        Some(Colour::Grey) => "c-grey ",
    });
    for (on, name) in
        [(span.style.bold, "c-bold "), (span.style.italic, "c-italic "), (span.style.underline, "c-under ")]
    {
        class.push_str(if on { name } else { "" });
    }
    view! { <span class=class.trim_end().to_owned()>{span.text.clone()}</span> }
}
