//! A QR code in a terminal: two modules a character, with the quiet zone that scanners need.
//!
//! Black on white where colours may be used, whatever the terminal's own are. Without colours the light modules are
//! drawn, which is right on a dark terminal; scanners of today read the inverse of a light one too.

use qrcode::{Color, EcLevel, QrCode};

use super::paint::Paint;

/// Light modules around the code (ISO/IEC 18004 asks for four).
const QUIET: usize = 4;

/// The code, or the sentence that says why there is none. The text itself is never shown here.
pub(crate) fn qr(paint: Paint, text: &str, width: Option<usize>) -> Result<String, String> {
    // The screen is not torn or dirty: the lowest level keeps the code small.
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .map_err(|error| format!("The QR code cannot be drawn ({error}): use the link."))?;
    let (modules, side) = (code.to_colors(), code.width());
    let columns = side + 2 * QUIET;
    if let Some(room) = width.filter(|room| *room < columns) {
        return Err(format!(
            "The QR code needs {columns} columns, this terminal has {room}: make it wider, or use the link."
        ));
    }
    let is_dark = |row: usize, column: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < side);
        match (inside(row), inside(column)) {
            (Some(row), Some(column)) => modules.get(row * side + column) == Some(&Color::Dark),
            _ => false,
        }
    };
    let mut shown = String::new();
    for row in (0..columns).step_by(2) {
        let line: String = (0..columns)
            .map(|column| {
                let (upper, lower) = (is_dark(row, column), row + 1 < columns && is_dark(row + 1, column));
                half_block(upper == paint.is_on(), lower == paint.is_on())
            })
            .collect();
        shown.push_str(&paint.ink_on_paper(&line));
        shown.push('\n');
    }
    Ok(shown)
}

/// The character whose halves are drawn so.
fn half_block(upper: bool, lower: bool) -> char {
    match (upper, lower) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::{QUIET, qr};
    use crate::render::Paint;

    const LINK: &str =
        "https://192.168.1.7:7717/#something-of-the-length-of-a-link-that-is-scanned-by-phones";

    /// The modules drawn, rows of booleans.
    fn drawn(text: &str) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in text.lines() {
            let plain: String = line.chars().filter(|c| "█▀▄ ".contains(*c)).collect();
            rows.push(plain.chars().map(|c| matches!(c, '█' | '▀')).collect());
            rows.push(plain.chars().map(|c| matches!(c, '█' | '▄')).collect());
        }
        rows
    }

    #[test]
    fn without_colours_the_light_modules_are_drawn() {
        let shown = qr(Paint::PLAIN, LINK, None).unwrap();
        assert!(!shown.contains('\u{1b}'));
        let rows = drawn(&shown);
        assert!(rows[..QUIET].iter().all(|row| row.iter().all(|light| *light)), "the quiet zone");
        assert!(rows.iter().all(|row| row[..QUIET].iter().all(|light| *light)), "the quiet zone");
        // The corner of a finder pattern: seven dark modules, then a light one.
        let corner: Vec<bool> = rows[QUIET][QUIET..QUIET + 8].to_vec();
        assert_eq!(corner, [false, false, false, false, false, false, false, true]);
    }

    #[test]
    fn with_colours_it_is_black_on_white_everywhere() {
        let shown = qr(Paint::new(true), LINK, Some(80)).unwrap();
        assert!(
            shown.lines().all(|line| line.starts_with("\u{1b}[") && line.ends_with("\u{1b}[0m")),
            "{shown:?}"
        );
        let plain: Vec<String> =
            shown.lines().map(|line| line.chars().filter(|c| "█▀▄ ".contains(*c)).collect()).collect();
        let light = drawn(&qr(Paint::PLAIN, LINK, None).unwrap());
        let dark = drawn(&plain.join("\n"));
        let side = dark[0].len();
        for (row, (dark, light)) in dark.iter().zip(&light).take(side).enumerate() {
            assert!(dark.iter().zip(light).all(|(dark, light)| dark != light), "row {row}");
        }
    }

    #[test]
    fn a_narrow_terminal_is_told_so() {
        let why = qr(Paint::PLAIN, LINK, Some(30)).unwrap_err();
        assert!(why.contains("30") && !why.contains("https"), "{why}");
        assert!(qr(Paint::PLAIN, &"x".repeat(5_000), None).is_err());
    }
}
