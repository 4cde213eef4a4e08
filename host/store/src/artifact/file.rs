//! Single files: written whole or not at all, private to the owner.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Makes a directory, and those above it, for the owner alone.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Options for a file of the owner alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Writes `path` by way of `under_way`, unless it is there already. On disk when it returns.
pub(super) fn write_once(path: &Path, under_way: &Path, bytes: &[u8]) -> io::Result<()> {
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == len) {
        return Ok(());
    }
    let dir = path.parent().ok_or_else(|| io::Error::other("an artifact lies in a directory"))?;
    let is_new = !dir.is_dir();
    create_private_dir(dir)?;
    let written = write_synced(under_way, bytes).and_then(|()| std::fs::rename(under_way, path));
    if let Err(error) = written {
        // What is left under way is dropped by the next start at the latest.
        let _ = std::fs::remove_file(under_way);
        return Err(error);
    }
    sync_dir(dir)?;
    match dir.parent() {
        Some(above) if is_new => sync_dir(above),
        _ => Ok(()),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes names in a directory durable.
#[cfg(unix)]
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Other systems journal names by themselves and cannot sync a directory.
#[cfg(not(unix))]
pub(crate) fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// At most `length` bytes from `offset`, and the size of the whole.
pub(super) fn read_part(path: &Path, offset: u64, length: u32) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let total = file.metadata()?.len();
    let wanted = total.saturating_sub(offset).min(u64::from(length));
    let mut bytes = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
    file.seek(SeekFrom::Start(offset.min(total)))?;
    file.take(wanted).read_to_end(&mut bytes)?;
    Ok((bytes, total))
}
