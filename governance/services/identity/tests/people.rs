//! Links, roles, tenants, sign-outs, over the real routes and both databases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Method, Request, StatusCode, header};
use lanyard_governance_foundation::caller::Caller;
use lanyard_governance_foundation::testing::{Ground, on_both};
use lanyard_governance_foundation::{Clock as _, Statement, credentials};
use lanyard_service_identity::{InstallationKey, LINK_SECONDS, MIGRATIONS, Settings, operator_link, routes};
use serde_json::{Value, json};
use tower::ServiceExt as _;

struct Site {
    ground: Arc<Ground>,
    router: Router,
}

impl Site {
    fn new(ground: Arc<Ground>) -> Self {
        let settings = Settings {
            public_url: "https://central.example".to_owned(),
            oidc: None,
            key: InstallationKey([7; 32]),
        };
        let router = routes(ground.foundation.clone(), settings).finish().0;
        Self { ground, router }
    }

    async fn who(&self, token: &str) -> Caller {
        let (database, now) = (&self.ground.foundation.database, self.ground.clock.now());
        credentials::authenticate(database, credentials::hash(token.as_bytes()), now).await.unwrap()
    }

    /// As central's authentication would have it.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Value,
    ) -> (StatusCode, Value, String) {
        let caller = match token {
            Some(token) => self.who(token).await,
            None => Caller::Nobody,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .extension(caller)
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let cookie = response.headers().get(header::SET_COOKIE).map(|v| v.to_str().unwrap().to_owned());
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        (status, body, cookie.unwrap_or_default())
    }

    /// Reasons in records of a kind.
    async fn recorded(&self, kind: &str) -> Vec<String> {
        let mut tx = self.ground.foundation.database.across_read().await.unwrap();
        let rows = tx.all(Statement::new("SELECT event FROM trail")).await.unwrap();
        let events = rows.iter().map(|row| row.json::<Value>("event").unwrap());
        let of_kind = events.filter(|event| event["eventType"] == kind);
        of_kind.map(|event| event["payload"]["reason"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn operator(&self) -> String {
        let link = operator_link(&self.ground.foundation).await.unwrap();
        self.by_link(&link).await
    }

    async fn by_link(&self, link: &str) -> String {
        let (status, body, _) = self.ask(Method::POST, "/login/link", None, json!({"token": link})).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["token"].as_str().unwrap().to_owned()
    }

    /// Somebody of a role: sign-in and id.
    async fn somebody(&self, admin: &str, role: &str) -> (String, String) {
        let invited = json!({"name": format!("a {role}"), "role": role});
        let (status, body, _) = self.ask(Method::POST, "/people", Some(admin), invited).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let id = body["person"]["userId"].as_str().unwrap().to_owned();
        (self.by_link(body["linkToken"].as_str().unwrap()).await, id)
    }
}

#[tokio::test]
async fn a_link_works_once_and_not_too_late_and_its_cookie_is_guarded() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(ground.clone());
        let link = operator_link(&ground.foundation).await.unwrap();
        let login = |token: String| site.ask(Method::POST, "/login/link", None, json!({"token": token}));
        let (status, body, cookie) = login(link.clone()).await;
        assert_eq!((status, cookie.as_str()), (StatusCode::OK, ""), "a script gets no cookie");
        let (_, me, _) = site.ask(Method::GET, "/me", body["token"].as_str(), json!({})).await;
        assert_eq!((&me["operator"], &me["role"]), (&json!(true), &json!("admin")));
        assert_eq!(login(link).await.0, StatusCode::UNAUTHORIZED, "used twice");
        let late = operator_link(&ground.foundation).await.unwrap();
        ground.clock.set(i64::from(LINK_SECONDS) * 1_000 + 1);
        assert_eq!(login(late).await.0, StatusCode::UNAUTHORIZED, "used too late");
        assert_eq!(login("lsl_never_made".to_owned()).await.0, StatusCode::UNAUTHORIZED);
        // Who it was for sees that it was tried; whatever was never made is nobody's.
        let both = async {
            while site.recorded("sign_in_refused").await.len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), both).await.unwrap();
        let mut why = site.recorded("sign_in_refused").await;
        why.sort();
        assert_eq!(why, ["the link has run out", "the link was used or replaced before"]);
    })
    .await;
}

