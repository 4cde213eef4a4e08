//! Makes every text of an approval's detail visible.

use lanyard_protocol::approval::{ApprovalDetail, CommandDetail, FileChangeDetail, HttpDetail, OtherDetail};

use crate::visible;

fn line(text: String) -> String {
    visible::line(&text).into_owned()
}

fn text(text: String) -> String {
    visible::text(&text).into_owned()
}

/// The same detail with control, direction and zero-width characters written out. Words and paths are single lines;
/// shell text, standard input, diffs and bodies keep their line ends.
pub fn visible_detail(detail: ApprovalDetail) -> ApprovalDetail {
    match detail {
        ApprovalDetail::Command(command) => ApprovalDetail::Command(CommandDetail {
            argv: command.argv.into_iter().map(|argv| argv.into_iter().map(text).collect()).collect(),
            shell: command.shell.map(text),
            opaque_reason: command.opaque_reason.map(line),
            cwd: line(command.cwd),
            stdin: command.stdin.map(text),
            environment: command.environment.into_iter().map(line).collect(),
            network: command.network,
        }),
        ApprovalDetail::FileChange(change) => ApprovalDetail::FileChange(FileChangeDetail {
            path: line(change.path),
            new_path: change.new_path.map(line),
            change: change.change,
            diff: text(change.diff),
            truncated: change.truncated,
        }),
        ApprovalDetail::Http(http) => ApprovalDetail::Http(HttpDetail {
            method: line(http.method),
            url: line(http.url),
            headers: http.headers.into_iter().map(line).collect(),
            body: http.body.map(text),
        }),
        ApprovalDetail::Other(other) => ApprovalDetail::Other(OtherDetail { text: text(other.text) }),
    }
}
