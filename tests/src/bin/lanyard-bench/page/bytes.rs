//! What a browser downloads for its first look, compressed as the host serves it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::table::Table;

/// What the page should weigh at most, KiB: its program, scripts and styles.
const BUDGET: f64 = 250.0;

/// Where the page is built.
const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../client-web/dist/assets");

/// Whether there is a page to measure: one for a release, not one of the dev loop, which is many times larger.
pub(super) fn measure(table: &mut Table) -> Result<bool> {
    let files = sizes(Path::new(ASSETS))?;
    if !files.iter().any(|(name, _)| name.starts_with("page-") && name.ends_with(".wasm.br")) {
        eprintln!("    no page for a release is built (`cargo xtask web`): what needs a browser is left out");
        return Ok(false);
    }
    let of = |end: &str| files.iter().filter(|(name, _)| name.ends_with(end)).map(|(_, size)| size).sum();
    let kinds = [("wasm", ".wasm.br"), ("js", ".js.br"), ("css", ".css.br")];
    let sizes: [u64; 3] = kinds.map(|(_, end)| of(end));
    for ((name, _), size) in kinds.iter().zip(sizes) {
        table.size(&format!("page: {name}, brotli"), size, None);
    }
    table.size("page: wasm + js + css, brotli", sizes.iter().sum(), Some(BUDGET));
    Ok(true)
}

/// Names and sizes of the compressed files; none where nothing is built.
fn sizes(folder: &Path) -> Result<Vec<(String, u64)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
    }
    Ok(found)
}
