//! The chains of audit records: proof that nothing was changed, export, and how long records are kept.

use lanyard_governance_api::audit::{
    AuditQuery, ChainVerdict, ExportFormat, PendingRetention, Retention, Verification, VerifyQuery,
};
use lanyard_governance_api::endpoint::{ExportAudit, GetRetention, SetRetention, VerifyAudit};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people::Role;
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words::{count, exact, thousands};
use lanyard_web_ui::{
    Button, Card, Choice, ChoiceItem, Clock, Empty, Field, Glyph, Icon, KeyValue, Kind, Problem, Section,
    Select, Tone,
};
use lanyard_web_view::{Effect, View, component, view};
use leptos::prelude::*;

use crate::api::{self, Failed, address};
use crate::central::Central;
use crate::parts::{Copied, Sure, loaded, pill};
use crate::poll::Poll;
use crate::route::Route;
use crate::shell::Page;

/// Longest time records are kept, in days. Source: `Retention::days`.
const MAX_DAYS: u32 = 3_650;

/// Where the records that a query finds are downloaded from.
pub(super) fn export_address(format: ExportFormat, query: AuditQuery) -> String {
    let query = AuditQuery { format: Some(format), ..query };
    format!("{}{}", address::path::<ExportAudit>(&[]), address::query(&query))
}

/// Days as typed; none where that is no such number.
fn days(typed: &str) -> Option<u32> {
    typed.trim().parse().ok().filter(|days| (1..=MAX_DAYS).contains(days))
}

/// See the module.
#[component]
pub(crate) fn Chains() -> impl IntoView {
    let central = Central::take();
    view! {
        <Page title="Audit chains" back=Route::Audit(None)>
            <Verify/>
            {move || central.may(Role::Admin).then(|| view! { <Export/> })}
            <Keeping/>
        </Page>
    }
}

#[component]
fn Verify() -> impl IntoView {
    let central = Central::take();
    let busy = RwSignal::new(false);
    let found = RwSignal::new(None::<Result<Verification, Failed>>);
    let ask = move || {
        found.set(None);
        let what = async { api::get::<VerifyAudit>(&[], &VerifyQuery::default()).await };
        central.tell_or(
            busy,
            what,
            move |said| found.set(Some(Ok(said))),
            move |failed| found.set(Some(Err(failed))),
        );
    };
    let shown = move || {
        found.get().map(|found| match found {
        Ok(verification) => view! { <Verdicts verification/> },
        Err(failed) => view! { <Problem title="The chains could not be verified" meaning=failed.said code=failed.code/> },
    })
    };
    view! {
        <Section title="Proof">
            <p class="soft">"Each host and each service numbers its records, and each record carries a hash over all before it. Whoever changes, removes or slips in one breaks the chain."</p>
            <Button kind=Kind::Primary busy on_press=ask>"Verify all chains"</Button>
            <div role="status" class="stack">{shown}</div>
        </Section>
    }
}

#[component]
fn Verdicts(verification: Verification) -> impl IntoView {
    let chains = verification.chains.len() as u64;
    if chains == 0 {
        return view! { <Card><Empty title="There are no chains yet"><p>"The first begins with the first record."</p></Empty></Card> };
    }
    let bad = verification.chains.iter().filter(|chain| chain.fault.is_some()).count() as u64;
    let records: u64 = verification.chains.iter().map(|chain| chain.records).sum();
    let head = match verification.whole {
        true => view! {
            <Card tone=Tone::Good><p><strong>{format!("All {} are whole", count(chains, "chain"))}</strong>{format!(": {} looked at.", count(records, "record"))}</p></Card>
        },
        false => view! {
            <Problem
                title=format!("{bad} of {} are broken", count(chains, "chain"))
                meaning="Somebody has changed records in the database, or it was restored from a copy. Keep the database as it is, export the chain, and compare its head with the one you have anchored outside."
            />
        },
    };
    let mut list = verification.chains;
    // What is wrong first.
    list.sort_by_key(|chain| (chain.fault.is_none() && chain.conflicts == 0, chain.source.clone()));
    let list = list.into_iter().map(chain_view).collect_view();
    view! { {head} <div class="cards">{list}</div> }
}

fn chain_view(chain: ChainVerdict) -> View {
    let source = line(&chain.source, Marks::Missing).into_owned();
    let tone = if chain.fault.is_some() { (Tone::Bad, "broken") } else { (Tone::Good, "whole") };
    let fault = chain
        .fault
        .map(|fault| view! { <p class="bad-words">{line(&fault, Marks::Missing).into_owned()}</p> });
    let conflicts = (chain.conflicts > 0).then(|| {
        view! { <p class="bad-words">{format!("{} came twice with different content; the first is kept, each further one is an alert.", count(chain.conflicts, "record"))}</p> }
    });
    let range = format!("{} to {}", thousands(chain.first_seq), thousands(chain.last_seq));
    view! {
        <Card>
            <article class="stack">
                <div class="beside"><h3 class="grow chain-name">{source}</h3>{pill(tone)}</div>
                {fault}
                {conflicts}
                <KeyValue rows=vec![("Numbers kept".to_owned(), range), ("Records looked at".to_owned(), thousands(chain.records))]/>
                <p class="soft">"Head: the hash of the last record. Kept somewhere else, it proves that nothing was cut off the end."</p>
                <Copied text=chain.head what="the head"/>
            </article>
        </Card>
    }
}

