//! Requests by the browser's `fetch`. The sign-in is a cookie that scripts do not see; it goes along to this origin by
//! itself.

use lanyard_governance_api::endpoint::{Body, Call, Method};
use lanyard_governance_api::page::Nothing;
use leptos::prelude::window;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, Request, RequestCache, RequestInit, Response};

use super::{Failed, address};

/// Longest wait for an answer, in milliseconds. Proving every chain of a large tenant takes central some seconds.
const PATIENCE: u32 = 120_000;

/// Other origins cannot set it without being asked first, nor know what it holds: central takes no cookie without it.
const OWN: &str = "x-lanyard-console";

/// Carries out a call that has no body.
///
/// # Errors
/// In words; see [`Failed`].
pub(crate) async fn get<C>(values: &[&str], query: &C::Query) -> Result<C::Response, Failed>
where
    C: Call<Request = Nothing>,
    C::Query: Serialize,
    C::Response: DeserializeOwned,
{
    call::<C>(values, query, &Nothing {}).await
}

/// Carries out a call. `values` are the path's parameters, in order.
///
/// # Errors
/// In words; see [`Failed`].
pub(crate) async fn call<C>(
    values: &[&str],
    query: &C::Query,
    body: &C::Request,
) -> Result<C::Response, Failed>
where
    C: Call,
    C::Query: Serialize,
    C::Request: Serialize,
    C::Response: DeserializeOwned,
{
    let address = format!("{}{}", address::path::<C>(values), address::query(query));
    let body = match C::ENDPOINT.request {
        Body::Json => Some(serde_json::to_string(body).map_err(|error| Failed::odd(0, &error.to_string()))?),
        _ => None,
    };
    let (status, text) = exchange(C::ENDPOINT.method, &address, body.as_deref()).await?;
    let text = if text.is_empty() { "{}" } else { &text };
    serde_json::from_str(text).map_err(|error| Failed::odd(status, &error.to_string()))
}

/// Fetches stored content that is JSON.
///
/// # Errors
/// In words; see [`Failed`].
pub(crate) async fn content<C, T>(values: &[&str]) -> Result<T, Failed>
where
    C: Call<Request = Nothing, Query = Nothing, Response = Nothing>,
    T: DeserializeOwned,
{
    let (status, text) = exchange(C::ENDPOINT.method, &address::path::<C>(values), None).await?;
    serde_json::from_str(&text).map_err(|error| Failed::odd(status, &error.to_string()))
}

/// The status and text of an answer that is no error.
async fn exchange(method: Method, address: &str, body: Option<&str>) -> Result<(u16, String), Failed> {
    let answer = fetch(method, address, body).await;
    let (status, text) = answer.map_err(|error| Failed::unreached(&said(&error), method != Method::Get))?;
    if (200..300).contains(&status) { Ok((status, text)) } else { Err(Failed::answered(status, &text)) }
}

async fn fetch(method: Method, address: &str, body: Option<&str>) -> Result<(u16, String), JsValue> {
    let headers = Headers::new()?;
    headers.set("accept", "application/json")?;
    headers.set(OWN, &super::key::header())?;
    let init = RequestInit::new();
    init.set_method(method.as_str());
    init.set_cache(RequestCache::NoStore);
    init.set_signal(Some(&AbortSignal::timeout_with_u32(PATIENCE)));
    if let Some(body) = body {
        headers.set("content-type", "application/json")?;
        init.set_body(&JsValue::from_str(body));
    }
    init.set_headers(&headers);
    let request = Request::new_with_str_and_init(address, &init)?;
    let response: Response = JsFuture::from(window().fetch_with_request(&request)).await?.dyn_into()?;
    let text = JsFuture::from(response.text()?).await?;
    Ok((response.status(), text.as_string().unwrap_or_default()))
}

fn said(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| "no answer".to_owned(), |error| String::from(error.message()))
}
