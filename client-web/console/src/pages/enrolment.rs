//! Enrolment tokens: made, shown once with the command that uses them, listed.

use lanyard_governance_api::endpoint::{
    CreateEnrolmentToken, ListEnrolmentTokens, ListPeople, RevokeEnrolmentToken,
};
use lanyard_governance_api::enrolment::{EnrolmentToken, IssuedEnrolmentToken, NewEnrolmentToken};
use lanyard_governance_api::id::UserId;
use lanyard_governance_api::limits::ENROLMENT_TOKEN_SECONDS;
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_governance_api::people::Role;
use lanyard_protocol::Timestamp;
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words::{clock as hour, count};
use lanyard_web_ui::{
    Button, Card, ChoiceItem, Clock, Empty, Field, Kind, Problem, Row, Section, Select, Sheet, Tone,
};
use lanyard_web_view::{View, component, view};
use leptos::prelude::*;

use crate::api;
use crate::central::Central;
use crate::listing::Listing;
use crate::parts::{Copied, Sure, opened_by, pill};
use crate::poll::Poll;
use crate::route::Route;
use crate::shell::Page;
use crate::words;

/// Lifetimes offered, in seconds.
const LIFETIMES: [u32; 4] = [3_600, ENROLMENT_TOKEN_SECONDS, 7 * 86_400, 30 * 86_400];

/// Most hosts with one token. Source: `NewEnrolmentToken::max_uses`.
const MAX_USES: u32 = 1_000;

/// What a token is good for now.
fn standing(token: &EnrolmentToken, now: Timestamp) -> (Tone, &'static str) {
    if token.revoked_at.is_some() {
        (Tone::Bad, "revoked")
    } else if token.void.is_some() {
        (Tone::Bad, "not accepted")
    } else if token.uses >= token.max_uses {
        (Tone::Plain, "used up")
    } else if token.expires_at <= now {
        (Tone::Plain, "expired")
    } else {
        (Tone::Good, "good")
    }
}

/// How often a token may be used, as typed; none where that is no such number.
fn uses(typed: &str) -> Option<u32> {
    typed.trim().parse().ok().filter(|uses| (1..=MAX_USES).contains(uses))
}

/// What is typed on the machine that enrols. The address is the one under which this page was reached.
/// The token is no part of it: every user of a machine can read its command lines.
fn command(origin: &str) -> String {
    format!("lanyard enroll {origin}")
}

/// See the module.
#[component]
pub(crate) fn Enrolment() -> impl IntoView {
    let central = Central::take();
    let clock = Clock::take();
    let tokens = Listing::start(Signal::stored(()), |(), limit, next_token| async move {
        api::get::<ListEnrolmentTokens>(&[], &PageQuery { limit, next_token }).await
    });
    let chosen = RwSignal::new(None::<EnrolmentToken>);
    let none = || {
        view! {
            <Card><Empty title="No tokens">
                <p>"A token lets one machine (or as many as you say) enrol here, once, within its lifetime. It carries no rights of its own."</p>
            </Empty></Card>
        }
    };
    let row = move |token: &EnrolmentToken| token_row(token.clone(), clock, chosen);
    let list = tokens.shown("the tokens", none, |_| true, row);
    view! {
        <Page title="Enrolment tokens" back=Route::Hosts>
            {move || central.may(Role::Admin).then(|| view! { <Make tokens=move || tokens.again()/> })}
            <Section title="Tokens">{list}</Section>
            <Revoke chosen again=move || tokens.again()/>
        </Page>
    }
}

fn token_row(token: EnrolmentToken, clock: Clock, chosen: RwSignal<Option<EnrolmentToken>>) -> View {
    let central = Central::take();
    let now = clock.now_untracked();
    let (tone, word) = standing(&token, now);
    let note = token.note.as_deref().filter(|note| !note.is_empty());
    let title = line(note.unwrap_or(&token.class), Marks::Missing).into_owned();
    let used = format!("used {} of {}", token.uses, count(token.max_uses.into(), "time"));
    let until = format!("until {}", hour(token.expires_at, now, clock.zone()));
    let void = token.void.as_ref().map(|why| format!(" · {why}")).unwrap_or_default();
    let detail = line(&format!("{} · {used} · {until}{void}", token.class), Marks::Missing).into_owned();
    let can = word == "good" && central.may(Role::Admin);
    let label = format!("Revoke the token {title}");
    view! {
        <Row title detail wrap=true>
            {pill((tone, word))}
            {can.then(|| view! {
                <Button kind=Kind::Quiet label=label on_press=move || chosen.set(Some(token.clone()))>"Revoke"</Button>
            })}
        </Row>
    }
}

#[component]
fn Revoke(chosen: RwSignal<Option<EnrolmentToken>>, #[prop(into)] again: Callback<()>) -> impl IntoView {
    let central = Central::take();
    let open = opened_by(chosen);
    let busy = RwSignal::new(false);
    let act = move || {
        let Some(token) = chosen.get_untracked() else { return };
        let what = async move {
            api::call::<RevokeEnrolmentToken>(&[token.token_id.as_str()], &Nothing {}, &Nothing {}).await
        };
        central.tell(busy, what, move |_| {
            open.set(false);
            central.say("The token is revoked.");
            again.run(());
        });
    };
    let meaning = "No further machine can enrol with it. Hosts that have used it already are not affected.";
    view! { <Sure open title="Revoke this token?" meaning act="Revoke it" danger=true busy on_act=act/> }
}

