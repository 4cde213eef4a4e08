//! People of the tenant and their roles; tenants, for who runs the installation.

use lanyard_governance_api::endpoint::{
    ChangePerson, CreateSignInLink, CreateTenant, InvitePerson, ListPeople, ListTenants, RemovePerson,
};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_governance_api::people::{self, Invited, NewTenant, Person, Role};
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_ui::{
    Ago, Button, Card, Choice, ChoiceItem, Empty, Field, Glyph, Kind, LinkRow, Problem, Row, Section, Sheet,
    Tone,
};
use lanyard_web_view::{Effect, View, component, view};
use leptos::prelude::*;

use crate::api;
use crate::api::address::encoded;
use crate::central::Central;
use crate::listing::Listing;
use crate::parts::{Copied, Sure, pill};
use crate::route::Route;
use crate::shell::Page;
use crate::words;

/// The sign-in link of somebody who was invited.
fn link(origin: &str, token: &str) -> String {
    format!("{origin}/console/#/sign-in/{}", encoded(token))
}

/// Roles to choose from.
fn roles() -> Vec<ChoiceItem<Role>> {
    [Role::Viewer, Role::Approver, Role::Admin]
        .map(|role| {
            let (name, may) = words::role(role);
            ChoiceItem::new(role, name).about(may)
        })
        .to_vec()
}

/// See the module.
#[component]
pub(crate) fn People() -> impl IntoView {
    let central = Central::take();
    let people = Listing::start(Signal::stored(()), |(), limit, next_token| async move {
        api::get::<ListPeople>(&[], &PageQuery { limit, next_token }).await
    });
    let chosen = RwSignal::new(None::<Person>);
    let none = || {
        view! { <Card><Empty title="Nobody yet"><p>"Invite the first person."</p></Empty></Card> }
    };
    let row = move |person: &Person| person_row(person.clone(), chosen);
    let list = people.shown("the people", none, |_| true, row);
    view! {
        <Page title="People">
            {move || central.is_operator().then(|| view! {
                <LinkRow title="Tenants" detail="You run this installation" href=Route::Tenants.href() icon=Glyph::Folder/>
            })}
            <Section title="Who may use this console">{list}</Section>
            {move || central.may(Role::Admin).then(|| view! { <Invite again=move || people.again()/> })}
            <Change chosen again=move || people.again()/>
        </Page>
    }
}

fn person_row(person: Person, chosen: RwSignal<Option<Person>>) -> View {
    let central = Central::take();
    let name = line(&person.name, Marks::Missing).into_owned();
    let own = central.me().is_some_and(|me| me.user_id == person.user_id);
    let mail = person.email.clone().unwrap_or_else(|| "no address".to_owned());
    let joined = if person.joined { "" } else { " · has not signed in yet" };
    let detail = line(&format!("{mail}{joined}"), Marks::Missing).into_owned();
    let role = words::role(person.role).0;
    let seen = person.last_seen_at.map(|at| view! { <span class="small"><Ago at/></span> });
    let label = format!("Change {name}");
    let can = central.may(Role::Admin);
    view! {
        <Row title=if own { format!("{name} (you)") } else { name } detail wrap=true icon=Glyph::People>
            {seen}
            {pill((Tone::Plain, role))}
            {can.then(|| view! { <Button kind=Kind::Quiet label=label on_press=move || chosen.set(Some(person.clone()))>"Change"</Button> })}
        </Row>
    }
}

#[component]
fn Invite(#[prop(into)] again: Callback<()>) -> impl IntoView {
    let central = Central::take();
    let (name, mail) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let role = RwSignal::new(Role::Viewer);
    let busy = RwSignal::new(false);
    let invited = RwSignal::new(None::<Invited>);
    let press = move || {
        let body = people::InvitePerson {
            name: name.get_untracked().trim().to_owned(),
            email: Some(mail.get_untracked().trim().to_owned()).filter(|mail| !mail.is_empty()),
            role: role.get_untracked(),
        };
        let what = async move { api::call::<InvitePerson>(&[], &Nothing {}, &body).await };
        central.tell(busy, what, move |answer| {
            name.set(String::new());
            mail.set(String::new());
            again.run(());
            match answer.link_token {
                Some(_) => invited.set(Some(answer)),
                None => central.say(format!("{} can sign in with the provider now.", answer.person.name)),
            }
        });
    };
    let empty = Signal::derive(move || name.with(|name| name.trim().is_empty()));
    view! {
        <Section title="Invite">
            <Card>
                <div class="stack">
                    <Field label="Name" value=name max=200/>
                    <Field label="E-mail" value=mail max=200 keyboard="email" hint="The verified address at the sign-in provider. Empty: you get a one-time link to hand over."/>
                    <Choice label="Role" options=roles() value=role on_change=move |chosen| role.set(chosen)/>
                    <Button kind=Kind::Primary busy disabled=empty on_press=press>"Invite"</Button>
                </div>
            </Card>
        </Section>
        <Handed invited/>
    }
}

