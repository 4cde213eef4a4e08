//! Against a small server.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use lanyard_protocol::Timestamp;
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{Hit, Pair, SOON, cut_answer, error, plain, until};

const STREAM: &str = "/agents/agent-1/commands/stream";
const POLL: &str = "/agents/agent-1/commands";
const ACKNOWLEDGE: &str = "/agents/agent-1/commands/acknowledge";

/// What was done, and the durable number.
#[derive(Default)]
struct Doing {
    done: Mutex<Vec<u64>>,
    handled: AtomicU64,
    failing: AtomicU32,
}

impl Doing {
    fn done(&self) -> Vec<u64> {
        self.done.lock().unwrap().clone()
    }
}

#[async_trait]
impl CommandHandler for Doing {
    async fn handle(&self, command: Command) -> Result<(), WireError> {
        self.done.lock().unwrap().push(command.number);
        match command.number {
            2 => Err(WireError::new(ErrorCode::Conflict, "answered already")),
            _ => Ok(()),
        }
    }

    async fn handled(&self, number: u64) -> Result<(), StoreError> {
        if self.failing.load(Ordering::SeqCst) > 0 {
            self.failing.fetch_sub(1, Ordering::SeqCst);
            return Err(StoreError("the disk is full".to_owned()));
        }
        assert!(number > self.handled.swap(number, Ordering::SeqCst), "numbers ascend");
        Ok(())
    }
}

struct Followed {
    doing: Arc<Doing>,
    cancel: CancellationToken,
    task: JoinHandle<Ended>,
}

fn begin(central: &Central, after: u64) -> Followed {
    let doing = Arc::new(Doing::default());
    let cancel = CancellationToken::new();
    let task = tokio::spawn(follow(central.clone(), after, doing.clone(), cancel.clone()));
    Followed { doing, cancel, task }
}

impl Followed {
    async fn end(self) -> Arc<Doing> {
        self.cancel.cancel();
        let ended = timeout(SOON, self.task).await.expect("it ends when told").unwrap();
        assert_eq!(ended, Ended::Cancelled);
        self.doing
    }
}

fn command(number: u64) -> Value {
    json!({
        "number": number, "at": Timestamp::now().to_string(), "by": null, "byName": null,
        "order": { "policy_epoch": { "epoch": number, "revoked": null } },
    })
}

fn event(value: &Value) -> String {
    format!("event: command\nid: {}\ndata: {value}\n\n", value["number"])
}

/// A stream of events that stays open.
fn open(events: impl Into<String>) -> Response {
    let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from(events.into()))]);
    Body::from_stream(first.chain(stream::pending())).into_response()
}

/// One that is cut.
fn cut(events: impl Into<String>) -> Response {
    let first = stream::iter([Ok(Bytes::from(events.into()))]);
    // What was written before has to be on its way.
    let end = stream::once(async {
        sleep(Duration::from_millis(50)).await;
        Err(std::io::Error::other("cut"))
    });
    Body::from_stream(first.chain(end)).into_response()
}

fn after(hit: &Hit) -> u64 {
    let found = hit.query.split('&').find_map(|pair| pair.strip_prefix("after="));
    found.expect("the number to go on after").parse().unwrap()
}

fn told(hits: &[Hit]) -> Vec<(u64, Option<String>)> {
    let results = hits.iter().flat_map(|hit| hit.json()["results"].as_array().unwrap().clone());
    results
        .map(|result| {
            let code = result["error"]["code"].as_str().map(ToOwned::to_owned);
            (result["number"].as_u64().unwrap(), code)
        })
        .collect()
}

fn nothing() -> Response {
    axum::Json(json!({})).into_response()
}

