//! `lanyard models`: what `lanyard run --model` may name.

use lanyard_protocol::method::{ListModels, Response};

use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::render;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    let page = connection.call(ListModels {}).await?;
    let use_one = invocation.command("run --model NAME \"…\"");
    invocation.show(Response::ListModels(page.clone()), |terminal| {
        render::models(terminal.paint, &page, &use_one)
    })?;
    Ok(Exit::Completed)
}
