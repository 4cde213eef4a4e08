//! Who came from whose hands, and the first link, over the real routes and both databases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode, header};
use lanyard_governance_foundation::caller::Caller;
use lanyard_governance_foundation::testing::{Ground, on_both};
use lanyard_governance_foundation::{Clock as _, Statement, credentials};
use lanyard_service_identity::{
    InstallationKey, LINK_SECONDS, MIGRATIONS, Settings, first_link, operator_link, routes, sweep,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

struct Site {
    ground: Arc<Ground>,
    router: Router,
}

/// A sign-in and the account's id.
struct Somebody {
    token: String,
    id: String,
}

impl Site {
    fn new(ground: Arc<Ground>) -> Self {
        let public_url = "https://central.example".to_owned();
        let settings = Settings { public_url, oidc: None, key: InstallationKey([7; 32]) };
        let router = routes(ground.foundation.clone(), settings).finish().0;
        Self { ground, router }
    }

    async fn ask(&self, caller: Caller, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .extension(caller)
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() })
    }

    async fn as_(&self, who: &Somebody, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let (database, now) = (&self.ground.foundation.database, self.ground.clock.now());
        let hash = credentials::hash(who.token.as_bytes());
        let caller = credentials::authenticate(database, hash, now).await.unwrap();
        self.ask(caller, method, path, body).await
    }

    async fn opens(&self, link: &str) -> String {
        let (status, body) = self.ask(Caller::Nobody, "POST", "/login/link", json!({ "token": link })).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["token"].as_str().unwrap().to_owned()
    }

    async fn operator(&self) -> Somebody {
        let token = self.opens(&operator_link(&self.ground.foundation).await.unwrap()).await;
        Somebody { token, id: "usr_operator".to_owned() }
    }

    async fn invited(&self, by: &Somebody, role: &str) -> Somebody {
        let (status, body) =
            self.as_(by, "POST", "/people", json!({ "name": "somebody", "role": role })).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let id = body["person"]["userId"].as_str().unwrap().to_owned();
        Somebody { token: self.opens(body["linkToken"].as_str().unwrap()).await, id }
    }

    async fn standings(&self, tenant: &str, ids: &[&str]) -> Value {
        let caller = Caller::Service { tenant: Some(tenant.parse().unwrap()) };
        let (status, body) = self.ask(caller, "POST", "/people/standings", json!({ "userIds": ids })).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["standings"].clone()
    }
}

#[tokio::test]
async fn an_account_is_in_the_hands_of_those_whose_links_it_came_by() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(ground.clone());
        let operator = site.operator().await;
        let ada = site.invited(&operator, "admin").await;
        let bob = site.invited(&ada, "admin").await;
        let cleo = site.invited(&bob, "approver").await;
        let ids = [&operator.id, &ada.id, &bob.id, &cleo.id, &cleo.id].map(String::as_str);
        let all = site.standings("default", &[ids.as_slice(), &["usr_nobody"]].concat()).await;
        let told = |n: usize| (&all[n]["userId"], &all[n]["role"], &all[n]["handedBy"]);
        assert_eq!(told(0), (&json!(operator.id), &json!("admin"), &json!([])));
        assert_eq!(told(1), (&json!(ada.id), &json!("admin"), &json!([])), "the operator is not named");
        assert_eq!(told(2), (&json!(bob.id), &json!("admin"), &json!([ada.id])));
        let mut both = vec![&ada.id, &bob.id];
        both.sort();
        assert_eq!(told(3), (&json!(cleo.id), &json!("approver"), &json!(both)));
        assert_eq!(told(4), told(3), "asked twice");
        assert_eq!(told(5), (&json!("usr_nobody"), &Value::Null, &json!([])));
        // In another tenant they are nobody, and come from the same hands.
        let elsewhere = site.standings("other", &[&bob.id]).await;
        assert_eq!((&elsewhere[0]["role"], &elsewhere[0]["handedBy"]), (&Value::Null, &json!([ada.id])));
        // Whoever goes stays behind those they made; a changed role is told at once.
        let (status, _) =
            site.as_(&operator, "PATCH", &format!("/people/{}", ada.id), json!({ "role": "viewer" })).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(site.standings("default", &[&ada.id]).await[0]["role"], "viewer");
        let gone = site.as_(&operator, "DELETE", &format!("/people/{}", bob.id), json!({})).await;
        assert_eq!(gone.0, StatusCode::NO_CONTENT);
        let all = site.standings("default", &[&bob.id, &cleo.id]).await;
        assert_eq!((&all[0]["role"], &all[1]["handedBy"]), (&Value::Null, &json!(both)));
        let people = site.as_(&operator, "GET", "/people", json!({})).await.1;
        let inviters: Vec<_> = people["items"].as_array().unwrap().iter().map(|p| &p["invitedBy"]).collect();
        assert!(inviters.contains(&&json!(bob.id)) && inviters.contains(&&json!(operator.id)), "{people}");
        // People never ask.
        let asked = site.as_(&operator, "POST", "/people/standings", json!({ "userIds": [] })).await;
        assert_eq!(asked.0, StatusCode::FORBIDDEN);
        let many = vec!["usr_x"; 501];
        let caller = Caller::Service { tenant: Some("default".parse().unwrap()) };
        let asked = site.ask(caller, "POST", "/people/standings", json!({ "userIds": many })).await;
        assert_eq!(asked.0, StatusCode::BAD_REQUEST);
    })
    .await;
}

