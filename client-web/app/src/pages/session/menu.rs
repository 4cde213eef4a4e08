//! What else can be done with a session: look at its changes, end it, delete it. Both ends ask once more.

use lanyard_protocol::method::{CancelTask, DeleteSession, EndSession};
use lanyard_protocol::principal::Scope;
use lanyard_web_state::timeline::Activity;
use lanyard_web_ui::timeline::Look;
use lanyard_web_ui::{Button, Glyph, Kind, Row, Sheet};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use super::feed::Feed;
use crate::route::{Route, Routes};
use crate::store::Store;

/// What is asked once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sure {
    No,
    End,
    Delete,
}

/// See the module.
#[component]
pub(super) fn Menu(open: RwSignal<bool>, changes: RwSignal<Option<Look>>) -> impl IntoView {
    let sure = RwSignal::new(Sure::No);
    let close = move || {
        open.set(false);
        sure.set(Sure::No);
    };
    let title = Signal::derive(move || match sure.get() {
        Sure::No => "Session".to_owned(),
        Sure::End => "End this session?".to_owned(),
        Sure::Delete => "Delete this session?".to_owned(),
    });
    view! {
        <Sheet open title on_close=close>
            {move || match sure.get() {
                Sure::No => view! { <Things open changes sure/> },
                sure_of => view! { <Really sure_of sure open/> },
            }}
        </Sheet>
    }
}

#[component]
fn Things(open: RwSignal<bool>, changes: RwSignal<Option<Look>>, sure: RwSignal<Sure>) -> impl IntoView {
    let store = Store::take();
    let feed = Feed::take();
    let may = move || store.holds(Scope::Operate);
    let look = feed.last_task().map(|task| {
        let press = move || {
            open.set(false);
            changes.set(Some(Look { task: task.clone(), path: None }));
        };
        view! { <Row title="Changes of the last task" detail="Every file, before and after" icon=Glyph::Files on_press=Callback::new(move |()| press())/> }
    });
    // Also here: while something is asked, the question lies over the button below the timeline.
    let busy = RwSignal::new(false);
    let cancel = move || {
        let task = feed.course.with(|course| course.task().cloned()).filter(|_| may());
        task.map(|task| {
            let press = move || {
                let call = CancelTask { session_id: feed.id(), task_id: task.clone(), command_id: None };
                store.tell(busy, call, move |_| open.set(false));
            };
            view! { <Row title="Cancel the task" detail="What it has changed stays, and the next one can be given" icon=Glyph::Stop on_press=Callback::new(move |()| press())/> }
        })
    };
    let over = move || feed.activity.get() == Activity::Over;
    let end = move || {
        (may() && !over()).then(|| {
            view! { <Row title="End the session" detail="It takes no further task; its history stays" icon=Glyph::Stop on_press=Callback::new(move |()| sure.set(Sure::End))/> }
        })
    };
    let delete = move || {
        may().then(|| {
            view! { <Row title="Delete the session" detail="With its history and outputs" icon=Glyph::Close on_press=Callback::new(move |()| sure.set(Sure::Delete))/> }
        })
    };
    let only_looks = move || {
        (!may()).then(|| view! { <p class="soft">"This device may look at sessions, not change them."</p> })
    };
    view! { <div class="stack">{cancel}{look}{end}{delete}{only_looks}</div> }
}

#[component]
fn Really(sure_of: Sure, sure: RwSignal<Sure>, open: RwSignal<bool>) -> impl IntoView {
    let store = Store::take();
    let feed = Feed::take();
    let routes = Routes::take();
    let busy = RwSignal::new(false);
    let runs = move || feed.course.with(|course| course.task().is_some());
    let what = move || match (sure_of, runs()) {
        (Sure::Delete, true) => {
            "The task under way is cancelled. What it has changed in files stays; its history and outputs are gone for good."
        }
        (Sure::Delete, false) => {
            "Its history and outputs are gone for good. What it has changed in files stays."
        }
        (_, true) => "The task under way is cancelled. The history stays, and can be deleted later.",
        (_, false) => "It takes no further task. The history stays, and can be deleted later.",
    };
    let press = move || match sure_of {
        Sure::Delete => {
            let call = DeleteSession { session_id: feed.id(), command_id: None };
            store.tell(busy, call, move |_| routes.replace(&Route::Sessions));
        }
        _ => {
            let call = EndSession { session_id: feed.id(), command_id: None };
            store.tell(busy, call, move |_| {
                open.set(false);
                sure.set(Sure::No);
            });
        }
    };
    let label = if sure_of == Sure::Delete { "Delete" } else { "End" };
    view! {
        <p>{what}</p>
        <div class="buttons">
            <Button on_press=move || sure.set(Sure::No)>"Keep it"</Button>
            <Button kind=Kind::Danger busy on_press=press>{label}</Button>
        </div>
    }
}
