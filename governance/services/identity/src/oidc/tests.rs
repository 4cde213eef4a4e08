//! Room for begun sign-ins, the choice of the tenant, a provider that changes its keys; over both databases.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use axum::{Json, Router};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{Request, Response, StatusCode, header};
use lanyard_governance_foundation::caller::Caller;
use lanyard_governance_foundation::testing::{Ground, on_both};
use lanyard_governance_foundation::{Foundation, Statement};
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKeyId, PrivateSigningKey as _};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Oidc, OidcSettings, Who, make_room, recognised, tenant_of};
use crate::{InstallationKey, MIGRATIONS, Settings, routes};

/// Runs a statement across tenants.
async fn run(foundation: &Foundation, statement: Statement) {
    let mut tx = foundation.database.across_write().await.unwrap();
    tx.run(statement).await.unwrap();
    tx.commit().await.unwrap();
}

/// Begun sign-ins that end so many milliseconds from now.
async fn begun(foundation: &Foundation, ends: impl Iterator<Item = i64>) {
    for end in ends {
        let sql = "INSERT INTO oidc_flows (state, nonce, verifier, expires_at) VALUES ($1, 'n', 'v', $2)";
        let state = end.to_be_bytes();
        let until = foundation.clock.now().plus_millis(end);
        run(foundation, Statement::new(sql).bind(state.as_slice()).bind(until)).await;
    }
}

/// What is left when room was made among `most`: the ends given to [`begun`].
async fn left(foundation: &Foundation, most: u64) -> Vec<i64> {
    let mut tx = foundation.database.across_write().await.unwrap();
    make_room(&mut tx, foundation.clock.now(), most).await.unwrap();
    let rows = tx.all(Statement::new("SELECT state FROM oidc_flows ORDER BY expires_at")).await.unwrap();
    tx.commit().await.unwrap();
    rows.iter().map(|row| i64::from_be_bytes(row.bytes("state").unwrap().try_into().unwrap())).collect()
}

#[tokio::test]
async fn a_full_table_of_begun_sign_ins_makes_room_at_its_old_end() {
    on_both(MIGRATIONS, |ground| async move {
        let foundation = &ground.foundation;
        begun(foundation, (1..=20).map(|n| n * 100_000)).await;
        assert_eq!(left(foundation, 21).await.len(), 20, "there is room");
        let kept: Vec<i64> = (3..=20).map(|n| n * 100_000).collect();
        assert_eq!(left(foundation, 20).await, kept, "not the oldest tenth went");
        // What ran out goes first, and then nothing else needs to.
        begun(foundation, [-2_000, -1_000].into_iter()).await;
        assert_eq!(left(foundation, 20).await, kept);
        // However small the table is, one goes.
        assert_eq!(left(foundation, 1).await.len(), kept.len() - 1);
    })
    .await;
}

#[tokio::test]
async fn a_person_begins_where_they_were_last_and_first_where_they_were_invited_first() {
    on_both(MIGRATIONS, |ground| async move {
        let foundation = &ground.foundation;
        let user = "usr_ada".to_owned().try_into().unwrap();
        let join = |tenant: &'static str, created: i64, seen: Option<i64>| {
            let sql = "INSERT INTO memberships (tenant_id, user_id, role, created_at, last_seen_at) \
                       VALUES ($1, 'usr_ada', 'viewer', $2, $3)";
            run(foundation, Statement::new(sql).bind(tenant).bind(created).bind(seen))
        };
        let chosen = || async {
            let mut tx = foundation.database.across_write().await.unwrap();
            tenant_of(&mut tx, &user).await.unwrap().map(|tenant| tenant.to_string())
        };
        assert_eq!(chosen().await, None);
        join("zebra", 10, None).await;
        // Invited later, unasked, by a tenant that is first in the alphabet.
        join("aardvark", 20, None).await;
        assert_eq!(chosen().await.as_deref(), Some("zebra"));
        join("middle", 30, Some(40)).await;
        assert_eq!(chosen().await.as_deref(), Some("middle"), "not where they were last");
        join("newest", 35, Some(50)).await;
        assert_eq!(chosen().await.as_deref(), Some("newest"));
    })
    .await;
}

