//! Who is behind the ids in records: people of the tenant by name, the owner at the machine, devices.

use lanyard_governance_api::endpoint::ListPeople;
use lanyard_governance_api::id::UserId;
use lanyard_governance_api::page::PageQuery;
use lanyard_governance_api::people::Person;
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::principal::CENTRE_PEOPLE;
use lanyard_web_state::approvals::words::Names;
use lanyard_web_state::visible::{Marks, line};
use leptos::prelude::*;

use crate::api;
use crate::central::Central;
use crate::poll::Poll;

/// What hosts call somebody who answered from here.
fn id(user: &UserId) -> String {
    format!("{CENTRE_PEOPLE}{user}")
}

fn named(me: &UserId, people: &[Person]) -> Option<Names> {
    let mut names = Names::new(PrincipalId::new(id(me)).ok()?);
    for person in people {
        names.add(id(&person.user_id), &person.name);
    }
    Some(names)
}

/// The name of a person; of somebody who is no longer here, the id.
fn person(people: &[Person], user: &UserId) -> String {
    let known = people.iter().find(|person| person.user_id == *user);
    known.map_or_else(|| user.to_string(), |person| line(&person.name, Marks::Missing).into_owned())
}

/// Who is who, as far as it is known. `Copy`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who {
    /// Those whom hosts name.
    pub(crate) names: Signal<Option<Names>>,
    people: Signal<Vec<Person>>,
}

impl Who {
    /// Asks, once for everything below the current owner.
    pub(crate) fn provide() -> Self {
        let central = Central::take();
        let asked = Poll::once(|| async {
            api::get::<ListPeople>(&[], &PageQuery { limit: Some(500), next_token: None }).await
        });
        let people = Signal::derive(move || {
            asked.now.with(|page| page.as_ref().map(|page| page.items.clone()).unwrap_or_default())
        });
        let names = Signal::derive(move || {
            let me = central.me()?;
            people.with(|people| named(&me.user_id, people))
        });
        let who = Self { names, people };
        provide_context(who);
        who
    }

    /// The one provided above; where there is none, nobody is known.
    pub(crate) fn take() -> Self {
        let nobody = || Self { names: Signal::stored(None), people: Signal::stored(Vec::new()) };
        use_context().unwrap_or_else(nobody)
    }

    /// Somebody whom a host names, in the middle of a sentence. Follows.
    pub(crate) fn is(self, id: &PrincipalId) -> String {
        self.names.with(|names| names.as_ref().map_or_else(|| "somebody".to_owned(), |names| names.who(id)))
    }

    /// A person of the tenant. Follows.
    pub(crate) fn person(self, user: &UserId) -> String {
        self.people.with(|people| person(people, user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_governance_api::people::Role;

    #[test]
    fn people_are_known_by_name() {
        let user = |id: &str| UserId::new(id).unwrap();
        let bob = Person {
            user_id: user("usr_2"),
            name: "Bob".to_owned(),
            email: None,
            role: Role::Approver,
            joined: true,
            since: lanyard_protocol::Timestamp::from_millis(0),
            last_seen_at: None,
            invited_by: None,
            by_link: true,
        };
        let people = [bob];
        let names = named(&user("usr_1"), &people).unwrap();
        let who = |id: &str| names.who(&PrincipalId::new(id).unwrap());
        assert_eq!(who("central:usr_1"), "you");
        assert_eq!(who("central:usr_2"), "Bob");
        assert_eq!(who("owner"), "the owner at the machine");
        assert_eq!(person(&people, &user("usr_2")), "Bob");
        assert_eq!(person(&people, &user("usr_3")), "usr_3", "nobody is taken for somebody else");
    }
}
