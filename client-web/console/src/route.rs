//! Where in the console somebody is: the fragment of the address. Pure but for [`Routes`].

use lanyard_governance_api::id::{AgentId, JobId};
use lanyard_protocol::id::{ApprovalId, SessionId};
use leptos::prelude::*;

use crate::api::address::{decoded, encoded};

/// A place in the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `#/overview`: what waits, and how things stand.
    Overview,
    /// `#/hosts`.
    Hosts,
    /// `#/hosts/ID`.
    Host(AgentId),
    /// `#/enrolment`: tokens.
    Enrolment,
    /// `#/sessions?host=ID`.
    Sessions(Option<AgentId>),
    /// `#/sessions/ID`.
    Session(SessionId),
    /// `#/approvals`.
    Approvals,
    /// `#/approvals/ID`.
    Approval(ApprovalId),
    /// `#/pairings`.
    Pairings,
    /// `#/policy`: what is in force, and versions.
    Policy,
    /// `#/policy/edit?from=3`: a new version, from the one in force or another.
    PolicyEdit(Option<u64>),
    /// `#/policy/compare?from=3&to=4`.
    PolicyCompare(Option<u64>, Option<u64>),
    /// `#/policy/try`: what would this get?
    PolicyTry,
    /// `#/jobs`.
    Jobs,
    /// `#/jobs/new?host=ID`.
    NewJob(Option<AgentId>),
    /// `#/jobs/ID`.
    Job(JobId),
    /// `#/audit?session=ID`.
    Audit(Option<SessionId>),
    /// `#/audit/chains`: proof, export, retention.
    Chains,
    /// `#/telemetry`.
    Telemetry,
    /// `#/people`.
    People,
    /// `#/tenants`.
    Tenants,
    /// `#/more`: on phones, everything without a tab.
    More,
    /// `#/sign-in`.
    SignIn,
}