#[tokio::test]
async fn the_console_gets_a_guarded_cookie_that_is_no_bearer_and_a_key_that_fits_it() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(ground.clone());
        let link = operator_link(&ground.foundation).await.unwrap();
        let request = Request::post("/login/link")
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-lanyard-console", "1")
            .body(Body::from(json!({"token": link}).to_string()))
            .unwrap();
        let response = site.router.clone().oneshot(request).await.unwrap();
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let secret = cookie.split(['=', ';']).nth(1).unwrap();
        let body: Value =
            serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap();
        assert_eq!(body["token"], Value::Null);
        assert_eq!(body["consoleKey"], credentials::console_key(&[7; 32], secret));
        assert_ne!(body["consoleKey"], credentials::console_key(&[8; 32], secret));
        assert_eq!(site.who(secret).await, Caller::Nobody, "the cookie is a bearer");
        let known = credentials::authenticate(
            &ground.foundation.database,
            credentials::cookie_hash(secret),
            ground.clock.now(),
        );
        assert!(matches!(known.await.unwrap(), Caller::Person(_)));
    })
    .await;
}

#[tokio::test]
async fn one_link_opened_by_twenty_lets_in_one() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Arc::new(Site::new(ground.clone()));
        let link = operator_link(&ground.foundation).await.unwrap();
        let all = (0..20).map(|_| {
            let (site, link) = (site.clone(), link.clone());
            tokio::spawn(async move {
                site.ask(Method::POST, "/login/link", None, json!({"token": link})).await.0
            })
        });
        let mut let_in = 0;
        for one in all.collect::<Vec<_>>() {
            let_in += usize::from(one.await.unwrap() == StatusCode::OK);
        }
        assert_eq!(let_in, 1);
    })
    .await;
}

#[tokio::test]
async fn roles_count_from_the_next_request_on_and_somebody_must_be_left() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(ground);
        let admin = site.operator().await;
        let (viewer, id) = site.somebody(&admin, "viewer").await;
        let invite = json!({"name": "x", "role": "admin"});
        let tried = site.ask(Method::POST, "/people", Some(&viewer), invite.clone()).await;
        assert_eq!(tried.0, StatusCode::FORBIDDEN);
        let path = format!("/people/{id}");
        assert_eq!(
            site.ask(Method::PATCH, &path, Some(&admin), json!({"role": "admin"})).await.0,
            StatusCode::OK
        );
        assert_eq!(site.ask(Method::POST, "/people", Some(&viewer), invite).await.0, StatusCode::CREATED);
        // Two administrators: either may go, the last may not.
        let (_, me, _) = site.ask(Method::GET, "/me", Some(&admin), json!({})).await;
        let operator = format!("/people/{}", me["userId"].as_str().unwrap());
        let people = site.ask(Method::GET, "/people", Some(&admin), json!({})).await.1;
        for person in people["items"].as_array().unwrap() {
            let path = format!("/people/{}", person["userId"].as_str().unwrap());
            if path != operator {
                assert_eq!(
                    site.ask(Method::DELETE, &path, Some(&admin), json!({})).await.0,
                    StatusCode::NO_CONTENT
                );
            }
        }
        assert_eq!(site.who(&viewer).await, Caller::Nobody, "a removed person's sign-in goes on");
        assert_eq!(
            site.ask(Method::DELETE, &operator, Some(&admin), json!({})).await.0,
            StatusCode::CONFLICT
        );
        let less = site.ask(Method::PATCH, &operator, Some(&admin), json!({"role": "viewer"})).await;
        assert_eq!(less.0, StatusCode::CONFLICT);
        assert_eq!(
            site.ask(Method::POST, "/logout", Some(&admin), json!({})).await.0,
            StatusCode::NO_CONTENT
        );
        assert_eq!(site.who(&admin).await, Caller::Nobody);
    })
    .await;
}