/// Who is removed while they sign in does not get in.
#[tokio::test]
async fn a_removal_under_way_comes_before_the_sign_in() {
    on_both(MIGRATIONS, |ground| async move {
        let foundation = ground.foundation.clone();
        let sql = "INSERT INTO memberships (tenant_id, user_id, role, created_at) \
                   VALUES ('only', 'usr_ada', 'viewer', 1)";
        run(&foundation, Statement::new(sql)).await;
        let mut removal = foundation.database.across_write().await.unwrap();
        removal.run(Statement::new("DELETE FROM memberships WHERE tenant_id = 'only'")).await.unwrap();
        let sign_in = tokio::spawn(async move {
            let mut tx = foundation.database.across_write().await.unwrap();
            tenant_of(&mut tx, &"usr_ada".to_owned().try_into().unwrap()).await.unwrap()
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!sign_in.is_finished(), "the sign-in does not wait for the removal");
        removal.commit().await.unwrap();
        assert_eq!(sign_in.await.unwrap(), None);
    })
    .await;
}

/// A provider with one key at a time, for somebody whose address is verified.
#[derive(Default)]
struct Provider {
    issuer: Mutex<String>,
    /// Number of the key that signs now.
    key: AtomicUsize,
    /// How often it was asked what it is.
    asked: AtomicUsize,
    nonce: Mutex<String>,
}

impl Provider {
    async fn start() -> Arc<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let provider = Arc::new(Self::default());
        let of = || provider.clone();
        let (about, keys, tokens) = (of(), of(), of());
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(async move || Json(about.about())))
            .route("/keys", get(async move || Json(json!({"keys": [keys.key().as_verification_key()]}))))
            .route("/token", post(async move || Json(tokens.tokens())));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        *provider.issuer.lock().unwrap() = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        provider
    }

    fn issuer(&self) -> String {
        self.issuer.lock().unwrap().clone()
    }

    fn about(&self) -> Value {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let issuer = self.issuer();
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
        })
    }

    fn key(&self) -> CoreEdDsaPrivateSigningKey {
        let number = u8::try_from(self.key.load(Ordering::Relaxed)).unwrap();
        // PKCS #8 of an Ed25519 key is this and its 32 bytes (RFC 8410, section 7).
        let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        der.extend([number; 32]);
        let name = "PRIVATE KEY";
        let pem = format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", BASE64.encode(&der));
        let id = JsonWebKeyId::new(format!("key-{number}"));
        CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(id)).unwrap()
    }

    fn tokens(&self) -> Value {
        let now = lanyard_protocol::Timestamp::now().as_millis() / 1_000;
        let head = json!({"alg": "EdDSA", "kid": format!("key-{}", self.key.load(Ordering::Relaxed))});
        let claims = json!({
            "iss": self.issuer(), "aud": "central", "sub": "ada", "iat": now, "exp": now + 600,
            "nonce": *self.nonce.lock().unwrap(), "email": "ada@example.com", "email_verified": true,
        });
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&head), part(&claims));
        let signature = self.key().sign(&CoreJwsSigningAlgorithm::EdDsa, signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature));
        json!({"access_token": "a", "token_type": "Bearer", "id_token": token})
    }
}

/// Central with that provider, where Ada is invited.
struct Site {
    router: Router,
    provider: Arc<Provider>,
}

impl Site {
    async fn new(ground: &Ground) -> Self {
        let provider = Provider::start().await;
        let public_url = "http://127.0.0.1:1".to_owned();
        let oidc = Oidc::new(OidcSettings {
            issuer: provider.issuer(),
            client_id: "central".to_owned(),
            client_secret: None,
            public_url: public_url.clone(),
        });
        let settings = Settings { public_url, oidc: Some(oidc.unwrap()), key: InstallationKey([7; 32]) };
        for sql in [
            "INSERT INTO users (user_id, name, email, operator, created_at) \
             VALUES ('usr_ada', 'Ada', 'ada@example.com', 0, 1)",
            "INSERT INTO memberships (tenant_id, user_id, role, created_at) \
             VALUES ('default', 'usr_ada', 'viewer', 1)",
        ] {
            run(&ground.foundation, Statement::new(sql)).await;
        }
        Self { router: routes(ground.foundation.clone(), settings).finish().0, provider }
    }

