//! Errors in the shapes gateways really use; LiteLLM's where nothing else is said.

use serde_json::{Value, json};

use super::Turn;

/// `{"error": {message, type, param, code}}`, the code being the status as a string.
pub fn error(status: u16, kind: &str, message: &str) -> Turn {
    Turn::json(status, &json!({ "error": body(status, kind, message) }))
}

fn body(status: u16, kind: &str, message: &str) -> Value {
    json!({"message": message, "type": kind, "param": null, "code": status.to_string()})
}

/// 401: a token the gateway does not know. It quotes the token, as LiteLLM does.
pub fn unauthorised(token: &str) -> Turn {
    let message =
        format!("Authentication Error, Invalid proxy server token passed. Received API Key = {token}");
    error(401, "auth_error", &message)
}

/// 400: no such model.
pub fn unknown_model(name: &str) -> Turn {
    let message = format!("/chat/completions: Invalid model name passed in model={name}. Call `/v1/models`");
    error(400, "invalid_request_error", &message)
}

/// 429 with a `retry-after` of seconds or a date.
pub fn throttled(retry_after: &str) -> Turn {
    error(429, "throttling_error", "Crossed TPM / RPM / Max Parallel Request Limit")
        .header("retry-after", retry_after)
}

/// 429 of the provider behind the gateway, passed on by it.
pub fn throttled_behind(retry_after: &str) -> Turn {
    let message = "litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached";
    error(429, "throttling_error", message).header("llm_provider-retry-after", retry_after)
}

/// 500: the provider behind the gateway is broken.
pub fn fault() -> Turn {
    error(500, "internal_server_error", "litellm.InternalServerError: OpenAIException - Connection error.")
}

/// 422, 429 or 400 by version: a budget is used up.
pub fn budget(status: u16) -> Turn {
    error(status, "budget_exceeded", "Budget has been exceeded! Current cost: 1.1, Max budget: 1.0")
}

/// 429 as OpenAI words it when the account has no money.
pub fn quota() -> Turn {
    let error = json!({"message": "You exceeded your current quota", "type": "insufficient_quota", "param": null,
                       "code": "insufficient_quota"});
    Turn::json(429, &json!({ "error": error }))
}

/// The same, passed on by LiteLLM: the type is lost.
pub fn quota_behind() -> Turn {
    let message = "litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your current quota";
    error(429, "throttling_error", message)
}

/// 400: a guardrail refused the prompt.
pub fn guardrail(name: &str) -> Turn {
    Turn::json(400, &json!({ "error": guardrail_body(name) }))
}

/// The same, inside a stream that had begun: a guardrail refused the answer.
pub fn guardrail_inside(name: &str) -> Turn {
    inside(&guardrail_body(name))
}

fn guardrail_body(name: &str) -> Value {
    let mut error = body(400, "invalid_request_error", "Content blocked: keyword 'forbidden' detected");
    error["provider_specific_fields"] = json!({
        "error": "Content blocked: keyword 'forbidden' detected", "keyword": "forbidden",
        "guardrail_name": name, "guardrail_mode": "pre_call",
    });
    error
}

/// A stream that breaks off with an error event after some text, as LiteLLM ends it.
pub fn inside(error: &Value) -> Turn {
    Turn::stream().text("half an ").event(&json!({ "error": error }).to_string()).done()
}

/// [`inside`] with status and words.
pub fn error_inside(status: u16, kind: &str, message: &str) -> Turn {
    inside(&body(status, kind, message))
}

/// 400 of OpenAI's newest models.
pub fn wants_max_completion_tokens() -> Turn {
    let error = json!({"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                       'max_completion_tokens' instead.", "type": "invalid_request_error", "param": "max_tokens",
                       "code": "unsupported_parameter"});
    Turn::json(400, &json!({ "error": error }))
}

/// A proxy in between sends elsewhere.
pub fn redirect(location: &str) -> Turn {
    Turn::body(307, "text/html", "<html></html>").header("location", location)
}

/// A proxy in between has nobody to ask.
pub fn bad_gateway() -> Turn {
    let page = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>";
    Turn::body(502, "text/html", page)
}
