//! The file that leads a browser on to a link: mode 0600, in a private directory, gone with the command.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lanyard_transport::keyfile::{self, KeyFileError};

/// How the files are called.
const PREFIX: &str = "open-";
const SUFFIX: &str = ".html";

/// Age from which on a file is left over from a command that was killed. Its link has long run out.
const LEFT_OVER: Duration = Duration::from_secs(10 * 60);

/// See the module.
#[derive(Debug)]
pub(super) struct Redirect(PathBuf);

impl Redirect {
    /// Writes it. Removes what killed commands have left there.
    pub(super) fn write(dir: &Path, link: &str) -> Result<Self, KeyFileError> {
        sweep(dir);
        let mut name = [0; 8];
        rand_core::RngCore::fill_bytes(&mut rand_core::OsRng, &mut name);
        let file = format!("{PREFIX}{}{SUFFIX}", data_encoding::HEXLOWER.encode(&name));
        let redirect = Self(dir.join(file));
        keyfile::write(&redirect.0, page(link).as_bytes())?;
        Ok(redirect)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, "the file for the browser could not be removed; its link works no more");
        }
    }
}

/// A link of the host is made of letters that mean nothing in HTML; anything else is not led to.
fn page(link: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/#[]%".contains(c);
    let link: String = link.chars().filter(|c| plain(*c)).collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0;url={link}\"><title>Lanyard</title></head>\
         <body><p><a href=\"{link}\">Go on to Lanyard</a></p></body></html>\n"
    )
}

fn sweep(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if ours && age.is_some_and(|age| age >= LEFT_OVER) {
            // Another command may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    use super::{LEFT_OVER, Redirect};

    const LINK: &str = "http://localhost:7717/#PAE7Q";

    #[test]
    fn only_its_owner_reads_it_and_it_is_gone_with_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let redirect = Redirect::write(dir.path(), LINK).unwrap();
        let path = redirect.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!path.display().to_string().contains("PAE7Q"));
        let page = std::fs::read_to_string(&path).unwrap();
        assert!(page.contains(&format!("content=\"0;url={LINK}\"")), "{page}");
        drop(redirect);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_not_a_link_does_not_become_html() {
        let dir = tempfile::tempdir().unwrap();
        let redirect = Redirect::write(dir.path(), "http://h/#\"><script>alert(1)</script>").unwrap();
        let page = std::fs::read_to_string(redirect.path()).unwrap();
        assert!(!page.contains("<script"), "{page}");
    }

    #[test]
    fn what_a_killed_command_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let (old, young, other) =
            (dir.path().join("open-00.html"), dir.path().join("open-01.html"), dir.path().join("mine.html"));
        for path in [&old, &young, &other] {
            std::fs::write(path, "x").unwrap();
        }
        for path in [&old, &other] {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - LEFT_OVER).unwrap();
        }
        let _redirect = Redirect::write(dir.path(), LINK).unwrap();
        assert!(!old.exists() && young.exists() && other.exists());
    }
}
