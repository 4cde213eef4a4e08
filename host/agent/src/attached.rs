//! Files that a person put into the workspace for a task: how the prompt names them, and which of them are shown.
//!
//! The model is told in one paragraph at the end of the prompt; the event that begins the task says what the person
//! wrote and no more. Pictures are named like the rest, and shown besides where the model takes them.

use lanyard_ports::model::{Picture, Pictures};
use lanyard_protocol::id::MessageId;
use lanyard_protocol::message::ConversationMessage;

use crate::compact::is_prompt;

/// First line of the paragraph.
const HEAD: &str = "[host] Files the person attached, in the workspace; read them with the tools:";

/// What stands before each of them.
const BULLET: &str = "\n- ";

/// Pictures sent with one request, the newest first. Each costs about as much as two pages of text.
const MAX_PICTURES: usize = 4;

/// Bytes of them together. They go along with every request of a task, and gateways take some tens of megabytes.
const MAX_PICTURE_BYTES: usize = 10 << 20;

/// Estimated tokens of one picture; providers take 800 to 1,600.
pub(crate) const PICTURE_TOKENS: u32 = 1_600;

/// A picture of the thread, with the message it was attached to.
pub(crate) type Shown = (MessageId, Picture);

/// A prompt as the model is told it.
pub(crate) fn told(prompt: &str, attachments: &[String]) -> String {
    let mut told = prompt.to_owned();
    if !attachments.is_empty() {
        told.push_str("\n\n");
        told.push_str(HEAD);
        for path in attachments {
            told.push_str(BULLET);
            told.push_str(path);
        }
    }
    told
}

/// The paths that a prompt ends with. A person may have written the same by hand; then the same files are meant.
fn named(content: &str) -> impl Iterator<Item = &str> {
    let list = content.rfind(HEAD).map_or("", |at| &content[at + HEAD.len()..]);
    list.split(BULLET).skip(1)
}

/// The pictures attached to the prompts of a thread, the newest within the bounds.
pub(crate) async fn pictures(source: &dyn Pictures, messages: &[ConversationMessage]) -> Vec<Shown> {
    let mut shown = Vec::new();
    let mut bytes = 0_usize;
    for message in messages.iter().rev().filter(|message| is_prompt(message)) {
        for path in named(&message.content) {
            if shown.len() == MAX_PICTURES {
                return shown;
            }
            let Some(picture) = source.picture(path).await else { continue };
            bytes = bytes.saturating_add(picture.bytes.len());
            if bytes > MAX_PICTURE_BYTES {
                return shown;
            }
            shown.push((message.message_id.clone(), picture));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fakes;

    struct Album;

    #[async_trait::async_trait]
    impl Pictures for Album {
        async fn picture(&self, path: &str) -> Option<Picture> {
            let size = path.strip_suffix(".png")?.rsplit('/').next()?.parse().ok()?;
            Some(Picture { media_type: "image/png", bytes: vec![0; size].into() })
        }
    }

    fn prompt(text: &str, paths: &[&str]) -> ConversationMessage {
        let paths: Vec<String> = paths.iter().map(|path| format!(".lanyard/attachments/{path}")).collect();
        fakes::prompt(&told(text, &paths))
    }

    #[test]
    fn what_is_told_is_one_paragraph_and_read_again() {
        assert_eq!(told("look", &[]), "look");
        let message = prompt("look\n\n- at this", &["a, b.png", "c.log"]);
        assert_eq!(message.content.split("\n\n").count(), 3);
        let paths: Vec<_> = named(&message.content).collect();
        assert_eq!(paths, [".lanyard/attachments/a, b.png", ".lanyard/attachments/c.log"]);
        assert_eq!(named("nothing\n- is attached").count(), 0);
    }

    #[tokio::test]
    async fn the_newest_pictures_are_shown_within_the_bounds() {
        let sizes = |shown: Vec<Shown>| shown.iter().map(|(_, p)| p.bytes.len()).collect::<Vec<_>>();
        let thread = [
            prompt("a", &["1.png", "2.png", "notes.txt"]),
            fakes::assistant("seen", vec![]),
            prompt("b", &["3.png", "4.png", "5.png"]),
        ];
        assert_eq!(sizes(pictures(&Album, &thread).await), [3, 4, 5, 1]);
        let large = [prompt("a", &["7.png"]), prompt("b", &["8000000.png", "6000000.png"])];
        assert_eq!(sizes(pictures(&Album, &large).await), [8_000_000], "the request stays bounded");
        let result = fakes::tool_message(1, &told("succeeded", &[".lanyard/attachments/1.png".to_owned()]));
        assert!(pictures(&Album, &[result]).await.is_empty(), "only a person attaches");
    }
}
