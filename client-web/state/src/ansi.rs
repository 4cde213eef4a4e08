//! What programs print, made into lines that a page can show: colours as styles, progress lines collapsed, everything
//! else that acts on a terminal taken out, what hides or reorders written out.
//!
//! [`Screen`] takes text in pieces, as it streams, and keeps either the first lines or the last ones.

use std::collections::VecDeque;

use lanyard_protocol::visible::is_invisible;

/// Characters of one line that are shown. Longer ones (minified code, base64) cost layout time and are read by nobody;
/// the whole is in the artifact.
pub const MAX_LINE_CHARS: usize = 2_000;

/// Characters of an escape sequence after which it counts as text that went wrong: real ones are far shorter.
const MAX_ESCAPE_CHARS: usize = 256;

/// Columns to which a tab leads.
const TAB: usize = 8;

/// A colour of the terminal's sixteen, as a class of the page's own palette: foreign colours would be illegible in one
/// of the two themes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Colour {
    /// Errors.
    Red,
    /// Success.
    Green,
    /// Warnings.
    Yellow,
    /// Names.
    Blue,
    /// Numbers.
    Magenta,
    /// Paths.
    Cyan,
    /// Asides.
    Grey,
}

/// How a piece of a line is shown. Backgrounds, blinking and reversed colours are left out: they hide text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Style {
    /// The colour; none: the page's own.
    pub colour: Option<Colour>,
    /// Bold.
    pub bold: bool,
    /// Italic.
    pub italic: bool,
    /// Underlined.
    pub underline: bool,
}

impl Style {
    /// Nothing set.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// A piece of a line in one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// How.
    pub style: Style,
    /// What.
    pub text: String,
}

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// Its pieces.
    pub spans: Vec<Span>,
    /// Characters left out at its end.
    pub cut: u32,
}

impl Line {
    /// The text without styles.
    pub fn text(&self) -> String {
        self.spans.iter().map(|span| span.text.as_str()).collect()
    }

    /// Nothing to be seen.
    pub fn is_empty(&self) -> bool {
        self.spans.iter().all(|span| span.text.is_empty())
    }

    fn push(&mut self, style: Style, c: char) {
        match self.spans.last_mut().filter(|span| span.style == style) {
            Some(span) => span.text.push(c),
            None => self.spans.push(Span { style, text: c.to_string() }),
        }
    }
}

/// Which lines are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The first: a file, a list.
    First(usize),
    /// The last: what a program has to say, it says at its end.
    Last(usize),
}

/// Where the reader of escape sequences stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    Text,
    /// After ESC.
    Escape,
    /// In a control sequence; its parameters so far.
    Control(String),
    /// In a string for the terminal (title, clipboard, link), of that many characters so far.
    Word(usize),
    /// ESC inside such a string: its end, if a backslash follows.
    WordEscape(usize),
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    keep: Keep,
    lines: VecDeque<Line>,
    /// Lines that were dropped.
    dropped: usize,
    current: Line,
    column: usize,
    /// A carriage return came: the next character overwrites the line.
    returned: bool,
    style: Style,
    mode: Mode,
}

