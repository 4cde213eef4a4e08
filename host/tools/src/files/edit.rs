//! EditFile: replaces one exact text by another.

use lanyard_protocol::json::Json;
use lanyard_protocol::limits::MAX_TOOL_ARGUMENT_BYTES;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use super::{change, locate, refuse_unchangeable};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::ground::{Kind, LastLink, MAX_CHANGED_BYTES, PathError};
use crate::plan::{Draft, PlanError, Planning};
use crate::text::{is_binary, is_crlf};

const NAME: &str = "EditFile";

pub(crate) static EDIT: Tool = Tool {
    name: NAME,
    description: "Replaces a text in a file of the workspace. `oldText` must occur exactly once, white space included; \
                  give enough of its surroundings. With `replaceAll` every occurrence is replaced. Line ends and a \
                  byte order mark of the file are kept.",
    capabilities: &[Capability::FileWrite],
    parameters: &[
        Parameter::required(
            "path",
            ParameterKind::Text,
            "The file, relative to the workspace or absolute within it.",
        ),
        Parameter::required(
            "oldText",
            ParameterKind::Text,
            "The text to be replaced, exactly as it is in the file.",
        ),
        Parameter::required("newText", ParameterKind::Text, "What stands there afterwards."),
        Parameter::optional(
            "replaceAll",
            ParameterKind::Flag,
            "Replace every occurrence; false if not given.",
        ),
    ],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    path: String,
    old_text: String,
    new_text: String,
    replace_all: Option<bool>,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { path, old_text, new_text, replace_all } = arguments::read(NAME, json)?;
    arguments::not_empty(NAME, "oldText", &old_text)?;
    arguments::at_most(NAME, "oldText", &old_text, MAX_TOOL_ARGUMENT_BYTES)?;
    arguments::at_most(NAME, "newText", &new_text, MAX_TOOL_ARGUMENT_BYTES)?;
    if old_text == new_text {
        return Err(PlanError::argument(NAME, "newText", "it is the same as oldText: nothing would change"));
    }
    let found = locate(planning, NAME, "path", &path, LastLink::Follow)?;
    refuse_unchangeable(NAME, &found)?;
    if found.kind == Kind::Missing {
        let error = PathError::Missing { path: found.place.path().to_owned() };
        return Err(PlanError::impossible(format!("{error}: create it with WriteFile")));
    }
    let shown = planning.workspace.ground.shown(found.place.path());
    let before = change::before(planning, NAME, &found)?;
    let edit = Edit { old: old_text, new: new_text, all: replace_all.unwrap_or(false) };
    // What the error would tell is for those who may read the file, and that is decided after planning.
    let tell = planning.workspace.is_searchable(found.place.path(), &planning.terms.searchable);
    let after = edit.apply(before.content.as_deref().unwrap_or_default()).map_err(|fault| {
        let told = if tell { fault.to_string() } else { "`oldText` cannot be replaced there".to_owned() };
        PlanError::impossible(format!("{shown}: {told}"))
    })?;
    Ok(change::plan(planning, &found, before, after))
}

/// Why a text cannot be replaced. Says where to look, never what stands there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum EditFault {
    #[error("the file is data, not text: EditFile changes text only")]
    Binary,
    #[error("the file is not UTF-8 (first at byte {at}): EditFile changes UTF-8 text only")]
    NotUtf8 { at: usize },
    #[error("`oldText` does not occur in the file{hint}")]
    NotFound { hint: String },
    #[error(
        "`oldText` occurs {count} times (lines {lines}): add surroundings until it is unique, or set replaceAll"
    )]
    Ambiguous { count: usize, lines: String },
    #[error("the file would have {size} bytes; the limit here is {MAX_CHANGED_BYTES}")]
    TooLarge { size: usize },
}

struct Edit {
    old: String,
    new: String,
    all: bool,
}

impl Edit {
    /// The file after the edit.
    fn apply(&self, before: &[u8]) -> Result<String, EditFault> {
        if is_binary(before) {
            return Err(EditFault::Binary);
        }
        let text =
            std::str::from_utf8(before).map_err(|error| EditFault::NotUtf8 { at: error.valid_up_to() })?;
        // In a file of CRLF lines the model, which sees line feeds, means CRLF.
        let (old, new) = if is_crlf(text) && !self.old.contains('\r') && !self.new.contains('\r') {
            (self.old.replace('\n', "\r\n"), self.new.replace('\n', "\r\n"))
        } else {
            (self.old.clone(), self.new.clone())
        };
        let count = text.matches(&old).count();
        match count {
            0 => return Err(EditFault::NotFound { hint: hint(text, &old) }),
            2.. if !self.all => return Err(EditFault::Ambiguous { count, lines: lines_of(text, &old) }),
            _ => {}
        }
        let size = text.len().saturating_add(new.len().saturating_sub(old.len()).saturating_mul(count));
        if size as u64 > MAX_CHANGED_BYTES {
            return Err(EditFault::TooLarge { size });
        }
        Ok(text.replace(&old, &new))
    }
}