    async fn get(&self, path: &str, cookie: &str) -> Response<Body> {
        let request = Request::get(path).header(header::COOKIE, cookie).extension(Caller::Nobody);
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    /// Begins a sign-in, comes back from the provider, and says with which status it ended.
    async fn sign_in(&self) -> StatusCode {
        let begun = self.get("/login/oidc", "").await;
        assert_eq!(begun.status(), StatusCode::SEE_OTHER);
        let cookie = begun.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
        let to = url::Url::parse(begun.headers()[header::LOCATION].to_str().unwrap()).unwrap();
        let value = |name: &str| to.query_pairs().find(|(n, _)| n == name).unwrap().1.into_owned();
        *self.provider.nonce.lock().unwrap() = value("nonce");
        let ended = self.get(&format!("/login/oidc/callback?code=c&state={}", value("state")), cookie).await;
        let status = ended.status();
        to_bytes(ended.into_body(), 1 << 20).await.unwrap();
        status
    }

    fn asked(&self) -> usize {
        self.provider.asked.load(Ordering::Relaxed)
    }

    fn change_key(&self) {
        self.provider.key.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_provider_that_changes_its_keys_is_asked_again_but_not_all_the_time() {
    on_both(MIGRATIONS, |ground| async move {
        let site = Site::new(&ground).await;
        assert_eq!((site.sign_in().await, site.asked()), (StatusCode::SEE_OTHER, 1));
        assert_eq!((site.sign_in().await, site.asked()), (StatusCode::SEE_OTHER, 1), "asked each time");
        site.change_key();
        assert_eq!((site.sign_in().await, site.asked()), (StatusCode::SEE_OTHER, 2), "not asked again");
        // Tokens that cannot be verified do not make it be asked more than once a minute.
        site.change_key();
        assert_eq!((site.sign_in().await, site.asked()), (StatusCode::UNAUTHORIZED, 2));
        ground.clock.set(61_000);
        assert_eq!((site.sign_in().await, site.asked()), (StatusCode::SEE_OTHER, 3));
        ground.clock.set(61_000 + 3_601_000);
        assert_eq!((site.sign_in().await, site.asked()), (StatusCode::SEE_OTHER, 4), "kept beyond an hour");
    })
    .await;
}

#[tokio::test]
async fn what_is_known_of_a_provider_is_kept_while_it_does_not_answer() {
    let provider = Provider::start().await;
    let settings = |issuer: String| OidcSettings {
        issuer,
        client_id: "central".to_owned(),
        client_secret: None,
        public_url: "http://127.0.0.1:1".to_owned(),
    };
    let oidc = Oidc::new(settings(provider.issuer())).unwrap();
    let now = lanyard_protocol::Timestamp::now();
    oidc.metadata(now).await.unwrap();
    // It now says that it is somebody else, which is no answer.
    "http://127.0.0.1:9".clone_into(&mut provider.issuer.lock().unwrap());
    let later = now.plus_millis(3_600_001);
    let kept = oidc.metadata(later).await.unwrap();
    assert_ne!(kept.issuer().as_str(), "http://127.0.0.1:9");
    assert_eq!(provider.asked.load(Ordering::Relaxed), 2, "not asked after an hour");
    oidc.metadata(later.plus_millis(59_000)).await.unwrap();
    assert_eq!(provider.asked.load(Ordering::Relaxed), 2, "asked again within a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invited_address_is_the_first_account_that_comes_with_it_and_no_others() {
    on_both(MIGRATIONS, |ground| async move {
        let foundation = &ground.foundation;
        let sql = "INSERT INTO users (user_id, name, email, operator, created_at) VALUES ('usr_x', 'X', 'x@e.org', 0, 0)";
        run(foundation, Statement::new(sql)).await;
        let comes = async |subject: String| {
            let who =
                Who { issuer: "https://id".to_owned(), subject, email: Some("x@e.org".to_owned()) };
            let mut tx = foundation.database.across_write().await.unwrap();
            let user = recognised(&mut tx, &who).await.unwrap();
            // Whoever comes meanwhile has looked already.
            tokio::time::sleep(Duration::from_millis(50)).await;
            tx.commit().await.unwrap();
            user.map(|_| who.subject)
        };
        let all = futures_util::future::join_all((0..6).map(|n| comes(format!("subject-{n}")))).await;
        let known: Vec<String> = all.into_iter().flatten().collect();
        assert_eq!(known.len(), 1, "{known:?}");
        assert_eq!(comes(known[0].clone()).await.as_ref(), Some(&known[0]), "and stays it");
    })
    .await;
}
