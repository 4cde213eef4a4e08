//! Signing in at an OpenID Connect provider: authorization code with PKCE, state tied to the browser by a cookie.
//!
//! Nobody becomes somebody by a provider's word alone: a person is recognised by issuer and subject, and at the first
//! time by a verified address that an administrator has invited.

mod provider;
#[cfg(test)]
mod tests;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{TenantId, UserId};
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::{Fault, RawAsk, Statement, Tx, credentials};
use lanyard_protocol::Timestamp;
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreUserInfoClaims};
use openidconnect::{
    AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, EndUserEmail, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, Scope, TokenResponse as _,
};

pub use provider::{Oidc, OidcError, OidcSettings};

use crate::State;
use crate::cookie::{self, SameSite};
use crate::links::{Into, sign_in};
use crate::people::LINK_ISSUER;

/// How long somebody may take at the provider, in seconds.
const FLOW_SECONDS: u32 = 600;

/// Sign-ins under way at once, in the whole installation. Anybody may begin one, so a full table makes room instead of
/// turning people away.
const MAX_FLOWS: u64 = 10_000;

macro_rules! client {
    ($oidc:expr, $metadata:expr) => {
        CoreClient::from_provider_metadata(
            $metadata,
            ClientId::new($oidc.settings.client_id.clone()),
            $oidc.settings.client_secret.clone().map(ClientSecret::new),
        )
        .set_redirect_uri($oidc.redirect()?)
    };
}

fn provider(state: &State) -> Result<Oidc, Fault> {
    state.settings.oidc.clone().ok_or_else(|| Fault::not_found("identity provider", "configured here"))
}

/// Sends a browser to the provider.
pub(crate) async fn start(state: State, _ask: RawAsk<ep::StartOidc>) -> Result<Response, Fault> {
    let oidc = provider(&state)?;
    let now = state.foundation.clock.now();
    let client = client!(oidc, oidc.metadata(now).await?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .add_scope(Scope::new("email".to_owned()))
        .add_scope(Scope::new("profile".to_owned()))
        .set_pkce_challenge(challenge);
    let (url, csrf, nonce) = flow.url();
    // The provider may have taken its time to say what it is.
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.across_write().await?;
    make_room(&mut tx, now, MAX_FLOWS).await?;
    let sql = "INSERT INTO oidc_flows (state, nonce, verifier, expires_at) VALUES ($1, $2, $3, $4)";
    let hash = credentials::hash(csrf.secret().as_bytes());
    let statement = Statement::new(sql).bind(hash.as_slice()).bind(nonce.secret().as_str());
    let until = now.plus_millis(i64::from(FLOW_SECONDS) * 1_000);
    tx.run(statement.bind(verifier.secret().as_str()).bind(until)).await?;
    tx.commit().await?;
    let url_of_us = &state.settings.public_url;
    let headers = cookie::set(cookie::FLOW, csrf.secret(), FLOW_SECONDS.into(), SameSite::Lax, url_of_us)?;
    redirect(url.as_str(), headers)
}

/// Makes room for one more begun sign-in among `most`: what ran out goes first, then the oldest tenth.
async fn make_room(tx: &mut Tx, now: Timestamp, most: u64) -> Result<(), DatabaseError> {
    let counted = tx.one(Statement::new("SELECT COUNT(*) AS n FROM oidc_flows")).await?;
    let counted = counted.map(|row| row.count("n")).transpose()?.unwrap_or(0);
    if counted < most {
        return Ok(());
    }
    let gone = tx.run(Statement::new("DELETE FROM oidc_flows WHERE expires_at <= $1").bind(now)).await?;
    if counted.saturating_sub(gone) < most {
        return Ok(());
    }
    // In one order, so that two who make room wait for each other and do not lock each other out.
    let sql = "DELETE FROM oidc_flows WHERE state IN \
               (SELECT state FROM oidc_flows ORDER BY expires_at, state LIMIT $1 {lock})";
    let gone = tx.run(Statement::new(sql).bind_u64((most / 10).max(1))).await?;
    tracing::warn!(gone, most, "too many sign-ins were begun and not ended; the oldest were dropped");
    Ok(())
}

fn redirect(to: &str, mut headers: HeaderMap) -> Result<Response, Fault> {
    let to = HeaderValue::from_str(to).map_err(|e| Fault::internal("a redirect cannot be written", &e))?;
    headers.insert(header::LOCATION, to);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// Takes a browser back from the provider.
pub(crate) async fn finish(state: State, ask: RawAsk<ep::FinishOidc>) -> Result<Response, Fault> {
    let oidc = provider(&state)?;
    if let Some(error) = &ask.query.error {
        let detail: String = ask.query.error_description.as_deref().unwrap_or("").chars().take(300).collect();
        return Err(Fault::unknown_caller(format!("the identity provider said no: {error} {detail}")));
    }
    let again =
        || Fault::invalid("this sign-in was not begun in this browser, or took too long; begin again");
    let returned = ask.query.state.as_deref().ok_or_else(again)?;
    // The state must be the one of this browser, or somebody could sign another person in as himself.
    if cookie::get(&ask.headers, cookie::FLOW) != Some(returned) {
        return Err(again());
    }
    if ask
        .query
        .iss
        .as_deref()
        .is_some_and(|iss| iss.trim_end_matches('/') != oidc.issuer().trim_end_matches('/'))
    {
        return Err(Fault::unknown_caller("another provider answered than was asked"));
    }
    let (nonce, verifier) = take_flow(&state, returned).await?.ok_or_else(again)?;
    let code = ask.query.code.ok_or_else(again)?;
    let now = state.foundation.clock.now();
    let client = client!(oidc, oidc.metadata(now).await?);
    let refused = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "the identity provider's answer was refused");
        Fault::unknown_caller("the identity provider's answer could not be verified; begin again")
    };
    let exchange = client.exchange_code(AuthorizationCode::new(code)).map_err(|e| refused(&e))?;
    let tokens =
        exchange.set_pkce_verifier(verifier).request_async(&oidc.http).await.map_err(|e| refused(&e))?;
    let id_token = tokens.id_token().ok_or_else(|| refused(&"no ID token"))?;
    let claims = match id_token.claims(&client.id_token_verifier(), &nonce) {
        // Signed with a key that is not known here: the provider may have changed its keys.
        Err(ClaimsVerificationError::SignatureVerification(_)) => {
            let client = client!(oidc, oidc.renewed(now).await?);
            id_token.claims(&client.id_token_verifier(), &nonce)
        }
        known => known,
    };
    let claims = claims.map_err(|e| refused(&e))?;
    let mut who = Who {
        issuer: claims.issuer().to_string(),
        subject: claims.subject().to_string(),
        email: verified(claims.email(), claims.email_verified()),
    };
    if who.email.is_none() {
        // Providers need not put addresses into the ID token (OpenID Connect Core §5.4).
        let asked = client.user_info(tokens.access_token().clone(), Some(claims.subject().clone()));
        let asked = asked.map_err(|e| refused(&e))?;
        let info: CoreUserInfoClaims = asked.request_async(&oidc.http).await.map_err(|e| refused(&e))?;
        who.email = verified(info.email(), info.email_verified());
    }
    let (headers, key) = let_in(&state, &who).await?;
    let ended = cookie::set(cookie::FLOW, "", 0, SameSite::Lax, &state.settings.public_url)?;
    // Behind the `#`, so that it is in no request and no log; the page takes it out of the address at once.
    let mut response = redirect(&format!("/console/#/signed-in/{key}"), headers)?;
    for value in ended.get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, value.clone());
    }
    Ok(response)
}

