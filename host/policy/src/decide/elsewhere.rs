//! Tools outside this host: who is asked, who answers, and what an answer is about.

use lanyard_protocol::approval::{ApprovalDetail, Decision, OtherDetail};
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::policy::{Approver, Capability, CapabilityGrant, PolicyBundle, Remember};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::ApprovalMode;

use super::{DenialReason, grants_tool, has_tools_elsewhere};
use crate::approval::{Answer, AnswerFault, NotEntitled, answer, fingerprint, pending};
use crate::bundle::grant_tools;
use crate::demand::Demand;
use crate::testing::*;

fn search(definition: &str) -> Demand {
    Demand::Backend { tool: "Search".into(), definition: definition.into() }
}

fn machine(names: Option<&[&str]>) -> PolicyBundle {
    let mut bundle = local();
    let names = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    grant_tools(&mut bundle, names).unwrap();
    bundle
}

fn centre(asks: Option<Approver>) -> PolicyBundle {
    let mut bundle = local();
    let mut grant = CapabilityGrant::unlimited(Capability::BackendToolInvoke);
    if let Some(approver) = asks {
        bundle.approval_rules.push(rule("central.tool", false, approver, Remember::Always));
        grant.requires_approval = true;
        grant.approval_rule_id = Some("central.tool".parse().unwrap());
    }
    bundle.capabilities.push(grant);
    bundle
}

fn ada() -> Principal {
    let id = PrincipalId::new("central:ada").unwrap();
    Principal { id, name: "Ada".into(), scopes: vec![Scope::Approve], local: false }
}

#[test]
fn both_layers_have_a_say_and_the_network_must_be_allowed() {
    let both = |names| layers(vec![machine(names), centre(None)]);
    let _ = asked(World::new().decide(&both(None), call(search("1"))));
    let _ = asked(World::new().decide(&both(Some(&["Search"])), call(search("1"))));
    for names in [&[][..], &["search"]] {
        let denial = denied(World::new().decide(&both(Some(names)), call(search("1"))));
        assert_eq!(denial.layer, "local");
        assert!(!grants_tool(&both(Some(names)), "Search"));
    }
    assert!(grants_tool(&both(None), "Search") && has_tools_elsewhere(&both(Some(&[]))));
    assert!(!has_tools_elsewhere(&layers(vec![machine(None)])), "only the centre has any");
    let mut world = World::new();
    world.options.allow_network = false;
    assert_eq!(denied(world.decide(&both(None), call(search("1")))).reason, DenialReason::NoNetwork);
}

#[test]
fn what_the_centre_asks_is_answered_there_each_time() {
    let both = layers(vec![machine(None), centre(Some(Approver::Any))]);
    // Neither a task without questions nor a remembered answer passes it by.
    let ask = asked(World::mode(ApprovalMode::Never).decide(&both, call(search("1"))));
    assert!(ask.must_ask() && ask.layer() == "central");
    for here in [owner(), phone()] {
        assert_eq!(ask.entitlement().check(&here), Err(NotEntitled::Centre));
    }
    ask.entitlement().check(&ada()).unwrap();
    // The record alone, as a host finds it that was started again, says the same.
    let detail = ApprovalDetail::Other(OtherDetail { text: "{}".into() });
    let record = pending(ask.request("Search {}", detail, now(), now().plus_millis(1_000)));
    assert_eq!(record.request.max_remember, Remember::Once);
    let yes = || Answer { decision: Decision::Approved, remember: Remember::Once, reason: None };
    let refused = answer(&record, yes(), &owner(), now()).unwrap_err();
    assert_eq!(refused, AnswerFault::NotEntitled(NotEntitled::Centre));
    answer(&record, yes(), &ada(), now()).unwrap();
    // Where only the machine asks, its people answer.
    let own = layers(vec![machine(None), centre(None)]);
    let ask = asked(World::new().decide(&own, call(search("1"))));
    ask.entitlement().check(&owner()).unwrap();
    assert!(!ask.must_ask());
    let _ = allowed(World::mode(ApprovalMode::Never).decide(&own, call(search("1"))));
}

#[test]
fn an_answer_at_the_machine_cannot_be_what_the_centre_wants() {
    let both = layers(vec![machine(None), centre(Some(Approver::Local))]);
    let denial = denied(World::new().decide(&both, call(search("1"))));
    assert_eq!((denial.layer, denial.reason), ("central", DenialReason::NobodyToAsk));
}

#[test]
fn an_answer_is_about_one_definition() {
    let own = layers(vec![machine(None), centre(None)]);
    let ask = |definition| asked(World::new().decide(&own, call(search(definition))));
    assert_eq!(ask("1").approval_id(), ask("1").approval_id());
    assert_ne!(ask("1").approval_id(), ask("2").approval_id());
    let host = World::new().host;
    assert_ne!(fingerprint(&call(search("1")), &host), fingerprint(&call(search("2")), &host));
}
