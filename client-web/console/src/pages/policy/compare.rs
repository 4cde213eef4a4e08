//! Two versions of the policy, and what differs.

use std::sync::Arc;

use lanyard_governance_api::endpoint::{GetPolicyVersion, ListPolicies};
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_web_state::diff;
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_ui::{ChoiceItem, DiffView, Empty, Select};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use super::{json, textdiff};
use crate::api;
use crate::parts::loaded;
use crate::poll::Poll;
use crate::route::{Route, Routes};
use crate::shell::Page;

/// See the module.
#[component]
pub(crate) fn Compare(
    /// The older one.
    from: Option<u64>,
    /// The newer one.
    to: Option<u64>,
) -> impl IntoView {
    let routes = Routes::take();
    let versions = Poll::once(|| async {
        api::get::<ListPolicies>(&[], &PageQuery { limit: Some(500), next_token: None }).await
    });
    let options = Signal::derive(move || {
        let known = versions.now.get().map(|page| page.items).unwrap_or_default();
        let one = |version: &lanyard_governance_api::policy::PolicyVersionSummary| {
            let force = if version.active { ", in force" } else { "" };
            let comment = line(&version.comment, Marks::Missing).into_owned();
            ChoiceItem::new(Some(version.version), format!("{}{force}: {comment}", version.version))
        };
        let none = ChoiceItem::new(None, "Choose a version");
        std::iter::once(none).chain(known.iter().map(one)).collect::<Vec<_>>()
    });
    let both = Poll::once(move || async move {
        let (Some(from), Some(to)) = (from, to) else { return Ok(None) };
        let old = api::get::<GetPolicyVersion>(&[&from.to_string()], &Nothing {}).await?;
        let new = api::get::<GetPolicyVersion>(&[&to.to_string()], &Nothing {}).await?;
        Ok(Some((old, new)))
    });
    let shown = loaded(both, "both versions", |both| {
        let Some((old, new)) = both else {
            return view! { <Empty title="Choose two versions"><p>"What differs between them is shown line by line."</p></Empty> };
        };
        let text = |document| json::pretty(&serde_json::to_value(document).unwrap_or_default());
        let names = (format!("version {}", old.version), format!("version {}", new.version));
        let diff = textdiff::unified(&text(&old.document), &text(&new.document), &names.0, &names.1);
        if diff.is_empty() {
            return view! { <Empty title="Nothing differs"><p>"Both say the same."</p></Empty> };
        }
        let parsed = Arc::new(diff::parse(&diff, Marks::Missing));
        let label = format!("From {} to {}", names.0, names.1);
        view! { <DiffView diff=Signal::stored(parsed) label/> }
    });
    view! {
        <Page title="Compare versions" back=Route::Policy>
            <div class="filters">
                <Select label="From" options value=from on_change=move |chosen| routes.go(&Route::PolicyCompare(chosen, to))/>
                <Select label="To" options value=to on_change=move |chosen| routes.go(&Route::PolicyCompare(from, chosen))/>
            </div>
            {shown}
        </Page>
    }
}
