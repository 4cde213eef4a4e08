//! Writes the folder that a program embeds: the host's page, or central's console.
//!
//! ```text
//! index.html  manifest.webmanifest  sw.js  icons      as they are, with the names filled in
//! assets/page-HASH.css  page-HASH.js  boot-HASH.js  page-HASH.wasm     each with a `.br` beside it
//! ```
//! `index.html`, `boot.js` and `sw.js` name the others by `{{CSS}}`, `{{BOOT}}`, `{{JS}}`, `{{WASM}}`.

use super::Page;
use super::script::Script;
use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the names begin of folders that are not complete yet, in the one that the page's is in. The number of the process
/// follows: two builds at once do not meet.
pub(super) const PARTIAL: &str = "dist.partial";

/// Age from which on such a folder is what a build left that was ended: packaging takes seconds.
const STALE: Duration = Duration::from_secs(60 * 60);

/// Attempts to put a page in place while others do the same; each is over in a moment.
const ATTEMPTS: u32 = 8;

/// How the names of a page for a release begin; another's begin otherwise, so that it is never taken for one.
pub(super) const RELEASE: &str = "page";

/// What the folder weighs.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// Name, bytes, bytes compressed.
    pub(super) files: Vec<(String, usize, usize)>,
}

impl Sizes {
    /// Bytes a browser downloads for its first look: everything but icons and what is only used once installed.
    pub(super) fn downloaded(&self) -> usize {
        let counts = |name: &str| name.starts_with("assets/") || name == "index.html";
        self.files.iter().filter(|(name, ..)| counts(name)).map(|(_, _, compressed)| compressed).sum()
    }
}

/// Replaces the folder by a fresh one, in one step. `small`: compress as well as can be.
pub(super) fn write(root: &Path, page: &'static Page, script: Script, small: bool) -> Result<Sizes> {
    let dist = root.join(page.dist);
    let partial = dist.with_file_name(format!("{PARTIAL}-{}", std::process::id()));
    clear_stale(&dist)?;
    clear(&partial)?;
    std::fs::create_dir_all(partial.join("assets"))
        .with_context(|| format!("{} could not be created", partial.display()))?;
    let stem = if small { RELEASE } else { "dev" };
    let mut folder =
        Folder { path: partial.clone(), page, small, stem, sizes: Sizes::default(), names: Vec::new() };
    let written = folder.assets(root, script).and_then(|()| folder.statics(&root.join(page.statics)));
    if let Err(error) = written.and_then(|()| put_in_place(&partial, &dist)) {
        // What is wrong is said by the first error.
        let _ = clear(&partial);
        return Err(error);
    }
    Ok(folder.sizes)
}

/// Last come, last served: of two builds at once the page of the slower one stays.
fn put_in_place(partial: &Path, dist: &Path) -> Result<()> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        clear(dist)?;
        match std::fs::rename(partial, dist) {
            Ok(()) => return Ok(()),
            // Another build's was put there since.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => last = Some(error),
            Err(error) => {
                return Err(error).with_context(|| format!("{} could not be put in place", dist.display()));
            }
        }
    }
    let last = last.map_or_else(|| anyhow!("it was not tried"), Into::into);
    Err(last.context(format!("{} is being replaced by others all the time", dist.display())))
}

/// Removes what builds have left that were ended.
fn clear_stale(dist: &Path) -> Result<()> {
    let Some(Ok(beside)) = dist.parent().map(std::fs::read_dir) else { return Ok(()) };
    for entry in beside.filter_map(Result::ok) {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|since| since.elapsed());
        let is_stale = matches!(age, Ok(Ok(age)) if age >= STALE);
        if is_stale && entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            clear(&entry.path())?;
        }
    }
    Ok(())
}

fn clear(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", dir.display()))
        }
        _ => Ok(()),
    }
}

