//! Audit records: search, and one in full.

pub(crate) mod chains;

use lanyard_governance_api::audit::{AuditQuery, AuditRecord, ExportFormat};
use lanyard_governance_api::endpoint::SearchAudit;
use lanyard_governance_api::page::Page as Found;
use lanyard_governance_api::people::Role;
use lanyard_protocol::Timestamp;
use lanyard_protocol::envelope::Severity;
use lanyard_protocol::id::SessionId;
use lanyard_web_state::visible::{Marks, block, line};
use lanyard_web_state::words::{exact, sentence, thousands};
use lanyard_web_ui::{
    Ago, Button, Card, ChoiceItem, Clock, Code, Empty, Field, Glyph, Icon, KeyValue, Kind, LinkRow, Problem,
    Row, Select, Sheet, Tone, Waiting,
};
use lanyard_web_view::{Effect, For, View, component, view};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::api::{self, Failed};
use crate::central::Central;
use crate::parts::pill;
use crate::route::{Route, Routes};
use crate::shell::Page;
use crate::words;

/// Records of one page of a search.
const ROWS: u32 = 50;

/// Most records held; whoever wants more exports them.
const MAX_ROWS: usize = 10_000;

/// What is looked for, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Filters {
    text: String,
    event_type: String,
    user: String,
    source: String,
    severity: Option<Severity>,
    hours: Option<u32>,
    session: Option<SessionId>,
}

impl Filters {
    /// The query; `now` is what the range counts back from.
    fn query(&self, now: Timestamp) -> AuditQuery {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        AuditQuery {
            source: some(&self.source),
            session_id: self.session.clone(),
            event_type: some(&self.event_type),
            user_id: some(&self.user),
            severity: self.severity,
            from: self.hours.map(|hours| now.plus_millis(-i64::from(hours) * 3_600_000)),
            // Central looks in the lower-case text.
            text: some(&self.text).map(|text| text.to_lowercase()),
            ..AuditQuery::default()
        }
    }
}

/// A record as one line: its kind, and what its payload says of itself.
fn headline(record: &AuditRecord) -> (String, String) {
    let event = &record.event;
    let payload = event.payload.0.as_object();
    let said = ["summary", "reason", "message", "title", "comment", "toolName", "name"]
        .iter()
        .find_map(|name| payload?.get(*name)?.as_str());
    let mut parts = vec![event.user_id.clone()];
    parts.extend(said.map(str::to_owned));
    parts.push(format!("{} no. {}", record.source, record.seq));
    (
        line(&event.event_type, Marks::Missing).into_owned(),
        line(&parts.join(" · "), Marks::Missing).into_owned(),
    )
}

/// What a search has found so far.
#[derive(Debug, Clone, Copy)]
struct Search {
    central: Central,
    rows: RwSignal<Vec<AuditRecord>>,
    next: RwSignal<Option<String>>,
    asking: RwSignal<bool>,
    failed: RwSignal<Option<Failed>>,
    query: StoredValue<AuditQuery>,
    /// Answers to an earlier search are not for this one.
    number: StoredValue<u32>,
}

impl Search {
    fn begin(self, query: AuditQuery) {
        self.query.set_value(AuditQuery { limit: Some(ROWS), ..query });
        self.rows.set(Vec::new());
        self.ask(None);
    }

    fn ask(self, next_token: Option<String>) {
        let Some(query) = self.query.try_get_value() else { return };
        let number = self.number.try_update_value(|number| {
            *number = number.wrapping_add(1);
            *number
        });
        self.asking.set(true);
        self.failed.set(None);
        spawn_local(async move {
            let query = AuditQuery { next_token, ..query };
            let answer = api::get::<SearchAudit>(&[], &query).await;
            if self.number.try_get_value() != number {
                return;
            }
            self.asking.set(false);
            match answer {
                Ok(Found { items, next_token }) => {
                    self.rows.update(|rows| rows.extend(items));
                    self.next.set(next_token);
                }
                Err(failed) if failed.is_signed_out() => self.central.signed_out(),
                Err(failed) => self.failed.set(Some(failed)),
            }
        });
    }
}

