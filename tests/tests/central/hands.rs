//! Who may be behind an account: answers to one's own jobs by a second account, and what is left of somebody who went.

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::approval::DecisionRequest;
use lanyard_governance_api::endpoint::{
    CreateEnrolmentToken, CreateJob, CreateSession, InvitePerson, ListEnrolmentTokens, ProposeDecision,
    RemovePerson, ReportApproval, ReportJob,
};
use lanyard_governance_api::enrolment::NewEnrolmentToken;
use lanyard_governance_api::id::UserId;
use lanyard_governance_api::job::{Job, JobProgress, JobState, NewJob};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people::{InvitePerson as Invitation, Role};
use lanyard_protocol::Json;
use lanyard_protocol::approval::{ApprovalState, Decision};
use lanyard_protocol::id::ApprovalId;
use lanyard_tests::central::{
    Admin, Installation, Records, Refused, TestAgent, approval, heartbeat, nonce, session_request,
};

/// Somebody who came by a link of `by`'s.
struct Somebody {
    admin: Admin,
    id: UserId,
}

async fn invited(by: &Admin, name: &str, role: Role) -> Result<Somebody> {
    let invitation = Invitation { name: name.to_owned(), email: None, role };
    let invited = by.post::<InvitePerson>(&[], &invitation).await?;
    let link = invited.link_token.context("no link")?;
    Ok(Somebody { admin: Admin::by_link(&by.base, &link).await?, id: invited.person.user_id })
}

async fn dispatches(by: &Admin, host: &TestAgent) -> Result<Job> {
    let new = NewJob {
        agent_id: host.id().clone(),
        tool_name: "RunCommand".to_owned(),
        arguments: Json::object(),
        workspace: "/srv/project".to_owned(),
        title: "Look".to_owned(),
        idempotency_key: format!("key_{}", nonce()).parse()?,
        expires_in_seconds: None,
    };
    by.post::<CreateJob>(&[], &new).await
}

/// The host asks in the session of a job.
async fn asks(host: &TestAgent, job: &Job) -> Result<ApprovalId> {
    let mut request = session_request("/srv/project");
    request.job_id = Some(job.job_id.clone());
    let grant = host.agent.post::<CreateSession>(&[], &request).await?;
    let report = approval(&grant.session_id, &grant.workspace_id, ApprovalState::Pending)?;
    host.agent.post::<ReportApproval>(&[], &report).await?;
    Ok(report.record.request.approval_id)
}

/// The status of an answer, and what was said.
async fn answers(who: &Somebody, question: &ApprovalId) -> Result<(u16, String)> {
    let decision = DecisionRequest { decision: Decision::Approved, reason: None };
    match who.admin.post::<ProposeDecision>(&[question.as_str()], &decision).await {
        Ok(_) => Ok((202, String::new())),
        Err(error) => {
            let refused = error.downcast::<Refused>()?;
            Ok((refused.status, refused.error.message))
        }
    }
}

async fn second_accounts(records: Records) -> Result<()> {
    let central = Installation::start(records).await?;
    let operator = central.operator().await?;
    let ann = invited(&operator, "Ann", Role::Admin).await?;
    let bob = invited(&operator, "Bob", Role::Approver).await?;
    let second = invited(&ann.admin, "Ann again", Role::Admin).await?;
    let third = invited(&second.admin, "And again", Role::Approver).await?;
    let host = TestAgent::of(&operator, "workshop").await?;
    host.beat(&heartbeat("workshop")).await?;
    // Whichever of her accounts dispatches, none of the others answers; somebody else does.
    for dispatcher in [&ann, &second] {
        let question = asks(&host, &dispatches(&dispatcher.admin, &host).await?).await?;
        for account in [&ann, &second, &third] {
            let (status, said) = answers(account, &question).await?;
            ensure!(status == 403, "{} answered {}: {status} {said}", account.id, dispatcher.id);
        }
        ensure!(answers(&bob, &question).await?.0 == 202);
    }
    // An account in between that is removed changes nothing.
    let question = asks(&host, &dispatches(&ann.admin, &host).await?).await?;
    operator.call::<RemovePerson>(&[second.id.as_str()], &Nothing {}, &Nothing {}).await?;
    let (status, said) = answers(&third, &question).await?;
    ensure!(status == 403 && said.contains("invited by the operator"), "{status} {said}");
    Ok(())
}

#[tokio::test]
async fn a_second_account_does_not_answer_what_the_first_has_dispatched() -> Result<()> {
    second_accounts(Records::Sqlite).await
}

#[tokio::test]
async fn nor_on_postgresql() -> Result<()> {
    second_accounts(Records::Postgres).await
}

async fn what_is_left(records: Records) -> Result<()> {
    let central = Installation::start(records).await?;
    let operator = central.operator().await?;
    let ann = invited(&operator, "Ann", Role::Admin).await?;
    let host = TestAgent::of(&operator, "workshop").await?;
    host.beat(&heartbeat("workshop")).await?;
    let wanted = NewEnrolmentToken {
        user_id: None,
        class: "laptop".to_owned(),
        note: None,
        expires_in_seconds: None,
        max_uses: Some(9),
    };
    let token = ann.admin.post::<CreateEnrolmentToken>(&[], &wanted).await?.token;
    TestAgent::enrol(&operator.base, &token, "before").await?;
    let job = dispatches(&ann.admin, &host).await?;
    operator.call::<RemovePerson>(&[ann.id.as_str()], &Nothing {}, &Nothing {}).await?;
    let refused = TestAgent::enrol(&operator.base, &token, "after").await.err().context("it enrolled")?;
    ensure!(refused.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 401), "{refused:#}");
    let listed = operator.get::<ListEnrolmentTokens>(&[]).await?;
    let void =
        listed.items.iter().find(|token| token.created_by == ann.id).and_then(|token| token.void.as_ref());
    ensure!(void.is_some_and(|why| why.contains("was removed")), "{listed:?}");
    ensure!(listed.items.iter().filter(|token| token.void.is_some()).count() == 1, "{listed:?}");
    let claim = JobProgress {
        state: JobState::Leased,
        lease_key: "lease_1".parse()?,
        session_id: None,
        reason: None,
        result: None,
    };
    let refused = host.agent.post::<ReportJob>(&[job.job_id.as_str()], &claim).await.err();
    let refused = refused.context("it was claimed")?.downcast::<Refused>()?;
    ensure!(refused.status == 409 && refused.error.message.contains("who dispatched it"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn tokens_and_waiting_jobs_of_somebody_who_was_removed_end_with_them() -> Result<()> {
    what_is_left(Records::Sqlite).await
}

#[tokio::test]
async fn so_they_do_on_postgresql() -> Result<()> {
    what_is_left(Records::Postgres).await
}
