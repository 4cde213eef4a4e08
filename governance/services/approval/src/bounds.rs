//! How long the texts of a record may be. What a host shows a person is a few lines and one diff; anything longer is
//! not shown, and would fill the database and the lists.

use lanyard_governance_foundation::Fault;
use lanyard_protocol::ErrorCode;
use lanyard_protocol::approval::{ApprovalDetail, ApprovalRecord};

/// Names of tools and layers.
const MAX_NAME_BYTES: usize = 128;

/// One line as hosts show it: 500 characters, each at most 14 bytes where it is written visibly, and how many more there
/// are. Less would keep questions from the centre whose command was filled with invisible characters.
const MAX_LINE_BYTES: usize = 8_000;

/// What an answer covers: the tool, the action and the folder, a line each.
const MAX_SCOPE_BYTES: usize = 16_000;

/// The person's own words.
const MAX_WORDS_BYTES: usize = lanyard_governance_api::limits::MAX_TEXT_BYTES;

/// Reasons; hosts give twelve.
const MAX_REASONS: usize = 50;

/// People who were shown it.
const MAX_RECEIPTS: usize = 200;

/// Texts of a record together: a diff has at most 256 KiB.
const MAX_RECORD_BYTES: usize = 320 << 10;

/// The record as JSON: a diff of quotes and line breaks is twice as long there.
const MAX_JSON_BYTES: usize = 2 * MAX_RECORD_BYTES;

fn too_long(member: &str, most: usize, unit: &str) -> Fault {
    Fault::new(ErrorCode::PayloadTooLarge, format!("{member} has at most {most} {unit}"))
        .with("member", member)
}

/// 413 that names the member which is too long.
pub(crate) fn check(record: &ApprovalRecord) -> Result<(), Fault> {
    let request = &record.request;
    let reason = record.answer.as_ref().and_then(|answer| answer.reason.as_deref());
    for (member, text, most) in [
        ("record.request.toolName", request.tool_name.as_str(), MAX_NAME_BYTES),
        ("record.request.layer", &request.layer, MAX_NAME_BYTES),
        ("record.request.title", &request.title, MAX_LINE_BYTES),
        ("record.request.actionSummary", &request.action_summary, MAX_LINE_BYTES),
        ("record.request.rememberScope", &request.remember_scope, MAX_SCOPE_BYTES),
        ("record.answer.reason", reason.unwrap_or_default(), MAX_WORDS_BYTES),
    ] {
        if text.len() > most {
            return Err(too_long(member, most, "bytes"));
        }
    }
    if request.reasons.len() > MAX_REASONS {
        return Err(too_long("record.request.reasons", MAX_REASONS, "sentences"));
    }
    if let Some(index) = request.reasons.iter().position(|reason| reason.len() > MAX_LINE_BYTES) {
        return Err(too_long(&format!("record.request.reasons[{index}]"), MAX_LINE_BYTES, "bytes"));
    }
    if record.receipts.len() > MAX_RECEIPTS {
        return Err(too_long("record.receipts", MAX_RECEIPTS, "entries"));
    }
    let mut whole = request.reasons.iter().map(String::len).sum::<usize>();
    whole += request.title.len() + request.action_summary.len() + request.remember_scope.len();
    for (member, text) in texts(&request.detail) {
        whole += text.len();
        if text.len() > MAX_RECORD_BYTES {
            return Err(too_long(&format!("record.request.detail.{member}"), MAX_RECORD_BYTES, "bytes"));
        }
    }
    if whole > MAX_RECORD_BYTES {
        return Err(too_long("record", MAX_RECORD_BYTES, "bytes of text"));
    }
    let json = serde_json::to_vec(record).map_err(|e| Fault::internal("a record cannot be written", &e))?;
    match json.len() > MAX_JSON_BYTES {
        true => Err(too_long("record", MAX_JSON_BYTES, "bytes of JSON")),
        false => Ok(()),
    }
}

/// Every text of the detail, with the member it is in.
fn texts(detail: &ApprovalDetail) -> Vec<(&'static str, &str)> {
    let mut found: Vec<(&'static str, &str)> = Vec::new();
    match detail {
        ApprovalDetail::Command(command) => {
            found.extend(command.argv.iter().flatten().map(|text| ("command.argv", text.as_str())));
            found.extend(command.environment.iter().map(|text| ("command.environment", text.as_str())));
            found.push(("command.cwd", &command.cwd));
            found.extend(command.shell.as_deref().map(|text| ("command.shell", text)));
            found.extend(command.stdin.as_deref().map(|text| ("command.stdin", text)));
            found.extend(command.opaque_reason.as_deref().map(|text| ("command.opaqueReason", text)));
        }
        ApprovalDetail::FileChange(change) => {
            found.extend([("file_change.path", change.path.as_str()), ("file_change.diff", &change.diff)]);
            found.extend(change.new_path.as_deref().map(|text| ("file_change.newPath", text)));
        }
        ApprovalDetail::Http(http) => {
            found.extend([("http.method", http.method.as_str()), ("http.url", &http.url)]);
            found.extend(http.headers.iter().map(|text| ("http.headers", text.as_str())));
            found.extend(http.body.as_deref().map(|text| ("http.body", text)));
        }
        ApprovalDetail::Other(other) => found.push(("other.text", &other.text)),
    }
    found
}
