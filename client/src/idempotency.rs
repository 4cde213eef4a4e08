//! Which calls may be sent twice, and the keys that make it harmless.

use lanyard_protocol::id::{CommandId, TaskId};
use lanyard_protocol::method::Request;

/// Chance, injected so that tests are repeatable. A driver takes it from the operating system.
pub trait RandomSource: Send {
    /// 128 bits no other call of any client is likely to get.
    fn next_u128(&mut self) -> u128;
}

impl<F: FnMut() -> u128 + Send> RandomSource for F {
    fn next_u128(&mut self) -> u128 {
        self()
    }
}

/// Gives a mutating call its key, unless the caller chose one.
pub(crate) fn add_key(request: &mut Request, random: &mut impl RandomSource) {
    let command_id = match request {
        Request::CreateSession(call) => &mut call.command_id,
        Request::CancelTask(call) => &mut call.command_id,
        Request::ApproveAction(call) => &mut call.command_id,
        Request::EndSession(call) => &mut call.command_id,
        Request::DeleteSession(call) => &mut call.command_id,
        Request::DecidePairing(call) => &mut call.command_id,
        Request::RevokeDevice(call) => &mut call.command_id,
        Request::StartTask(call) => {
            if call.task_id.is_none() {
                // The text is inside the id grammar by construction, so that no error can come of it.
                call.task_id = TaskId::new(format!("task-{:032x}", random.next_u128())).ok();
            }
            return;
        }
        _ => return,
    };
    if command_id.is_none() {
        *command_id = CommandId::new(format!("cmd-{:032x}", random.next_u128())).ok();
    }
}

/// Whether a call whose answer was lost may be sent again: it changes nothing, or its repetition is recognised.
///
/// The others carry no key: a second one would hit what came in between (a rule made anew, a host started anew, a code
/// somebody is typing, rights just taken away, keys just made).
pub(crate) fn repeatable(request: &Request) -> bool {
    match request {
        Request::CreateSession(call) => call.command_id.is_some(),
        Request::StartTask(call) => call.task_id.is_some(),
        Request::CancelTask(call) => call.command_id.is_some(),
        Request::ApproveAction(call) => call.command_id.is_some(),
        Request::EndSession(call) => call.command_id.is_some(),
        Request::DeleteSession(call) => call.command_id.is_some(),
        Request::DecidePairing(call) => call.command_id.is_some(),
        Request::RevokeDevice(call) => call.command_id.is_some(),
        Request::ResumeSession(_)
        | Request::GetSessionState(_)
        | Request::GetPatchPreview(_)
        | Request::ListSessions(_)
        | Request::GetHistory(_)
        | Request::Subscribe(_)
        | Request::Unsubscribe(_)
        | Request::SubscribeHost(_)
        | Request::ListApprovals(_)
        | Request::AcknowledgeApproval(_)
        | Request::ListRules(_)
        | Request::GetArtifact(_)
        | Request::Health(_)
        | Request::Identify(_)
        | Request::ListPairings(_)
        | Request::ListDevices(_)
        | Request::ListConnections(_)
        | Request::Unpair(_)
        | Request::ListWorkspaces(_)
        | Request::ListModels(_)
        | Request::ListFiles(_)
        | Request::GetFile(_)
        | Request::PutAttachment(_)
        | Request::GetPolicy(_)
        | Request::FindHosts(_)
        | Request::ReportPage(_)
        | Request::GetTrust(_)
        | Request::GetCentral(_)
        | Request::SetCentralConsent(_) => true,
        Request::RevokeRule(_)
        | Request::Shutdown(_)
        | Request::OpenPairing(_)
        | Request::ClosePairing(_)
        | Request::RenameDevice(_)
        | Request::SetDeviceScopes(_)
        | Request::RotateHostKey(_)
        | Request::CreateLink(_)
        | Request::EnableTrust(_)
        | Request::DisableTrust(_)
        | Request::EnrolHost(_)
        | Request::UnenrolHost(_) => false,
    }
}
