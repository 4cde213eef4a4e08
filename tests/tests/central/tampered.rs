//! Somebody with a hand in the database: verification of the running service finds what was changed, and where.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::audit::{ChainVerdict, Verification, VerifyQuery};
use lanyard_governance_api::endpoint::{CreateEnrolmentToken, PostAudit, VerifyAudit};
use lanyard_governance_api::enrolment::NewEnrolmentToken;
use lanyard_governance_api::page::Nothing;
use lanyard_tests::central::chain::{Chain, Hand};
use lanyard_tests::central::newcomers::refusal;
use lanyard_tests::central::{Admin, Installation, Records, TestAgent, until};

async fn verify(admin: &Admin) -> Result<Verification> {
    admin.call::<VerifyAudit>(&[], &VerifyQuery::default(), &Nothing {}).await
}

async fn verdict(admin: &Admin, source: &str) -> Result<ChainVerdict> {
    let query = VerifyQuery { source: Some(source.to_owned()) };
    let proof = admin.call::<VerifyAudit>(&[], &query, &Nothing {}).await?;
    proof.chains.into_iter().next().context("no chain")
}

/// What was done to the chain of `{source}`, which has 12 records, and the fault that is told.
const WAYS: &[(&[&str], &str)] = &[
    (
        // A byte of an event.
        &["UPDATE audit_records SET event = REPLACE(event, '\"number\":6', '\"number\":7') \
           WHERE source = '{source}' AND seq = 6"],
        "record 6: its hash is not",
    ),
    (&["DELETE FROM audit_records WHERE source = '{source}' AND seq = 6"], "record 6 is missing"),
    (
        // Two that change places, each with its hash.
        &[
            "UPDATE audit_records SET seq = 999 WHERE source = '{source}' AND seq = 6",
            "UPDATE audit_records SET seq = 6 WHERE source = '{source}' AND seq = 7",
            "UPDATE audit_records SET seq = 7 WHERE source = '{source}' AND seq = 999",
        ],
        "record 6: its hash is not",
    ),
    (
        &["DELETE FROM audit_records WHERE source = '{source}' AND seq > 8"],
        "the chain ends at 8, and its head is 12",
    ),
    (
        &["UPDATE audit_records SET user_id = 'usr_somebody' WHERE source = '{source}' AND seq = 3"],
        "record 3: what is stored beside it",
    ),
    (&["DELETE FROM audit_heads WHERE source = '{source}'"], "the chain's head is missing"),
];

async fn every_way(records: Records) -> Result<()> {
    let central = Installation::start(records).await?;
    let admin = central.operator().await?;
    let hand = Hand::into(&central).await?;
    for (statements, fault) in WAYS {
        let agent = TestAgent::of(&admin, "workshop").await?;
        let source = agent.id().as_str();
        Chain::of(source).send(&agent.agent, 12).await?;
        let before = verdict(&admin, source).await?;
        ensure!(before.fault.is_none() && before.records == 12, "{before:?}");
        for statement in *statements {
            let changed = hand.run(&statement.replace("{source}", source)).await?;
            ensure!(changed > 0, "nothing was changed by {statement}");
        }
        let after = verdict(&admin, source).await?;
        ensure!(after.fault.as_deref().is_some_and(|told| told.contains(fault)), "{statements:?}: {after:?}");
        let all = verify(&admin).await?;
        ensure!(!all.whole, "all of it together is said to be whole");
    }
    // Nobody else is doubted.
    let honest = TestAgent::of(&admin, "honest").await?;
    Chain::of(honest.id().as_str()).send(&honest.agent, 3).await?;
    ensure!(verdict(&admin, honest.id().as_str()).await?.fault.is_none());
    hand.out().await;
    Ok(())
}

#[tokio::test]
async fn every_way_to_tamper_is_found() -> Result<()> {
    every_way(Records::Sqlite).await
}

#[tokio::test]
async fn every_way_is_found_on_postgresql() -> Result<()> {
    every_way(Records::Postgres).await
}

