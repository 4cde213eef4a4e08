//! What the central services and their callers say to each other: endpoints, bodies, and who may call what.
//!
//! Types only, and wasm-clean, so that the console compiles against the same definitions. [`endpoint::ENDPOINTS`] is the
//! one list of everything that can be called: routers, the typed client, the OpenAPI document and the tests that try
//! every endpoint with the wrong credentials are all made from it.
//!
//! Bodies are JSON. Requests refuse unknown members; answers may grow. An absent optional member is omitted or `null`.
//! Errors are `lanyard_protocol::WireError` with the HTTP status of [`status::of`].

pub mod agent;
pub mod approval;
pub mod artifact;
pub mod audit;
pub mod command;
pub mod endpoint;
pub mod enrolment;
pub mod id;
pub mod job;
pub mod limits;
pub mod page;
pub mod pairing;
pub mod people;
pub mod policy;
pub mod session;
pub mod status;
pub mod telemetry;
pub mod tool;
pub mod version;