/// A link that was made, to be handed over.
#[component]
fn Handed(invited: RwSignal<Option<Invited>>) -> impl IntoView {
    let shown = move || {
        invited.get().map(|answer| {
            let origin = location().origin().unwrap_or_default();
            let token = answer.link_token.unwrap_or_default();
            view! {
                <p>"Hand this link to "{line(&answer.person.name, Marks::Missing).into_owned()}", in a way that nobody else reads:"</p>
                <Copied text=link(&origin, &token) what="the link"/>
                <Problem waits=true title="It is not shown again" meaning="It signs in whoever opens it first, once, within a day. If it got into the wrong hands before it was used, make another; after that, remove the person."/>
            }
        })
    };
    view! {
        <Sheet open=Signal::derive(move || invited.with(Option::is_some)) title="One-time link" on_close=move || invited.set(None)>{shown}</Sheet>
    }
}

/// Another role, or none at all.
#[component]
fn Change(chosen: RwSignal<Option<Person>>, #[prop(into)] again: Callback<()>) -> impl IntoView {
    let central = Central::take();
    let role = RwSignal::new(Role::Viewer);
    let (busy, removing, remove_busy) = (RwSignal::new(false), RwSignal::new(false), RwSignal::new(false));
    let last = RwSignal::new(None::<Person>);
    Effect::new(move |_| {
        if let Some(person) = chosen.get() {
            role.set(person.role);
            last.set(Some(person));
        }
    });
    let title = Signal::derive(move || {
        last.with(|last| last.as_ref().map(|person| line(&person.name, Marks::Missing).into_owned()))
            .unwrap_or_default()
    });
    let same = Signal::derive(move || {
        last.with(|last| last.as_ref().is_some_and(|person| person.role == role.get()))
    });
    let save = move || {
        let Some(person) = last.get_untracked() else { return };
        let body = people::ChangePerson { role: role.get_untracked() };
        let what =
            async move { api::call::<ChangePerson>(&[person.user_id.as_str()], &Nothing {}, &body).await };
        central.tell(busy, what, move |person| {
            chosen.set(None);
            central.say(format!("{} is {} now.", person.name, words::role(person.role).0.to_lowercase()));
            again.run(());
        });
    };
    let remove = move || {
        let Some(person) = last.get_untracked() else { return };
        let what = async move {
            api::call::<RemovePerson>(&[person.user_id.as_str()], &Nothing {}, &Nothing {}).await
        };
        central.tell(remove_busy, what, move |_| {
            removing.set(false);
            central.say("Removed. Their sign-ins have ended.");
            again.run(());
        });
    };
    let begin_remove = move || {
        chosen.set(None);
        removing.set(true);
    };
    let (handed, link_busy) = (RwSignal::new(None::<Invited>), RwSignal::new(false));
    let make_link = move || {
        let Some(person) = last.get_untracked() else { return };
        let what = async move {
            api::call::<CreateSignInLink>(&[person.user_id.as_str()], &Nothing {}, &Nothing {}).await
        };
        central.tell(link_busy, what, move |answer| {
            chosen.set(None);
            handed.set(Some(answer));
        });
    };
    let by_link = move || last.with(|last| last.as_ref().is_some_and(|person| person.by_link));
    view! {
        <Sheet open=Signal::derive(move || chosen.with(Option::is_some)) title on_close=move || chosen.set(None)>
            <Choice label="Role" options=roles() value=role on_change=move |chosen| role.set(chosen)/>
            <div class="buttons">
                <Button kind=Kind::Danger on_press=begin_remove>"Remove from the tenant"</Button>
                {move || by_link().then(|| view! { <Button busy=link_busy on_press=make_link>"New sign-in link"</Button> })}
                <Button kind=Kind::Primary busy disabled=same on_press=save>"Save the role"</Button>
            </div>
        </Sheet>
        <Handed invited=handed/>
        <Sure
            open=removing
            title=Signal::derive(move || format!("Remove {}?", title.get()))
            meaning="Their sign-ins end at once. What they have done stays in the records. Their hosts stay enrolled; revoke those separately."
            act="Remove"
            danger=true
            busy=remove_busy
            on_act=remove
        />
    }
}

