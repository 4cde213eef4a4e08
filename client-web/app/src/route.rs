//! Where in the page somebody is: the fragment of the address. Pure but for [`Routes`].

use lanyard_protocol::id::{ApprovalId, SessionId};
use leptos::prelude::*;

/// A place in the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `#/sessions`: the list.
    Sessions,
    /// `#/sessions/ID`.
    Session(SessionId),
    /// `#/approvals`: everything that waits.
    Approvals,
    /// `#/approvals/ID`.
    Approval(ApprovalId),
    /// `#/files?path=…`: a directory or a file of a workspace; none: the workspaces.
    Files(Option<String>),
    /// `#/host`: health at a glance, devices, what it may do.
    Host,
    /// `#/host/health`.
    Health,
    /// `#/host/devices`.
    Devices,
    /// `#/host/pairings`: the window, and who asks.
    Pairings,
    /// `#/host/policy`.
    Policy,
    /// `#/hosts`: this host and others.
    Hosts,
    /// `#/settings`.
    Settings,
    /// `#/join`: not paired yet.
    Join,
    /// `#/gallery`: every part, to be looked at.
    #[cfg(debug_assertions)]
    Gallery,
}

impl Route {
    /// From the fragment, `#` included or not; what is not known leads to the list of sessions.
    pub(crate) fn parse(fragment: &str) -> Self {
        let fragment = fragment.trim_start_matches('#');
        let (path, query) = fragment.split_once('?').unwrap_or((fragment, ""));
        let mut parts = path.trim_matches('/').split('/');
        match (parts.next().unwrap_or(""), parts.next(), parts.next()) {
            ("sessions", Some(id), None) => SessionId::new(id).map_or(Self::Sessions, Self::Session),
            ("approvals", None, None) => Self::Approvals,
            ("approvals", Some(id), None) => ApprovalId::new(id).map_or(Self::Approvals, Self::Approval),
            ("files", None, None) => Self::Files(query.strip_prefix("path=").and_then(decoded)),
            ("host", None, None) => Self::Host,
            ("host", Some("health"), None) => Self::Health,
            ("host", Some("devices"), None) => Self::Devices,
            ("host", Some("pairings"), None) => Self::Pairings,
            ("host", Some("policy"), None) => Self::Policy,
            ("hosts", None, None) => Self::Hosts,
            ("settings", None, None) => Self::Settings,
            ("join", None, None) => Self::Join,
            #[cfg(debug_assertions)]
            ("gallery", None, None) => Self::Gallery,
            _ => Self::Sessions,
        }
    }

    /// The fragment, with `#`.
    pub(crate) fn href(&self) -> String {
        match self {
            Self::Sessions => "#/sessions".to_owned(),
            Self::Session(id) => format!("#/sessions/{id}"),
            Self::Approvals => "#/approvals".to_owned(),
            Self::Approval(id) => format!("#/approvals/{id}"),
            Self::Files(None) => "#/files".to_owned(),
            Self::Files(Some(path)) => format!("#/files?path={}", encoded(path)),
            Self::Host => "#/host".to_owned(),
            Self::Health => "#/host/health".to_owned(),
            Self::Devices => "#/host/devices".to_owned(),
            Self::Pairings => "#/host/pairings".to_owned(),
            Self::Policy => "#/host/policy".to_owned(),
            Self::Hosts => "#/hosts".to_owned(),
            Self::Settings => "#/settings".to_owned(),
            Self::Join => "#/join".to_owned(),
            #[cfg(debug_assertions)]
            Self::Gallery => "#/gallery".to_owned(),
        }
    }

    /// The tab it belongs to.
    pub(crate) fn tab(&self) -> Tab {
        match self {
            Self::Sessions | Self::Session(_) | Self::Join => Tab::Sessions,
            Self::Approvals | Self::Approval(_) => Tab::Approvals,
            Self::Files(_) => Tab::Files,
            Self::Host
            | Self::Health
            | Self::Devices
            | Self::Pairings
            | Self::Policy
            | Self::Hosts
            | Self::Settings => Tab::Host,
            #[cfg(debug_assertions)]
            Self::Gallery => Tab::Host,
        }
    }
}

/// The four places that can be reached from everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Sessions,
    Approvals,
    Files,
    Host,
}

impl Tab {
    pub(crate) const ALL: [Self; 4] = [Self::Sessions, Self::Approvals, Self::Files, Self::Host];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sessions => "Sessions",
            Self::Approvals => "Approvals",
            Self::Files => "Files",
            Self::Host => "Host",
        }
    }

    pub(crate) fn route(self) -> Route {
        match self {
            Self::Sessions => Route::Sessions,
            Self::Approvals => Route::Approvals,
            Self::Files => Route::Files(None),
            Self::Host => Route::Host,
        }
    }
}

/// Percent-encodes everything but what never means anything in a fragment.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The reverse; `None` for what was not encoded here, or by a browser.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|path| !path.is_empty())
}

/// Where the page is, as a signal. `Copy`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Routes {
    now: RwSignal<Route>,
    /// Somebody has gone from the first page to another.
    moved: StoredValue<bool>,
}

impl Routes {
    /// Follows the address bar, for everything below the current owner.
    pub(crate) fn provide() -> Self {
        let read = || Route::parse(&location_hash().unwrap_or_default());
        let routes = Self { now: RwSignal::new(read()), moved: StoredValue::new(false) };
        let heard = window_event_listener(leptos::ev::hashchange, move |_| {
            let next = read();
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
    pub(crate) fn take() -> Self {
        use_context()
            .unwrap_or_else(|| Self { now: RwSignal::new(Route::Sessions), moved: StoredValue::new(false) })
    }

    /// Where the page is.
    pub(crate) fn current(self) -> Route {
        self.now.get()
    }

    /// Whether somebody has gone from the first page to another.
    pub(crate) fn was_moved(self) -> bool {
        self.moved.try_get_value().unwrap_or_default()
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
        let session = SessionId::new("s-1").unwrap();
        let approval = ApprovalId::new("sha256-00ff").unwrap();
        for route in [
            Route::Sessions,
            Route::Session(session),
            Route::Approvals,
            Route::Approval(approval),
            Route::Files(None),
            Route::Files(Some("/home/alice/A & B/50% off?#1/ä".to_owned())),
            Route::Host,
            Route::Health,
            Route::Devices,
            Route::Pairings,
            Route::Policy,
            Route::Hosts,
            Route::Settings,
            Route::Join,
        ] {
            assert_eq!(Route::parse(&route.href()), route, "{}", route.href());
        }
    }

    #[test]
    fn what_is_not_known_leads_to_the_sessions() {
        for fragment in [
            "",
            "#",
            "#/",
            "#/nowhere",
            "#/sessions/",
            "#/sessions/a b",
            "#/sessions/a/b",
            "#P4444",
            "#/host/x",
        ] {
            assert_eq!(Route::parse(fragment), Route::Sessions, "{fragment}");
        }
        for fragment in
            ["#/files?path=", "#/files?path=%zz", "#/files?path=%ff", "#/files?path=%2", "#/files?x=1"]
        {
            assert_eq!(Route::parse(fragment), Route::Files(None), "{fragment}");
        }
    }
}