/// See the module.
#[component]
pub(crate) fn Audit(
    /// Only of this session.
    session: Option<SessionId>,
) -> impl IntoView {
    let (clock, central) = (Clock::take(), Central::take());
    let search = Search {
        central,
        rows: RwSignal::new(Vec::new()),
        next: RwSignal::new(None),
        asking: RwSignal::new(false),
        failed: RwSignal::new(None),
        query: StoredValue::new(AuditQuery::default()),
        number: StoredValue::new(0),
    };
    let filters = RwSignal::new(Filters { session: session.clone(), ..Filters::default() });
    let again = move || search.begin(filters.get_untracked().query(clock.now_untracked()));
    again();
    let open = RwSignal::new(None::<AuditRecord>);
    let ids = Memo::new(move |_| {
        search
            .rows
            .with(|rows| rows.iter().map(|record| (record.source.clone(), record.seq)).collect::<Vec<_>>())
    });
    let empty = Memo::new(move |_| ids.with(Vec::is_empty));
    // Records never change, and new ones come behind those that are here: their rows stay.
    let one = move |(at, _): (usize, (String, u64))| {
        let record = search.rows.with_untracked(|rows| rows.get(at).cloned());
        record.map(|record| record_row(record, open))
    };
    let numbered = move || ids.get().into_iter().enumerate().collect::<Vec<_>>();
    let list = move || {
        (empty.get() && !search.asking.get() && search.failed.with(Option::is_none))
            .then(|| view! { <Nothing/> })
    };
    let below = move || {
        let held = search.rows.with(Vec::len);
        match (search.failed.get(), search.asking.get(), search.next.get()) {
            (Some(failed), ..) => view! {
                <Problem title="The search failed" meaning=failed.said code=failed.code>
                    <Button on_press=again>"Search again"</Button>
                </Problem>
            },
            (_, true, _) => view! { <Waiting what="Searching"/> },
            (_, _, Some(_)) if held >= MAX_ROWS => {
                view! { <p class="soft">{format!("These are the newest {}. Narrow the search down, or export.", thousands(held as u64))}</p> }
            }
            (_, _, Some(next)) => {
                view! { <Button on_press=move || search.ask(Some(next.clone()))>"Show more"</Button> }
            }
            _ => View::none(),
        }
    };
    let export = move || {
        let some = !empty.get() && central.may(Role::Admin);
        some.then(|| {
            // What was searched for, not what was typed since.
            search.rows.track();
            let query = AuditQuery { limit: None, ..search.query.get_value() };
            let href = api::key::in_address(&chains::export_address(ExportFormat::JsonLines, query));
            view! { <a class="button button-quiet" href=href download="lanyard-audit.jsonl"><Icon name=Glyph::Download/>"Export what was found"</a> }
        })
    };
    view! {
        <Page title="Audit">
            <LinkRow title="Chains" detail="Prove that nothing was changed; export; how long records are kept" href=Route::Chains.href() icon=Glyph::Shield/>
            <Filter filters session on_search=again/>
            <div role="region" aria-label="Records" class="stack" aria-live="polite">
                {list}
                <div class="rows rows-long" hidden=empty>
                    <For each=numbered key=|(_, id)| id.clone() children=one/>
                </div>
                {below}
            </div>
            {export}
            <Sheet open=Signal::derive(move || open.with(Option::is_some)) title="Record" on_close=move || open.set(None)>
                {move || open.get().map(|record| view! { <Record record/> })}
            </Sheet>
        </Page>
    }
}

#[component]
fn Nothing() -> impl IntoView {
    view! {
        <Card><Empty title="No such records">
            <p>"Every decision of policy, every approval, every tool call on enrolled hosts and everything done in this console is recorded. Search for less, or further back."</p>
        </Empty></Card>
    }
}