#[component]
fn Export() -> impl IntoView {
    let clock = Clock::take();
    let format = RwSignal::new(ExportFormat::JsonLines);
    let back = RwSignal::new(None::<i64>);
    let formats = vec![
        ChoiceItem::new(ExportFormat::JsonLines, "JSON Lines")
            .about("One record a line, with its number and hash"),
        ChoiceItem::new(ExportFormat::CloudEvents, "CloudEvents")
            .about("One CloudEvents 1.0 object a line, for other systems"),
    ];
    let ranges = [
        (None, "Everything kept"),
        (Some(1), "The last day"),
        (Some(7), "The last week"),
        (Some(30), "The last 30 days"),
        (Some(365), "The last year"),
    ];
    let ranges = ranges.map(|(days, says)| ChoiceItem::new(days, says)).to_vec();
    let href = move || {
        let from = back.get().map(|days| clock.now_untracked().plus_millis(-days * 86_400_000));
        crate::api::key::in_address(&export_address(
            format.get(),
            AuditQuery { from, ..AuditQuery::default() },
        ))
    };
    view! {
        <Section title="Export">
            <Card>
                <div class="stack">
                    <Choice label="Form" options=formats value=format on_change=move |chosen| format.set(chosen)/>
                    <Select label="Received in" options=ranges value=back on_change=move |chosen| back.set(chosen)/>
                    <a class="button" href=href download="lanyard-audit.jsonl"><Icon name=Glyph::Download/>"Download"</a>
                </div>
            </Card>
        </Section>
    }
}

/// What is said of a shorter time that does not count yet.
fn waits(pending: &PendingRetention, clock: Clock) -> String {
    let (days, from) = (count(pending.days.into(), "day"), exact(pending.from, clock.zone()));
    format!("From {from} on they are kept for {days} only. To take that back, set more days.")
}

/// How long records are kept.
#[component]
fn Keeping() -> impl IntoView {
    let (central, clock) = (Central::take(), Clock::take());
    let kept = Poll::once(|| async { api::get::<GetRetention>(&[], &Nothing {}).await });
    let typed = RwSignal::new(String::new());
    Effect::new(move |_| {
        if let Some(retention) = kept.now.get() {
            typed.set(retention.days.to_string());
        }
    });
    let open = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let wrong = Signal::derive(move || {
        let typed = typed.get();
        (!typed.is_empty() && days(&typed).is_none())
            .then(|| format!("A number of days from 1 to {}.", thousands(MAX_DAYS.into())))
    });
    let same = Signal::derive(move || {
        // The same days again take a shorter time back that does not count yet.
        let now = kept.now.with(|now| now.filter(|now| now.pending.is_none()).map(|now| now.days));
        typed.with(|typed| days(typed).is_none() || days(typed) == now)
    });
    let act = move || {
        let Some(days) = days(&typed.get_untracked()) else { return };
        let what = async move { api::call::<SetRetention>(&[], &Nothing {}, &Retention { days }).await };
        central.tell(busy, what, move |retention| {
            open.set(false);
            kept.told(retention);
            central.say(match retention.pending {
                Some(pending) => waits(&pending, clock),
                None => format!("Records are kept for {} now.", count(retention.days.into(), "day")),
            });
        });
    };
    let title = Signal::derive(move || {
        format!("Keep records for {}?", count(days(&typed.get()).unwrap_or_default().into(), "day"))
    });
    let shown = loaded(kept, "how long records are kept", move |retention| {
        let said = count(retention.days.into(), "day");
        let pending = retention.pending.map(|pending| view! { <p>{waits(&pending, clock)}</p> });
        view! {
            <p>"Records are kept for "{said}". What is older is removed; a checkpoint stays, so that the chain is still provable."</p>
            {pending}
        }
    });
    let form = move || {
        central.may(Role::Admin).then(|| {
            view! {
                <Field label="Days" value=typed keyboard="numeric" max=4 error=wrong/>
                <Button disabled=same on_press=move || open.set(true)>"Change it"</Button>
            }
        })
    };
    view! {
        <Section title="Retention"><Card><div class="stack">{shown}{form}</div></Card></Section>
        <Sure open title meaning="Records older than that are removed, for good: a shorter time counts after some days, until which it can be taken back. Export them first if they are wanted." act="Change it" danger=true busy on_act=act/>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_protocol::Timestamp;

    #[test]
    fn exports_say_their_form_and_range() {
        assert_eq!(
            export_address(ExportFormat::JsonLines, AuditQuery::default()),
            "/audit/export?format=json_lines"
        );
        let query = AuditQuery { from: Some(Timestamp::from_millis(0)), ..AuditQuery::default() };
        let since = export_address(ExportFormat::CloudEvents, query);
        assert!(since.contains("format=cloud_events") && since.contains("from=1970-01-01"), "{since}");
    }

    #[test]
    fn days_are_in_bounds() {
        assert_eq!(days(" 365"), Some(365));
        for typed in ["", "0", "3651", "-1", "ten"] {
            assert_eq!(days(typed), None, "{typed}");
        }
    }
}
