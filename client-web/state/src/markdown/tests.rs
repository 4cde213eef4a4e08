//! What is shown for which text, that nothing foreign gets through, and that streaming shows what the whole shows.

use proptest::prelude::*;

use super::inline::{MAX_ADDRESS_BYTES, MAX_LABEL_BYTES};
use super::*;

fn text(text: &str) -> Inline {
    Inline::Text(text.to_owned())
}

fn parse(source: &str) -> Vec<Block> {
    Document::whole(source).blocks().iter().map(|block| (**block).clone()).collect()
}

fn paragraph(source: &str) -> Vec<Inline> {
    match &parse(source)[..] {
        [Block::Paragraph(inlines)] => inlines.clone(),
        other => panic!("{source:?} is no paragraph: {other:?}"),
    }
}

#[test]
fn emphasis_code_and_breaks() {
    assert_eq!(
        paragraph("a **b *c*** `d*` ~~e~~ f_g_h\\*  \ni\nj"),
        [
            text("a "),
            Inline::Strong(vec![text("b "), Inline::Emphasis(vec![text("c")])]),
            text(" "),
            Inline::Code("d*".into()),
            text(" "),
            Inline::Struck(vec![text("e")]),
            text(" f_g_h*"),
            Inline::Break,
            text("i j"),
        ]
    );
    assert_eq!(paragraph("2 * 3 * 4 and **open"), [text("2 * 3 * 4 and **open")]);
    assert_eq!(paragraph("``a`b`` `"), [Inline::Code("a`b".into()), text(" `")]);
    assert_eq!(
        paragraph("_a_ __b__"),
        [Inline::Emphasis(vec![text("a")]), text(" "), Inline::Strong(vec![text("b")])]
    );
}

#[test]
fn html_is_text_and_pictures_are_links() {
    assert_eq!(paragraph("<script>alert(1)</script> <b>x"), [text("<script>alert(1)</script> <b>x")]);
    let [Inline::Link { target, text: label }] = &paragraph("![a cat](https://cats.example/c.png \"t\")")[..]
    else {
        panic!("no link")
    };
    assert_eq!((target.host.as_str(), &label[..]), ("cats.example", &[text("a cat")][..]));
    assert_eq!(paragraph("[x](javascript:alert(1))"), [text("[x](javascript:alert(1))")]);
    assert_eq!(paragraph("[x](https://a@b/)"), [text("[x](https://a@b/)")]);
}

#[test]
fn addresses_are_links() {
    let hrefs = |source: &str| -> Vec<String> {
        let href = |piece| match piece {
            Inline::Link { target, .. } => Some(target.href),
            _ => None,
        };
        paragraph(source).into_iter().filter_map(href).collect()
    };
    assert_eq!(
        hrefs("see https://a.example/x(y), and (http://b.example)."),
        ["https://a.example/x(y)", "http://b.example"]
    );
    assert_eq!(hrefs("<https://c.example> xhttps://no.example"), ["https://c.example"]);
    assert_eq!(hrefs("[**bold** https://inner.example](https://outer.example)"), ["https://outer.example"]);
}

#[test]
fn what_hides_is_written_out_and_joiners_stay_where_they_join() {
    assert_eq!(paragraph("a\u{202e}b a\u{200b}c"), [text("a⟦U+202E⟧b a⟦U+200B⟧c")]);
    assert_eq!(paragraph("👨\u{200d}👩 p\u{200d}q"), [text("👨\u{200d}👩 p⟦U+200D⟧q")]);
    assert_eq!(paragraph("`a\u{202e}`"), [Inline::Code("a⟦U+202E⟧".into())]);
}

#[test]
fn blocks_of_every_kind() {
    let blocks = parse(
        "# One #\ntext\n---\n> quoted\n> more\n\n```rust extra\nlet a = \"<b>\";\n\n```\n| a | b |\n|---|:-:|\n| `x|y` | 2 |\n| 3 |\nend",
    );
    assert_eq!(
        blocks,
        [
            Block::Heading { level: 1, text: vec![text("One")] },
            Block::Paragraph(vec![text("text")]),
            Block::Rule,
            Block::Quote(vec![Block::Paragraph(vec![text("quoted more")])]),
            Block::Code { language: "rust".into(), text: "let a = \"<b>\";\n".into(), closed: true },
            Block::Table {
                head: vec![vec![text("a")], vec![text("b")]],
                rows: vec![
                    vec![vec![Inline::Code("x|y".into())], vec![text("2")]],
                    vec![vec![text("3")], vec![]]
                ],
            },
            Block::Paragraph(vec![text("end")]),
        ]
    );
}

