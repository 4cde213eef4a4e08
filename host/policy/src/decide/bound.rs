//! What an answer about a command holds for: how long it may be remembered, and what is said about the rest.

use lanyard_protocol::{
    approval::{ApprovalDetail, ApprovalRequest, OtherDetail, RiskLevel},
    policy::Remember,
    session::ApprovalMode,
};

use super::{DenialReason, Verdict, tests::*};
use crate::{demand::Demand, testing::*};

fn request_of(demand: Demand) -> ApprovalRequest {
    let ask = asked(World::new().decide(&layers(vec![local()]), call(demand)));
    let detail = ApprovalDetail::Other(OtherDetail { text: String::new() });
    ask.request("x", detail, now(), now())
}

fn says(request: &ApprovalRequest, text: &str) -> bool {
    request.reasons.iter().any(|reason| reason.contains(text))
}

#[test]
fn what_cannot_be_bound_is_said_and_never_remembered() {
    for text in [
        "./t.sh $HOME",
        "sh < t.sh",
        "sh -c './t.sh $HOME'",
        "sh -c 'x; sh'",
        "timeout 5 sh -c '. ./t.sh'",
        "flock x ./t.sh",
        "find . -exec sh {} +",
        "python3 -c x",
        "cat t.sh | sh",
        "env A=1 ls",
        "cd a; ls",
    ] {
        let request = request_of(shell(text));
        assert_eq!(request.max_remember, Remember::Once, "{text}");
        assert_eq!(request.risk_level, RiskLevel::High, "{text}");
        assert!(says(&request, "are not bound to this answer"), "{text}: {:?}", request.reasons);
    }
    for text in ["ls", "./t.sh", "sh t.sh", "cargo test", "sh -c './t.sh; true'", "gh pr list", "cat < t.sh"]
    {
        let request = request_of(shell(text));
        assert!(request.max_remember >= Remember::Session, "{text}");
        assert!(!says(&request, "are not bound"), "{text}: {:?}", request.reasons);
    }
}

#[test]
fn no_number_of_other_reasons_pushes_the_important_ones_out_of_sight() {
    let text: Vec<String> = (0..20).map(|n| format!("cat /etc/file{n}")).collect();
    let text = format!("{}; sh -s", text.join("; "));
    let request = request_of(fed(&text, &[("A", "1")], Some("x")));
    for told in ["environment variable A", "standard input", "are not bound"] {
        assert!(says(&request, told), "{told}: {:?}", request.reasons);
    }
}

#[test]
fn item_18_variables_are_a_question_that_says_why() {
    let poisoned = || fed("tar cf a b", &[("TAR_OPTIONS", "--checkpoint-action=exec=./e.sh")], None);
    let request = request_of(poisoned());
    assert_eq!((request.risk_level, request.max_remember), (RiskLevel::High, Remember::Once));
    assert!(says(&request, "It sets the environment variable TAR_OPTIONS"), "{:?}", request.reasons);
    // Also where commands run without a question, and where lists of commands would have to judge it.
    assert!(is_asked(free(|_| ()), poisoned()));
    assert!(matches!(reason(only(&["tar"]), poisoned()), DenialReason::Input(_)));
    assert!(matches!(reason(blocking(&["rm"]), poisoned()), DenialReason::Input(_)));
    let quiet = || fed("tar cf a b", &[("CI", "1"), ("RUST_LOG", "debug")], None);
    assert!(is_allowed(free(|_| ()), quiet()) && is_allowed(only(&["tar"]), quiet()));
    assert_eq!(request_of(quiet()).max_remember, Remember::Always);
}

#[test]
fn standard_input_that_is_run_is_judged_like_a_text_that_is_not_understood() {
    let run = |text| fed(text, &[], Some("rm x"));
    for text in ["sh", "timeout 5 bash -s", "python3 -"] {
        let request = request_of(run(text));
        assert_eq!((request.risk_level, request.max_remember), (RiskLevel::High, Remember::Once), "{text}");
        assert!(says(&request, "Its standard input is run as code by"), "{:?}", request.reasons);
        assert!(matches!(reason(blocking(&["rm"]), run(text)), DenialReason::Input(_)), "{text}");
    }
    let request = request_of(run("patch"));
    assert_eq!((request.risk_level, request.max_remember), (RiskLevel::High, Remember::Once));
    assert!(says(&request, "Its standard input goes to `patch`"), "{:?}", request.reasons);
    assert!(is_asked(only(&["patch"]), run("patch")));
    assert!(is_allowed(only(&["cat"]), run("cat")));
}

#[test]
fn what_is_only_asked_about_is_still_waived_by_whoever_switched_questions_off() {
    let world = World::mode(ApprovalMode::Never);
    let demand = fed("tar cf a b", &[("A", "1")], Some("x"));
    assert!(matches!(world.decide(&layers(vec![local()]), call(demand)), Verdict::Allowed(_)));
}