impl Screen {
    /// An empty one.
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            lines: VecDeque::new(),
            dropped: 0,
            current: Line::default(),
            column: 0,
            returned: false,
            style: Style::default(),
            mode: Mode::Text,
        }
    }

    /// Takes the next piece.
    pub fn push(&mut self, text: &str) {
        text.chars().for_each(|c| self.take(c));
    }

    /// The lines kept, an unfinished last one included.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = self.lines.iter().cloned().collect();
        if self.shows_current() {
            lines.push(self.current.clone());
        }
        if let Keep::Last(most) = self.keep {
            lines.drain(..lines.len().saturating_sub(most));
        }
        lines
    }

    /// Lines that are not among [`Screen::lines`].
    pub fn hidden(&self) -> usize {
        let over = match self.keep {
            Keep::Last(most) => (self.lines.len() + usize::from(self.shows_current())).saturating_sub(most),
            Keep::First(_) => usize::from(!self.current.is_empty() && self.is_full()),
        };
        self.dropped + over
    }

    fn shows_current(&self) -> bool {
        let is_beyond = matches!(self.keep, Keep::First(_)) && self.is_full();
        !self.current.is_empty() && !is_beyond
    }

    fn is_full(&self) -> bool {
        let (Keep::First(most) | Keep::Last(most)) = self.keep;
        self.lines.len() >= most
    }

    fn take(&mut self, c: char) {
        match std::mem::replace(&mut self.mode, Mode::Text) {
            Mode::Text => self.text(c),
            Mode::Escape => self.escape(c),
            Mode::Control(parameters) => self.control(parameters, c),
            // A string that is not ended by the end of its line is none: it would swallow all that follows.
            Mode::Word(_) if c == '\n' => self.text(c),
            Mode::Word(_) if matches!(c, '\u{7}' | '\u{9c}') => {}
            Mode::Word(length) if c == '\u{1b}' => self.mode = Mode::WordEscape(length),
            Mode::WordEscape(_) if c == '\\' => {}
            Mode::WordEscape(_) => self.escape(c),
            Mode::Word(length) if length >= MAX_ESCAPE_CHARS => self.text(c),
            Mode::Word(length) => self.mode = Mode::Word(length + 1),
        }
    }

    fn escape(&mut self, c: char) {
        self.mode = match c {
            '[' => Mode::Control(String::new()),
            ']' | 'P' | 'X' | '^' | '_' => Mode::Word(0),
            '\u{1b}' => Mode::Escape,
            // Two-character sequences, those with an intermediate (character sets) take one more.
            '(' | ')' | '*' | '+' | '#' | '%' | ' ' => Mode::Escape,
            '\n' => return self.text(c),
            _ => Mode::Text,
        };
    }

    fn control(&mut self, mut parameters: String, c: char) {
        match c {
            ' '..='?' if parameters.len() < MAX_ESCAPE_CHARS => {
                parameters.push(c);
                self.mode = Mode::Control(parameters);
            }
            'm' => self.style = styled(self.style, &parameters),
            // The line is wiped: what comes is its new content.
            'K' if matches!(parameters.as_str(), "1" | "2") => self.returned = true,
            '@'..='~' => {}
            '\u{1b}' => self.mode = Mode::Escape,
            // Not a sequence after all.
            _ => self.text(c),
        }
    }

    fn text(&mut self, c: char) {
        match c {
            '\n' => self.end_line(),
            '\r' => self.returned = true,
            '\u{1b}' => self.mode = Mode::Escape,
            '\u{9b}' => self.mode = Mode::Control(String::new()),
            '\u{9d}' | '\u{90}' | '\u{98}' | '\u{9e}' | '\u{9f}' => self.mode = Mode::Word(0),
            '\u{7}' => {}
            '\t' => {
                for _ in 0..TAB - self.column % TAB {
                    self.show(' ');
                }
            }
            c if c.is_control() || is_invisible(c) || c == '\u{27e6}' => {
                format!("\u{27e6}U+{:04X}\u{27e7}", u32::from(c)).chars().for_each(|c| self.show(c));
            }
            c => self.show(c),
        }
    }

    fn show(&mut self, c: char) {
        if std::mem::take(&mut self.returned) {
            self.current = Line::default();
            self.column = 0;
        }
        self.column += 1;
        match self.column > MAX_LINE_CHARS {
            true => self.current.cut = self.current.cut.saturating_add(1),
            false => self.current.push(self.style, c),
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.current);
        self.column = 0;
        self.returned = false;
        match self.keep {
            Keep::First(_) if self.is_full() => self.dropped += 1,
            Keep::Last(_) if self.is_full() => {
                self.lines.pop_front();
                self.lines.push_back(line);
                self.dropped += 1;
            }
            _ => self.lines.push_back(line),
        }
    }
}

/// The style after a "select graphic rendition" sequence; what is not known changes nothing.
fn styled(mut style: Style, parameters: &str) -> Style {
    let mut numbers = parameters.split([';', ':']).map(|number| number.parse::<u16>().unwrap_or(0));
    while let Some(number) = numbers.next() {
        match number {
            0 => style = Style::default(),
            1 => style.bold = true,
            2 => style.colour = Some(Colour::Grey),
            3 => style.italic = true,
            4 => style.underline = true,
            22 => style.bold = false,
            23 => style.italic = false,
            24 => style.underline = false,
            30..=37 => style.colour = named(number - 30),
            90..=97 => style.colour = named(number - 90 + 8),
            39 => style.colour = None,
            38 => style.colour = extended(&mut numbers),
            48 => {
                let _background = extended(&mut numbers);
            }
            _ => {}
        }
    }
    style
}

fn named(number: u16) -> Option<Colour> {
    match number {
        1 | 9 => Some(Colour::Red),
        2 | 10 => Some(Colour::Green),
        3 | 11 => Some(Colour::Yellow),
        4 | 12 => Some(Colour::Blue),
        5 | 13 => Some(Colour::Magenta),
        6 | 14 => Some(Colour::Cyan),
        8 => Some(Colour::Grey),
        // Black and white are the page's own ground and ink in one of the themes.
        _ => None,
    }
}

/// One of 256 colours, or a mixed one, as the nearest of the page's.
fn extended(numbers: &mut impl Iterator<Item = u16>) -> Option<Colour> {
    match numbers.next()? {
        5 => match numbers.next()? {
            number @ 0..=15 => named(number),
            number @ 16..=231 => {
                let cube = number - 16;
                nearest(cube / 36 * 51, cube / 6 % 6 * 51, cube % 6 * 51)
            }
            232..=250 => Some(Colour::Grey),
            _ => None,
        },
        2 => nearest(numbers.next()?, numbers.next()?, numbers.next()?),
        _ => None,
    }
}

