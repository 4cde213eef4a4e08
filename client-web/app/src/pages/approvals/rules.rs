//! Remembered answers: what is not asked about any more, and how to take that back.

use lanyard_protocol::approval::RememberedRule;
use lanyard_protocol::method::{ListRules, RevokeRule};
use lanyard_protocol::policy::Remember;
use lanyard_protocol::principal::Scope;
use lanyard_web_state::approvals::words::{Names, remembered};
use lanyard_web_state::visible::{self, Marks};
use lanyard_web_state::words::sentence;
use lanyard_web_ui::{Ago, Button, Card, Empty, Kind, Problem, Sheet, Waiting};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use super::asking::me_now;
use crate::store::{Failed, Store};

/// The sheet with all of them.
#[component]
pub(super) fn Rules(
    /// Whether it is there.
    open: RwSignal<bool>,
) -> impl IntoView {
    view! {
        <Sheet open title="Remembered answers" on_close=move || open.set(false)>
            <List/>
        </Sheet>
    }
}

#[component]
fn List() -> impl IntoView {
    let store = Store::take();
    let rules = RwSignal::new(None::<Result<Vec<RememberedRule>, Failed>>);
    let load = move || store.ask(ListRules {}, move |answer| rules.set(Some(answer.map(|page| page.rules))));
    load();
    move || match rules.get() {
        None => view! { <Waiting what="Asking the host"/> },
        Some(Err(failed)) => {
            let code = failed.code_text();
            view! {
                <Problem title="The remembered answers could not be fetched" meaning=failed.said code=code>
                    <Button on_press=load>"Try again"</Button>
                </Problem>
            }
        }
        Some(Ok(rules)) if rules.is_empty() => view! {
            <Empty title="Nothing is remembered">
                <p>"When you approve something and choose to stop asking for it, it is listed here."</p>
            </Empty>
        },
        Some(Ok(rules)) => {
            let rows = rules.into_iter().map(|rule| view! { <Rule rule on_gone=load/> });
            view! { <div class="stack">{rows.collect_view()}</div> }
        }
    }
}

#[component]
fn Rule(rule: RememberedRule, #[prop(into)] on_gone: Callback<()>) -> impl IntoView {
    let store = Store::take();
    let busy = RwSignal::new(false);
    let scope = visible::line(&rule.scope_text, Marks::Written).into_owned();
    let by = me_now(store).map(Names::new).map(|names| names.who(&rule.created_by)).unwrap_or_default();
    let holds = match rule.remember {
        Remember::Always => "On this machine, until it is revoked".to_owned(),
        other => sentence(remembered(other)),
    };
    let rule_id = rule.rule_id;
    let forget = move || store.tell(busy, RevokeRule { rule_id: rule_id.clone() }, move |_| on_gone.run(()));
    let may = Memo::new(move |_| store.holds(Scope::Approve));
    let button = move || {
        let forget = forget.clone();
        may.get().then(|| view! { <Button kind=Kind::Danger busy on_press=forget>"Ask again"</Button> })
    };
    view! {
        <Card>
            <div class="stack">
                <p class="rule-scope">{scope}</p>
                <p class="soft">{holds}" · by "{by}", "<Ago at=rule.created_at/></p>
                {button}
            </div>
        </Card>
    }
}
