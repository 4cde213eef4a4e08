//! Nothing of one tenant is reached by another, nor by whoever may not.

use super::*;
use crate::MIGRATIONS;
use lanyard_governance_foundation::testing::on_both;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_tenants_ids_lead_nowhere() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (host, foreign) = (world.online("acme").await, world.online("umbrella").await);
        let token = world.token("acme", |_| {}).await;
        let snapshot = json!({ "asking": [], "devices": [] });
        world.ok::<ep::PutPairings>(&host.caller(), &[host.id()], "", &snapshot).await;
        let body = json!({ "agentId": host.id(), "toolName": "shell", "arguments": {}, "workspace": "/code",
            "title": "x", "idempotencyKey": "key", "expiresInSeconds": null });
        let job = world.ok::<ep::CreateJob>(&admin("acme"), &[], "", &body).await;
        let (id, job, none) = (host.id(), job.job_id.as_str(), json!({}));
        let thief = admin("umbrella");
        let answers = [
            world.call::<ep::RevokeEnrolmentToken>(&thief, &[token.record.token_id.as_str()], "", &none).await,
            world.call::<ep::GetAgent>(&thief, &[id], "", &none).await,
            world.call::<ep::GetAgent>(&service("umbrella"), &[id], "", &none).await,
            world.call::<ep::RevokeAgent>(&thief, &[id], "", &json!({ "reason": "x" })).await,
            world.call::<ep::QueueCommand>(&service("umbrella"), &[id], "", &super::commands::cancel("s")).await,
            world.call::<ep::DecidePairing>(&thief, &[id, "par_1"], "", &json!({ "approve": false, "digits": null })).await,
            world.call::<ep::RevokeDevice>(&thief, &[id, "dev_1"], "", &none).await,
            world.call::<ep::CreateJob>(&thief, &[], "", &body).await,
            world.call::<ep::GetJob>(&thief, &[job], "", &none).await,
            world.call::<ep::GetJob>(&service("umbrella"), &[job], "", &none).await,
            world.call::<ep::GetJob>(&foreign.caller(), &[job], "", &none).await,
            world.call::<ep::CancelJob>(&thief, &[job], "", &none).await,
            world.call::<ep::ReportJob>(&foreign.caller(), &[job], "",
                &json!({ "state": "leased", "leaseKey": "k", "sessionId": null, "reason": null, "result": null })).await,
        ];
        for answer in answers {
            assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND"), "{}", answer.body);
        }
        let beat = heartbeat(world.now());
        for answer in [
            world.call::<ep::SendHeartbeat>(&foreign.caller(), &[id], "", &beat).await,
            world.call::<ep::PollCommands>(&foreign.caller(), &[id], "", &none).await,
            world.call::<ep::StreamCommands>(&foreign.caller(), &[id], "", &none).await,
            world.call::<ep::AcknowledgeCommands>(&foreign.caller(), &[id], "", &json!({ "results": [] })).await,
            world.call::<ep::PutPairings>(&foreign.caller(), &[id], "", &snapshot).await,
            world.call::<ep::GetAgent>(&foreign.caller(), &[id], "", &none).await,
            world.call::<ep::RevokeAgent>(&foreign.caller(), &[id], "", &json!({ "reason": "x" })).await,
        ] {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
        }
        // Lists and counts hold what is one's own.
        let agents = world.ok::<ep::ListAgents>(&thief, &[], "", &none).await;
        assert_eq!(agents.items.iter().map(|info| info.agent_id.as_str()).collect::<Vec<_>>(), [foreign.id()]);
        assert!(world.ok::<ep::ListJobs>(&thief, &[], "", &none).await.items.is_empty());
        assert!(world.ok::<ep::ListJobs>(&thief, &[], &format!("?agentId={id}"), &none).await.items.is_empty());
        assert!(world.ok::<ep::ListPairings>(&thief, &[], "", &none).await.items.is_empty());
        let tokens = world.ok::<ep::ListEnrolmentTokens>(&thief, &[], "", &none).await;
        assert!(tokens.items.iter().all(|one| one.token_id != token.record.token_id));
        assert_eq!(world.ok::<ep::CountEpoch>(&service("umbrella"), &[], "?epoch=0", &none).await.online, 1);
        let told = world.ok::<ep::BroadcastCommand>(&service("umbrella"), &[], "", &super::heartbeat::epoch(2)).await;
        assert_eq!(told.agents, 1);
        // And nothing was done to the first.
        let info = world.agent(&host).await;
        assert!(info.revoked.is_none());
        let waiting = world.ok::<ep::PollCommands>(&host.caller(), &[id], "", &none).await;
        assert_eq!(waiting.commands.len(), 1, "its own job");
        // An idempotency key is a tenant's own.
        let own = json!({ "agentId": foreign.id(), "toolName": "shell", "arguments": {}, "workspace": "/code",
            "title": "x", "idempotencyKey": "key", "expiresInSeconds": null });
        assert_ne!(world.ok::<ep::CreateJob>(&thief, &[], "", &own).await.job_id.as_str(), job);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_refuses_whom_it_is_not_for() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.online("acme").await;
        let Caller::Agent(whose) = host.caller() else { panic!("a host is one") };
        let revoked = Caller::Revoked { reason: "gone".to_owned(), whose };
        let weak = host.with(AgentScope::Heartbeat);
        for endpoint in ep::ENDPOINTS.iter().filter(|e| e.service == Service::Enrolment && !e.access.public) {
            let path: Vec<_> = endpoint
                .path
                .split('/')
                .map(|part| match part {
                    "{agent_id}" => host.id(),
                    part if part.starts_with('{') => "some_id",
                    part => part,
                })
                .collect();
            let tries = async |caller: &Caller| {
                let request = Request::builder()
                    .method(endpoint.method.as_str())
                    .uri(path.join("/"))
                    .header(header::CONTENT_TYPE, "application/json")
                    .extension(caller.clone())
                    .body(Body::from("{}"))
                    .unwrap();
                world.router.clone().oneshot(request).await.unwrap().status()
            };
            assert_eq!(tries(&Caller::Nobody).await, StatusCode::UNAUTHORIZED, "{}", endpoint.id);
            assert_eq!(tries(&revoked).await, StatusCode::FORBIDDEN, "{}", endpoint.id);
            if endpoint.access.agent != Some(AgentScope::Heartbeat) {
                assert_eq!(tries(&weak).await, StatusCode::FORBIDDEN, "{}", endpoint.id);
            }
            if !endpoint.access.service {
                assert_eq!(tries(&service("acme")).await, StatusCode::FORBIDDEN, "{}", endpoint.id);
            }
        }
    })
    .await;
}
