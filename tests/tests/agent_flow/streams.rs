//! Several clients, late ones and returning ones: all see the same events.

use anyhow::{Context, Result};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::method::{GetSessionState, ResumeSession};
use lanyard_tests::gateway::{Script, Turn, call, say};
use lanyard_tests::look;
use lanyard_tests::stage::{Stage, gapless};
use serde_json::json;

#[tokio::test]
async fn a_late_subscriber_gets_the_text_so_far() -> Result<()> {
    let mut stage = Stage::with([Turn::stream().text("once upon a time ").stall()]).await?;
    stage.start("tell me a story").await?;
    let mut heard = String::new();
    while heard != "once upon a time " {
        if let EventBody::TextDelta(delta) = stage.peer.event().await?.body {
            heard.push_str(&delta.text);
        }
    }
    let mut late = stage.follower(0).await?;
    let mut durable = Vec::new();
    let mut text = String::new();
    while text != heard {
        let event = late.event().await?;
        match &event.body {
            EventBody::TextDelta(delta) => {
                assert_eq!(delta.offset, text.len() as u64, "the tail begins where it says");
                text.push_str(&delta.text);
            }
            _ => durable.push(event),
        }
    }
    gapless(&durable, 1)?;
    Ok(())
}

#[tokio::test]
async fn whoever_comes_back_with_a_cursor_misses_nothing_and_hears_nothing_twice() -> Result<()> {
    const STEPS: usize = 12;
    let mut number = 0;
    let script = Script::by(move |_| {
        number += 1;
        if number > STEPS {
            say("done")
        } else {
            call("FindFiles", json!({"pattern": format!("*.{number}")}))
        }
    });
    let mut stage = Stage::with(script).await?;
    let mut seen = Vec::new();
    let mut restless = stage.follower(0).await?;
    stage.start("go").await?;
    loop {
        let event = restless.event().await?;
        let cursor = event.seq;
        let ended = event.body.ends_task();
        if cursor.is_some() {
            seen.push(event);
        }
        if ended {
            break;
        }
        // Leaves after every third event and comes back with the last number it has.
        if let Some(cursor) = cursor.filter(|seq| seq % 3 == 0) {
            restless = stage.follower(cursor).await?;
        }
    }
    let steady: Vec<_> =
        stage.peer.until_task_ends().await?.into_iter().filter(|event| event.seq.is_some()).collect();
    gapless(&seen, 1)?;
    let history = stage.history().await?;
    assert_eq!(seen, history, "what was followed is what is kept");
    assert!(history.ends_with(&steady));
    Ok(())
}

#[tokio::test]
async fn many_followers_all_see_the_same() -> Result<()> {
    let mut stage =
        Stage::with([call("RunCommand", json!({"argv": ["seq", "1", "2000"]})), say("counted")]).await?;
    let mut followers = Vec::new();
    for _ in 0..20 {
        followers.push(stage.follower(0).await?);
    }
    stage.run("count").await?;
    let history = stage.history().await?;
    for mut follower in followers {
        let events = follower.until_task_ends().await?;
        let durable: Vec<_> = events.iter().filter(|event| event.seq.is_some()).cloned().collect();
        assert_eq!(durable, history);
        assert_eq!(look::streamed(&events), "counted");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_is_taken_up_by_its_id_alone() -> Result<()> {
    let mut stage = Stage::with([say("first"), say("second")]).await?;
    stage.run("one").await?;
    let last = stage.peer.call(GetSessionState { session_id: stage.session.clone() }).await?.last_seq;
    let mut other = stage.host.connect().await?;
    let resume = ResumeSession { session_id: stage.session.clone(), checkpoint_cursor: Some(last) };
    assert_eq!(other.call(resume).await?.last_seq, last);
    other.start(&stage.session, "two", lanyard_protocol::session::TaskOptions::default()).await?;
    let events = other.until_task_ends().await?;
    assert_eq!(look::answer(&events), "second");
    let first = events.iter().find_map(|event| event.seq).context("no event")?;
    assert_eq!(first, last + 1);
    let thread = stage.gateway.requests()[1].messages().to_vec();
    assert!(thread.iter().any(|message| message["content"] == "first"), "the thread goes on: {thread:?}");
    Ok(())
}
