//! Error bodies of gateways: what they say, and which of four kinds it is.
//!
//! LiteLLM sends `{"error":{"message","type","param","code"}}` with the code as a string, OpenAI the same with a
//! number or nothing, llama.cpp and OpenRouter with a number, some servers `{"error":"text"}` or
//! `{"detail":…}`. The same object arrives as the body of a failed request or as an event inside a stream.

use serde_json::Value;

use crate::show::quoted;

/// Characters of a gateway's own words that are repeated in an error.
const MAX_MESSAGE_CHARS: usize = 500;

/// Characters of its short fields that are kept.
const MAX_FIELD_CHARS: usize = 80;

/// What a complaint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A guardrail or content filter refused prompt or answer.
    Guardrail,
    /// Money or tokens granted are used up.
    Budget,
    /// Too much at a time: the same request may succeed later.
    Throttle,
    /// Something at the gateway or behind it is broken: the same request may succeed later.
    Fault,
    /// The request itself is not acceptable.
    Request,
}

/// One complaint of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// HTTP status, as sent or as named inside a stream; 0 when none was named.
    pub(crate) status: u16,
    /// What the gateway says, on one line and cut.
    pub(crate) message: String,
    /// `error.param`: the field of the request it is about.
    pub(crate) param: String,
    /// What it is about.
    pub(crate) subject: Subject,
    /// The guardrail's name, when it was named.
    pub(crate) guardrail: Option<String>,
}

impl Complaint {
    /// Reads the body of a failed request. Whatever it is, there is a complaint.
    pub(crate) fn of_response(status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::of_value(status, &value),
            Err(_) => Self::plain(status, &page_text(&text)),
        }
    }

    /// Reads an error object from inside a stream, or a whole `{"error": …}`.
    pub(crate) fn of_stream(value: &Value) -> Self {
        Self::of_value(0, value)
    }

    /// A complaint in words only.
    pub(crate) fn plain(status: u16, message: &str) -> Self {
        let message = quoted(message, MAX_MESSAGE_CHARS);
        let subject = subject(status, &Clues { message: &message, ..Clues::default() });
        Self { status, message, param: String::new(), subject, guardrail: None }
    }

    /// The answer itself ended because a filter cut it.
    pub(crate) fn filtered_answer() -> Self {
        Self {
            status: 0,
            message: "the answer was cut by a content filter".to_owned(),
            param: String::new(),
            subject: Subject::Guardrail,
            guardrail: None,
        }
    }

    /// Whether a request with pictures was refused for them: servers of text-only models say so in many ways, and as a
    /// bad request or as a fault of their own. What a guardrail says stands.
    pub(crate) fn is_about_pictures(&self) -> bool {
        /// Too large, or of a kind that is not taken.
        const STATUSES: [u16; 2] = [413, 415];
        const WORDS: [&str; 8] = [
            "image",
            "vision",
            "multimodal",
            "multi-modal",
            "mmproj",
            // What takes text only says to a list of parts.
            "valid string",
            "expected a string",
            "must be a string",
        ];
        if !matches!(self.subject, Subject::Request | Subject::Fault) {
            return false;
        }
        let said = self.message.to_ascii_lowercase();
        STATUSES.contains(&self.status)
            || WORDS.iter().any(|word| said.contains(word))
            || self.param.contains("content")
    }

    fn of_value(status: u16, value: &Value) -> Self {
        // Google wraps its error in a list of one.
        let value = value.get(0).unwrap_or(value);
        let error = value.get("error").filter(|e| !e.is_null()).unwrap_or(value);
        let code = field(error, "code");
        let named = code.parse().ok().filter(|n| (400..600).contains(n));
        let status = if status == 0 { named.unwrap_or(0) } else { status };
        let extra = error.get("provider_specific_fields").or_else(|| value.get("provider_specific_fields"));
        let guardrail = extra.and_then(|fields| {
            let fields = fields.as_object()?;
            let any = || fields.iter().find(|(key, _)| key.starts_with("guardrail")).map(|(_, value)| value);
            let name = fields.get("guardrail_name").or_else(any)?;
            Some(quoted(name.as_str().unwrap_or_default(), MAX_FIELD_CHARS))
        });
        let message = quoted(&words(error, value), MAX_MESSAGE_CHARS);
        let kind = field(error, "type");
        let clues = Clues { message: &message, kind: &kind, code: &code, guardrail: guardrail.is_some() };
        Self {
            status,
            subject: subject(status, &clues),
            param: field(error, "param"),
            guardrail: guardrail.filter(|name| !name.is_empty()),
            message,
        }
    }
}

