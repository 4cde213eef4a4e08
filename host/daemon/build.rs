//! Embeds the host's page.

#[path = "../../client-web/embed.rs"]
mod embed;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../client-web/embed.rs");
    embed::embed("../../client-web/dist", "/")
}
