//! What lies in a directory.

use std::sync::Arc;

use lanyard_protocol::method::{FileEntry, FileKind, FilePage};
use lanyard_web_state::files::{can_open, entry_detail, join, shown_name};
use lanyard_web_state::words::thousands;
use lanyard_web_ui::{Empty, Field, Glyph, Row, VirtualList};
use lanyard_web_view::{View, component, view};
use leptos::prelude::*;

use crate::route::Route;

/// From so many entries on there is a field to find one by its name, and only the rows in sight exist.
const MANY: usize = 60;

/// See the module.
#[component]
pub(super) fn Directory(page: Arc<FilePage>) -> impl IntoView {
    let total = page.entries.len();
    let wanted = RwSignal::new(String::new());
    let shown = {
        let page = Arc::clone(&page);
        Memo::new(move |_| {
            let wanted = wanted.with(|wanted| lower(wanted.trim()));
            let fits =
                |(_, entry): &(usize, &FileEntry)| wanted.is_empty() || lower(&entry.name).contains(&wanted);
            page.entries.iter().enumerate().filter(fits).map(|(at, _)| at).collect::<Vec<_>>()
        })
    };
    let find = (total >= MANY).then(|| {
        view! { <Field label="Find by name" value=wanted kind="search" keyboard="search" placeholder="Find by name" bare=true/> }
    });
    let end = Signal::derive(move || i64::try_from(shown.with(Vec::len)).unwrap_or(i64::MAX));
    let row = {
        let page = Arc::clone(&page);
        move |number: i64| {
            let at = usize::try_from(number).ok().and_then(|at| shown.with(|shown| shown.get(at).copied()));
            at.and_then(|at| page.entries.get(at)).map(|entry| entry_row(&page.path, entry))
        }
    };
    let label = format!("Entries of {}", shown_name(&page.path));
    // Another search has other rows under the same numbers: the list is made anew.
    let rows = move || {
        shown.track();
        view! { <VirtualList first=0 end estimate=68.0 label=label.clone() row=row.clone()/> }
    };
    let cut = page.truncated.then(|| {
        let said = format!(
            "Only the first {} entries are shown. A task can look at the others.",
            thousands(total as u64)
        );
        view! { <p class="soft">{said}</p> }
    });
    if total == 0 {
        return view! { <Empty title="This folder is empty"/> };
    }
    view! {
        {find}
        {rows}
        {move || shown.with(Vec::is_empty).then(|| view! { <Empty title="Nothing of that name here"/> })}
        {cut}
    }
}

fn entry_row(directory: &str, entry: &FileEntry) -> View {
    let icon = match entry.kind {
        FileKind::Directory => Glyph::Folder,
        FileKind::File => Glyph::File,
        FileKind::Link => Glyph::Link,
        FileKind::Other => Glyph::Warning,
    };
    let href = can_open(entry).then(|| Route::Files(Some(join(directory, &entry.name))).href());
    let changed = entry.modified.map(|at| view! { <lanyard_web_ui::Ago at/> });
    view! {
        <div class="entry">
            <Row title=shown_name(&entry.name) detail=entry_detail(entry) href=href icon>{changed}</Row>
        </div>
    }
}

/// In lower case, by the browser: its tables need not be downloaded.
fn lower(text: &str) -> String {
    js_sys::JsString::from(text).to_lower_case().into()
}