/// A short field that may be a string, a number or absent.
fn field(error: &Value, key: &str) -> String {
    match error.get(key) {
        Some(Value::String(text)) => quoted(text, MAX_FIELD_CHARS),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The gateway's words, wherever it put them.
fn words(error: &Value, whole: &Value) -> String {
    let places = [error.get("message"), Some(error), whole.get("message"), whole.get("detail")];
    let text = places.into_iter().flatten().find_map(Value::as_str);
    text.map_or_else(|| error.to_string(), str::to_owned)
}

/// What an HTML page says, roughly: proxies in between answer with pages.
fn page_text(body: &str) -> String {
    if !body.trim_start().starts_with('<') {
        return body.to_owned();
    }
    let title = body.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    title.map_or_else(
        || "an HTML page".to_owned(),
        |(title, _)| format!("an HTML page titled {:?}", title.trim()),
    )
}

#[derive(Default)]
struct Clues<'a> {
    message: &'a str,
    kind: &'a str,
    code: &'a str,
    guardrail: bool,
}

/// Sorts a complaint. Names count before numbers: the same budget is reported as 400, 422 and 429 by versions of
/// one gateway.
fn subject(status: u16, clues: &Clues<'_>) -> Subject {
    let named = |names: &[&str]| names.iter().any(|name| clues.kind == *name || clues.code == *name);
    let begins = |starts: &[&str]| starts.iter().any(|start| clues.message.starts_with(start));
    if named(&["budget_exceeded", "insufficient_quota", "billing_hard_limit_reached"])
        || status == 402
        || begins(&["Budget has been exceeded", "ExceededBudget"])
        // OpenAI's sentence, as LiteLLM passes it on without the type that said so.
        || clues.message.contains("You exceeded your current quota")
    {
        return Subject::Budget;
    }
    // A guardrail that could not be asked answers 5xx: that may pass, a verdict does not.
    let verdict = clues.guardrail && status < 500;
    if verdict
        || named(&["content_filter", "content_policy_violation", "guardrail_blocked", "moderation_blocked"])
        || (status < 500
            && begins(&["Content blocked:", "Violated guardrail policy", "Guardrail raised an exception"]))
    {
        return Subject::Guardrail;
    }
    match status {
        429 => Subject::Throttle,
        // 408 is how LiteLLM and proxies report that the provider behind them did not answer in time.
        408 | 500..=599 => Subject::Fault,
        300..=499 => Subject::Request,
        _ if named(&["rate_limit_error", "throttling_error", "rate_limit_exceeded", "overloaded_error"]) => {
            Subject::Throttle
        }
        _ if named(&["invalid_request_error", "exceed_context_size_error", "context_length_exceeded"]) => {
            Subject::Request
        }
        // Inside a stream most errors carry no number and mean that the provider broke down.
        _ => Subject::Fault,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{Complaint, Subject};

    fn read(status: u16, body: serde_json::Value) -> Complaint {
        Complaint::of_response(status, body.to_string().as_bytes())
    }

    #[test]
    fn litellm_guardrail() {
        let complaint = read(
            400,
            json!({"error": {
                "message": "Content blocked: keyword 'forbiddenword' detected", "type": "invalid_request_error",
                "param": null, "code": "400",
                "provider_specific_fields": {
                    "error": "Content blocked", "keyword": "forbiddenword", "description": null,
                    "guardrail_name": "no-secrets", "guardrail_mode": "pre_call"
                }
            }}),
        );
        assert_eq!(complaint.subject, Subject::Guardrail);
        assert_eq!(complaint.guardrail.as_deref(), Some("no-secrets"));
        assert_eq!(complaint.message, "Content blocked: keyword 'forbiddenword' detected");
    }

    #[test]
    fn one_line_for_every_known_shape() {
        let error = |message: &str, kind: &str, code: serde_json::Value| json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
        for (status, body, subject) in [
            (422, error("Budget", "budget_exceeded", json!("422")), Subject::Budget),
            (429, error("Budget", "budget_exceeded", json!("429")), Subject::Budget),
            (400, error("Budget has been exceeded! Current", "None", json!("400")), Subject::Budget),
            (429, error("You exceeded", "insufficient_quota", json!("insufficient_quota")), Subject::Budget),
            (
                429,
                error("litellm: You exceeded your current quota", "throttling_error", json!("429")),
                Subject::Budget,
            ),
            (402, error("Insufficient credits", "", json!(402)), Subject::Budget),
            (429, error("Crossed RPM", "throttling_error", json!("429")), Subject::Throttle),
            (401, error("Authentication Error", "auth_error", json!("401")), Subject::Request),
            (400, error("Invalid model name", "invalid_request_error", json!("400")), Subject::Request),
            (400, error("Violated guardrail policy", "None", json!("400")), Subject::Guardrail),
            (400, error("The response was filtered", "", json!("content_filter")), Subject::Guardrail),
            (500, error("Connection error.", "internal_server_error", json!("500")), Subject::Fault),
            (408, error("Timeout", "", json!("408")), Subject::Fault),
            (
                503,
                json!({"error": {"message": "x", "provider_specific_fields": {"guardrail_name": "g"}}}),
                Subject::Fault,
            ),
            (404, json!({"detail": "Not Found"}), Subject::Request),
            (404, json!({"error": "model 'x' not found"}), Subject::Request),
            (302, json!(null), Subject::Request),
        ] {
            let complaint = read(status, body.clone());
            assert_eq!((complaint.subject, complaint.status), (subject, status), "{body}");
        }
    }

    #[test]
    fn inside_a_stream_the_code_is_the_status() {
        for (error, status, subject) in [
            (json!({"message": "m", "type": "None", "code": "500"}), 500, Subject::Fault),
            (json!({"message": "m", "code": 429}), 429, Subject::Throttle),
            (json!({"message": "m", "type": "server_error", "code": null}), 0, Subject::Fault),
            (json!({"message": "m", "type": "rate_limit_error"}), 0, Subject::Throttle),
            (
                json!({"message": "m", "type": "exceed_context_size_error", "code": 400}),
                400,
                Subject::Request,
            ),
            (
                json!({"message": "m", "type": "invalid_request_error", "code": "context_length_exceeded"}),
                0,
                Subject::Request,
            ),
            (json!({"message": "m", "type": "budget_exceeded", "code": "422"}), 422, Subject::Budget),
            (
                json!({"message": "m", "code": "400", "provider_specific_fields": {"guardrail_name": "g"}}),
                400,
                Subject::Guardrail,
            ),
            (json!("plain words"), 0, Subject::Fault),
        ] {
            let complaint = Complaint::of_stream(&json!({ "error": error }));
            assert_eq!((complaint.status, complaint.subject), (status, subject), "{error}");
        }
    }

    #[test]
    fn what_is_about_pictures_is_known_in_its_many_forms() {
        let error = |message: &str, param: &str| json!({"error": {"message": message, "type": "invalid_request_error", "param": param}});
        for (status, body) in [
            (400, error("This model does not support image_url content.", "")),
            (400, error("Invalid content type.", "messages.[1].content.[1].type")),
            (500, error("image input is not supported - hint: you may need to provide the mmproj", "")),
            (422, json!({"detail": "body.messages.1.content: Input should be a valid string"})),
            (413, json!("Request Entity Too Large")),
        ] {
            assert!(read(status, body.clone()).is_about_pictures(), "{body}");
        }
        for (status, body) in [
            (401, error("Authentication Error", "")),
            (400, error("Invalid model name", "model")),
            (429, error("too many image tokens per minute", "")),
            (400, json!({"error": {"message": "the image was blocked", "code": "content_filter"}})),
        ] {
            assert!(!read(status, body.clone()).is_about_pictures(), "{body}");
        }
    }

    #[test]
    fn words_are_found_and_pages_are_named() {
        assert_eq!(read(500, json!([{"error": {"message": "wrapped", "code": 400}}])).message, "wrapped");
        assert_eq!(read(500, json!({"error": "plain"})).message, "plain");
        assert_eq!(read(500, json!({"detail": "gone"})).message, "gone");
        let page = b"<html><head><title> 502 Bad Gateway </title></head></html>";
        assert_eq!(Complaint::of_response(502, page).message, "an HTML page titled \"502 Bad Gateway\"");
        assert_eq!(Complaint::of_response(502, b"<html>").message, "an HTML page");
        assert_eq!(Complaint::of_response(500, b"\x1b[31mred\n\x00").message, "[31mred");
    }

    proptest! {
        #[test]
        fn any_body_is_a_bounded_complaint(status in 300u16..600, body in prop::collection::vec(any::<u8>(), 0..2000)) {
            let complaint = Complaint::of_response(status, &body);
            prop_assert!(complaint.message.chars().count() <= super::MAX_MESSAGE_CHARS + 1);
            prop_assert!(!complaint.message.chars().any(char::is_control));
        }
    }
}
