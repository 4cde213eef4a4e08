//! `lanyard artifact`: a kept output, whole.

use lanyard_protocol::id::ArtifactId;
use lanyard_protocol::limits::MAX_ARTIFACT_PAGE_BYTES;
use lanyard_protocol::method::{GetArtifact, Response};

use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::render::visible;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its id, as outputs name it
    id: ArtifactId,
}

/// In a terminal control characters are written visibly; a file or a program gets the text as it is.
pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    let mut offset = 0;
    loop {
        let length = Some(MAX_ARTIFACT_PAGE_BYTES);
        let page = connection.call(GetArtifact { artifact_id: args.id.clone(), offset, length }).await?;
        let harmless = invocation.terminal.stdout_is_terminal;
        invocation.show(Response::GetArtifact(page.clone()), |_| match harmless {
            true => visible::block(&page.text).into_owned(),
            false => page.text.clone(),
        })?;
        offset += u64::from(page.length);
        if page.length == 0 || offset >= page.total {
            return Ok(Exit::Completed);
        }
    }
}