struct Folder {
    path: PathBuf,
    page: &'static Page,
    small: bool,
    stem: &'static str,
    sizes: Sizes,
    /// What stands for a name, and the name.
    names: Vec<(&'static str, String)>,
}

impl Folder {
    fn assets(&mut self, root: &Path, script: Script) -> Result<()> {
        let mut css = String::new();
        for folder in self.page.styles {
            for file in sorted(&root.join(folder), "css")? {
                css.push_str(&minified(&read(&file)?));
            }
        }
        self.asset("{{CSS}}", self.stem, "css", css.as_bytes())?;
        self.asset("{{WASM}}", self.stem, "wasm", &script.wasm)?;
        let mut js = script.js;
        for (path, text) in script.modules {
            let name = self.hashed("snippet", "js", text.as_bytes())?;
            js = js.replace(&path, &format!("./{}", file_name(&name)));
        }
        self.asset("{{JS}}", self.stem, "js", js.as_bytes())?;
        let boot = self.filled(&read(&root.join(self.page.statics).join("boot.js"))?)?;
        self.asset("{{BOOT}}", "boot", "js", boot.as_bytes())
    }

    fn statics(&mut self, from: &Path) -> Result<()> {
        let mut files: Vec<_> = std::fs::read_dir(from)
            .with_context(|| format!("{} cannot be read", from.display()))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        files.sort();
        for file in files.iter().filter(|file| file_name(&file.to_string_lossy()) != "boot.js") {
            let name = file_name(&file.to_string_lossy()).to_owned();
            let content =
                std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            let is_text = ["html", "js", "webmanifest"].iter().any(|end| name.ends_with(&format!(".{end}")));
            let content = match String::from_utf8(content) {
                Ok(text) if is_text => self.filled(&text)?.into_bytes(),
                Ok(text) => text.into_bytes(),
                Err(bytes) => bytes.into_bytes(),
            };
            self.put(&name, &content, name.ends_with(".html") || name.ends_with(".svg"))?;
        }
        Ok(())
    }

    /// Fills in the names of the assets; one that is not known is an error.
    fn filled(&self, text: &str) -> Result<String> {
        let mut text = text.to_owned();
        for (mark, name) in &self.names {
            text = text.replace(mark, &format!("{}{name}", self.page.served));
        }
        match text.find("{{") {
            Some(at) => bail!(
                "a static file names something that is not built: {}",
                text[at..].lines().next().unwrap_or("")
            ),
            None => Ok(text),
        }
    }

    fn asset(&mut self, mark: &'static str, stem: &str, extension: &str, content: &[u8]) -> Result<()> {
        let name = self.hashed(stem, extension, content)?;
        self.names.push((mark, name));
        Ok(())
    }

    fn hashed(&mut self, stem: &str, extension: &str, content: &[u8]) -> Result<String> {
        let hash = Sha256::digest(content);
        let mut short = String::new();
        // 64 bits: two versions of a file never share a name.
        for byte in &hash[..8] {
            write!(short, "{byte:02x}")?;
        }
        let name = format!("assets/{stem}-{short}.{extension}");
        self.put(&name, content, true)?;
        Ok(name)
    }

    fn put(&mut self, name: &str, content: &[u8], compress: bool) -> Result<()> {
        let path = self.path.join(name);
        std::fs::write(&path, content).with_context(|| format!("{} could not be written", path.display()))?;
        let mut compressed = content.len();
        if compress {
            let packed = packed(content, self.small)?;
            compressed = packed.len();
            let path = self.path.join(format!("{name}.br"));
            std::fs::write(&path, packed)
                .with_context(|| format!("{} could not be written", path.display()))?;
        }
        self.sizes.files.push((name.to_owned(), content.len(), compressed));
        Ok(())
    }
}

/// Brotli (RFC 7932).
fn packed(content: &[u8], small: bool) -> Result<Vec<u8>> {
    let (quality, window) = if small { (11, 24) } else { (4, 22) };
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 64 * 1024, quality, window);
    writer.write_all(content)?;
    writer.flush()?;
    Ok(writer.into_inner())
}

