//! For build scripts: embeds a page. Every file of a folder that `cargo xtask web` writes becomes part of a program.
//!
//! The folder may be missing or empty; the program then says that it was built without a page. Where a file has a
//! compressed form beside it (`NAME.br`), only that one is taken. The table (`$OUT_DIR/page.rs`) is an expression:
//! `&[Asset { path, content_type, brotli, hashed, tag, content }, …]`, sorted by path.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Files in `assets/` have the hash of their content in their name, so one name never means two contents.
const HASHED: &str = "assets";

/// Embeds the folder `dist` (relative to the package) under the URL path `base`, which begins and ends with `/`.
pub(crate) fn embed(dist: &str, base: &str) -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join(dist);
    prepare(&root);
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    let assets = format!("{base}{HASHED}/");
    for (folder, prefix) in [(root.clone(), base), (root.join(HASHED), assets.as_str())] {
        collect(&folder, prefix, &mut files)?;
    }
    files.sort_by(|a, b| a.url.cmp(&b.url));
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // Copied, so that a page which is built anew meanwhile does not break the compiler's work.
    let copies = out.join("page");
    fs::create_dir_all(&copies)?;
    let mut table = String::from("&[\n");
    for (number, file) in files.iter().enumerate() {
        let content = fs::read(&file.path)?;
        let copy = copies.join(number.to_string());
        fs::write(&copy, &content)?;
        writeln!(
            table,
            "    Asset {{ path: {:?}, content_type: {:?}, brotli: {}, hashed: {}, tag: {:?}, content: include_bytes!({:?}) }},",
            file.url,
            content_type(&file.url)?,
            file.brotli,
            file.url.starts_with(&assets),
            tag(&content),
            copy.display().to_string(),
        )?;
    }
    table.push(']');
    fs::write(out.join("page.rs"), table)?;
    Ok(())
}

/// Cargo runs a build script each time when a path it watches does not exist, and when it is younger than the last run:
/// so the folder is made, and made old. Where that is not allowed, nothing is lost but time.
fn prepare(root: &Path) {
    if root.exists() || fs::create_dir(root).is_err() {
        return;
    }
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(24 * 60 * 60);
    if let Ok(folder) = fs::File::open(root) {
        let _ = folder.set_modified(old);
    }
}

struct File {
    url: String,
    path: PathBuf,
    brotli: bool,
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) -> Result<(), Box<dyn Error>> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = fs::canonicalize(entry?.path())?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a file of the page has no name")?;
        if path.is_dir() || name.starts_with('.') {
            continue;
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.chars().all(plain) {
            return Err(format!("{}: the name cannot be part of a URL as it stands", path.display()).into());
        }
        let url = |name: &str| format!("{prefix}{name}");
        if let Some(original) = name.strip_suffix(".br") {
            files.push(File { url: url(original), path: path.clone(), brotli: true });
        } else if !folder.join(format!("{name}.br")).exists() {
            files.push(File { url: url(name), path: path.clone(), brotli: false });
        }
    }
    Ok(())
}

fn content_type(url: &str) -> Result<&'static str, String> {
    let ending = url.rsplit_once('.').map_or("", |(_, ending)| ending);
    Ok(match ending {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "ico" => "image/x-icon",
        "txt" => "text/plain; charset=utf-8",
        _ => {
            return Err(format!(
                "{url}: no content type is known for this ending; add it to client-web/embed.rs"
            ));
        }
    })
}

/// FNV-1a, 64 bits: says that a content has changed, nothing more.
fn tag(content: &[u8]) -> String {
    let hash = content.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("\"{hash:016x}\"")
}