#[tokio::test]
async fn commands_are_done_in_order_across_cut_streams() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    fake.plan(|hit| match hit.path.as_str() {
        ACKNOWLEDGE => Some(nothing()),
        STREAM => Some(match after(hit) {
            // Cut in the middle of the third.
            0 => {
                let all: String = [1, 2, 3].map(|number| event(&command(number))).concat();
                cut(all[..all.len() - 20].to_owned())
            }
            // What came already comes again.
            2 => open([2, 3, 4].map(|number| event(&command(number))).concat()),
            other => panic!("after {other}"),
        }),
        _ => None,
    });
    let followed = begin(&central, 0);
    until("four are told", || told(&fake.hits(ACKNOWLEDGE)).iter().any(|(number, _)| *number == 4)).await;
    let doing = followed.end().await;
    assert_eq!(doing.done(), [1, 2, 3, 4]);
    assert_eq!(doing.handled.load(Ordering::SeqCst), 4);
    let told = told(&fake.hits(ACKNOWLEDGE));
    let conflict = Some("CONFLICT".to_owned());
    assert_eq!(told[..2], [(1, None), (2, conflict)]);
    assert!(told.contains(&(2, Some("OUTCOME_UNKNOWN".to_owned()))), "{told:?}");
    assert!(told.contains(&(3, None)) && told.contains(&(4, None)), "{told:?}");
}

#[tokio::test]
async fn a_later_life_goes_on_where_the_earlier_ended() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    fake.plan(|hit| match hit.path.as_str() {
        ACKNOWLEDGE => Some(nothing()),
        STREAM if after(hit) == 7 => Some(open(event(&command(8)))),
        _ => None,
    });
    let followed = begin(&central, 7);
    until("it is told", || told(&fake.hits(ACKNOWLEDGE)) == [(8, None)]).await;
    assert_eq!(followed.end().await.done(), [8]);
}

#[tokio::test]
async fn where_no_stream_is_kept_it_asks() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    let streams = AtomicU32::new(0);
    fake.plan(move |hit| match hit.path.as_str() {
        ACKNOWLEDGE => Some(nothing()),
        STREAM => Some(match streams.fetch_add(1, Ordering::SeqCst) {
            0 => error(404, ErrorCode::ResourceNotFound, "no stream here"),
            1 => "<html>".into_response(),
            _ => cut(": hello\n\n"),
        }),
        POLL => {
            let commands: Vec<_> = (after(hit) + 1..=3).map(command).collect();
            Some(axum::Json(json!({ "commands": commands })).into_response())
        }
        _ => None,
    });
    let followed = begin(&central, 0);
    until("all are told", || told(&fake.hits(ACKNOWLEDGE)).len() == 3).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(followed.end().await.done(), [1, 2, 3]);
    assert_eq!(fake.hits(STREAM).len(), 3, "after three it is patient no more");
    let polls = fake.hits(POLL);
    assert!(polls[0].query.contains("waitSeconds=25"), "{}", polls[0].query);
    // One a second; in a loop it would be hundreds.
    assert!(polls.len() <= 20, "a server that does not wait is not asked in a loop: {}", polls.len());
}

#[tokio::test]
async fn what_this_build_does_not_know_is_said_so() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    let mut unknown = command(1);
    unknown["order"] = json!({ "dance": { "tempo": 120 } });
    let events = [
        "event: command\ndata: {not json\n\n".to_owned(),
        "event: greeting\ndata: {}\n\n".to_owned(),
        "event: command\ndata: {\"order\":1}\n\n".to_owned(),
        event(&unknown),
        event(&command(5)),
    ]
    .concat();
    fake.plan(move |hit| match hit.path.as_str() {
        ACKNOWLEDGE => Some(nothing()),
        STREAM => Some(open(events.clone())),
        _ => None,
    });
    let followed = begin(&central, 0);
    until("both are told", || told(&fake.hits(ACKNOWLEDGE)).len() == 2).await;
    assert_eq!(told(&fake.hits(ACKNOWLEDGE)), [(1, Some("INVALID_REQUEST".to_owned())), (5, None)]);
    assert_eq!(followed.end().await.done(), [5]);
}