/// The first few lines a text begins on.
fn lines_of(text: &str, wanted: &str) -> String {
    const SHOWN: usize = 5;
    let mut lines: Vec<String> = Vec::new();
    let mut line = 1;
    let mut from = 0;
    for (at, _) in text.match_indices(wanted).take(SHOWN + 1) {
        line += text[from..at].matches('\n').count();
        from = at;
        lines.push(line.to_string());
    }
    if lines.len() > SHOWN {
        lines.truncate(SHOWN);
        lines.push("…".to_owned());
    }
    lines.join(", ")
}

/// Where something like the wanted text stands: the same lines apart from white space, else its first line.
fn hint(text: &str, wanted: &str) -> String {
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted: Vec<String> = wanted.lines().map(squeeze).filter(|line| !line.is_empty()).collect();
    let Some(first) = wanted.first() else { return String::new() };
    let lines: Vec<(usize, String)> =
        text.lines().map(squeeze).enumerate().filter(|(_, line)| !line.is_empty()).collect();
    let same = |window: &[(usize, String)]| window.iter().zip(&wanted).all(|((_, have), want)| have == want);
    if let Some(at) =
        lines.windows(wanted.len()).find(|window| same(window)).and_then(|window| window.first())
    {
        return format!(
            "; the same words with other white space begin at line {}: read it and copy exactly",
            at.0 + 1
        );
    }
    match lines.iter().find(|(_, line)| line.contains(first.as_str())) {
        Some((at, _)) => format!("; its first line is like line {}: read the file there", at + 1),
        None => ": read the file again".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(before: &str, old: &str, new: &str, all: bool) -> Result<String, EditFault> {
        let edit = Edit { old: old.to_owned(), new: new.to_owned(), all };
        edit.apply(before.as_bytes())
    }

    #[test]
    fn one_exact_place_is_replaced() {
        assert_eq!(edit("a b c", "b", "B", false).unwrap(), "a B c");
        assert_eq!(edit("x x x", "x", "y", true).unwrap(), "y y y");
        // Not a pattern, not a template.
        assert_eq!(edit("a.c abc", "a.c", "$0", false).unwrap(), "$0 abc");
    }

    #[test]
    fn several_places_are_counted_and_located() {
        let fault = edit("x\ny\nx\n", "x", "z", false).unwrap_err();
        assert_eq!(fault, EditFault::Ambiguous { count: 2, lines: "1, 3".to_owned() });
    }

    #[test]
    fn a_near_miss_says_where() {
        let text = "fn main() {\n\tlet a = 1;\n\tlet b = 2;\n}\n";
        let fault = edit(text, "    let a = 1;\n    let b = 2;", "", false).unwrap_err().to_string();
        assert!(fault.contains("line 2"), "{fault}");
        let fault = edit(text, "let b = 2;\nlet c", "", false).unwrap_err().to_string();
        assert!(fault.contains("line 3"), "{fault}");
        assert!(!fault.contains("let b"), "an error tells no content: {fault}");
    }

    #[test]
    fn line_ends_and_byte_order_mark_stay() {
        let before = "\u{feff}one\r\ntwo\r\nthree\r\n";
        assert_eq!(edit(before, "one\ntwo", "1\n2", false).unwrap(), "\u{feff}1\r\n2\r\nthree\r\n");
        assert_eq!(edit(before, "two", "2\n2", false).unwrap(), "\u{feff}one\r\n2\r\n2\r\nthree\r\n");
        // Mixed line ends are taken as they are.
        assert_eq!(edit("a\r\nb\n", "a\r\nb", "c\nd", false).unwrap(), "c\nd\n");
    }

    #[test]
    fn data_and_other_encodings_are_refused() {
        let edit = Edit { old: "a".to_owned(), new: "b".to_owned(), all: false };
        assert_eq!(edit.apply(b"a\0"), Err(EditFault::Binary));
        assert_eq!(edit.apply(b"a\xff"), Err(EditFault::NotUtf8 { at: 1 }));
    }

    #[test]
    fn growth_is_bounded() {
        let before = "a".repeat(5000);
        let fault = edit(&before, "a", &"b".repeat(5000), true).unwrap_err();
        assert!(matches!(fault, EditFault::TooLarge { .. }));
    }
}
