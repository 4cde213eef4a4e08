//! Version numbers that two sides compare before they trust each other's bytes.

/// The wire contract of this build. Raised whenever a struct of this crate changes its binary shape.
pub const PROTOCOL_VERSION: u16 = 4;

/// The policy bundle schema this build understands (seed 004 §10). Any other value is refused.
pub const POLICY_SCHEMA_VERSION: &str = "1.0";