#[tokio::test]
async fn what_became_of_a_command_is_told_until_it_is_heard() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    let lost = AtomicU32::new(0);
    fake.plan(move |hit| match hit.path.as_str() {
        ACKNOWLEDGE if lost.fetch_add(1, Ordering::SeqCst) < 2 => Some(cut_answer()),
        ACKNOWLEDGE => Some(nothing()),
        STREAM if after(hit) == 0 => Some(open(event(&command(1)))),
        STREAM => Some(open(": nothing new\n\n")),
        _ => None,
    });
    let followed = begin(&central, 0);
    until("it was told three times", || fake.hits(ACKNOWLEDGE).len() == 3).await;
    assert_eq!(told(&fake.hits(ACKNOWLEDGE)), [(1, None), (1, None), (1, None)]);
    assert_eq!(followed.end().await.done(), [1], "and done once");
}

#[tokio::test]
async fn what_the_centre_does_not_want_to_know_holds_nothing_up() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    fake.plan(move |hit| match hit.path.as_str() {
        ACKNOWLEDGE => Some(error(404, ErrorCode::ResourceNotFound, "no such command")),
        STREAM => Some(open([1, 3].map(|number| event(&command(number))).concat())),
        _ => None,
    });
    let followed = begin(&central, 0);
    until("both are done", || fake.hits(ACKNOWLEDGE).len() == 2).await;
    assert_eq!(followed.end().await.done(), [1, 3]);
}

#[tokio::test]
async fn what_could_not_be_kept_is_not_told_and_comes_again() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    fake.plan(move |hit| match hit.path.as_str() {
        ACKNOWLEDGE => Some(nothing()),
        STREAM => Some(open(if after(hit) == 0 { event(&command(1)) } else { String::new() })),
        _ => None,
    });
    let doing = Arc::new(Doing::default());
    doing.failing.store(1, Ordering::SeqCst);
    let cancel = CancellationToken::new();
    let task = tokio::spawn(follow(central, 0, doing.clone(), cancel.clone()));
    until("it is kept", || doing.handled.load(Ordering::SeqCst) == 1).await;
    until("it is told", || !fake.hits(ACKNOWLEDGE).is_empty()).await;
    assert_eq!(told(&fake.hits(ACKNOWLEDGE)), [(1, None)]);
    assert_eq!(doing.done(), [1, 1], "at least once");
    cancel.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn revocation_ends_it_by_command_and_by_refusal() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    let mut sold = command(1);
    sold["order"] = json!({ "revoked": { "reason": "sold" } });
    fake.plan(move |hit| match hit.path.as_str() {
        ACKNOWLEDGE => Some(nothing()),
        STREAM => Some(open(event(&sold))),
        _ => None,
    });
    let Followed { doing, task, cancel: _cancel } = begin(&central, 0);
    assert_eq!(task.await.unwrap(), Ended::Revoked("sold".to_owned()));
    assert_eq!(doing.done(), [1], "the host hears it before it ends");
    assert_eq!(told(&fake.hits(ACKNOWLEDGE)), [(1, None)]);
    assert_eq!(central.reach().borrow().revoked.as_deref(), Some("sold"));

    fake.plan(|_| None);
    fake.books().revoked = true;
    let Followed { task, cancel: _cancel, .. } = begin(&central, 1);
    assert_eq!(task.await.unwrap(), Ended::Revoked("the machine was sold".to_owned()));
}

#[tokio::test]
async fn a_silent_stream_is_given_up() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    fake.plan(move |hit| match hit.path.as_str() {
        STREAM => Some(open(": hello\n\n")),
        _ => None,
    });
    let followed = begin(&central, 0);
    until("it is open", || fake.hits(STREAM).len() == 1).await;
    for _ in 0..100 {
        // Its comment may not have been read when the clock is moved: then the silence begins after that.
        tokio::time::sleep(Duration::from_millis(100)).await;
        if fake.hits(STREAM).len() > 1 {
            break;
        }
        tokio::time::pause();
        tokio::time::advance(SILENCE + Duration::from_secs(1)).await;
        tokio::time::resume();
    }
    assert!(fake.hits(STREAM).len() > 1, "it is not opened anew");
    followed.end().await;
}
