//! The demo model: deterministic, no AI. It lets a fresh machine carry out real tasks, approvals included, without
//! any model, and says in every final answer what it is.
//!
//! It understands, in the last paragraph of the person's last prompt, one or several of these, joined by `then` or on
//! lines of their own; names and texts may be quoted with `'…'`, `"…"` or `` `…` ``:
//!
//! | request | tool |
//! |---|---|
//! | `list the files [in DIR]`, `what is here` | ListDirectory |
//! | `read A[, B and C]`, `show A` | ReadFile, one call each, in one answer |
//! | `write 'TEXT' to A`, `create A with 'TEXT'` | WriteFile |
//! | `append 'TEXT' to A` | RunCommand `tee -a` |
//! | `replace 'OLD' with 'NEW' in A` | EditFile |
//! | `delete A`, `rename A to B` | DeleteFile, MoveFile |
//! | `run COMMAND` | RunCommand |
//! | `find files named PATTERN [in DIR]`, `search for 'TEXT' [in DIR]` | FindFiles, GrepFiles |
//! | `fetch URL` | HttpRequest |
//! | `git status`, `git diff [staged]`, `commit [everything as] 'MESSAGE'`, `push BRANCH to REMOTE` | Git… |
//! | `summarise A` | ReadFile |
//! | `tour` | several |
//!
//! A request may end in `N times`. Anything else is answered with this list in short.
//!
//! `lexer` and `grammar` read the prompt, `thread` reads what happened since, `plan` replays the requests against
//! that and says what is next; nothing is remembered between calls.

mod grammar;
mod lexer;
mod plan;
mod summary;
mod thread;
mod tour;
mod words;

use lanyard_ports::model::{
    AskedArguments, AskedCall, Model, ModelAnswer, ModelError, ModelProgress, ModelRequest,
};
use lanyard_protocol::session::ModelInfo;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use plan::Reply;

/// Tokens taken to fit. It reads one prompt and what followed it; this is far more than a demo needs.
const CONTEXT_WINDOW: u32 = 200_000;

/// Characters of text told at a time: about a token, so that clients see what they see with a real model.
const PIECE_CHARS: usize = 6;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct DemoModel;

#[async_trait::async_trait]
impl Model for DemoModel {
    fn info(&self) -> ModelInfo {
        ModelInfo { name: "demo".to_owned(), endpoint: String::new(), demo: true, source: "demo".to_owned() }
    }

    fn context_window(&self) -> u32 {
        CONTEXT_WINDOW
    }

    async fn answer(
        &self,
        request: &ModelRequest,
        progress: &mpsc::Sender<ModelProgress>,
        cancel: &CancellationToken,
    ) -> Result<ModelAnswer, ModelError> {
        let reply = plan::reply(&request.messages, &request.tools);
        for piece in pieces(&reply.text) {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(ModelError::Cancelled),
                told = progress.send(ModelProgress::Text(piece)) => if told.is_err() {
                    tracing::trace!("nobody listens to the demo model");
                },
            }
        }
        Ok(answer(reply))
    }
}

fn answer(reply: Reply) -> ModelAnswer {
    let finish_reason = if reply.calls.is_empty() { "stop" } else { "tool_calls" };
    let calls = reply.calls.into_iter().enumerate().map(|(position, call)| AskedCall {
        model_call_id: format!("demo-{}", reply.calls_before + position + 1),
        tool_name: call.tool.to_owned(),
        arguments: AskedArguments::Object(call.arguments.into()),
    });
    ModelAnswer {
        text: reply.text,
        calls: calls.collect(),
        finish_reason: finish_reason.to_owned(),
        usage: None,
        model: "demo".to_owned(),
    }
}

fn pieces(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(PIECE_CHARS).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests;
