//! Bounds of the central API.

/// Longest body of an endpoint that takes JSON, in bytes, unless the endpoint says otherwise.
pub const MAX_JSON_BYTES: usize = 1 << 20;

/// Longest batch of audit records, events or spans, in bytes.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// Most records of one batch.
pub const MAX_BATCH: usize = 5_000;

/// Largest artifact, in bytes (50 MiB); one byte more is refused with 413.
pub const MAX_ARTIFACT_BYTES: u64 = 50 << 20;

/// Rows in one page when the caller does not say.
pub const DEFAULT_PAGE: u32 = 50;

/// Most rows in one page.
pub const MAX_PAGE: u32 = 500;

/// Longest time a long poll waits, in seconds. Below the idle limits of common proxies.
pub const MAX_WAIT_SECONDS: u32 = 25;

/// Seconds between heartbeats, before jitter.
pub const HEARTBEAT_SECONDS: u32 = 60;

/// An agent not heard of for this long is stale, in seconds.
pub const STALE_AFTER_SECONDS: u32 = 15 * 60;

/// Lifetime of an agent's certificate, in seconds; renewed at half of it.
pub const CERTIFICATE_SECONDS: u32 = 24 * 3_600;

/// How long after its certificate ran out a key still renews by proof of possession, in seconds (90 days).
pub const RENEWABLE_SECONDS: u64 = 90 * 24 * 3_600;

/// Lifetime of an agent's access token, in seconds.
pub const ACCESS_TOKEN_SECONDS: u32 = 15 * 60;

/// Lifetime of an enrolment token unless its maker says otherwise, in seconds.
pub const ENROLMENT_TOKEN_SECONDS: u32 = 24 * 3_600;

/// Lifetime of a session, in seconds.
pub const SESSION_SECONDS: u32 = 24 * 3_600;

/// Lease of a job, in seconds; renewed at a third of it.
pub const LEASE_SECONDS: u32 = 60;

/// Days without activity after which a workspace is purged.
pub const WORKSPACE_IDLE_DAYS: u32 = 90;

/// Days audit records are kept unless the tenant says otherwise.
pub const AUDIT_RETENTION_DAYS: u32 = 365;

/// Most that a host's clock may differ from the server's before the host is told, in milliseconds.
pub const CLOCK_SKEW_NOTICED_MILLIS: u64 = 60_000;

/// Versions of a tenant's policy that are kept.
pub const MAX_POLICY_VERSIONS: u32 = 1_000;

/// Commands that may wait for one host; a further one is refused.
pub const MAX_COMMANDS: u32 = 1_000;

/// People told of who may be behind one account; one with more is everybody's.
pub const MAX_HANDS: usize = 200;

/// Longest name, comment or reason, in bytes.
pub const MAX_TEXT_BYTES: usize = 2_000;
