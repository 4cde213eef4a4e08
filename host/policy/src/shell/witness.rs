//! The second opinion: tree-sitter's bash grammar must see the same commands, words, redirects and operators.
//!
//! Only node kinds known to be plain are accepted, so a construct the tokenizer overlooked shows up here as a kind
//! that is not on the list, or as a span that differs.

use std::ops::Range;

use tree_sitter::{Node, Parser};

use super::{Joiner, Opaque, grammar::Spanned};

/// What the grammar saw, in source order.
#[derive(Default)]
struct Seen {
    commands: Vec<Command>,
    operators: Vec<Joiner>,
}

#[derive(Default)]
struct Command {
    words: Vec<Range<usize>>,
    redirects: Vec<Range<usize>>,
}

/// Checks `commands`, the tokenizer's reading of `text`, against the grammar.
pub(super) fn confirm(text: &str, commands: &[Spanned]) -> Result<(), Opaque> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).map_err(|_| Opaque::Disagreement)?;
    let tree = parser.parse(text, None).ok_or(Opaque::Disagreement)?;
    let root = tree.root_node();
    if root.has_error() || root.kind() != "program" {
        return Err(Opaque::Disagreement);
    }
    let seen = read(root).ok_or(Opaque::Disagreement)?;
    let operators = commands.iter().filter_map(|spanned| spanned.command.joined_by);
    let same = seen.commands.len() == commands.len()
        && seen
            .commands
            .iter()
            .zip(commands)
            .all(|(theirs, ours)| theirs.words == ours.words && theirs.redirects == ours.redirects)
        && operators.filter(|joiner| *joiner != Joiner::Then).eq(seen.operators.iter().copied());
    if same { Ok(()) } else { Err(Opaque::Disagreement) }
}

/// Walks the tree in source order with a stack of its own; `None` at the first node of an unknown kind.
fn read(root: Node<'_>) -> Option<Seen> {
    let mut seen = Seen::default();
    let mut stack = vec![root];
    while let Some(node) = stack.pop() {
        if node.is_missing() || node.is_error() {
            return None;
        }
        match node.kind() {
            "program" | "list" | "pipeline" | "redirected_statement" => push_children(&mut stack, node),
            "command" => {
                seen.commands.push(Command::default());
                push_children(&mut stack, node);
            }
            "command_name" => push_children(&mut stack, node),
            "file_redirect" => {
                plain_redirect(node)?;
                seen.commands.last_mut()?.redirects.push(node.byte_range());
            }
            "word" | "number" | "raw_string" | "string" | "concatenation" => {
                plain_word(node)?;
                seen.commands.last_mut()?.words.push(node.byte_range());
            }
            "&&" => seen.operators.push(Joiner::And),
            "||" => seen.operators.push(Joiner::Or),
            "|" => seen.operators.push(Joiner::Pipe),
            ";" | "\n" => {}
            _ => return None,
        }
    }
    Some(seen)
}

fn push_children<'t>(stack: &mut Vec<Node<'t>>, node: Node<'t>) {
    stack.extend((0..node.child_count()).rev().filter_map(|at| node.child(at)));
}

/// A word may consist of literal pieces only.
fn plain_word(word: Node<'_>) -> Option<()> {
    let mut stack = vec![word];
    while let Some(node) = stack.pop() {
        match node.kind() {
            "word" | "number" | "raw_string" | "string" | "concatenation" | "string_content" => {
                push_children(&mut stack, node);
            }
            "\"" | "'" | "{" | "}" => {}
            _ => return None,
        }
    }
    Some(())
}

/// A redirect is a descriptor, an operator and one plain word.
fn plain_redirect(redirect: Node<'_>) -> Option<()> {
    let mut words = 0;
    for at in 0..redirect.child_count() {
        let node = redirect.child(at)?;
        match node.kind() {
            "file_descriptor" | "<" | ">" | ">>" | ">&" => {}
            "word" | "number" | "raw_string" | "string" | "concatenation" => {
                plain_word(node)?;
                words += 1;
            }
            _ => return None,
        }
    }
    (words == 1).then_some(())
}
