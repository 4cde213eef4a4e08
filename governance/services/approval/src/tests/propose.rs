//! Answers proposed from the console.

use lanyard_governance_api::approval::{Proposal, ProposalOutcome};
use lanyard_governance_api::command::Order;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::approval::Decision;

use super::*;
use crate::MIGRATIONS;

fn approver(user: &str) -> Caller {
    person("a", Role::Approver, user)
}

async fn propose(rig: &Rig, by: &Caller, id: &str) -> Answer {
    let body = json!({"decision": "approved", "reason": "looks right"});
    rig.send(by, "POST", &format!("/approvals/{id}/decision"), &body).await
}

async fn outcome(rig: &Rig, id: &str, proposal: &str, outcome: &str) -> u16 {
    let service = Caller::Service { tenant: Some(TenantId::new("a").unwrap()) };
    let body = json!({"proposalId": proposal, "outcome": outcome, "refusal": null});
    rig.send(&service, "POST", &format!("/approvals/{id}/outcome"), &body).await.status.as_u16()
}

fn ready(rig: &Rig) {
    rig.others.with(|inner| {
        inner.accepts.insert("one".to_owned(), true);
        inner.sessions.insert("s".to_owned(), None);
    });
}

#[tokio::test]
async fn a_proposal_goes_to_the_host_and_comes_back_with_what_became_of_it() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        ready(&rig);
        rig.ask(&agent("a", "one"), "q", "s").await;
        let answer = propose(&rig, &approver("ada"), "q").await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let one: Proposal = answer.json();
        assert_eq!(
            (one.outcome, one.by.as_str(), one.by_name.as_str()),
            (ProposalOutcome::Sent, "ada", "ada by name")
        );
        // A second one on the way is allowed: the first answer wins at the host.
        let two: Proposal = propose(&rig, &approver("bob"), "q").await.json();
        let queued = rig.others.with(|inner| inner.queued.clone());
        assert_eq!(queued.len(), 2);
        let (host, command) = &queued[0];
        assert_eq!((host.as_str(), command.by.as_ref().unwrap().as_str()), ("one", "ada"));
        let Order::DecideApproval { session_id, approval_id, proposal_id, decision, reason } = &command.order
        else {
            panic!("{command:?}");
        };
        assert_eq!((session_id.as_str(), approval_id.as_str()), ("s", "q"));
        assert_eq!(
            (proposal_id, *decision, reason.as_deref()),
            (&one.proposal_id, Decision::Approved, Some("looks right"))
        );
        let (first, second) = (one.proposal_id.as_str(), two.proposal_id.as_str());
        assert_eq!(outcome(&rig, "q", first, "sent").await, 400);
        assert_eq!(outcome(&rig, "q", "prp_other", "accepted").await, 404);
        assert_eq!(outcome(&rig, "q", first, "accepted").await, 200);
        assert_eq!(outcome(&rig, "q", first, "accepted").await, 200, "told again");
        assert_eq!(outcome(&rig, "q", first, "refused").await, 409);
        assert_eq!(outcome(&rig, "q", second, "refused").await, 200);
        let outcomes: Vec<_> = rig.info("q").await.proposals.iter().map(|p| p.outcome).collect();
        assert_eq!(outcomes.len(), 2);
        assert!(
            outcomes.contains(&ProposalOutcome::Accepted) && outcomes.contains(&ProposalOutcome::Refused)
        );
        let trail = rig.trail().await;
        assert_eq!(trail.iter().filter(|event| *event == "approval_proposed").count(), 2);
        assert_eq!(trail.iter().filter(|event| *event == "approval_proposal_settled").count(), 2);
        assert_eq!(rig.facts().await.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn what_no_answer_from_the_centre_can_settle_is_refused_in_words() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        ready(&rig);
        let host = agent("a", "one");
        let done = rig.ask(&host, "done", "s").await;
        rig.report(&host, &settled(&done, "denied")).await;
        let mut local = rig.pending("local", "s");
        local["record"]["request"]["approver"] = json!("local");
        rig.report(&host, &local).await;
        rig.ask(&host, "open", "s").await;
        rig.ask(&agent("a", "closed"), "closed", "s").await;
        rig.others.with(|inner| inner.accepts.insert("closed".to_owned(), false));
        for (id, words) in [
            ("done", "is denied already"),
            ("local", "at the machine itself"),
            ("closed", "the owner of this machine has not allowed answers from the centre"),
        ] {
            let answer = propose(&rig, &approver("ada"), id).await;
            assert_eq!(answer.status, 409, "{id}");
            assert!(answer.text().contains(words), "{}", answer.text());
        }
        assert_eq!(propose(&rig, &person("a", Role::Viewer, "v"), "open").await.status, 403);
        assert_eq!(propose(&rig, &person("b", Role::Admin, "v"), "open").await.status, 404);
        assert_eq!(propose(&rig, &host, "open").await.status, 403);
        let long = json!({"decision": "denied", "reason": "x".repeat(2_001)});
        assert_eq!(rig.send(&approver("ada"), "POST", "/approvals/open/decision", &long).await.status, 400);
        rig.ground.clock.set(300_001);
        let answer = propose(&rig, &approver("ada"), "open").await;
        assert!(answer.status == 409 && answer.text().contains("deadline"), "{}", answer.text());
        assert!(rig.others.with(|inner| inner.queued.is_empty()));
    })
    .await;
}