#[test]
fn lists_nest_and_hold_code() {
    let blocks = parse(
        "1. one\n   goes on\n   - inner\n2. two\n\n   ```\n   code\n   ```\n- [x] done\n- [ ] open\nlazy",
    );
    let plain = |words: &str| Item { done: None, blocks: vec![Block::Paragraph(vec![text(words)])] };
    let inner = Block::List { start: None, items: vec![plain("inner")] };
    let code = Block::Code { language: String::new(), text: "code".into(), closed: true };
    let task = |done, words: &str| Item { done: Some(done), ..plain(words) };
    assert_eq!(
        blocks,
        [
            Block::List {
                start: Some(1),
                items: vec![
                    Item { done: None, blocks: vec![Block::Paragraph(vec![text("one goes on")]), inner] },
                    Item { done: None, blocks: vec![Block::Paragraph(vec![text("two")]), code] },
                ]
            },
            Block::List { start: None, items: vec![task(true, "done"), task(false, "open lazy")] },
        ]
    );
}

#[test]
fn an_open_fence_is_code_already() {
    let open = Block::Code { language: "sh".into(), text: "ls".into(), closed: false };
    assert_eq!(parse("```sh\nls\n``"), [open]);
}

#[test]
fn blocks_that_stay_the_same_stay_the_same_object() {
    let mut document = Document::default();
    document.push("# A\n\nfirst\n\nthe ");
    let before: Vec<_> = document.blocks().to_vec();
    document.push("last **bo");
    assert!(Arc::ptr_eq(&before[0], &document.blocks()[0]) && Arc::ptr_eq(&before[1], &document.blocks()[1]));
    let before: Vec<_> = document.blocks().to_vec();
    document.complete("# A\n\nfirst\n\nthe last **bold**");
    assert!(Arc::ptr_eq(&before[1], &document.blocks()[1]));
    assert_eq!(document, Document::whole("# A\n\nfirst\n\nthe last **bold**"));
}

/// How often a byte may be looked at, for all levels of nesting together. What is not linear looks at each byte of texts of
/// this length ten thousand times.
const MAX_LOOKS: u64 = 64;

#[test]
fn hostile_nesting_costs_little() {
    for piece in [
        "[", "*", "**a ", "> ", "- ", "`", "![", "_a", "http://", "<http:", "|", "~~", "``` `", "\\", "1. ",
        "[a](", "**`",
    ] {
        let source = piece.repeat(200_000 / piece.len());
        work::take();
        let document = Document::whole(&source);
        let each = work::take() / source.len() as u64;
        // Where a link may begin, its end is sought within a stretch of bounded length.
        let link = if piece.contains(['[', '<', ':']) { MAX_LABEL_BYTES + MAX_ADDRESS_BYTES } else { 0 };
        assert!(each <= MAX_LOOKS + link as u64, "every byte of {piece:?} is looked at {each} times");
        assert!(!document.is_empty(), "{piece:?}");
    }
}

fn source() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "word ",
        "\n",
        "\n\n",
        "# ",
        "- ",
        "1. ",
        "  ",
        "> ",
        "```",
        "```rust\n",
        "|",
        "|-|",
        "---",
        "*",
        "**",
        "_",
        "`",
        "[x](https://a.example)",
        "https://b.example",
        "<b>",
        "\\",
        "\t",
        "~~",
        "é",
        "[ ] ",
        "\r\n",
        "* ",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn streamed_is_whole(source in source(), cuts in prop::collection::vec(0_usize..200, 0..8)) {
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| source.is_char_boundary(*cut)).collect();
        cuts.sort_unstable();
        let mut document = Document::default();
        let mut from = 0;
        for cut in cuts {
            document.push(&source[from..cut]);
            from = cut;
        }
        document.push(&source[from..]);
        prop_assert_eq!(document, Document::whole(&source));
    }

    #[test]
    fn nothing_panics_and_links_lead_to_the_web(source in any::<String>()) {
        let shown = format!("{:?}", parse(&source));
        prop_assert!(!shown.contains("href: \"javascript"));
    }
}
