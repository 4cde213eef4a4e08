//! The methods of the agent API (seed 004 §11, with the additions of the design), the same on every transport.

mod central;
mod shape;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::central::CentralStatus;
use crate::codec::to_json_value;
use crate::device::{Device, PairingWindow};
use crate::health::HealthReport;
use crate::overview::PolicyOverview;
use crate::principal::Scope;

pub use central::*;
pub use shape::*;

macro_rules! methods {
    ($($(#[doc = $doc:literal])* $name:ident($params:ty) -> $result:ty, $scope:ident;)*) => {
        /// A method's name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Method { $($(#[doc = $doc])* $name,)* }

        impl Method {
            /// Every method, in contract order.
            pub const ALL: &'static [Method] = &[$(Method::$name,)*];

            /// The wire spelling.
            pub fn name(self) -> &'static str {
                match self { $(Method::$name => stringify!($name),)* }
            }

            /// The method of that wire spelling.
            pub fn from_name(name: &str) -> Option<Method> {
                match name { $(stringify!($name) => Some(Method::$name),)* _ => None }
            }

            /// The right a principal needs to call it.
            pub fn scope(self) -> Scope {
                match self { $(Method::$name => Scope::$scope,)* }
            }

            /// What it does, for the reference.
            #[cfg(feature = "schema")]
            pub fn description(self) -> &'static str {
                match self { $(Method::$name => concat!($($doc),*),)* }
            }

            /// Schemas of parameters and result, for the reference.
            #[cfg(feature = "schema")]
            pub fn schemas(self, generator: &mut schemars::SchemaGenerator) -> (schemars::Schema, schemars::Schema) {
                match self {
                    $(Method::$name => (
                        generator.subschema_for::<$params>(),
                        generator.subschema_for::<$result>(),
                    ),)*
                }
            }
        }

        /// A method with its parameters.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum Request { $($(#[doc = $doc])* $name($params),)* }

        impl Request {
            /// Which method it calls.
            pub fn method(&self) -> Method {
                match self { $(Request::$name(_) => Method::$name,)* }
            }

            /// Parameters as JSON.
            pub fn params_json(&self) -> Result<Value, serde_json::Error> {
                match self { $(Request::$name(params) => to_json_value(params),)* }
            }

            /// From a method and JSON parameters; the error names the offending member.
            pub fn from_json(method: Method, params: Value) -> Result<Self, serde_json::Error> {
                match method { $(Method::$name => serde_json::from_value(params).map(Request::$name),)* }
            }
        }

        /// The result of a method.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[expect(clippy::large_enum_variant, reason = "answers are short-lived and moved once; a box would cost more")]
        pub enum Response { $($(#[doc = $doc])* $name($result),)* }

        impl Response {
            /// The method it answers.
            pub fn method(&self) -> Method {
                match self { $(Response::$name(_) => Method::$name,)* }
            }

            /// Result as JSON.
            pub fn result_json(&self) -> Result<Value, serde_json::Error> {
                match self { $(Response::$name(result) => to_json_value(result),)* }
            }

            /// From a method and a JSON result.
            pub fn from_json(method: Method, result: Value) -> Result<Self, serde_json::Error> {
                match method { $(Method::$name => serde_json::from_value(result).map(Response::$name),)* }
            }
        }

        /// Ties the parameters of a method to its result, so that callers get the right type back.
        pub trait Call {
            /// What the method returns.
            type Result;
            /// Wraps the parameters.
            fn into_request(self) -> Request;
            /// Unwraps the result; `None` when the response answers another method.
            fn from_response(response: Response) -> Option<Self::Result>;
        }

        $(impl Call for $params {
            type Result = $result;
            fn into_request(self) -> Request {
                Request::$name(self)
            }
            fn from_response(response: Response) -> Option<$result> {
                match response { Response::$name(result) => Some(result), _ => None }
            }
        })*
    };
}

methods! {
    /// Starts a session in a workspace and subscribes the connection to it.
    CreateSession(CreateSession) -> SessionOpened, Operate;
    /// Gives the session a prompt. The task id is its own idempotency key.
    StartTask(StartTask) -> TaskAccepted, Operate;
    /// Ends a task; returns once cancellation has begun.
    CancelTask(CancelTask) -> TaskAccepted, Operate;
    /// Subscribes the connection to a session from a cursor and lets a paused task go on.
    ResumeSession(ResumeSession) -> SessionSnapshot, Operate;
    /// Where a session stands.
    GetSessionState(GetSessionState) -> SessionSnapshot, Observe;
    /// What a task has changed so far, against the state at its start.
    GetPatchPreview(GetPatchPreview) -> PatchPreview, Observe;
    /// Answers a question. The first answer counts; a later one is told which did.
    ApproveAction(ApproveAction) -> ApprovalOutcome, Approve;
    /// Ends a session; its history stays.
    EndSession(EndSession) -> Done, Operate;
    /// Deletes a session with its history and artifacts.
    DeleteSession(DeleteSession) -> Done, Operate;
    /// Sessions, last changed first, paged; with a query, those whose name or prompts contain it.
    ListSessions(ListSessions) -> SessionPage, Observe;
    /// Durable events of a session, paged in either direction, optionally searched.
    GetHistory(GetHistory) -> HistoryPage, Observe;
    /// Events of a session from a cursor on, as notifications; replaces the connection's cursor for it.
    Subscribe(Subscribe) -> Subscribed, Observe;
    /// Stops the notifications of a session.
    Unsubscribe(Unsubscribe) -> Done, Observe;
    /// Events of the host-wide log from a cursor on, as notifications.
    SubscribeHost(SubscribeHost) -> HostSubscribed, Observe;
    /// Questions, newest first.
    ListApprovals(ListApprovals) -> ApprovalPage, Observe;
    /// Records that a question was put before a person.
    AcknowledgeApproval(AcknowledgeApproval) -> Done, Observe;
    /// Remembered answers.
    ListRules(ListRules) -> RulePage, Observe;
    /// Forgets a remembered answer.
    RevokeRule(RevokeRule) -> Done, Approve;
    /// A piece of a kept output.
    GetArtifact(GetArtifact) -> ArtifactPage, Observe;
    /// The host's condition.
    Health(Health) -> HealthReport, Observe;
    /// Stops the host in order; returns once it has begun.
    Shutdown(Shutdown) -> Done, Admin;
    /// Who is asked, and as whom one asks.
    Identify(Identify) -> Identity, Observe;
    /// Opens the pairing window: a new code and link, good for two minutes. Only for the owner at the machine.
    OpenPairing(OpenPairing) -> PairingWindow, Admin;
    /// Takes back the caller's own link and the question that came by it. A caller that has neither closes the pairing
    /// window, with `admin`; devices that wait for an answer then go on waiting.
    ClosePairing(ClosePairing) -> Done, Observe;
    /// The pairing window (for the owner at the machine) and the devices that wait for an answer: without `admin` only
    /// those that came by the caller's own link.
    ListPairings(ListPairings) -> PairingPage, Observe;
    /// Answers a device that asks to be paired; without `admin` only one that came by the caller's own link. After a
    /// typed code the digits on its screen are needed.
    DecidePairing(DecidePairing) -> PairingDecided, Observe;
    /// The paired devices, by name.
    ListDevices(ListDevices) -> DevicePage, Admin;
    /// Gives a device another name.
    RenameDevice(RenameDevice) -> Device, Admin;
    /// Gives a device other rights; its connections are made anew with them.
    SetDeviceScopes(SetDeviceScopes) -> Device, Admin;
    /// Ends a device's pairing: its connections are cut, its tasks cancelled, its remembered answers forgotten.
    RevokeDevice(RevokeDevice) -> Done, Admin;
    /// Who was connected when, newest first.
    ListConnections(ListConnections) -> ConnectionPage, Admin;
    /// Ends the pairing of the device that asks.
    Unpair(Unpair) -> Done, Observe;
    /// Gives the host new keys. Paired devices follow, unless the old ones count as stolen.
    RotateHostKey(RotateHostKey) -> Identity, Admin;
    /// The directories sessions may be about, last used first.
    ListWorkspaces(ListWorkspaces) -> WorkspacePage, Observe;
    /// The models that the gateway in use offers.
    ListModels(ListModels) -> ModelPage, Observe;
    /// What lies in a directory of a workspace, as far as policy lets the host's tools read it.
    ListFiles(ListFiles) -> FilePage, Operate;
    /// A piece of a file of a workspace, as far as policy lets the host's tools read it.
    GetFile(GetFile) -> FilePiece, Operate;
    /// Puts a piece of a file into a session's workspace, for its next task.
    PutAttachment(PutAttachment) -> AttachmentPut, Operate;
    /// What the host may do, whom it asks, and who may ask it.
    GetPolicy(GetPolicy) -> PolicyOverview, Observe;
    /// Other hosts that announce themselves on the network. Nothing of it is proven.
    FindHosts(FindHosts) -> HostsFound, Observe;
    /// A web client says what it knows of its page; informative, shown in the list of devices.
    ReportPage(ReportPage) -> Done, Observe;
    /// Makes a link that pairs one browser tab: for the owner at the machine a tab of this machine, without a question;
    /// for a paired device its own page at another address of this host, with at most its own rights, once the device
    /// that made the link has answered.
    CreateLink(CreateLink) -> LinkCreated, Observe;
    /// Whether browsers can be made to trust the host's certificate.
    GetTrust(GetTrust) -> TrustState, Admin;
    /// Makes an authority for the host's own name and a certificate from it. Only for the owner at the machine.
    EnableTrust(EnableTrust) -> TrustState, Admin;
    /// Goes back to the host's own certificate. Only for the owner at the machine.
    DisableTrust(DisableTrust) -> TrustState, Admin;
    /// Where the host stands with its central services, and what waits to be sent to them.
    GetCentral(GetCentral) -> CentralStatus, Observe;
    /// Enrols the host at central services with a one-time token. Only for the owner at the machine.
    EnrolHost(EnrolHost) -> CentralStatus, Admin;
    /// Ends the enrolment. Only for the owner at the machine.
    UnenrolHost(UnenrolHost) -> CentralStatus, Admin;
    /// Says what the centre may do on this host. Only for the owner at the machine.
    SetCentralConsent(SetCentralConsent) -> CentralStatus, Admin;
}
