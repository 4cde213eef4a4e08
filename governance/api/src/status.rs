//! The HTTP status that goes with an error code.

use lanyard_protocol::ErrorCode;

/// Status of an error whose caller is known. (`UNAUTHORIZED` is 403 here; an unknown caller gets 401.)
pub fn of(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::InvalidRequest | ErrorCode::PolicyBundleInvalid => 400,
        ErrorCode::EnrolmentRefused => 401,
        ErrorCode::Unauthorized
        | ErrorCode::AgentRevoked
        | ErrorCode::CapabilityDenied
        | ErrorCode::ApprovalRequired
        | ErrorCode::ApprovalDenied
        | ErrorCode::PolicyExpired
        | ErrorCode::PolicyRevoked => 403,
        ErrorCode::SessionNotFound
        | ErrorCode::TaskNotFound
        | ErrorCode::ApprovalNotFound
        | ErrorCode::ArtifactNotFound
        | ErrorCode::ToolNotFound
        | ErrorCode::PairingNotFound
        | ErrorCode::DeviceNotFound
        | ErrorCode::ResourceNotFound => 404,
        ErrorCode::Conflict
        | ErrorCode::SessionExpired
        | ErrorCode::CursorExpired
        | ErrorCode::PairingDigitsWrong
        | ErrorCode::OutcomeUnknown => 409,
        ErrorCode::PayloadTooLarge => 413,
        ErrorCode::RateLimited => 429,
        ErrorCode::LlmGuardrailBlocked
        | ErrorCode::LlmBudgetExceeded
        | ErrorCode::MaxStepsExceeded
        | ErrorCode::ToolExecutionFailed => 422,
        ErrorCode::WorkspaceUploadFailed
        | ErrorCode::LlmUnavailable
        | ErrorCode::StorageFull
        | ErrorCode::CentralUnavailable => 503,
        ErrorCode::InternalError => 500,
    }
}