/// Of the way back from the provider: `#/signed-in/KEY`. Taken out of the address at once.
fn signed_in_key(fragment: &str) -> Option<String> {
    let key = fragment.trim_start_matches('#').strip_prefix("/signed-in/")?;
    Some(key.to_owned()).filter(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Of a sign-in link: `#/sign-in/TOKEN`. The token is taken out of the address at once.
pub(crate) fn sign_in_token(fragment: &str) -> Option<String> {
    let token = fragment.trim_start_matches('#').strip_prefix("/sign-in/")?;
    decoded(token).filter(|token| !token.is_empty())
}

fn member(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
    decoded(value).filter(|value| !value.is_empty())
}

impl Route {
    /// From the fragment, `#` included or not; what is not known leads to the overview.
    pub(crate) fn parse(fragment: &str) -> Self {
        let fragment = fragment.trim_start_matches('#');
        let (path, query) = fragment.split_once('?').unwrap_or((fragment, ""));
        let host = || member(query, "host").and_then(|id| AgentId::new(id).ok());
        let number = |name| member(query, name).and_then(|number| number.parse().ok());
        let mut parts = path.trim_matches('/').split('/');
        let place = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        match place {
            ("hosts", None, None) => Self::Hosts,
            ("hosts", Some(id), None) => AgentId::new(id).map_or(Self::Hosts, Self::Host),
            ("enrolment", None, None) => Self::Enrolment,
            ("sessions", None, None) => Self::Sessions(host()),
            ("sessions", Some(id), None) => SessionId::new(id).map_or(Self::Sessions(None), Self::Session),
            ("approvals", None, None) => Self::Approvals,
            ("approvals", Some(id), None) => ApprovalId::new(id).map_or(Self::Approvals, Self::Approval),
            ("pairings", None, None) => Self::Pairings,
            ("policy", None, None) => Self::Policy,
            ("policy", Some("edit"), None) => Self::PolicyEdit(number("from")),
            ("policy", Some("compare"), None) => Self::PolicyCompare(number("from"), number("to")),
            ("policy", Some("try"), None) => Self::PolicyTry,
            ("jobs", None, None) => Self::Jobs,
            ("jobs", Some("new"), None) => Self::NewJob(host()),
            ("jobs", Some(id), None) => JobId::new(id).map_or(Self::Jobs, Self::Job),
            ("audit", None, None) => {
                Self::Audit(member(query, "session").and_then(|id| SessionId::new(id).ok()))
            }
            ("audit", Some("chains"), None) => Self::Chains,
            ("telemetry", None, None) => Self::Telemetry,
            ("people", None, None) => Self::People,
            ("tenants", None, None) => Self::Tenants,
            ("more", None, None) => Self::More,
            ("sign-in", ..) => Self::SignIn,
            _ => Self::Overview,
        }
    }

    /// As a link.
    pub(crate) fn href(&self) -> String {
        let with = |path: &str, members: &[(&str, Option<String>)]| {
            let known = members.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let query: Vec<String> =
                known.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
            if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
        };
        let host = |host: &Option<AgentId>| host.as_ref().map(ToString::to_string);
        let number = |number: &Option<u64>| number.map(|number| number.to_string());
        match self {
            Self::Overview => "#/overview".to_owned(),
            Self::Hosts => "#/hosts".to_owned(),
            Self::Host(id) => format!("#/hosts/{id}"),
            Self::Enrolment => "#/enrolment".to_owned(),
            Self::Sessions(agent) => with("#/sessions", &[("host", host(agent))]),
            Self::Session(id) => format!("#/sessions/{id}"),
            Self::Approvals => "#/approvals".to_owned(),
            Self::Approval(id) => format!("#/approvals/{id}"),
            Self::Pairings => "#/pairings".to_owned(),
            Self::Policy => "#/policy".to_owned(),
            Self::PolicyEdit(from) => with("#/policy/edit", &[("from", number(from))]),
            Self::PolicyCompare(from, to) => {
                with("#/policy/compare", &[("from", number(from)), ("to", number(to))])
            }
            Self::PolicyTry => "#/policy/try".to_owned(),
            Self::Jobs => "#/jobs".to_owned(),
            Self::NewJob(agent) => with("#/jobs/new", &[("host", host(agent))]),
            Self::Job(id) => format!("#/jobs/{id}"),
            Self::Audit(session) => {
                with("#/audit", &[("session", session.as_ref().map(ToString::to_string))])
            }
            Self::Chains => "#/audit/chains".to_owned(),
            Self::Telemetry => "#/telemetry".to_owned(),
            Self::People => "#/people".to_owned(),
            Self::Tenants => "#/tenants".to_owned(),
            Self::More => "#/more".to_owned(),
            Self::SignIn => "#/sign-in".to_owned(),
        }
    }

    /// The part of the console it belongs to.
    pub(crate) fn part(&self) -> Part {
        match self {
            Self::Overview | Self::SignIn => Part::Overview,
            Self::Hosts | Self::Host(_) | Self::Enrolment => Part::Hosts,
            Self::Sessions(_) | Self::Session(_) => Part::Sessions,
            Self::Approvals | Self::Approval(_) => Part::Approvals,
            Self::Pairings => Part::Pairings,
            Self::Policy | Self::PolicyEdit(_) | Self::PolicyCompare(..) | Self::PolicyTry => Part::Policy,
            Self::Jobs | Self::NewJob(_) | Self::Job(_) => Part::Jobs,
            Self::Audit(_) | Self::Chains => Part::Audit,
            Self::Telemetry => Part::Telemetry,
            Self::People | Self::Tenants => Part::People,
            Self::More => Part::More,
        }
    }
}

/// What can be reached from everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Overview,
    Hosts,
    Sessions,
    Approvals,
    Pairings,
    Policy,
    Jobs,
    Audit,
    Telemetry,
    People,
    /// On phones, the way to all that has no tab.
    More,
}

impl Part {
    /// On a wide screen.
    pub(crate) const ALL: [Self; 10] = [
        Self::Overview,
        Self::Approvals,
        Self::Sessions,
        Self::Hosts,
        Self::Pairings,
        Self::Policy,
        Self::Jobs,
        Self::Audit,
        Self::Telemetry,
        Self::People,
    ];

    /// On a phone, the last being the way to the others.
    pub(crate) const TABS: [Self; 5] =
        [Self::Overview, Self::Approvals, Self::Sessions, Self::Hosts, Self::More];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Hosts => "Hosts",
            Self::Sessions => "Sessions",
            Self::Approvals => "Approvals",
            Self::Pairings => "Pairings",
            Self::Policy => "Policy",
            Self::Jobs => "Jobs",
            Self::Audit => "Audit",
            Self::Telemetry => "Telemetry",
            Self::People => "People",
            Self::More => "More",
        }
    }

    pub(crate) fn route(self) -> Route {
        match self {
            Self::Overview => Route::Overview,
            Self::Hosts => Route::Hosts,
            Self::Sessions => Route::Sessions(None),
            Self::Approvals => Route::Approvals,
            Self::Pairings => Route::Pairings,
            Self::Policy => Route::Policy,
            Self::Jobs => Route::Jobs,
            Self::Audit => Route::Audit(None),
            Self::Telemetry => Route::Telemetry,
            Self::People => Route::People,
            Self::More => Route::More,
        }
    }
}

