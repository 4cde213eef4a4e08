//! Ids of the central services, beside those of the shared contract.

lanyard_protocol::opaque_ids! {
    /// An organisation whose hosts, people and records no other organisation sees.
    TenantId,
    /// A person of a tenant, or the operator of the installation.
    UserId,
    /// An enrolled host.
    AgentId,
    /// An enrolment token's public half; the secret half is shown once.
    EnrolmentTokenId,
    /// A tool job dispatched to a host.
    JobId,
    /// What a person proposed as the answer to an approval.
    ProposalId,
    /// One span of a trace: 16 hex digits.
    SpanId,
    /// One trace: 32 hex digits.
    TraceId,
}