#[tokio::test]
async fn whoever_works_at_a_machine_is_no_second_pair_of_eyes_for_it() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        ready(&rig);
        // The stand-in's hosts belong to `u`.
        rig.others.with(|inner| inner.hands.insert("u-again".to_owned(), vec!["u".to_owned()]));
        for (id, approver, initiator) in [
            ("at-it", "notInitiator", "owner"),
            ("by-phone", "notInitiator", "a-device"),
            ("by-job", "notInitiator", "central:max"),
            ("any", "any", "owner"),
        ] {
            let mut question = rig.pending(id, "s");
            question["record"]["request"]["approver"] = json!(approver);
            question["record"]["request"]["initiator"] = json!(initiator);
            assert_eq!(rig.report(&agent("a", "one"), &question).await.status, 201);
        }
        for id in ["at-it", "by-phone"] {
            let answer = propose(&rig, &self::approver("u"), id).await;
            assert_eq!(answer.status, 403, "{}", answer.text());
            assert!(answer.text().contains("begun at your own machine"), "{}", answer.text());
            let answer = propose(&rig, &self::approver("u-again"), id).await;
            assert_eq!(answer.status, 403, "{}", answer.text());
            assert!(answer.text().contains("came by a link from u"), "{}", answer.text());
            assert_eq!(propose(&rig, &self::approver("bob"), id).await.status, 202);
        }
        for id in ["by-job", "any"] {
            assert_eq!(propose(&rig, &self::approver("u"), id).await.status, 202, "{id}");
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_dispatched_a_job_never_approves_it() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        ready(&rig);
        rig.others.with(|inner| {
            inner.jobs.insert("j".to_owned(), "ada".to_owned());
            inner.sessions.insert("of-job".to_owned(), Some("j".to_owned()));
        });
        let mut named = rig.pending("named", "s");
        named["jobId"] = json!("j");
        rig.report(&agent("a", "one"), &named).await;
        // The host did not say that the question belongs to a job; its session does.
        rig.ask(&agent("a", "one"), "unnamed", "of-job").await;
        for id in ["named", "unnamed"] {
            let answer = propose(&rig, &person("a", Role::Admin, "ada"), id).await;
            assert_eq!(answer.status, 403, "{}", answer.text());
            assert_eq!(propose(&rig, &approver("bob"), id).await.status, 202);
        }
        let mut unknown = rig.pending("unknown", "s");
        unknown["jobId"] = json!("gone");
        rig.report(&agent("a", "one"), &unknown).await;
        assert_eq!(propose(&rig, &approver("bob"), "unknown").await.status, 409);
    })
    .await;
}