/// The place as a signal. `Copy`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Routes {
    now: RwSignal<Route>,
    /// Somebody has gone from the first page to another.
    moved: StoredValue<bool>,
    /// A sign-in link was followed while the page was open.
    token: RwSignal<Option<String>>,
}

impl Routes {
    /// Follows the address bar, for everything below the current owner.
    pub(crate) fn provide() -> Self {
        let hash = || location_hash().unwrap_or_default();
        let routes = Self {
            now: RwSignal::new(Route::parse(&hash())),
            moved: StoredValue::new(false),
            token: RwSignal::new(sign_in_token(&hash())),
        };
        if let Some(key) = signed_in_key(&hash()) {
            crate::api::key::keep(&key);
            routes.replace(&Route::Overview);
        }
        let forget = move || {
            if routes.token.with_untracked(Option::is_some) {
                // Nobody who looks at the address bar or the history later finds it there.
                routes.replace(&Route::SignIn);
            }
        };
        forget();
        let heard = window_event_listener(leptos::ev::hashchange, move |_| {
            if let Some(token) = sign_in_token(&hash()) {
                routes.token.set(Some(token));
                forget();
            }
            let next = Route::parse(&hash());
            if routes.now.get_untracked() != next {
                routes.moved.set_value(true);
                routes.now.set(next);
            }
        });
        on_cleanup(move || heard.remove());
        provide_context(routes);
        routes
    }

    /// The one provided above.
    ///
    /// # Panics
    /// Where there is none above, which is a defect of the page.
    #[expect(clippy::expect_used, reason = "the root provides it before anything else exists")]
    pub(crate) fn take() -> Self {
        use_context().expect("the routes are provided at the root")
    }

    /// Where the page is.
    pub(crate) fn current(self) -> Route {
        self.now.get()
    }

    /// Whether somebody has gone from the first page to another.
    pub(crate) fn was_moved(self) -> bool {
        self.moved.try_get_value().unwrap_or_default()
    }

    /// The token of a sign-in link that was followed; afterwards it is forgotten.
    pub(crate) fn take_token(self) -> Option<String> {
        self.token.track();
        self.token.try_update_untracked(Option::take).flatten()
    }

    /// Leads there; the way back stays in the browser's history.
    pub(crate) fn go(self, route: &Route) {
        // Refused only by pages without an address bar of their own.
        let _ = location().set_hash(&route.href());
    }

    /// Leads there in place of where it is: going back does not return here.
    pub(crate) fn replace(self, route: &Route) {
        let _ = location().replace(&route.href());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found_by_its_own_address() {
        let agent = AgentId::new("a-1").unwrap();
        for route in [
            Route::Overview,
            Route::Hosts,
            Route::Host(agent.clone()),
            Route::Enrolment,
            Route::Sessions(None),
            Route::Sessions(Some(agent.clone())),
            Route::Session(SessionId::new("s-1").unwrap()),
            Route::Approvals,
            Route::Approval(ApprovalId::new("sha256-00ff").unwrap()),
            Route::Pairings,
            Route::Policy,
            Route::PolicyEdit(None),
            Route::PolicyEdit(Some(3)),
            Route::PolicyCompare(Some(3), Some(4)),
            Route::PolicyTry,
            Route::Jobs,
            Route::NewJob(None),
            Route::NewJob(Some(agent)),
            Route::Job(JobId::new("j-1").unwrap()),
            Route::Audit(None),
            Route::Audit(Some(SessionId::new("s-1").unwrap())),
            Route::Chains,
            Route::Telemetry,
            Route::People,
            Route::Tenants,
            Route::More,
            Route::SignIn,
        ] {
            assert_eq!(Route::parse(&route.href()), route, "{}", route.href());
        }
        for part in Part::ALL.into_iter().chain(Part::TABS) {
            assert_eq!(part.route().part(), part);
        }
    }

    #[test]
    fn what_is_not_known_leads_to_the_overview() {
        for fragment in ["", "#", "#/", "#/nowhere", "#/hosts/a/b", "#/jobs/a/b", "#/policy/x"] {
            assert_eq!(Route::parse(fragment), Route::Overview, "{fragment}");
        }
        assert_eq!(Route::parse("#/hosts/a b"), Route::Hosts);
        assert_eq!(Route::parse("#/policy/edit?from=x"), Route::PolicyEdit(None));
    }

    #[test]
    fn only_a_sign_in_link_has_a_token() {
        assert_eq!(sign_in_token("#/sign-in/ABC%2D1").as_deref(), Some("ABC-1"));
        for fragment in ["", "#/sign-in", "#/sign-in/", "#/hosts/ABC"] {
            assert_eq!(sign_in_token(fragment), None, "{fragment}");
        }
        assert_eq!(Route::parse("#/sign-in/ABC"), Route::SignIn);
    }
}
