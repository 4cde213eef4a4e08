//! The files whose content decides what a command does: its programs, and the files of the workspace it names.

use std::collections::BTreeSet;
use std::path::PathBuf;

use lanyard_policy::demand::ContentHash;
use lanyard_policy::reading::Reading;

use super::{NAME, Started};
use crate::content::hash_at;
use crate::ground::{Aliases, Kind, LastLink, Place, open_regular};
use crate::plan::{PlanError, Planning};
use crate::sandbox::Confinement;

/// Files of the workspace one command may name; a person does not read longer lists.
const MAX_NAMED: usize = 256;

/// Largest file of the workspace that is bound to an approval, bytes. Larger ones are data, not scripts.
const MAX_NAMED_BYTES: u64 = 32 << 20;

/// Hashes of the programs and named files, by path, each once.
pub(super) fn contents(
    planning: &Planning<'_>,
    confinement: &Confinement,
    cwd: &Place,
    reading: &Reading,
    started: &Started,
) -> Result<Vec<ContentHash>, PlanError> {
    let ground = &planning.workspace.ground;
    let aliases = Aliases::new(ground);
    let mut paths = BTreeSet::from([started.program.clone()]);
    let mut named = Named { planning, aliases: &aliases, here: cwd.clone(), files: BTreeSet::new() };
    for argv in reading.argvs() {
        named.command(argv);
        if let Some(program) = argv.first().filter(|program| !program.contains('/'))
            && let Ok(path) = confinement.resolve(program.as_ref())
        {
            // Builtins of the shell and programs that are not there have no file.
            paths.insert(path);
        }
    }
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
    here: Place,
    files: BTreeSet<PathBuf>,
}

impl Named<'_> {
    fn command(&mut self, argv: &[String]) {
        if let [program, directory] = argv
            && program == "cd"
        {
            self.enter(directory);
            return;
        }
        for (at, word) in argv.iter().enumerate() {
            // A bare program name is looked up, not opened.
            if at == 0 && !word.contains('/') {
                continue;
            }
            for part in parts(word) {
                self.add(part);
            }
        }
    }

    fn enter(&mut self, directory: &str) {
        let found = self.planning.workspace.ground.resolve_from(&self.here, directory, LastLink::Follow);
        if let Ok(found) = found
            && found.kind == Kind::Directory
        {
            self.here = found.place;
        }
    }

    fn add(&mut self, text: &str) {
        let ground = &self.planning.workspace.ground;
        let Ok(found) = ground.resolve_from(&self.here, text, LastLink::Follow) else { return };
        if found.kind != Kind::File {
            return;
        }
        let size = ground
            .open_parent(&found.place)
            .and_then(|(dir, name)| open_regular(&dir, name, found.place.path(), self.aliases))
            .map(|file| file.metadata().len());
        if size.is_ok_and(|size| size <= MAX_NAMED_BYTES) {
            self.files.insert(found.place.path().to_owned());
        }
    }
}

/// The parts of a word that a program could take for a path.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    let value = word.split_once('=').map(|(_, value)| value);
    let at = word.strip_prefix('@');
    let attached =
        word.strip_prefix('-').filter(|rest| !rest.starts_with('-')).and_then(|rest| rest.get(1..));
    [Some(word), value, at, attached].into_iter().flatten().filter(|part| !part.is_empty())
}