fn nearest(red: u16, green: u16, blue: u16) -> Option<Colour> {
    let most = red.max(green).max(blue);
    let least = red.min(green).min(blue);
    if most - least < 40 {
        return if (60..200).contains(&most) { Some(Colour::Grey) } else { None };
    }
    let middle = least + (most - least) / 2;
    match (red > middle, green > middle, blue > middle) {
        (true, true, _) => Some(Colour::Yellow),
        (true, _, true) => Some(Colour::Magenta),
        (_, true, true) => Some(Colour::Cyan),
        (true, ..) => Some(Colour::Red),
        (_, true, _) => Some(Colour::Green),
        _ => Some(Colour::Blue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &str) -> Vec<String> {
        let mut screen = Screen::new(Keep::First(100));
        screen.push(text);
        screen.lines().iter().map(Line::text).collect()
    }

    #[test]
    fn colours_become_styles_and_every_other_sequence_is_gone() {
        let mut screen = Screen::new(Keep::First(9));
        screen.push("\u{1b}[1;31merror\u{1b}[0m: \u{1b}[38;5;46mok\u{1b}[2Jx\u{1b}]0;title\u{7}y\u{1b}]8;;http://a\u{1b}\\z");
        let [line] = screen.lines().try_into().unwrap();
        let red = Style { colour: Some(Colour::Red), bold: true, ..Style::default() };
        assert_eq!(line.spans[0], Span { style: red, text: "error".into() });
        assert_eq!(line.spans[1].text, ": ");
        assert_eq!(line.spans[2].style.colour, Some(Colour::Green));
        assert_eq!(line.text(), "error: okxyz");
    }

    #[test]
    fn progress_is_collapsed_and_line_ends_of_windows_are_line_ends() {
        assert_eq!(lines(" 1%\r 50%\r100%\ndone\r\nnext"), ["100%", "done", "next"]);
        assert_eq!(lines("old\u{1b}[2Knew"), ["new"]);
        // A carriage return at the end wipes nothing until something comes.
        assert_eq!(lines("100%\r"), ["100%"]);
    }

    #[test]
    fn what_hides_is_written_out() {
        assert_eq!(lines("a\u{202e}b\u{8}c"), ["a⟦U+202E⟧b⟦U+0008⟧c"]);
        assert_eq!(lines("⟦U+202E⟧"), ["⟦U+27E6⟧U+202E⟧"]);
        assert_eq!(lines("a\tb"), ["a       b"]);
    }

    #[test]
    fn a_string_that_never_ends_swallows_no_more_than_its_line() {
        assert_eq!(lines("\u{1b}]52;c;AAAA\nseen"), ["", "seen"]);
        let long = format!("\u{1b}]{}seen", "x".repeat(MAX_ESCAPE_CHARS));
        assert_eq!(lines(&long), ["seen"]);
    }

    #[test]
    fn the_first_or_the_last_lines_are_kept_and_the_rest_counted() {
        let text: String = (1..=30).map(|n| format!("{n}\n")).collect();
        for (keep, first, hidden) in [(Keep::First(10), "1", 20), (Keep::Last(10), "21", 20)] {
            let mut screen = Screen::new(keep);
            screen.push(&text);
            assert_eq!((screen.lines().len(), screen.lines()[0].text().as_str()), (10, first));
            assert_eq!(screen.hidden(), hidden);
            // An unfinished line counts as one.
            screen.push("more");
            assert_eq!((screen.lines().len(), screen.hidden()), (10, hidden + 1));
        }
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut screen = Screen::new(Keep::Last(2));
        screen.push(&"x".repeat(MAX_LINE_CHARS + 7));
        assert_eq!((screen.lines()[0].text().len(), screen.lines()[0].cut), (MAX_LINE_CHARS, 7));
    }

    proptest! {
        #[test]
        fn nothing_shown_acts_or_hides(raw in any::<String>()) {
            for line in lines(&raw) {
                prop_assert!(!line.chars().any(|c| c.is_control() || is_invisible(c)));
            }
        }

        #[test]
        fn pieces_do_not_matter(raw in "[ab\u{1b}\\[\\]0-9;mK\r\n\t\u{7}]{0,60}", at in 0_usize..60) {
            let mut whole = Screen::new(Keep::Last(3));
            whole.push(&raw);
            let mut pieces = Screen::new(Keep::Last(3));
            let cut = raw.char_indices().nth(at).map_or(raw.len(), |(at, _)| at);
            pieces.push(&raw[..cut]);
            pieces.push(&raw[cut..]);
            prop_assert_eq!(whole, pieces);
        }
    }
}
