//! Commands as server-sent events.

use std::time::Duration;

use super::commands::cancel;
use super::heartbeat::epoch;
use super::*;
use crate::MIGRATIONS;
use futures_util::StreamExt as _;
use lanyard_governance_api::command::Command;
use lanyard_governance_foundation::testing::on_both;

/// An open stream and what came of it.
struct Stream {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(world: &World, host: &Host, query: &str, last: Option<&str>) -> Result<Self, StatusCode> {
        let mut request = Request::builder()
            .uri(format!("/agents/{}/commands/stream{query}", host.id()))
            .extension(host.caller());
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        if response.status() != StatusCode::OK {
            return Err(response.status());
        }
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Ok(Self { body: response.into_body().into_data_stream(), text: String::new() })
    }

    /// The next bytes; `None` at the end.
    async fn more(&mut self) -> Option<()> {
        let next =
            tokio::time::timeout(Duration::from_secs(60), self.body.next()).await.expect("something comes");
        self.text.push_str(std::str::from_utf8(&next?.unwrap()).unwrap());
        Some(())
    }

    async fn until(&mut self, wanted: &str) {
        while !self.text.contains(wanted) {
            self.more().await.expect("the stream goes on");
        }
    }

    /// Until it ends, whatever comes before.
    async fn ended(&mut self, longest: Duration) {
        let end = async { while self.more().await.is_some() {} };
        tokio::time::timeout(longest, end).await.expect("the stream ends");
    }

    fn commands(&self) -> Vec<Command> {
        let mut found = Vec::new();
        for frame in self.text.split("\n\n").filter(|frame| frame.contains("event: command")) {
            let line = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let command: Command = serde_json::from_str(line("data: ")).unwrap();
            assert_eq!(line("id: "), command.number.to_string());
            found.push(command);
        }
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_brings_what_waits_and_what_comes_and_goes_on_after_a_cut() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.enrol("acme").await;
        for n in 1..=30 {
            world.give(&host, &cancel(&format!("ses_{n}"))).await;
        }
        let mut stream = Stream::open(&world, &host, "", None).await.unwrap();
        stream.until("id: 30\n").await;
        let queued = world.ok::<ep::BroadcastCommand>(&service("acme"), &[], "", &epoch(2)).await;
        assert_eq!(queued.agents, 1);
        stream.until("id: 31\n").await;
        assert_eq!(
            stream.commands().iter().map(|c| c.number).collect::<Vec<_>>(),
            (1..=31).collect::<Vec<_>>()
        );
        drop(stream);
        world.give(&host, &cancel("ses_32")).await;
        for (query, last) in [("?after=1", Some("31")), ("?after=31", None)] {
            let mut stream = Stream::open(&world, &host, query, last).await.unwrap();
            stream.until("id: 32\n").await;
            assert_eq!(stream.commands().len(), 1);
        }
        for last in ["x", "-1", "9223372036854775808"] {
            assert_eq!(
                Stream::open(&world, &host, "", Some(last)).await.err(),
                Some(StatusCode::BAD_REQUEST)
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_kept_alive_and_ends_with_the_enrolment() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let replica = world.replica();
        let (host, other) = (world.enrol("acme").await, world.enrol("acme").await);
        let mut stream = Stream::open(&replica, &host, "", None).await.unwrap();
        let mut left = Stream::open(&replica, &other, "", None).await.unwrap();
        assert!(stream.more().await.is_some(), "the first comment comes at once");
        assert!(
            stream.more().await.is_some() && stream.commands().is_empty(),
            "and another within fifteen seconds"
        );
        world.ok::<ep::RevokeAgent>(&admin("acme"), &[host.id()], "", &json!({ "reason": "x" })).await;
        let revoking = std::time::Instant::now();
        assert!(stream.more().await.is_none(), "{}", stream.text);
        assert!(revoking.elapsed() < Duration::from_secs(3), "{:?}", revoking.elapsed());
        assert_eq!(Stream::open(&replica, &host, "", None).await.err(), Some(StatusCode::FORBIDDEN));
        // Another host's goes on, until the process stops.
        world.give(&other, &cancel("ses_1")).await;
        left.until("id: 1\n").await;
        world.stop.cancel();
        left.ended(Duration::from_secs(60)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_that_is_lost_costs_seconds_and_no_more() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.enrol("acme").await;
        let mut stream = Stream::open(&world, &host, "", None).await.unwrap();
        stream.more().await.unwrap();
        // Written behind the service's back: nobody is woken.
        let mut tx = world.foundation().database.across_write().await.unwrap();
        let sql = "UPDATE channels SET revoked = 'quietly' WHERE agent_id = $1";
        tx.run(Statement::new(sql).bind(host.id())).await.unwrap();
        tx.commit().await.unwrap();
        stream.ended(Duration::from_secs(60)).await;
    })
    .await;
}
