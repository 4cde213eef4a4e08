//! The thread of a session as it was stored after its last task: what there is where the tenant does not want the live
//! timeline.

use lanyard_governance_api::artifact::SessionHistory;
use lanyard_governance_api::endpoint::GetSessionHistory;
use lanyard_governance_api::page::Nothing;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{SessionId, WorkspaceId};
use lanyard_protocol::message::{ConversationMessage, Role};
use lanyard_web_state::markdown::Document;
use lanyard_web_state::visible::{Marks, block, line};
use lanyard_web_state::words::count;
use lanyard_web_ui::{Button, Card, Empty, Fold, Prose};
use lanyard_web_view::{View, component, view};
use leptos::prelude::*;

use crate::api::{self, Failed};
use crate::poll::Poll;

/// Messages shown, the last ones first made; "Show more" brings as many again. Each is some tens of elements.
const SHOWN: usize = 100;

/// See the module.
#[component]
pub(super) fn History(
    workspace: WorkspaceId,
    session: SessionId,
    /// When the last task ended: then another one is stored.
    #[prop(into)]
    ended: Signal<Option<Timestamp>>,
) -> impl IntoView {
    let history = Poll::once(move || {
        ended.track();
        let (workspace, session) = (workspace.clone(), session.clone());
        async move {
            match api::get::<GetSessionHistory>(&[workspace.as_str(), session.as_str()], &Nothing {}).await {
                Ok(history) => Ok(Some(history)),
                Err(failed) if failed.is_gone() => Ok(None),
                Err(failed) => Err::<Option<SessionHistory>, Failed>(failed),
            }
        }
    });
    crate::parts::loaded(history, "the history", |history| match history {
        Some(history) if !history.messages.is_empty() => view! { <Thread messages=history.messages/> },
        _ => view! {
            <Card>
                <Empty title="Nothing of it is here yet">
                    <p>"The thread is stored here after each task. The live timeline is sent only where the policy wants it."</p>
                </Empty>
            </Card>
        },
    })
}

#[component]
fn Thread(messages: Vec<ConversationMessage>) -> impl IntoView {
    let total = messages.len();
    let shown = RwSignal::new(SHOWN);
    let messages = StoredValue::new(messages);
    let earlier = move || {
        let hidden = total.saturating_sub(shown.get());
        (hidden > 0).then(|| {
            view! {
                <Button on_press=move || shown.update(|shown| *shown += SHOWN)>
                    {count(hidden as u64, "earlier message")}
                </Button>
            }
        })
    };
    let list = move || {
        let from = total.saturating_sub(shown.get());
        messages.with_value(|messages| messages.iter().skip(from).map(message).collect_view())
    };
    view! {
        <h2 class="unseen">"History"</h2>
        <p class="soft">"As it was stored after the last task."</p>
        {earlier}
        <div class="timeline">{list}</div>
    }
}

fn message(message: &ConversationMessage) -> View {
    let text = || block(&message.content, Marks::Missing).into_owned();
    match message.role {
        Role::User => view! {
            <article class="prompt">
                <h3 class="unseen">"Task"</h3>
                <div class="bubble"><p class="bubble-text" dir="auto">{text()}</p></div>
            </article>
        },
        Role::Assistant => {
            let prose = Document::whole(&message.content);
            let calls = message.tool_calls.iter().map(|call| {
                let arguments = block(&call.arguments.0.to_string(), Marks::Missing).into_owned();
                view! {
                    <p class="row-aside">"Asked for " <code class="mono">{line(&call.tool_name, Marks::Missing).into_owned()}</code></p>
                    <Fold text=arguments lines=4/>
                }
            });
            view! {
                <article class="answer">
                    <Prose text=prose/>
                    {calls.collect_view()}
                </article>
            }
        }
        Role::Tool => view! {
            <article class="call" data-state="done">
                <span class="call-rail" aria-hidden="true"><i class="knob"></i></span>
                <div class="call-body"><h3 class="call-title">"Result"</h3><Fold text=text()/></div>
            </article>
        },
        Role::System => view! { <p class="note">"Instructions of the host"</p> },
    }
}
