//! What a person chooses and sees of the host: its models, its policy, its days, who else is there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::device::{KeyStorage, PageReport};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::limits::HEALTH_DAYS;
use lanyard_protocol::method::{
    CreateSession, FindHosts, GetPolicy, Health, ListDevices, ListModels, ReportPage, StartTask,
};
use lanyard_protocol::overview::Standing;
use lanyard_protocol::policy::Capability;
use lanyard_protocol::principal::Scope;
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::gateway::{Script, ScriptedGateway, Turn, call, models, say};
use lanyard_tests::stage::{eventually, history};
use serde_json::json;

use super::{device, host, phone, refused};

fn task(session: &SessionId, model: Option<&str>) -> StartTask {
    StartTask {
        session_id: session.clone(),
        task_id: None,
        prompt: "go".to_owned(),
        task_options: TaskOptions::default(),
        model: model.map(str::to_owned),
        attachments: Vec::new(),
    }
}

#[tokio::test]
async fn a_task_is_answered_by_the_model_it_names() -> Result<()> {
    let gateway = ScriptedGateway::start_offering(say("hello"), models(&["scripted", "big", "evil\u{202e}"]));
    let host = host(Some(gateway.url())).await?;
    let mut phone = phone(&host).await?;
    let page = phone.call(ListModels {}).await?;
    ensure!(page.models == ["big", "scripted"] && page.current.name == "scripted", "{page:?}");
    for _ in 0..5 {
        phone.call(ListModels {}).await?;
    }
    let lists = gateway.all_requests().iter().filter(|request| request.path.ends_with("/models")).count();
    ensure!(lists == 1, "asked {lists} times within a minute");

    let session = phone.call(CreateSession::default()).await?.session_id;
    for bad in ["huge", "", " big", &"x".repeat(129), "b\u{200b}ig"] {
        let error = refused(&mut phone, task(&session, Some(bad))).await?;
        ensure!(error.code == ErrorCode::InvalidRequest && error.message.starts_with("model: "), "{error}");
    }
    for (model, name) in [(Some("big"), "big"), (None, "scripted")] {
        phone.call(task(&session, model)).await?;
        let (mut begun, mut asked) = (None, None);
        loop {
            match phone.next_event().await?.body {
                EventBody::TaskStarted(started) => begun = Some(started.model),
                EventBody::LlmRequestStarted(started) => asked = Some(started.model),
                body if body.ends_task() => break,
                _ => {}
            }
        }
        ensure!(begun.context("task_started")?.name == name && asked.as_deref() == Some(name), "{asked:?}");
        ensure!(gateway.requests().last().context("a request")?.body["model"] == name);
    }
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_tells_nothing_is_believed_and_the_demo_model_is_alone() -> Result<()> {
    let silent = Turn::json(404, &json!({"detail": "Not Found"}));
    let gateway = ScriptedGateway::start_offering(say("hello"), silent);
    let behind = host(Some(gateway.url())).await?;
    let mut device = phone(&behind).await?;
    ensure!(device.call(ListModels {}).await?.models.is_empty());
    let session = device.call(CreateSession::default()).await?.session_id;
    device.call(task(&session, Some("anything/at-all:7b"))).await?;
    while !device.next_event().await?.body.ends_task() {}
    ensure!(gateway.requests()[0].body["model"] == "anything/at-all:7b");

    let alone = host(None).await?;
    let mut device = phone(&alone).await?;
    let page = device.call(ListModels {}).await?;
    ensure!(page.models == ["demo"] && page.current.demo, "{page:?}");
    let session = device.call(CreateSession::default()).await?.session_id;
    let error = refused(&mut device, task(&session, Some("gpt"))).await?;
    ensure!(error.message.contains("LANYARD_GATEWAY_URL"), "{error}");
    device.call(task(&session, Some("demo"))).await?;
    Ok(())
}

#[tokio::test]
async fn a_task_keeps_its_model_through_a_crash() -> Result<()> {
    let mut asked = 0;
    let script = Script::by(move |_| {
        asked += 1;
        match asked {
            1 => call("ListDirectory", json!({})),
            2 => Turn::stream().text("thinking").stall(),
            _ => say("done"),
        }
    });
    let gateway = ScriptedGateway::start_offering(script, models(&["scripted", "big"]));
    let mut host = host(Some(gateway.url())).await?;
    let mut owner = host.connect().await?;
    let session = owner.session(&host.workspace()).await?.session_id;
    owner.call(task(&session, Some("big"))).await?;
    eventually("the model is asked twice", || gateway.requests().len() == 2).await?;
    host.kill().await?;
    host.boot().await?;
    eventually("the model is asked again", || gateway.requests().len() == 3).await?;
    ensure!(gateway.requests().iter().all(|request| request.body["model"] == "big"));
    let mut owner = host.connect().await?;
    let ended = async {
        while !history(&mut owner, &session).await?.iter().any(|event| event.body.ends_task()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(lanyard_tests::host::PATIENCE, ended).await??;
    Ok(())
}

#[tokio::test]
async fn policy_is_told_in_short_and_names_only_to_those_who_may_know_them() -> Result<()> {
    let host = host(None).await?;
    let mut admin =
        device(&host, "desk", &[Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin]).await?;
    let mut phone = phone(&host).await?;
    let told = phone.call(GetPolicy {}).await?;
    ensure!(told.layers == ["local"] && told.approval_seconds > 0 && !told.protected.is_empty(), "{told:?}");
    let of = |capability| told.grants.iter().find(|grant| grant.capability == capability);
    let read = of(Capability::FileRead).context("File.Read")?;
    let work = host.workspace().canonicalize()?.display().to_string();
    ensure!(read.standing == Standing::Free && read.limits == [work], "{read:?}");
    ensure!(of(Capability::FileWrite).context("File.Write")?.standing == Standing::Asks);
    ensure!(of(Capability::WorkspaceUpload).context("Workspace.Upload")?.standing == Standing::Never);
    let names = |told: &lanyard_protocol::overview::PolicyOverview| {
        told.askers.iter().map(|asker| (asker.name.clone(), asker.this)).collect::<Vec<_>>()
    };
    let some = |name: &str| Some(name.to_owned());
    ensure!(names(&told) == [(some("owner"), false), (None, false), (some("phone"), true)], "{told:?}");
    let told = admin.call(GetPolicy {}).await?;
    ensure!(
        names(&told) == [(some("owner"), false), (some("desk"), true), (some("phone"), false)],
        "{told:?}"
    );
    let told = host.connect().await?.call(GetPolicy {}).await?;
    ensure!(names(&told)[0] == (some("owner"), true), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_page_says_what_it_is_and_nobody_is_looked_for_where_that_is_switched_off() -> Result<()> {
    let host = host(None).await?;
    let mut phone = phone(&host).await?;
    ensure!(phone.call(FindHosts {}).await?.hosts.is_empty());
    let page = PageReport {
        origin: "https://192.168.1.7:7717".to_owned(),
        verified: false,
        key: KeyStorage::Wrapped,
    };
    for bad in ["", "https://x/y", "javascript:alert(1)", "https://\u{202e}x"] {
        let bad = PageReport { origin: bad.to_owned(), ..page.clone() };
        let error = refused(&mut phone, ReportPage { page: bad }).await?;
        ensure!(error.code == ErrorCode::InvalidRequest && error.message.contains("origin"), "{error}");
    }
    let mut owner = host.connect().await?;
    ensure!(owner.call(ListDevices {}).await?.devices[0].page.is_none());
    phone.call(ReportPage { page: page.clone() }).await?;
    let shown = owner.call(ListDevices {}).await?.devices;
    ensure!(shown[0].page.as_ref() == Some(&page) && !shown[0].temporary, "{shown:?}");
    let error = owner.try_call(ReportPage { page }).await?.err().context("the owner has no page")?;
    ensure!(error.code == ErrorCode::InvalidRequest, "{error}");
    Ok(())
}

#[tokio::test]
async fn health_counts_the_tasks_of_the_last_days_and_a_restart_forgets_none() -> Result<()> {
    let mut host = host(None).await?;
    let mut owner = host.connect().await?;
    ensure!(owner.call(Health {}).await?.days.iter().all(|day| day.completed == 0));
    let session = owner.session(&host.workspace()).await?.session_id;
    for _ in 0..2 {
        owner.start(&session, "list the files", TaskOptions::default()).await?;
        owner.until_task_ends().await?;
    }
    host.kill().await?;
    host.boot().await?;
    let days = host.connect().await?.call(Health {}).await?.days;
    let ended: u32 = days.iter().map(|day| day.completed).sum();
    ensure!(days.len() == HEALTH_DAYS && ended == 2, "{days:?}");
    ensure!(days.windows(2).all(|pair| pair[0].day + 1 == pair[1].day), "{days:?}");
    Ok(())
}
