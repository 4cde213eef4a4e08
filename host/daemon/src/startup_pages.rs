//! Gives back the pages of the program's own text that only its start needed.
//!
//! The kernel maps the text of a program in pieces of 64 KiB around every page that is executed. A start runs a little of
//! almost everything once, so afterwards most of the program counts as the host's memory. Unmapped, those pages are
//! ordinary page cache, which the system takes first when it needs memory; what runs again is mapped again from there
//! (a microsecond for each piece). Nothing is lost: the text is a read-only file.
#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "unmapping has no safe wrapper"))]

use std::time::Duration;

/// What runs once at the start has run by then.
const STARTED: Duration = Duration::from_millis(500);

/// Waits until the start is over, then gives its pages back. On other systems than Linux nothing is done.
pub(crate) async fn give_back() {
    tokio::time::sleep(STARTED).await;
    #[cfg(target_os = "linux")]
    if let Err(error) = linux::unmap_text() {
        tracing::debug!(%error, "the pages of the start stay mapped");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::ops::Range;

    /// Unmaps the text of this program; it comes back page by page as it runs. Takes well under a millisecond.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or the kernel refuses.
    pub(super) fn unmap_text() -> io::Result<()> {
        let program = std::fs::read_link("/proc/self/exe")?;
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        for Range { start, end } in maps.lines().filter_map(|line| text_of(line, program.to_str()?)) {
            // SAFETY: the range is a private, read-only mapping of a file that nothing has written to, so the kernel
            // reads the same bytes again when one of its addresses is used.
            let result =
                unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// The addresses of a line of proc(5) `maps` that is executable, private, never writable, and of this program.
    fn text_of(line: &str, program: &str) -> Option<Range<usize>> {
        let mut fields = line.splitn(6, ' ');
        let (addresses, rights) = (fields.next()?, fields.next()?);
        let path = fields.nth(3)?.trim_start();
        if rights != "r-xp" || path != program {
            return None;
        }
        let (start, end) = addresses.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(address(start)?..address(end)?)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Bytes of this program's text that are mapped.
        fn mapped() -> usize {
            let program = std::fs::read_link("/proc/self/exe").unwrap();
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let mut lines = maps.lines();
            let mut mapped = 0;
            while let Some(line) = lines.next() {
                if text_of(line, program.to_str().unwrap()).is_some() {
                    let resident = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
                    mapped += resident.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10;
                }
            }
            mapped
        }

        #[test]
        fn the_text_is_given_back_and_runs_on() {
            assert!(mapped() > 0, "the text of this program was not found");
            // Other tests run meanwhile and map what they need.
            let less = (0..100).any(|_| {
                let before = mapped();
                unmap_text().unwrap();
                mapped() < before
            });
            assert!(less, "nothing was given back");
        }

        #[test]
        fn only_the_programs_own_text_is_taken() {
            let line = |rights, path| format!("00400000-00452000 {rights} 00000000 08:02 173521      {path}");
            assert_eq!(text_of(&line("r-xp", "/bin/a b"), "/bin/a b"), Some(0x40_0000..0x45_2000));
            for (rights, path) in [
                ("r--p", "/bin/a b"),
                ("rwxp", "/bin/a b"),
                ("r-xs", "/bin/a b"),
                ("r-xp", "/bin/a"),
                ("r-xp", ""),
                ("r-xp", "[vdso]"),
            ] {
                assert_eq!(text_of(&line(rights, path), "/bin/a b"), None, "{rights} {path}");
            }
            assert_eq!(text_of("", "/bin/a b"), None);
            assert_eq!(text_of("x-y r-xp 0 0 0 /bin/a b", "/bin/a b"), None);
        }
    }
}