#[tokio::test]
async fn nor_does_anybody_whose_account_came_from_the_same_hands() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        ready(&rig);
        rig.others.with(|inner| {
            for (job, by) in [("of-ada", "ada"), ("of-second", "second")] {
                inner.jobs.insert(job.to_owned(), by.to_owned());
                inner.sessions.insert(job.to_owned(), Some(job.to_owned()));
            }
            let hands = [("second", vec!["ada"]), ("third", vec!["second", "ada"]), ("sister", vec!["ada"])];
            for (account, of) in hands {
                inner.hands.insert(account.to_owned(), of.into_iter().map(str::to_owned).collect());
            }
            inner.endless.push("endless".to_owned());
        });
        rig.ask(&agent("a", "one"), "of-ada", "of-ada").await;
        rig.ask(&agent("a", "one"), "of-second", "of-second").await;
        rig.ask(&agent("a", "one"), "of-nobody", "s").await;
        for (question, by, words) in [
            ("of-ada", "second", "came by a link from ada"),
            ("of-ada", "third", "came by a link from ada"),
            ("of-second", "ada", "you invited the account"),
            ("of-second", "sister", "came by a link from ada"),
            ("of-second", "third", "came by a link from"),
            ("of-ada", "endless", "too long a row"),
        ] {
            let answer = propose(&rig, &approver(by), question).await;
            assert_eq!(answer.status, 403, "{by} answered {question}");
            assert!(answer.text().contains(words), "{}", answer.text());
            assert!(answer.text().contains("invited by the operator"), "{}", answer.text());
        }
        assert!(rig.others.with(|inner| inner.queued.is_empty()));
        for (question, by) in [("of-ada", "bob"), ("of-second", "bob"), ("of-nobody", "third")] {
            assert_eq!(propose(&rig, &approver(by), question).await.status, 202, "{by} on {question}");
        }
        // Who says nothing of an account has not said that it is another's.
        for account in ["ada", "eve"] {
            rig.others.with(|inner| inner.unsaid = vec![account.to_owned()]);
            assert_eq!(propose(&rig, &approver("eve"), "of-ada").await.status, 500, "{account}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_proposal_that_could_not_be_sent_says_so_and_the_hosts_word_counts() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        ready(&rig);
        rig.ask(&agent("a", "one"), "q", "s").await;
        rig.others.with(|inner| inner.away = true);
        assert_eq!(propose(&rig, &approver("ada"), "q").await.status, 503);
        let lost = rig.info("q").await.proposals.remove(0);
        assert_eq!(lost.outcome, ProposalOutcome::Refused);
        assert!(lost.refusal.unwrap().contains("could not be sent"));
        rig.others.with(|inner| inner.away = false);
        assert_eq!(propose(&rig, &approver("ada"), "q").await.status, 202);
        // It had arrived after all.
        assert_eq!(outcome(&rig, "q", lost.proposal_id.as_str(), "accepted").await, 200);
        assert!(rig.info("q").await.proposals.iter().any(|p| p.outcome == ProposalOutcome::Accepted));
        for _ in 2..20 {
            assert_eq!(propose(&rig, &approver("ada"), "q").await.status, 202);
        }
        assert_eq!(propose(&rig, &approver("ada"), "q").await.status, 409, "bounded");
    })
    .await;
}

#[tokio::test]
async fn a_proposal_that_nobody_lived_to_send_is_sent_while_its_question_waits() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        ready(&rig);
        for question in ["q", "late"] {
            rig.ask(&agent("a", "one"), question, "s").await;
            let proposed = rig.pause_after_writing(question).await;
            assert_eq!(proposed.outcome, ProposalOutcome::Sent);
        }
        let sent = || rig.others.with(|inner| inner.queued.len());
        let overdue = || crate::send::send_overdue(&rig.ground.foundation);
        overdue().await.unwrap();
        assert_eq!(sent(), 0, "whoever proposed may still be at it");
        rig.ground.clock.set(20_000);
        rig.others.with(|inner| inner.away = true);
        overdue().await.unwrap();
        assert_eq!(sent(), 0);
        rig.others.with(|inner| inner.away = false);
        rig.ground.clock.set(30_000);
        // On two replicas at once.
        let (one, two) = tokio::join!(overdue(), overdue());
        one.unwrap();
        two.unwrap();
        assert_eq!(sent(), 2);
        let command = rig.others.with(|inner| inner.queued[0].1.clone());
        assert_eq!(command.by.unwrap().as_str(), "ada");
        rig.ground.clock.set(60_000);
        overdue().await.unwrap();
        assert_eq!(sent(), 2, "each once");
        // One whose question is over is not sent, and says so.
        rig.ask(&agent("a", "one"), "over", "s").await;
        rig.pause_after_writing("over").await;
        rig.ground.clock.set(60_000 + 300_001);
        overdue().await.unwrap();
        assert_eq!(sent(), 2);
        let over = rig.info("over").await.proposals.remove(0);
        assert_eq!(over.outcome, ProposalOutcome::Refused);
        assert!(over.refusal.unwrap().contains("was over before"));
    })
    .await;
}

#[tokio::test]
async fn a_session_service_that_is_not_there_keeps_nobody_from_being_its_dispatcher() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        ready(&rig);
        rig.ask(&agent("a", "one"), "q", "of-job").await;
        rig.others.with(|inner| inner.elsewhere = true);
        let answer = propose(&rig, &approver("ada"), "q").await;
        assert_eq!(answer.status, 503, "not known is not allowed: {}", answer.text());
        assert!(rig.others.with(|inner| inner.queued.is_empty()));
        rig.others.with(|inner| inner.elsewhere = false);
        assert_eq!(propose(&rig, &approver("ada"), "q").await.status, 202);
    })
    .await;
}

impl Rig {
    /// A proposal of ada's whose sender died between its record and the host's command.
    async fn pause_after_writing(&self, id: &str) -> Proposal {
        self.others.with(|inner| (inner.hangs, inner.hanging) = (true, 0));
        let by = approver("ada");
        let hanging = async {
            while self.others.with(|inner| inner.hanging) == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            answer = propose(self, &by, id) => panic!("{}: {}", answer.status, answer.text()),
            () = hanging => {}
        }
        self.others.with(|inner| inner.hangs = false);
        self.info(id).await.proposals.remove(0)
    }
}
