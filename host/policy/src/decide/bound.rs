//! What an answer about a command holds for: how long it may be remembered, and what is said about the rest.

use lanyard_protocol::{
    approval::{ApprovalDetail, ApprovalRequest, OtherDetail, RiskLevel},
    policy::{Capability, Remember},
    session::ApprovalMode,
};

use super::{DenialReason, Verdict, tests::*};
use crate::{
    demand::{Demand, Exec},
    testing::*,
};

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

#[test]
fn redirects_write_files_however_harmless_the_program_is() {
    for (text, files) in [
        ("echo x > README.md", "README.md"),
        ("sort a > b", "b"),
        ("echo x >> README.md", "README.md"),
        ("ls; cat a 2> log > out", "log, out"),
        ("timeout 5 ls > out", "out"),
        ("sh -c 'echo x > out'", "out"),
        ("cd src && ls > a", "a"),
        ("sh -c 'ls > a; ls > b; ls > c; ls > d'", "a, b, c and 1 more"),
    ] {
        let request = request_of(shell(text));
        let found = (request.risk_level, request.max_remember);
        assert_eq!(found, (RiskLevel::Medium, Remember::Session), "{text}: {:?}", request.reasons);
        assert_eq!(request.reasons[0], format!("It writes to {files}."), "{text}");
        assert!(!says(&request, "only reads"), "{text}: {:?}", request.reasons);
    }
    for text in ["ls > /dev/null", "ls 2>&1", "cat < a", "ls 2>/dev/null | head"] {
        let request = request_of(shell(text));
        assert_eq!((request.risk_level, request.max_remember), (RiskLevel::Low, Remember::Always), "{text}");
        assert!(!says(&request, "It writes"), "{text}: {:?}", request.reasons);
    }
    // A higher risk keeps its own sentence; the memory is limited all the same.
    let request = request_of(shell("rm -r x > log"));
    assert_eq!((request.risk_level, request.max_remember), (RiskLevel::Critical, Remember::Session));
    // Standard input that only ends in a file is no more than the file.
    let request = request_of(fed("cat > out", &[], Some("x")));
    assert_eq!((request.risk_level, request.max_remember), (RiskLevel::Medium, Remember::Session));
}

#[test]
fn what_is_sent_is_spoken_of_only_where_something_can_be_sent() {
    let request = |text: &str, network| {
        let Demand::Exec(exec) = shell(text) else { unreachable!() };
        request_of(Demand::Exec(Exec { network, ..exec }))
    };
    const SENDS: &str = "What it sends";
    const MAY: &str = "It may use the network.";
    for text in ["ls", "cat a | wc -l", "ls > out", "cargo test"] {
        let offline = request(text, false);
        assert!(!says(&offline, SENDS) && !says(&offline, "network"), "{text}: {:?}", offline.reasons);
        assert!(!says(&offline, "diff"), "{text}: {:?}", offline.reasons);
    }
    for text in ["ls", "cat a | wc -l"] {
        let online = request(text, true);
        assert!(!says(&online, SENDS), "{text}: {:?}", online.reasons);
        assert_eq!(online.reasons.iter().filter(|reason| *reason == MAY).count(), 1, "{text}");
    }
    for text in ["cargo test", "curl https://example.com", "ls $(id)", "echo x > out"] {
        let online = request(text, true);
        assert!(says(&online, SENDS) && !says(&online, MAY), "{text}: {:?}", online.reasons);
    }
    // Whoever demands to be asked is heard in their own words.
    let mut strict = local();
    for rule in &mut strict.approval_rules {
        rule.must_ask = true;
    }
    let Demand::Exec(exec) = shell("ls") else { unreachable!() };
    let online = Demand::Exec(Exec { network: true, ..exec });
    let ask = asked(World::new().decide(&layers(vec![strict]), call(online)));
    assert!(ask.must_ask() && ask.reasons().iter().any(|reason| reason.contains(SENDS)));
}

#[test]
fn questions_of_the_host_have_titles_of_their_own() {
    for (demand, title) in [
        (read("/home/mia/app/.env"), "Read a file that may hold secrets?"),
        (write("/home/mia/app/.envrc"), "Change a file that programs run or obey by themselves?"),
        (
            Demand::DeletePath("/home/mia/app/.vscode/tasks.json".into()),
            "Delete a file that programs run or obey by themselves?",
        ),
        (write("/home/mia/app/a"), "Change a file?"),
        (shell("cat .env"), "Run a command?"),
        (shell("mv x .envrc"), "Run a command?"),
    ] {
        assert_eq!(request_of(demand.clone()).title, title, "{demand:?}");
    }
    let everywhere = |name| free_with(name, |grant| grant.allowed_paths = Some(vec!["/".into()]));
    for (bundle, demand, title) in [
        (everywhere(Capability::FileWrite), write("/etc/hosts"), "Change a file of the operating system?"),
        (everywhere(Capability::FileRead), read("/home/mia/.ssh/id"), "Read a file that may hold secrets?"),
        (free(|_| ()), shell("cat .env"), "Run a command?"),
    ] {
        let ask = asked(World::new().decide(&layers(vec![bundle]), call(demand.clone())));
        let detail = ApprovalDetail::Other(OtherDetail { text: String::new() });
        assert_eq!(ask.request("x", detail, now(), now()).title, title, "{demand:?}");
    }
}

#[test]
fn what_is_remembered_is_said_with_directory_and_files() {
    assert_eq!(
        request_of(shell("ls")).remember_scope,
        "exactly this call of Tool: x, in /home/mia/app, with the same program and file contents"
    );
    let scope = |planned| {
        let ask = asked(World::new().decide(&layers(vec![local()]), planned));
        let detail = ApprovalDetail::Other(OtherDetail { text: String::new() });
        ask.request("x", detail, now(), now()).remember_scope
    };
    let file = "/home/mia/app/a";
    assert!(
        scope(call_with(write(file), vec![content(file, "aa")])).ends_with("x, with the same file contents")
    );
    assert_eq!(scope(call(http("https://example.com/"))), "exactly this call of Tool: x");
}