#[tokio::test]
async fn links_in_a_circle_end_and_many_hands_are_bounded() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(ground.clone());
        site.operator().await;
        let mut tx = ground.foundation.database.across_write().await.unwrap();
        let user = "INSERT INTO users (user_id, name, operator, created_at) VALUES ($1, 'x', 0, 0)";
        let made = "INSERT INTO link_makers (user_id, maker) VALUES ($1, $2)";
        for n in 0..300 {
            tx.run(Statement::new(user).bind(format!("usr_{n:03}"))).await.unwrap();
        }
        // A long row, a circle of two, and one for whom many made links.
        for n in 1..=201 {
            let link = Statement::new(made).bind(format!("usr_{n:03}")).bind(format!("usr_{:03}", n - 1));
            tx.run(link).await.unwrap();
        }
        for (of, by) in [("usr_210", "usr_211"), ("usr_211", "usr_210"), ("usr_211", "usr_operator")] {
            tx.run(Statement::new(made).bind(of).bind(by)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let asked = ["usr_000", "usr_200", "usr_201", "usr_210", "usr_211"];
        let all = site.standings("default", &asked).await;
        let told = |n: usize| (all[n]["handedBy"].as_array().unwrap().len(), all[n]["more"] == true);
        assert_eq!([told(0), told(1), told(2)], [(0, false), (200, false), (200, true)]);
        assert_eq!(all[3]["handedBy"], json!(["usr_211"]));
        assert_eq!(all[4]["handedBy"], json!(["usr_210"]), "not the operator");
    })
    .await;
}

#[tokio::test]
async fn people_are_paged_newest_first() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(ground.clone());
        let operator = site.operator().await;
        let mut wanted = vec![operator.id.clone()];
        for _ in 0..4 {
            ground.clock.set(1_000 * wanted.len() as i64);
            wanted.insert(0, site.invited(&operator, "viewer").await.id);
        }
        let (mut seen, mut query) = (Vec::new(), "limit=2".to_owned());
        loop {
            let page = site.as_(&operator, "GET", &format!("/people?{query}"), json!({})).await.1;
            let items = page["items"].as_array().unwrap();
            seen.extend(items.iter().map(|person| person["userId"].as_str().unwrap().to_owned()));
            let Some(next) = page["nextToken"].as_str() else { break };
            query = format!("limit=2&nextToken={next}");
        }
        assert_eq!(seen, wanted);
        for wrong in ["limit=0", "limit=501", "nextToken=usr_operator"] {
            let (status, _) = site.as_(&operator, "GET", &format!("/people?{wrong}"), json!({})).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_first_link_is_made_once_for_each_need() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(ground.clone());
        let foundation = &ground.foundation;
        // Replicas that begin together.
        let begun = futures_util::future::join_all((0..8).map(|_| first_link(foundation))).await;
        let made: Vec<String> = begun.into_iter().filter_map(|link| link.unwrap()).collect();
        assert_eq!(made.len(), 1, "one link, whoever made it");
        assert_eq!(first_link(foundation).await.unwrap(), None, "one waits");
        // It has run out unused: there is a need again.
        ground.clock.set(i64::from(LINK_SECONDS) * 1_000 + 1);
        let second = first_link(foundation).await.unwrap().unwrap();
        sweep(foundation).await.unwrap();
        assert_eq!(first_link(foundation).await.unwrap(), None);
        // Somebody has signed in: never again.
        site.opens(&second).await;
        assert_eq!(first_link(foundation).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn links_comings_and_goings_are_recorded() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(ground.clone());
        let operator = site.operator().await;
        let ada = site.invited(&operator, "admin").await;
        let (status, other) = site.as_(&operator, "POST", "/tenants", json!({ "name": "Other" })).await;
        assert_eq!(status, StatusCode::CREATED, "{other}");
        let chosen = json!({ "tenantId": other["tenantId"] });
        assert_eq!(site.as_(&operator, "POST", "/me/tenant", chosen).await.0, StatusCode::OK);
        assert_eq!(site.as_(&ada, "POST", "/logout", json!({})).await.0, StatusCode::NO_CONTENT);
        let mut tx = ground.foundation.database.across_read().await.unwrap();
        let sql = "SELECT tenant_id, event FROM trail ORDER BY at, event_id";
        let rows = tx.all(Statement::new(sql)).await.unwrap();
        let recorded: Vec<(String, Value)> =
            rows.iter().map(|row| (row.text("tenant_id").unwrap(), row.json("event").unwrap())).collect();
        let of =
            |kind: &str| recorded.iter().filter(|(_, event)| event["eventType"] == kind).collect::<Vec<_>>();
        assert_eq!(of("sign_in_link_made").len(), 2, "the operator's, made on the machine, and ada's");
        let left = of("person_signed_out");
        assert!(left.len() == 1 && left[0].1["userId"] == ada.id.as_str(), "{left:?}");
        // Who came is told where they came to.
        let entered = of("tenant_entered");
        assert!(entered.len() == 1 && json!(entered[0].0) == other["tenantId"], "{entered:?}");
    })
    .await;
}

#[tokio::test]
async fn a_tenant_has_so_many_people_and_no_more() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(ground.clone());
        let operator = site.operator().await;
        let rows = (0..9_999).map(|n| {
            let user = format!("usr_{n}");
            vec!["default".into(), user.as_str().into(), "viewer".into(), 0_i64.into()]
        });
        let mut tx = ground.foundation.database.across_write().await.unwrap();
        let columns = ["tenant_id", "user_id", "role", "created_at"];
        tx.insert_many("memberships", &columns, rows.collect(), "").await.unwrap();
        tx.commit().await.unwrap();
        let invite = json!({ "name": "one more", "role": "viewer" });
        let (status, body) = site.as_(&operator, "POST", "/people", invite).await;
        assert_eq!(status, StatusCode::CONFLICT, "{body}");
        assert!(body["message"].as_str().unwrap().contains("remove those who left"), "{body}");
    })
    .await;
}
