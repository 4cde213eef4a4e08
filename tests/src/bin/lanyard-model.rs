//! The scripted gateway with the errands of `lanyard_tests::gateway::errands`, as a process of its own, so that it can
//! run beside a host in a network namespace. Prints its address, and stops at the end of standard input.

use std::io::{Read, Write};

use anyhow::Result;
use lanyard_tests::gateway::{MODEL, Script, ScriptedGateway, errands, models};

fn main() -> Result<()> {
    let offers = models(&[MODEL, errands::OTHER_MODEL]);
    let gateway = ScriptedGateway::start_offering(Script::by(errands::script), offers);
    println!("{}", gateway.url());
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