/// The form.
#[component]
fn Make(#[prop(into)] tokens: Callback<()>) -> impl IntoView {
    let central = Central::take();
    let (class, note, many) =
        (RwSignal::new("laptop".to_owned()), RwSignal::new(String::new()), RwSignal::new("1".to_owned()));
    let owner = RwSignal::new(None::<UserId>);
    let lifetime = RwSignal::new(ENROLMENT_TOKEN_SECONDS);
    let busy = RwSignal::new(false);
    let made = RwSignal::new(None::<IssuedEnrolmentToken>);
    let people = Poll::once(|| async {
        api::get::<ListPeople>(&[], &PageQuery { limit: Some(500), next_token: None }).await
    });
    let owners = Signal::derive(move || {
        let me = ChoiceItem::new(None, "me");
        let known = people.now.get().map(|page| page.items).unwrap_or_default();
        let others = known.into_iter().map(|person| ChoiceItem::new(Some(person.user_id), person.name));
        std::iter::once(me).chain(others).collect::<Vec<_>>()
    });
    let lifetimes =
        LIFETIMES.map(|seconds| ChoiceItem::new(seconds, words::seconds(seconds.into()))).to_vec();
    let wrong_uses = Signal::derive(move || {
        many.with(|many| uses(many).is_none()).then(|| format!("A number from 1 to {MAX_USES}."))
    });
    let no_class = Signal::derive(move || class.with(|class| class.trim().is_empty()));
    let wrong = Signal::derive(move || wrong_uses.get().is_some() || no_class.get());
    let press = move || {
        let body = NewEnrolmentToken {
            user_id: owner.get_untracked(),
            class: class.get_untracked().trim().to_owned(),
            note: Some(note.get_untracked().trim().to_owned()).filter(|note| !note.is_empty()),
            expires_in_seconds: Some(lifetime.get_untracked()),
            max_uses: uses(&many.get_untracked()),
        };
        let what = async move { api::call::<CreateEnrolmentToken>(&[], &Nothing {}, &body).await };
        central.tell(busy, what, move |issued| {
            made.set(Some(issued));
            note.set(String::new());
            tokens.run(());
        });
    };
    view! {
        <Section title="New token">
            <Card>
                <div class="form-grid">
                    <Field label="Class of machine" value=class max=100 hint="For policy and people: laptop, server, build."/>
                    <Field label="What it is for" value=note max=200 placeholder="Ada's new laptop"/>
                    <Select label="Whose host" options=owners value=owner on_change=move |chosen| owner.set(chosen)/>
                    <Select label="Good for" options=lifetimes value=lifetime on_change=move |chosen| lifetime.set(chosen)/>
                    <Field label="How many hosts" value=many keyboard="numeric" max=4 error=wrong_uses/>
                </div>
                <div class="form-end">
                    <Button kind=Kind::Primary busy disabled=wrong on_press=press>"Make a token"</Button>
                </div>
            </Card>
        </Section>
        <Sheet open=Signal::derive(move || made.with(Option::is_some)) title="Enrol the host" on_close=move || made.set(None)>
            {move || made.get().map(|issued| view! { <Shown issued/> })}
        </Sheet>
    }
}

/// The token, once.
#[component]
fn Shown(issued: IssuedEnrolmentToken) -> impl IntoView {
    let clock = Clock::take();
    let origin = location().origin().unwrap_or_default();
    let until = hour(issued.record.expires_at, clock.now_untracked(), clock.zone());
    let hosts = count(issued.record.max_uses.into(), "host");
    view! {
        <p>"Run this on the machine, as the user whose host it is:"</p>
        <Copied text=command(&origin) what="the command"/>
        <p>"It asks for this token (or takes it from LANYARD_ENROLL_TOKEN), and whether the machine takes jobs and answers from here:"</p>
        <Copied text=issued.token what="the token"/>
        <p class="soft">{format!("Good for {hosts}, until {until}.")}</p>
        <Problem
            waits=true
            title="It is not shown again"
            meaning="Central keeps only a hash of it. If it is lost, revoke it and make another one."
        />
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_governance_api::id::EnrolmentTokenId;

    #[test]
    fn a_token_is_good_until_it_is_used_up_late_or_revoked() {
        let at = Timestamp::from_millis;
        let token = EnrolmentToken {
            token_id: EnrolmentTokenId::new("t-1").unwrap(),
            user_id: UserId::new("u-1").unwrap(),
            class: "laptop".to_owned(),
            note: None,
            uses: 0,
            max_uses: 1,
            created_by: UserId::new("u-1").unwrap(),
            created_at: at(0),
            expires_at: at(1_000),
            revoked_at: None,
            void: None,
        };
        assert_eq!(standing(&token, at(999)).1, "good");
        assert_eq!(standing(&token, at(1_000)).1, "expired");
        assert_eq!(standing(&EnrolmentToken { uses: 1, ..token.clone() }, at(0)).1, "used up");
        assert_eq!(standing(&EnrolmentToken { revoked_at: Some(at(5)), ..token }, at(0)).1, "revoked");
    }

    #[test]
    fn uses_are_a_number_in_bounds() {
        assert_eq!(uses(" 12 "), Some(12));
        for typed in ["", "0", "1001", "-1", "x", "99999999999999999999"] {
            assert_eq!(uses(typed), None, "{typed}");
        }
        assert_eq!(command("https://central.example:8787"), "lanyard enroll https://central.example:8787");
    }
}
