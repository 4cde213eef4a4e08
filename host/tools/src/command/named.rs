//! The files whose content decides what a command does: its programs, and the files of the workspace it names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lanyard_policy::demand::ContentHash;
use lanyard_policy::path::HostPath;
use lanyard_policy::reading::{Mention, Reading};

use super::{NAME, Started};
use crate::content::hash_at;
use crate::ground::{Aliases, Found, Kind, LastLink, PathError, Place, open_regular};
use crate::plan::{PlanError, Planning};
use crate::sandbox::Confinement;

/// Files of the workspace one command may name; a person does not read longer lists.
const MAX_NAMED: usize = 256;

/// Largest file of the workspace that is bound to an approval although nothing that is named runs it, bytes. Larger
/// ones are data, not scripts.
const MAX_DATA_BYTES: u64 = 32 << 20;

/// The same where what runs may be any of the files named: what can be hashed at all.
const MAX_SCRIPT_BYTES: u64 = 512 << 20;

/// Names looked up for one command, in each directory they could start from: about a second of work.
const MAX_LOOKUPS: usize = 20_000;

/// Hashes of the programs and named files, by path, each once.
pub(super) fn contents(
    planning: &Planning<'_>,
    confinement: &Confinement,
    reading: &Reading,
    started: &Started,
) -> Result<Vec<ContentHash>, PlanError> {
    let ground = &planning.workspace.ground;
    let aliases = Aliases::new(ground);
    // Builtins of the shell and programs that are not there have no file.
    let programs = reading.programs().into_iter().filter_map(|name| confinement.resolve(name.as_ref()).ok());
    let mut paths: BTreeSet<PathBuf> = programs.collect();
    paths.insert(started.program.clone());
    let max_bytes = if reading.is_open() { MAX_SCRIPT_BYTES } else { MAX_DATA_BYTES };
    let mut named = Named { planning, aliases: &aliases, max_bytes, lookups: 0, files: BTreeSet::new() };
    named.all(reading)?;
    if started.own {
        named.files.remove(&started.program);
    }
    if named.files.len() > MAX_NAMED {
        let reason = format!("it names {} files of the workspace: at most {MAX_NAMED}", named.files.len());
        return Err(PlanError::argument(NAME, "argv", reason));
    }
    paths.extend(named.files);
    paths
        .iter()
        .map(|path| hash_at(ground, &planning.workspace.programs, &aliases, path))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| PlanError::path(NAME, "argv", &error))
}

struct Named<'n> {
    planning: &'n Planning<'n>,
    aliases: &'n Aliases<'n>,
    max_bytes: u64,
    lookups: usize,
    files: BTreeSet<PathBuf>,
}

impl Named<'_> {
    fn all(&mut self, reading: &Reading) -> Result<(), PlanError> {
        let mentions = reading.mentions();
        // Where programs may change the directory, each one named may be where the other names start from.
        let mut directories: Vec<Place> = Vec::new();
        if reading.is_open() {
            for mention in &mentions {
                self.directory(mention, &mut directories)?;
            }
        }
        for mention in &mentions {
            let base = Path::new(mention.base.as_str());
            if let Some(base) = self.place(base)? {
                self.add(&base, mention, mention.runs)?;
            }
            for base in directories.iter().filter(|_| !mention.text.starts_with('/')) {
                self.add(base, mention, false)?;
            }
        }
        Ok(())
    }

    /// Adds the directories a text may name: below its own start, and below those named before it.
    fn directory(&mut self, mention: &Mention, known: &mut Vec<Place>) -> Result<(), PlanError> {
        let start = self.place(Path::new(mention.base.as_str()))?;
        let bases: Vec<Place> = start.into_iter().chain(known.iter().cloned()).collect();
        for base in bases {
            if let Ok(found) = self.look_up(&base, &mention.text)?
                && found.kind == Kind::Directory
                && !known.iter().any(|place| place.path() == found.place.path())
            {
                known.push(found.place);
            }
        }
        Ok(())
    }

    fn place(&mut self, directory: &Path) -> Result<Option<Place>, PlanError> {
        let Some(text) = directory.to_str() else { return Ok(None) };
        let home = self.planning.workspace.ground.home();
        let found = self.look_up(&home, text)?;
        Ok(found.ok().filter(|found| found.kind == Kind::Directory).map(|found| found.place))
    }

    fn look_up(&mut self, base: &Place, text: &str) -> Result<Result<Found, PathError>, PlanError> {
        self.lookups += 1;
        if self.lookups > MAX_LOOKUPS {
            let reason = "it holds too many words that could name files: put it into a script file";
            return Err(PlanError::argument(NAME, "argv", reason));
        }
        Ok(self.planning.workspace.ground.resolve_from(base, text, LastLink::Follow))
    }

    fn add(&mut self, base: &Place, mention: &Mention, runs: bool) -> Result<(), PlanError> {
        match self.look_up(base, &mention.text)? {
            Ok(found) => match found.kind {
                Kind::File if runs || self.is_bound(&found.place) => self.insert(found),
                Kind::Missing if runs => self.insert(found),
                _ => {}
            },
            // A link to a program of the system, as in a virtual environment: it could lead elsewhere by then.
            Err(PathError::Escape { .. }) => self.leads_outside(base, &mention.text),
            Err(_) => {}
        }
        Ok(())
    }

    /// Where links lie in between, the name is bound too: it must still lead to the same content.
    fn insert(&mut self, found: Found) {
        if found.asked != found.place.path() {
            self.files.insert(found.asked);
        }
        self.files.insert(found.place.path().to_owned());
    }

    fn leads_outside(&mut self, base: &Place, text: &str) {
        let base = HostPath::parse(&base.path().to_string_lossy());
        let Ok(asked) = base.and_then(|base| base.resolve(text)) else { return };
        let asked = PathBuf::from(asked.as_str());
        if asked.metadata().is_ok_and(|metadata| metadata.is_file()) {
            self.files.insert(asked);
        }
    }

    fn is_bound(&self, place: &Place) -> bool {
        let ground = &self.planning.workspace.ground;
        let opened = ground
            .open_parent(place)
            .and_then(|(dir, name)| open_regular(&dir, name, place.path(), self.aliases));
        opened.is_ok_and(|file| file.metadata().len() <= self.max_bytes)
    }
}
