//! A task before it is given: what is typed, how it may run, and the files that go with it.

use lanyard_protocol::limits::{
    MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, MAX_FILE_PIECE_BYTES, MAX_MAX_STEPS, MAX_PROMPT_BYTES,
};
use lanyard_protocol::method::WorkspaceEntry;

use crate::visible::{Marks, line};
use crate::words;

/// Why a prompt cannot be sent, in words; none when it can. An empty one is not worth a word.
pub fn prompt_problem(prompt: &str) -> Option<String> {
    (prompt.len() > MAX_PROMPT_BYTES).then(|| {
        let (is, most) = (words::bytes(bytes(prompt.len())), words::bytes(bytes(MAX_PROMPT_BYTES)));
        format!("This is {is}; a task takes {most}. Attach the long part as a file.")
    })
}

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Whether a file can be attached to a task that has `already` some.
///
/// # Errors
/// Why not, in words.
pub fn may_attach(name: &str, size: u64, already: usize) -> Result<(), String> {
    let name = shown_name(name);
    if already >= MAX_ATTACHMENTS {
        return Err(format!("{name} is not attached: a task takes {MAX_ATTACHMENTS} files."));
    }
    if size > MAX_ATTACHMENT_BYTES {
        let (is, most) = (words::bytes(size), words::bytes(MAX_ATTACHMENT_BYTES));
        return Err(format!("{name} is not attached: it has {is}, a file may have {most}."));
    }
    Ok(())
}

/// A file's name as it is shown: harmless, and cut in the middle so that its ending stays.
pub fn shown_name(name: &str) -> String {
    const MOST: usize = 40;
    let name = line(name, Marks::Missing).into_owned();
    let count = name.chars().count();
    if count <= MOST {
        return name;
    }
    let begin: String = name.chars().take(MOST - 13).collect();
    let end: String = name.chars().skip(count - 12).collect();
    format!("{begin}…{end}")
}

/// One piece of a file on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub offset: u64,
    /// Its length; 0 only for an empty file.
    pub length: u32,
    /// Nothing follows.
    pub last: bool,
}

/// The piece that follows after `put` bytes of a file of `size`; none when all of it is there. An empty file is one
/// empty piece: `put` is none before the first.
pub fn next_piece(put: Option<u64>, size: u64) -> Option<Piece> {
    let offset = match put {
        None => 0,
        Some(put) if put >= size => return None,
        Some(put) => put,
    };
    let left = size - offset;
    let length = u32::try_from(left).unwrap_or(u32::MAX).min(MAX_FILE_PIECE_BYTES);
    Some(Piece { offset, length, last: u64::from(length) == left })
}

/// Steps offered as the most a task may take.
pub const STEP_CHOICES: [u32; 4] = [10, 50, 100, MAX_MAX_STEPS];

/// Something to begin with: what is shown and sent, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The task.
    pub prompt: String,
    /// Its workspace; none: a general chat.
    pub workspace: Option<String>,
}

/// Three tasks that make sense on this machine: about the directory last used, where there is one. The demo model
/// understands a handful of plain requests only.
pub fn examples(workspaces: &[WorkspaceEntry], demo: bool) -> [Example; 3] {
    let first = workspaces.first();
    let at = first.map(|entry| entry.path.clone());
    let here = |prompt: String| Example { prompt, workspace: at.clone() };
    if demo {
        return ["tour", "list the files", "git status"].map(|prompt| here(prompt.to_owned()));
    }
    match first.map(|entry| shown_name(&entry.name)) {
        Some(name) => [
            here(format!("What is in {name}, and what state is it in?")),
            here("What changed here in the last week?".to_owned()),
            here("Find what is unfinished here and say what you would do first.".to_owned()),
        ],
        None => [
            here("Which directories here take the most space?".to_owned()),
            here("Is anything wrong with this machine?".to_owned()),
            here("Write a shopping list into a file.".to_owned()),
        ],
    }
}