/// What is looked for.
#[component]
fn Filter(
    filters: RwSignal<Filters>,
    session: Option<SessionId>,
    #[prop(into)] on_search: Callback<()>,
) -> impl IntoView {
    let routes = Routes::take();
    let field = |read: fn(&mut Filters) -> &mut String| {
        let value = RwSignal::new(String::new());
        Effect::new(move |_| {
            let typed = value.get();
            filters.update(|filters| *read(filters) = typed);
        });
        value
    };
    let text = field(|filters| &mut filters.text);
    let event = field(|filters| &mut filters.event_type);
    let user = field(|filters| &mut filters.user);
    let source = field(|filters| &mut filters.source);
    let severities = [None, Some(Severity::Warning), Some(Severity::Error)].map(|least| {
        let says = least.map_or_else(
            || "Any".to_owned(),
            |least| format!("{} or worse", sentence(words::severity(least).1)),
        );
        ChoiceItem::new(least, says)
    });
    let ranges = [
        (None, "Any time"),
        (Some(1), "Last hour"),
        (Some(24), "Last day"),
        (Some(7 * 24), "Last week"),
        (Some(30 * 24), "Last 30 days"),
    ];
    let ranges = ranges.map(|(hours, says)| ChoiceItem::new(hours, says)).to_vec();
    let severity = Signal::derive(move || filters.with(|filters| filters.severity));
    let hours = Signal::derive(move || filters.with(|filters| filters.hours));
    let choose = move |change: &dyn Fn(&mut Filters)| {
        filters.update(change);
        on_search.run(());
    };
    let search = move || on_search.run(());
    let only = session.map(|session| {
        view! {
            <p class="beside">
                "Only of "<a href=Route::Session(session).href()>"one session"</a>
                <Button kind=Kind::Quiet on_press=move || routes.go(&Route::Audit(None))>"Of all sessions"</Button>
            </p>
        }
    });
    view! {
        {only}
        <div role="search" aria-label="Audit records" class="stack">
            <div class="beside beside-end">
                <div class="grow"><Field label="Text" value=text kind="search" max=200 placeholder="rm -rf" hint="Anywhere in a record's particulars." on_enter=search/></div>
                <Button kind=Kind::Primary on_press=search>"Search"</Button>
            </div>
            <div class="filters">
                <Select label="Time" options=ranges value=hours on_change=move |chosen| choose(&|filters| filters.hours = chosen)/>
                <Select label="Severity" options=severities.to_vec() value=severity on_change=move |chosen| choose(&|filters| filters.severity = chosen)/>
            </div>
            <details class="limits">
                <summary>"More to search by"</summary>
                <div class="form-grid">
                    <Field label="Kind of record" value=event max=100 placeholder="tool_completed" on_enter=search/>
                    <Field label="User" value=user max=100 on_enter=search/>
                    <Field label="Chain" value=source max=200 hint="A host's id, or service:…" on_enter=search/>
                </div>
            </details>
        </div>
    }
}

fn record_row(record: AuditRecord, open: RwSignal<Option<AuditRecord>>) -> View {
    let (title, detail) = headline(&record);
    let severity = record.event.severity;
    let at = record.received_at;
    let press = move || open.set(Some(record.clone()));
    view! {
        <Row title detail wrap=true on_press=Callback::new(move |()| press())>
            <span class="small"><Ago at/></span>
            {(severity != Severity::Info).then(|| pill(words::severity(severity)))}
        </Row>
    }
}

/// One record in full.
#[component]
fn Record(record: AuditRecord) -> impl IntoView {
    let clock = Clock::take();
    let zone = clock.zone();
    let event = record.event;
    let word = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let as_word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let component = as_word(serde_json::to_value(event.component).unwrap_or_default());
    let context = as_word(serde_json::to_value(event.bounded_context).unwrap_or_default());
    let rows = vec![
        ("Kind", event.event_type.clone()),
        ("Happened", exact(event.timestamp, zone)),
        ("Received", exact(record.received_at, zone)),
        ("Severity", words::severity(event.severity).1.to_owned()),
        ("Of", event.user_id.clone()),
        ("By", component),
        ("About", context),
        ("Workspace", event.workspace_id.to_string()),
        ("Session", event.session_id.to_string()),
        ("Task", word(event.task_id.map(|id| id.to_string()))),
        ("Step", word(event.step_id.map(|id| id.to_string()))),
        ("Call", word(event.tool_call_id.map(|id| id.to_string()))),
        ("Chain", format!("{}, no. {}", record.source, record.seq)),
        ("Hash", record.hash.clone()),
        ("Id", event.event_id.to_string()),
    ];
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(name, value)| (name.to_owned(), line(&value, Marks::Missing).into_owned()))
        .collect();
    let payload = serde_json::to_string_pretty(&event.payload).unwrap_or_default();
    let payload = block(&payload, Marks::Missing).into_owned();
    view! {
        <div>{pill((Tone::Plain, words::severity(event.severity).1))}</div>
        <KeyValue rows/>
        <h3>"Particulars"</h3>
        <Code text=payload/>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_searched_for_and_nothing_else() {
        let now = Timestamp::from_millis(10_000_000);
        assert_eq!(Filters::default().query(now), AuditQuery::default());
        let filters = Filters {
            text: " RM -rf ".to_owned(),
            user: "ada".to_owned(),
            severity: Some(Severity::Error),
            hours: Some(1),
            ..Filters::default()
        };
        let query = filters.query(now);
        assert_eq!(query.text.as_deref(), Some("rm -rf"), "central looks in the lower-case text");
        assert_eq!((query.user_id.as_deref(), query.event_type), (Some("ada"), None));
        assert_eq!(query.from, Some(Timestamp::from_millis(10_000_000 - 3_600_000)));
    }
}
