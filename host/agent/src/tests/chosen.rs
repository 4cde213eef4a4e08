//! What a person chooses for one task: the model that answers, and files that go with the prompt.

use std::sync::Arc;

use lanyard_ports::model::{
    Model, ModelAnswer, ModelError, ModelProgress, ModelRequest, NAMED_BY_TASK, Picture, Pictures,
};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::session::{ModelInfo, TaskOptions};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::fakes::{Reply, ScriptedModel, Way, World, new_task, say, task_id};
use crate::session::{NewTask, Session, StartError};
use crate::{Ports, ResumeCause};

/// A place with any model but the one called `gone`.
struct Menu {
    inner: Arc<ScriptedModel>,
    endpoint: &'static str,
    name: Option<String>,
}

impl Menu {
    fn at(endpoint: &'static str, inner: &Arc<ScriptedModel>) -> Arc<dyn Model> {
        Arc::new(Self { inner: inner.clone(), endpoint, name: None })
    }
}

#[async_trait::async_trait]
impl Model for Menu {
    fn info(&self) -> ModelInfo {
        let source = if self.name.is_some() { NAMED_BY_TASK } else { "config" };
        ModelInfo {
            name: self.name.clone().unwrap_or_else(|| "host's".into()),
            endpoint: self.endpoint.into(),
            demo: false,
            source: source.into(),
        }
    }

    fn context_window(&self) -> u32 {
        self.inner.context_window()
    }

    fn named(&self, name: &str) -> Option<Arc<dyn Model>> {
        let one = Self { inner: self.inner.clone(), endpoint: self.endpoint, name: Some(name.into()) };
        (name != "gone").then(|| Arc::new(one) as Arc<dyn Model>)
    }

    async fn answer(
        &self,
        request: &ModelRequest,
        progress: &mpsc::Sender<ModelProgress>,
        cancel: &CancellationToken,
    ) -> Result<ModelAnswer, ModelError> {
        self.inner.answer(request, progress, cancel).await
    }
}

fn asking(model: Option<&str>) -> NewTask {
    let model = model.map(str::to_owned);
    NewTask { task_id: Some(task_id("t1")), model, ..new_task("go", TaskOptions::default()) }
}

/// The models that events say were asked, and the one the task began with.
fn models(world: &World) -> (Vec<String>, Option<ModelInfo>) {
    let bodies = world.journal.bodies();
    let asked = bodies.iter().filter_map(|body| match body {
        EventBody::LlmRequestStarted(started) => Some(started.model.clone()),
        _ => None,
    });
    let begun = bodies.iter().find_map(|body| match body {
        EventBody::TaskStarted(started) => Some(started.model.clone()),
        _ => None,
    });
    (asked.collect(), begun)
}

async fn starts(session: &Session, model: Option<&str>) -> Result<(), StartError> {
    session.start_task(asking(model)).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn a_task_has_the_model_it_names_and_policy_is_asked_about_that_one() {
    let world = World::new();
    let session = world.session_with(Menu::at("a", &world.model));
    starts(&session, Some("big")).await.unwrap();
    World::rest(&session).await;
    let (asked, begun) = models(&world);
    assert_eq!((asked, begun.unwrap().name.as_str()), (vec!["big".to_owned()], "big"));
    assert!(world.gate_models().iter().all(|name| name == "big"), "{:?}", world.gate_models());

    let error = session.start_task(NewTask { task_id: None, ..asking(Some("gone")) }).await.unwrap_err();
    assert_eq!(error, StartError::NoSuchModel("gone".into()));
}

#[tokio::test(start_paused = true)]
async fn the_same_id_with_another_model_is_another_task() {
    let world = World::new();
    world.model.expect(Reply::Hang);
    let session = world.session_with(Menu::at("a", &world.model));
    starts(&session, Some("big")).await.unwrap();
    starts(&session, Some("big")).await.unwrap();
    for other in [None, Some("small")] {
        assert_eq!(starts(&session, other).await, Err(StartError::OtherTask(task_id("t1"))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_goes_on_after_a_crash_has_the_model_it_named() {
    for (endpoint, expected) in [("a", "big"), ("b", "host's")] {
        let world = World::new();
        world.router.tool("ReadFile", Way::says("x"));
        world.model_calls(&[("ReadFile", json!({}))]);
        world.model.expect(Reply::Hang);
        let session = world.session_with(Menu::at("a", &world.model));
        starts(&session, Some("big")).await.unwrap();
        World::until(|| world.model.requests().len() == 2).await;

        let next = world.after_kill();
        next.router.tool("ReadFile", Way::says("x"));
        let session = next.session_with(Menu::at(endpoint, &next.model));
        session.resume(ResumeCause::HostStarted).await.unwrap();
        World::rest(&session).await;
        assert_eq!(models(&next).0.last().unwrap(), expected, "the gateway is at {endpoint}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_named_none_goes_on_with_what_the_host_has_then() {
    let world = World::new();
    world.model.expect(Reply::Hang);
    let session = world.session_with(Menu::at("a", &world.model));
    starts(&session, None).await.unwrap();
    World::until(|| world.model.requests().len() == 1).await;
    let next = world.after_kill();
    let session = next.session_with(ScriptedModel::named("another"));
    session.resume(ResumeCause::HostStarted).await.unwrap();
    World::rest(&session).await;
    assert_eq!(models(&next).0, ["another"], "the request before was not on disk");
}

/// One picture, `photo.png`.
struct Album;

#[async_trait::async_trait]
impl Pictures for Album {
    async fn picture(&self, path: &str) -> Option<Picture> {
        let known = path == ".lanyard/attachments/photo.png";
        known.then(|| Picture { media_type: "image/png", bytes: [7].into() })
    }
}

#[tokio::test(start_paused = true)]
async fn the_model_is_told_of_attachments_and_the_log_says_what_the_person_wrote() {
    let world = World::new();
    world.model.expect(say("a cat"));
    world.model.expect(say("black"));
    let session = world.session_of(Ports { pictures: Arc::new(Album), ..world.ports() });
    let attachments = ["photo.png", "notes.txt"].map(|name| format!(".lanyard/attachments/{name}"));
    let task =
        NewTask { attachments: attachments.into(), ..new_task("what is this?", TaskOptions::default()) };
    session.start_task(task).await.unwrap();
    World::rest(&session).await;
    session.start_task(new_task("what colour?", TaskOptions::default())).await.unwrap();
    World::rest(&session).await;

    let requests = world.model.requests();
    let prompt = &requests[0].messages[1].content;
    assert!(prompt.starts_with("what is this?\n\n[host] ") && prompt.ends_with("/notes.txt"), "{prompt}");
    let seen = |n: usize| requests[n].pictures.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    assert_eq!(seen(0), [1], "with the prompt it belongs to");
    assert_eq!(seen(1), [1], "and still when a later prompt is about it");
    let told = world.journal.bodies().into_iter().find_map(|body| match body {
        EventBody::TaskStarted(started) => Some(started.prompt),
        _ => None,
    });
    assert_eq!(told.unwrap(), "what is this?");
    assert_eq!(world.journal.record().summary.name, "what is this?");
}