/// Takes a begun sign-in; each counts once.
async fn take_flow(state: &State, returned: &str) -> Result<Option<(Nonce, PkceCodeVerifier)>, Fault> {
    let mut tx = state.foundation.database.across_write().await?;
    let sql = "DELETE FROM oidc_flows WHERE state = $1 AND expires_at > $2 RETURNING nonce, verifier";
    let hash = credentials::hash(returned.as_bytes());
    let statement = Statement::new(sql).bind(hash.as_slice()).bind(state.foundation.clock.now());
    let row = tx.one(statement).await?;
    tx.commit().await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((Nonce::new(row.text("nonce")?), PkceCodeVerifier::new(row.text("verifier")?))))
}

/// Somebody, as the provider knows them.
struct Who {
    issuer: String,
    subject: String,
    /// Lower-case; verified by the provider.
    email: Option<String>,
}

fn verified(email: Option<&EndUserEmail>, is: Option<bool>) -> Option<String> {
    email.filter(|_| is == Some(true)).map(|email| email.as_str().to_lowercase())
}

/// The headers of the answer, and the console's key.
async fn let_in(state: &State, who: &Who) -> Result<(HeaderMap, String), Fault> {
    let mut tx = state.foundation.database.across_write().await?;
    let Some(user) = recognised(&mut tx, who).await? else {
        // Of no tenant: nobody's trail is the place for it.
        tracing::warn!(issuer = who.issuer, "somebody who is not invited came from the identity provider");
        let who = who.email.as_deref().unwrap_or("this account has no verified address, and it");
        return Err(Fault::forbidden(format!("{who} is not invited here; ask an administrator")));
    };
    let tenant = tenant_of(&mut tx, &user).await?;
    let tenant =
        tenant.ok_or_else(|| Fault::forbidden("you are in no tenant any more; ask an administrator"))?;
    let (headers, signed_in) = sign_in(&mut tx, state, (&tenant, &user), "oidc", Into::Console).await?;
    tx.commit().await?;
    Ok((headers, signed_in.console_key.unwrap_or_default()))
}

/// Where somebody begins: the tenant they signed in to last, else the one that invited them first. One that invited them
/// unasked later is never it. Takes the membership, so that a removal comes before the sign-in or ends it.
async fn tenant_of(tx: &mut Tx, user: &UserId) -> Result<Option<TenantId>, DatabaseError> {
    let sql = "SELECT tenant_id FROM memberships WHERE user_id = $1 \
               ORDER BY COALESCE(last_seen_at, 0) DESC, created_at LIMIT 1 {lock}";
    let row = tx.one(Statement::new(sql).bind_id(user)).await?;
    row.map(|row| row.id("tenant_id")).transpose()
}

/// The person of a subject, or, the first time, of an invited address.
async fn recognised(tx: &mut Tx, who: &Who) -> Result<Option<UserId>, Fault> {
    let (issuer, subject) = (who.issuer.as_str(), who.subject.as_str());
    if issuer == LINK_ISSUER {
        return Ok(None);
    }
    let sql = "SELECT user_id FROM users WHERE issuer = $1 AND subject = $2";
    if let Some(row) = tx.one(Statement::new(sql).bind(issuer).bind(subject)).await? {
        return Ok(Some(row.id("user_id")?));
    }
    let Some(email) = who.email.as_deref() else { return Ok(None) };
    let sql = "UPDATE users SET issuer = $1, subject = $2 WHERE user_id = (SELECT user_id FROM users \
               WHERE email = $3 AND issuer IS NULL AND operator = 0 ORDER BY created_at, user_id LIMIT 1) \
               AND issuer IS NULL RETURNING user_id";
    let row = tx.one(Statement::new(sql).bind(issuer).bind(subject).bind(email)).await?;
    Ok(row.map(|row| row.id("user_id")).transpose()?)
}