#[tokio::test]
async fn whoever_came_by_link_gets_another_and_stays_the_same_person() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(ground.clone());
        let admin = site.operator().await;
        let (approver, id) = site.somebody(&admin, "approver").await;
        let path = format!("/people/{id}/link");
        let made = |by: &str| {
            let (by, path) = (by.to_owned(), path.clone());
            let site = &site;
            async move { site.ask(Method::POST, &path, Some(&by), json!({})).await }
        };
        assert_eq!(made(&approver).await.0, StatusCode::FORBIDDEN);
        let (status, lost, _) = made(&admin).await;
        assert_eq!((status, &lost["person"]["userId"]), (StatusCode::CREATED, &json!(id)));
        let again = made(&admin).await.1;
        let open = json!({ "token": lost["linkToken"] });
        assert_eq!(site.ask(Method::POST, "/login/link", None, open).await.0, StatusCode::UNAUTHORIZED, "replaced");
        let token = site.by_link(again["linkToken"].as_str().unwrap()).await;
        let (_, me, _) = site.ask(Method::GET, "/me", Some(&token), json!({})).await;
        assert_eq!((&me["userId"], &me["role"]), (&json!(id), &json!("approver")));
        // Others have their own ways in: the operator, whoever the provider vouches for, people of another tenant.
        let sql = "INSERT INTO users (user_id, name, issuer, subject, operator, created_at) \
                   VALUES ('usr_sso', 'x', 'https://idp.example', 's', 0, 0)";
        let member = "INSERT INTO memberships (tenant_id, user_id, role, created_at) VALUES ('default', 'usr_sso', 'viewer', 0)";
        let mut tx = ground.foundation.database.across_write().await.unwrap();
        for sql in [sql, member] {
            tx.run(Statement::new(sql)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let (_, me, _) = site.ask(Method::GET, "/me", Some(&admin), json!({})).await;
        for (user, status) in [
            (me["userId"].as_str().unwrap(), StatusCode::CONFLICT),
            ("usr_sso", StatusCode::CONFLICT),
            ("usr_of_another_tenant", StatusCode::NOT_FOUND),
        ] {
            let path = format!("/people/{user}/link");
            assert_eq!(site.ask(Method::POST, &path, Some(&admin), json!({})).await.0, status, "{user}");
        }
        let people = site.ask(Method::GET, "/people", Some(&admin), json!({})).await.1;
        let by_link = people["items"].as_array().unwrap().iter().filter(|person| person["byLink"] == true);
        assert_eq!(by_link.map(|person| &person["userId"]).collect::<Vec<_>>(), [&json!(id)]);
    })
    .await;
}

#[tokio::test]
async fn a_tenant_knows_nobody_of_another_and_an_invitation_makes_nobody_the_operator() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(ground);
        let operator = site.operator().await;
        let (other_admin, _) = {
            let made =
                site.ask(Method::POST, "/tenants", Some(&operator), json!({"name": "Other & Co"})).await;
            assert_eq!(made.0, StatusCode::CREATED, "{}", made.1);
            let id = made.1["tenantId"].clone();
            let chosen = site.ask(Method::POST, "/me/tenant", Some(&operator), json!({"tenantId": id})).await;
            assert_eq!(chosen.1["tenant"]["tenantId"], id);
            let other = site.somebody(&operator, "admin").await;
            let back = json!({"tenantId": "default"});
            assert_eq!(site.ask(Method::POST, "/me/tenant", Some(&operator), back).await.0, StatusCode::OK);
            other
        };
        let (_, here) = site.somebody(&operator, "viewer").await;
        for (method, body) in [(Method::PATCH, json!({"role": "admin"})), (Method::DELETE, json!({}))] {
            let (status, body, _) =
                site.ask(method, &format!("/people/{here}"), Some(&other_admin), body).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
        }
        let foreign =
            site.ask(Method::POST, "/me/tenant", Some(&other_admin), json!({"tenantId": "default"})).await;
        assert_eq!(foreign.0, StatusCode::NOT_FOUND);
        assert_eq!(
            site.ask(Method::GET, "/tenants", Some(&other_admin), json!({})).await.0,
            StatusCode::FORBIDDEN
        );
        // Two invitations of one address by link are two people: the link of one is not the other's.
        let invite = json!({"name": "a", "email": "A@example.com", "role": "viewer"});
        let one = site.ask(Method::POST, "/people", Some(&operator), invite.clone()).await.1;
        let two = site.ask(Method::POST, "/people", Some(&other_admin), invite).await.1;
        assert_ne!(one["person"]["userId"], two["person"]["userId"]);
    })
    .await;
}