/// An id as typed; an error where it is none.
fn tenant_id(typed: &str) -> Result<Option<TenantId>, &'static str> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(None);
    }
    let plain = typed.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    match TenantId::new(typed) {
        Ok(id) if plain => Ok(Some(id)),
        _ => Err("Lower-case letters, digits and - only."),
    }
}

/// Tenants of the installation.
#[component]
pub(crate) fn Tenants() -> impl IntoView {
    let central = Central::take();
    let body = move || match central.is_operator() {
        true => view! { <TenantList/> },
        false => {
            view! { <p class="soft">"Tenants are made by whoever runs this installation."</p> }
        }
    };
    view! { <Page title="Tenants" back=Route::People>{body}</Page> }
}

#[component]
fn TenantList() -> impl IntoView {
    let central = Central::take();
    let tenants = Listing::start(Signal::stored(()), |(), limit, next_token| async move {
        api::get::<ListTenants>(&[], &PageQuery { limit, next_token }).await
    });
    let row = move |tenant: &people::TenantInfo| {
        let here = central.me().is_some_and(|me| me.tenant.tenant_id == tenant.tenant_id);
        let title = line(&tenant.name, Marks::Missing).into_owned();
        let (detail, at) = (tenant.tenant_id.to_string(), tenant.created_at);
        view! {
            <Row title detail icon=Glyph::Folder>
                <span class="small"><Ago at/></span>
                {here.then(|| pill((Tone::Run, "you work here")))}
            </Row>
        }
    };
    let list = tenants.shown("the tenants", View::none, |_| true, row);
    let (name, id) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let busy = RwSignal::new(false);
    let wrong = Signal::derive(move || id.with(|id| tenant_id(id).err().map(str::to_owned)));
    let press = move || {
        let Ok(tenant_id) = tenant_id(&id.get_untracked()) else { return };
        let body = NewTenant { tenant_id, name: name.get_untracked().trim().to_owned() };
        let what = async move { api::call::<CreateTenant>(&[], &Nothing {}, &body).await };
        central.tell(busy, what, move |tenant| {
            name.set(String::new());
            id.set(String::new());
            central.say(format!("{} is there. Change to it by your name.", tenant.name));
            tenants.again();
            // What one may change to is told with who one is.
            central.identify();
        });
    };
    let blocked = Signal::derive(move || name.with(|name| name.trim().is_empty()) || wrong.get().is_some());
    view! {
        <p class="soft">"No tenant sees anything of another. To work in another one, open your account and choose it."</p>
        {list}
        <Section title="New tenant">
            <Card>
                <div class="stack">
                    <Field label="Name" value=name max=200/>
                    <Field label="Id" value=id max=60 error=wrong hint="Empty: made from the name."/>
                    <Button kind=Kind::Primary busy disabled=blocked on_press=press>"Make it"</Button>
                </div>
            </Card>
        </Section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_sign_in_and_ids_are_plain() {
        assert_eq!(link("https://c.example", "A B"), "https://c.example/console/#/sign-in/A%20B");
        assert_eq!(crate::route::sign_in_token("#/sign-in/A%20B").as_deref(), Some("A B"));
        assert_eq!(tenant_id(" ").unwrap(), None);
        assert_eq!(tenant_id("acme-2").unwrap().unwrap().as_str(), "acme-2");
        for typed in ["Acme", "a b", "ä", "a/b"] {
            assert!(tenant_id(typed).is_err(), "{typed}");
        }
    }
}
