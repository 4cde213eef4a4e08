//! Bounds of the wire contract. Every queue, frame and page elsewhere is derived from these.

/// Longest JSON-RPC line or postcard frame a host accepts, in bytes. A prompt with a pasted file fits; a runaway
/// client does not take the host's memory with it.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// Longest prompt, in bytes. Leaves room for the envelope inside [`MAX_FRAME_BYTES`].
pub const MAX_PROMPT_BYTES: usize = 512 * 1024;

/// Longest opaque id, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// Requests one connection may have unanswered; the next one is refused with `RATE_LIMITED`. Above the 1,000 a
/// scripted editor may legitimately fire at once.
pub const MAX_IN_FLIGHT: usize = 1_024;

/// Devices one host can be paired with. A household or a team; each costs a row and, connected, some tens of kilobytes.
pub const MAX_DEVICES: usize = 4_096;

/// Longest name of a device or a host, in bytes.
pub const MAX_DEVICE_NAME_BYTES: usize = 64;

/// Rows in one page of any list method when the caller does not say.
pub const DEFAULT_PAGE: u32 = 100;

/// Most rows in one page of any list method.
pub const MAX_PAGE: u32 = 1_000;

/// Steps a task may take unless its options say otherwise (4-host: 1–200).
pub const DEFAULT_MAX_STEPS: u32 = 50;

/// Most steps a task may be given.
pub const MAX_MAX_STEPS: u32 = 200;

/// Bytes of tool output that go to the model; the whole is kept as an artifact.
pub const MAX_TOOL_OUTPUT_BYTES: usize = 100 * 1024;

/// Longest argument object of one tool call, in bytes of JSON. A file to be written fits.
pub const MAX_TOOL_ARGUMENT_BYTES: usize = 4 << 20;

/// Bytes of one artifact returned by one `GetArtifact`.
pub const MAX_ARTIFACT_PAGE_BYTES: u32 = 256 * 1024;

/// Seconds an approval waits before it counts as denied.
pub const DEFAULT_APPROVAL_SECONDS: u32 = 300;

/// Longest diff shown in an approval or a patch preview, in bytes; beyond it the diff is cut and says so.
pub const MAX_DIFF_BYTES: usize = 256 * 1024;

/// Bytes of a file in one piece, from or to a host: with its envelope well inside [`MAX_FRAME_BYTES`].
pub const MAX_FILE_PIECE_BYTES: u32 = 256 * 1024;

/// Entries of a directory in one answer. A screen shows some tens.
pub const MAX_FILE_ENTRIES: usize = 2_000;

/// Longest file that can be attached, in bytes: a photo, a log, a PDF.
pub const MAX_ATTACHMENT_BYTES: u64 = 25 << 20;

/// Files attached to one task.
pub const MAX_ATTACHMENTS: usize = 16;

/// Audit records that may wait for the central services while calls still change things: a working day of a busy agent,
/// and some megabytes.
pub const MAX_AUDIT_BACKLOG: u64 = 10_000;

/// Days whose tasks the health report counts: what a sparkline shows.
pub const HEALTH_DAYS: usize = 14;
