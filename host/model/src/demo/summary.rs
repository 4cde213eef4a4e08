//! What can be said about a text without understanding it: counts, headings, how it begins.

/// Headings and opening lines that are repeated.
const MAX_HEADINGS: usize = 8;
const MAX_OPENING_LINES: usize = 3;

/// Characters of one repeated line.
const MAX_LINE_CHARS: usize = 160;

/// A report on the text of a file.
pub(super) fn of(name: &str, text: &str) -> String {
    if text.trim().is_empty() || text.starts_with("[the file is empty") {
        return format!("{name} is empty.");
    }
    if text.starts_with("[not text") {
        return format!("{name} is no text: {}", text.trim().trim_matches(['[', ']']));
    }
    let (lines, words, characters) =
        (text.lines().count(), text.split_whitespace().count(), text.chars().count());
    let mut report = format!(
        "{name} has {}, {} and {}.",
        counted(lines, "line"),
        counted(words, "word"),
        counted(characters, "character")
    );
    if text.contains("bytes left out ...]") || text.trim_end().ends_with("more follows]") {
        report.push_str(" It is longer than what I was given; this is about that part.");
    }
    let headings: Vec<&str> = text.lines().filter_map(heading).collect();
    if !headings.is_empty() {
        report.push_str("\n\nIts headings:");
        for heading in headings.iter().take(MAX_HEADINGS) {
            report.push_str(&format!("\n- {}", crate::show::quoted(heading, MAX_LINE_CHARS)));
        }
        if headings.len() > MAX_HEADINGS {
            report.push_str(&format!("\n- and {} more", headings.len() - MAX_HEADINGS));
        }
    }
    let opening = text.lines().filter(|line| !line.trim().is_empty() && heading(line).is_none());
    let opening: Vec<String> = opening
        .take(MAX_OPENING_LINES)
        .map(|line| format!("> {}", crate::show::quoted(line, MAX_LINE_CHARS)))
        .collect();
    if !opening.is_empty() {
        report.push_str(&format!("\n\nIt begins:\n{}", opening.join("\n")));
    }
    report
}

/// The text of a Markdown heading.
fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    let text = text.strip_prefix(' ')?.trim();
    ((1..=6).contains(&level) && !text.is_empty()).then_some(text)
}

fn counted(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_text_is_counted_and_its_beginning_repeated() {
        let report = of("`a.md`", "# Title\n\nFirst line.\nSecond.\n## Part\n#not\nx\ny\n");
        assert_eq!(
            report,
            "`a.md` has 8 lines, 10 words and 46 characters.\n\n\
             Its headings:\n- Title\n- Part\n\nIt begins:\n> First line.\n> Second.\n> #not"
        );
    }

    #[test]
    fn special_files() {
        assert_eq!(of("`a`", " \n"), "`a` is empty.");
        assert_eq!(of("`a`", "[the file is empty]\n"), "`a` is empty.");
        assert!(of("`a`", "[not text: 9 bytes of data]\n").contains("9 bytes"));
        assert!(of("`a`", "x\n[lines 1 to 5; more follows]\n").contains("longer"));
    }

    #[test]
    fn reports_are_bounded() {
        let many = "# h\n".repeat(5_000) + &"word ".repeat(100_000);
        assert!(of("`a`", &many).len() < 1_000);
    }
}
