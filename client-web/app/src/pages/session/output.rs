//! The whole of what a call printed, fetched when it is asked for.

use std::sync::Arc;

use lanyard_protocol::event::EventBody;
use lanyard_protocol::id::ArtifactId;
use lanyard_protocol::limits::MAX_ARTIFACT_PAGE_BYTES;
use lanyard_protocol::method::{GetArtifact, GetHistory};
use lanyard_web_state::ansi::{Keep, Line, Screen};
use lanyard_web_state::timeline::{Call, Entry, Item};
use lanyard_web_state::words;
use lanyard_web_ui::timeline::Read;
use lanyard_web_ui::{Button, Kind, Problem, VirtualList, Waiting, copy, output_line};
use lanyard_web_view::{component, view};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::feed::Feed;
use crate::store::{Failed, Store};

/// Bytes of one output that a page fetches. More is looked at on the machine.
const MAX_WHOLE_BYTES: u64 = 8 << 20;

/// Lines of one output that a page keeps.
const MAX_WHOLE_LINES: usize = 200_000;

/// Where the whole is.
#[derive(Debug, Clone)]
enum Source {
    /// In an artifact.
    Artifact(ArtifactId),
    /// In the result, which is here.
    Here(Arc<str>),
    /// In the result, in the log.
    Log(u64),
}

impl Source {
    fn of(call: &Call) -> Self {
        let artifact = call.finished().and_then(|finished| finished.artifact.clone());
        match (artifact, &call.output.kept) {
            (Some(artifact), _) => Self::Artifact(artifact),
            (None, Some(kept)) => Self::Here(kept.clone()),
            (None, None) => Self::Log(call.result_seq()),
        }
    }
}

/// How far fetching is.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Fetching,
    Rests,
    Complete,
    /// More than a page takes.
    TooLong(u64),
    Failed(Failed),
}

/// The whole output of one call, while it is looked at.
#[derive(Clone, Copy)]
struct Fetch {
    store: Store,
    source: StoredValue<Source>,
    feed: Feed,
    screen: StoredValue<Screen>,
    text: StoredValue<String>,
    fetched: StoredValue<u64>,
    lines: RwSignal<Arc<[Line]>>,
    total: RwSignal<u64>,
    stage: RwSignal<Stage>,
}

impl Fetch {
    fn start(self) {
        self.stage.set(Stage::Fetching);
        spawn_local(async move {
            let Some(source) = self.source.try_get_value() else { return };
            let stage = match source {
                Source::Here(text) => Ok(self.take(&text, text.len() as u64, text.len() as u64)),
                Source::Artifact(id) => self.artifact(id).await,
                Source::Log(seq) => self.log(seq).await,
            };
            let _ = self.stage.try_set(stage.unwrap_or_else(Stage::Failed));
        });
    }

    async fn artifact(self, artifact_id: ArtifactId) -> Result<Stage, Failed> {
        let offset = self.fetched.try_get_value().unwrap_or_default();
        let page = self
            .store
            .call(GetArtifact { artifact_id, offset, length: Some(MAX_ARTIFACT_PAGE_BYTES) })
            .await?;
        Ok(self.take(&page.text, page.length.into(), page.total))
    }

    async fn log(self, seq: u64) -> Result<Stage, Failed> {
        let page = GetHistory {
            session_id: self.feed.id(),
            after_seq: Some(seq.saturating_sub(1)),
            before_seq: None,
            limit: Some(1),
            query: None,
        };
        let page = self.store.call(page).await?;
        let text = page.events.first().and_then(|event| match &event.body {
            EventBody::ToolCompleted(done) if event.seq == Some(seq) => done.result.output_text.clone(),
            _ => None,
        });
        let text = text.unwrap_or_default();
        Ok(self.take(&text, text.len() as u64, text.len() as u64))
    }

    fn take(self, text: &str, length: u64, total: u64) -> Stage {
        let fetched = self.fetched.try_update_value(|fetched| {
            *fetched += length;
            *fetched
        });
        let Some(fetched) = fetched else { return Stage::Complete };
        self.text.update_value(|whole| whole.push_str(text));
        let (lines, hidden) = self
            .screen
            .try_update_value(|screen| {
                screen.push(text);
                (screen.lines(), screen.hidden())
            })
            .unwrap_or_default();
        let _ = self.lines.try_set(lines.into());
        let _ = self.total.try_set(total);
        if hidden > 0 || (fetched >= MAX_WHOLE_BYTES && fetched < total) {
            Stage::TooLong(total)
        } else if fetched >= total || length == 0 {
            Stage::Complete
        } else {
            Stage::Rests
        }
    }
}

/// See the module.
#[component]
pub(super) fn Whole(#[prop(into)] entry: Read) -> impl IntoView {
    let source = entry.with_untracked(|entry| match entry.as_deref() {
        Some(Entry { item: Item::Call(call), .. }) => Source::of(call),
        _ => Source::Here(Arc::from("")),
    });
    let fetch = Fetch {
        store: Store::take(),
        source: StoredValue::new(source),
        feed: Feed::take(),
        screen: StoredValue::new(Screen::new(Keep::First(MAX_WHOLE_LINES))),
        text: StoredValue::new(String::new()),
        fetched: StoredValue::new(0),
        lines: RwSignal::new(Arc::from(Vec::new())),
        total: RwSignal::new(0),
        stage: RwSignal::new(Stage::Fetching),
    };
    fetch.start();
    let copied = RwSignal::new(false);
    let row = move |number: i64| {
        let line = usize::try_from(number)
            .ok()
            .and_then(|at| fetch.lines.with_untracked(|lines| lines.get(at).cloned()));
        view! { <code class="output-row">{line.as_ref().map(output_line)}</code> }
    };
    let end =
        Signal::derive(move || i64::try_from(fetch.lines.with(|lines| lines.len())).unwrap_or(i64::MAX));
    let below = move || match fetch.stage.get() {
        Stage::Fetching => view! { <Waiting what="Fetching the output"/> },
        Stage::Rests => {
            let left = fetch.total.get().saturating_sub(fetch.fetched.get_value());
            view! { <Button on_press=move || fetch.start()>"Fetch more (" {words::bytes(left)} " left)"</Button> }
        }
        Stage::TooLong(total) => {
            let where_else = fetch.source.with_value(|source| match source {
                Source::Artifact(id) => format!("lanyard artifact {id}"),
                Source::Here(_) | Source::Log(_) => {
                    format!("lanyard sessions show {} --events", fetch.feed.id())
                }
            });
            view! {
                <p class="soft">
                    "The output has " {words::bytes(total)} ", more than a page should hold. On the machine: "
                    <code class="mono">{where_else}</code>
                </p>
            }
        }
        Stage::Failed(failed) => view! {
            <Problem title="The output could not be fetched" meaning=failed.said.clone() code=failed.code_text()>
                <Button on_press=move || fetch.start()>"Try again"</Button>
            </Problem>
        },
        Stage::Complete if fetch.lines.with(|lines| lines.is_empty()) => {
            view! { <p class="soft">"It printed nothing."</p> }
        }
        Stage::Complete => view! {
            <Button kind=Kind::Quiet on_press=move || fetch.text.with_value(|text| copy(text, copied))>
                {move || if copied.get() { "Copied" } else { "Copy all of it" }}
            </Button>
        },
    };
    view! {
        <div class="output-whole" data-scroll="" tabindex="0">
            <VirtualList first=0_i64 end estimate=20.0 label="Output" row/>
        </div>
        {below}
    }
}
