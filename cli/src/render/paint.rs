//! Colours: few, and each with one meaning.

use anstyle::{AnsiColor, Effects, Style};

/// What a piece of text is. Amber only for what waits for a person, red only for refusal and danger (and, as
/// everywhere, for removed lines).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Headlines.
    Strong,
    /// What may be skipped.
    Faint,
    /// The product's one accent.
    Accent,
    /// Waits for a person.
    Waits,
    /// Went well; added lines.
    Good,
    /// Refused, failed, dangerous; removed lines.
    Bad,
}

/// Puts tones on text, or leaves it plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { on: false };

    pub(crate) fn new(on: bool) -> Self {
        Self { on }
    }

    /// Whether colours are used.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    /// Black on white, whatever the terminal's own colours are; plain without colours.
    pub(crate) fn ink_on_paper(self, text: &str) -> String {
        if !self.on {
            return text.to_owned();
        }
        let style = Style::new()
            .fg_color(Some(AnsiColor::Black.into()))
            .bg_color(Some(AnsiColor::BrightWhite.into()));
        format!("{style}{text}{style:#}")
    }

    /// The text in a tone.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        let style = match tone {
            Tone::Strong => Style::new().effects(Effects::BOLD),
            Tone::Faint => Style::new().effects(Effects::DIMMED),
            Tone::Accent => colour(AnsiColor::Cyan),
            Tone::Waits => colour(AnsiColor::Yellow),
            Tone::Good => colour(AnsiColor::Green),
            Tone::Bad => colour(AnsiColor::Red),
        };
        format!("{style}{text}{style:#}")
    }

    /// The status line: amber, as it always waits for something.
    pub(crate) fn status(self, text: &str) -> String {
        self.tone(Tone::Waits, text)
    }
}

/// Columns a character takes in a terminal, near enough to cut a line: East Asian wide and emoji take two.
pub(crate) fn width_of(c: char) -> usize {
    match u32::from(c) {
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}
