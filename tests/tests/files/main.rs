//! What a phone does besides talking to the agent: choose a directory and a model, look at files, send some along, see
//! what the host may do. Over the network, against the real binary.

mod attachments;
mod browse;
mod choices;

use anyhow::{Context, Result};
use lanyard_protocol::WireError;
use lanyard_protocol::device::PairingMethod;
use lanyard_protocol::method::Call;
use lanyard_protocol::principal::Scope;
use lanyard_tests::device::{DeviceConnection, TestDevice};
use lanyard_tests::host::{HostOptions, TestHost};

/// A host whose only workspace is configured, as phones need it.
pub(crate) async fn host(gateway: Option<String>) -> Result<TestHost> {
    let mut host = TestHost::idle(HostOptions { gateway, ..HostOptions::default() })?;
    host.options_mut().config = format!("[host]\nworkspaces = [{:?}]\n", host.workspace());
    host.boot().await?;
    Ok(host)
}

/// A paired device with these rights, connected.
pub(crate) async fn device(host: &TestHost, name: &str, scopes: &[Scope]) -> Result<DeviceConnection> {
    let mut device = TestDevice::new(name)?;
    device.about_mut().scopes = scopes.to_vec();
    device.pair_with(host, PairingMethod::Link).await?;
    device.connect().await
}

/// A phone as people have one.
pub(crate) async fn phone(host: &TestHost) -> Result<DeviceConnection> {
    device(host, "phone", &[Scope::Observe, Scope::Operate, Scope::Approve]).await
}

/// Why a call is refused.
pub(crate) async fn refused(connection: &mut DeviceConnection, call: impl Call) -> Result<WireError> {
    connection.try_call(call).await?.err().context("it was carried out")
}
