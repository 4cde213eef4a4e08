//! The reference page of central's API, from the one table of endpoints.

use std::fmt::Write as _;

use lanyard_governance_api::endpoint::{AgentScope, Body, ENDPOINTS, Endpoint, Service};

const HEAD: &str = "# Central's API\n\n\
    Generated from `governance/api/src/endpoint.rs`; a running central serves the same, with every shape, as OpenAPI at \
    `/openapi.json`. Bodies are JSON unless said otherwise. Requests refuse unknown members; answers may grow. Errors are \
    `{code, message, retryable, details}` ([codes](error_codes.md)): 401 where the caller is not known, 403 where it may \
    not, 404 where there is nothing of that id *that it may know of*, 409 where the thing is in another state, 429 with \
    `Retry-After`.\n\n\
    **Who may call.** People by role (`viewer` < `approver` < `admin`), signed in by cookie or bearer; *operator*: of the \
    whole installation. Hosts by client certificate or access token (*host*), or by their service token (*heartbeat*), for \
    themselves only. *service*: other services of the installation. *anybody*: the body proves enough.\n";

pub(crate) fn page() -> String {
    let mut page = HEAD.to_owned();
    for service in Service::ALL {
        let name = service.as_str();
        let title = name[..1].to_uppercase() + &name[1..];
        write!(page, "\n## {title}\n\n| | | Who | Answer |\n|---|---|---|---|\n").unwrap();
        for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.service == *service) {
            writeln!(
                page,
                "| `{} {}` | {} | {} | {} |",
                endpoint.method.as_str(),
                endpoint.path,
                endpoint.summary.trim(),
                who(endpoint),
                answer(endpoint)
            )
            .unwrap();
        }
    }
    page
}

fn who(endpoint: &Endpoint) -> String {
    let access = endpoint.access;
    let mut all = Vec::new();
    if access.public {
        all.push("anybody".to_owned());
    }
    if access.operator {
        all.push("operator".to_owned());
    }
    all.extend(access.person.map(|role| role.as_str().to_owned()));
    all.extend(access.agent.map(|scope| match scope {
        AgentScope::Heartbeat => "heartbeat".to_owned(),
        AgentScope::Agent => "host".to_owned(),
    }));
    if access.service {
        all.push("service".to_owned());
    }
    all.join(", ")
}

fn answer(endpoint: &Endpoint) -> String {
    let kind = match endpoint.response {
        Body::Json => "",
        Body::Empty => ", empty",
        Body::Bytes => ", bytes",
        Body::JsonLines => ", lines of JSON",
        Body::Events => ", server-sent events",
        Body::Redirect => ", a redirect",
    };
    format!("{}{kind}", endpoint.success)
}