/// The end cut off and the head set back to fit: only what was kept outside tells.
async fn cut_off(records: Records) -> Result<()> {
    let central = Installation::start(records).await?;
    let admin = central.operator().await?;
    let agent = TestAgent::of(&admin, "workshop").await?;
    let source = agent.id().as_str();
    let mut chain = Chain::of(source);
    chain.send(&agent.agent, 12).await?;
    let anchored = verdict(&admin, source).await?;
    let hand = Hand::into(&central).await?;
    ensure!(
        hand.run(&format!("DELETE FROM audit_records WHERE source = '{source}' AND seq > 8")).await? == 4
    );
    let head = format!(
        "UPDATE audit_heads SET last_seq = 8, hash = (SELECT hash FROM audit_records WHERE source = '{source}' AND \
         seq = 8) WHERE source = '{source}'"
    );
    ensure!(hand.run(&head).await? == 1);
    hand.out().await;
    let now = verdict(&admin, source).await?;
    ensure!(now.last_seq < anchored.last_seq && now.head != anchored.head, "{now:?} fits {anchored:?}");
    // The host that made the records finds out with its next ones.
    let next = chain.next(1)?;
    let said = refusal(agent.agent.post::<PostAudit>(&[], &next).await)?;
    ensure!(said.status == 409, "{said}");
    Ok(())
}

#[tokio::test]
async fn an_end_that_was_cut_off_with_its_head_does_not_fit_the_anchor_nor_the_host() -> Result<()> {
    cut_off(Records::Sqlite).await
}

#[tokio::test]
async fn nor_does_it_fit_on_postgresql() -> Result<()> {
    cut_off(Records::Postgres).await
}

#[tokio::test]
async fn two_replicas_add_to_one_chain() -> Result<()> {
    let mut central = Installation::start(Records::Postgres).await?;
    central.add().await?;
    let admin = central.operator().await?;
    let agent = TestAgent::of(&admin, "workshop").await?;
    let source = agent.id().to_string();
    let before = verify(&admin).await?;
    let at = |proof: &Verification| -> u64 {
        proof.chains.iter().filter(|c| c.source.starts_with("service:")).map(|c| c.last_seq).sum()
    };

    // A host whose batches reach both at once, each of them twice.
    let mut chain = Chain::of(&source);
    let batches: Vec<_> = (0..20).map(|_| chain.next(5)).collect::<Result<_>>()?;
    let mut sent = Vec::new();
    for batch in batches {
        let batch = Arc::new(batch);
        let mut both = Vec::new();
        for replica in 0..2 {
            let there = Admin::with(&central.url(replica), agent.agent.token.as_deref())?;
            let batch = batch.clone();
            both.push(tokio::spawn(async move { there.post::<PostAudit>(&[], &batch).await }));
        }
        for one in both {
            sent.push(one.await??);
        }
    }
    ensure!(sent.iter().all(|taken| taken.conflicts == 0), "{sent:?}");
    ensure!(sent.iter().map(|taken| taken.accepted).sum::<u64>() == 100, "{sent:?}");
    // What both record themselves goes into the same chain.
    let mut makers = Vec::new();
    for number in 0..40 {
        let there = Admin::with(&central.url(number % 2), admin.token.as_deref())?;
        makers.push(tokio::spawn(async move {
            let wanted = NewEnrolmentToken {
                user_id: None,
                class: "laptop".to_owned(),
                note: None,
                expires_in_seconds: None,
                max_uses: None,
            };
            there.post::<CreateEnrolmentToken>(&[], &wanted).await
        }));
    }
    for maker in makers {
        maker.await??;
    }
    let proof = until("every record has arrived", || async {
        let proof = verify(&admin).await?;
        Ok((at(&proof) >= at(&before) + 40).then_some(proof))
    })
    .await?;
    ensure!(proof.whole, "{proof:?}");
    let own = proof.chains.iter().find(|chain| chain.source == source).context("no chain")?;
    ensure!(own.records == 100 && own.conflicts == 0, "{own:?}");
    Ok(())
}