fn sorted(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    let mut files: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Without comments and indentation. What brotli does not see to is left: this is no parser.
fn minified(css: &str) -> String {
    let mut plain = String::new();
    let mut rest = css;
    while let Some((before, comment)) = rest.split_once("/*") {
        plain.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let lines = plain.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.fold(String::new(), |all, line| all + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::super::{CONSOLE, HOST};
    use super::{Script, minified, write};

    #[test]
    fn comments_and_indentation_go() {
        assert_eq!(minified("/* a */\n.b {\n  color: red; /* c\n d */\n}\n"), ".b {\ncolor: red;\n}\n");
    }

    #[test]
    fn names_carry_a_hash_and_are_filled_in() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["client-web/ui/css", "client-web/app/css", "client-web/app/static"] {
            std::fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let put =
            |name: &str, text: &str| std::fs::write(root.path().join("client-web").join(name), text).unwrap();
        put("ui/css/10-b.css", "b{}\n");
        put("app/css/20-a.css", "a{}\n");
        put("app/static/boot.js", "import '{{JS}}'; load('{{WASM}}')");
        put("app/static/index.html", "<link href={{CSS}}><script src={{BOOT}}>");
        let script = || Script {
            js: "import './snippets/x/inline0.js'".into(),
            wasm: vec![0; 64],
            modules: vec![("./snippets/x/inline0.js".into(), "export {}".into())],
        };
        let sizes = write(root.path(), &HOST, script(), true).unwrap();
        assert!(sizes.downloaded() > 0);
        let dist = root.path().join(HOST.dist);
        let index = std::fs::read_to_string(dist.join("index.html")).unwrap();
        assert!(
            index.contains("<link href=/assets/page-") && index.contains("<script src=/assets/boot-"),
            "{index}"
        );
        let named = |start: &str| {
            let files =
                std::fs::read_dir(dist.join("assets")).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
            names.retain(|name| name.starts_with(start) && !name.ends_with(".br"));
            names.sort();
            names
        };
        let css = named("page-").into_iter().find(|name| name.ends_with(".css")).unwrap();
        assert_eq!(std::fs::read_to_string(dist.join("assets").join(css)).unwrap(), "b{}\na{}\n");
        let page = named("page-").into_iter().find(|name| name.ends_with(".js")).unwrap();
        let page = std::fs::read_to_string(dist.join("assets").join(page)).unwrap();
        assert_eq!(page, format!("import './{}'", named("snippet-")[0]));
        // The same content has the same names, so that a browser need not load it again.
        let before = index;
        write(root.path(), &HOST, script(), true).unwrap();
        assert_eq!(std::fs::read_to_string(dist.join("index.html")).unwrap(), before);
        // What a build left that was ended goes; what another is at stays.
        let beside = |name: &str| root.path().join("client-web").join(name);
        let (left, other) = (beside("dist.partial-1"), beside("dist.partial-2"));
        for folder in [&left, &other] {
            std::fs::create_dir_all(folder.join("assets")).unwrap();
        }
        let long_ago = std::time::SystemTime::now() - 2 * super::STALE;
        std::fs::File::open(&left).unwrap().set_modified(long_ago).unwrap();
        write(root.path(), &HOST, script(), true).unwrap();
        assert!(!left.exists() && other.exists());
        // A static file that names what is not there is an error, and leaves the last page in place.
        put("app/static/index.html", "{{NOTHING}}");
        let error = write(root.path(), &HOST, script(), true).unwrap_err();
        assert!(error.to_string().contains("{{NOTHING}}"), "{error}");
        assert_eq!(std::fs::read_to_string(dist.join("index.html")).unwrap(), before);
        let own = beside(&format!("dist.partial-{}", std::process::id()));
        assert!(!own.exists(), "it is not left for the next hour");
    }

    #[test]
    fn the_console_has_a_folder_and_addresses_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        for dir in CONSOLE.styles.iter().chain([&CONSOLE.statics]) {
            std::fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let put = |name: &str, text: &str| {
            std::fs::write(root.path().join("client-web/console/static").join(name), text).unwrap();
        };
        put("boot.js", "import '{{JS}}'; load('{{WASM}}')");
        put("index.html", "<script src={{BOOT}}>");
        let script = Script { js: String::new(), wasm: vec![0; 64], modules: Vec::new() };
        write(root.path(), &CONSOLE, script, true).unwrap();
        let index = std::fs::read_to_string(root.path().join("client-web/console/dist/index.html")).unwrap();
        assert!(index.contains("<script src=/console/assets/boot-"), "{index}");
        assert!(!root.path().join(HOST.dist).exists());
    }
}
