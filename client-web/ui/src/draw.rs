//! What is drawn: curves, QR codes, digits to compare.

use lanyard_web_state::words::tenths;
use lanyard_web_view::{component, view};
use leptos::prelude::*;
use qrcode::{Color, EcLevel};

/// Width and height of a curve, in its own units.
const CURVE: (f64, f64) = (100.0, 24.0);

/// Room around a QR code, in modules: the standard asks for four.
const QUIET: usize = 4;

/// A small curve without axes. `label` says in words what it shows.
#[component]
pub fn Sparkline(
    /// The values, oldest first.
    #[prop(into)]
    points: Signal<Vec<f64>>,
    /// What it shows, for those who do not see it.
    #[prop(into)]
    label: Signal<String>,
) -> impl IntoView {
    let view_box = format!("0 0 {} {}", tenths(CURVE.0), tenths(CURVE.1));
    view! {
        <svg class="sparkline" viewBox=view_box preserveAspectRatio="none" role="img" aria-label=move || label.get()>
            <polyline points=move || points.with(|points| curve(points))></polyline>
        </svg>
    }
}

/// The corners of the curve. One value, or equal ones, make a level line.
fn curve(points: &[f64]) -> String {
    let (width, height) = CURVE;
    let known = || points.iter().copied().filter(|point| point.is_finite());
    let top = known().fold(0.0_f64, f64::max);
    let bottom = known().fold(f64::INFINITY, f64::min).min(top);
    let range = if top > bottom { top - bottom } else { 1.0 };
    let step = width / (points.len().max(2) - 1) as f64;
    let place = |(at, point): (usize, f64)| {
        // A margin above and below, so that the line is not cut.
        let y = (height - 2.0) - (point - bottom) / range * (height - 4.0);
        format!("{},{}", tenths(at as f64 * step), tenths(y))
    };
    let mut corners: Vec<String> = known().enumerate().map(place).collect();
    if let [only] = corners.as_slice() {
        let y = only.split(',').nth(1).unwrap_or("0").to_owned();
        corners.push(format!("{},{y}", tenths(width)));
    }
    corners.join(" ")
}

/// A QR code: dark on light in every theme, because not every camera reads the other way.
#[component]
pub fn QrCode(
    /// What it says.
    #[prop(into)]
    text: Signal<String>,
    /// What it is for, for those who do not see it.
    #[prop(into)]
    label: Signal<String>,
) -> impl IntoView {
    let drawn = move || match modules(&text.get()) {
        Some((size, path)) => view! {
            <svg class="qr" viewBox=format!("0 0 {size} {size}") role="img" aria-label=move || label.get() shape-rendering="crispEdges">
                <rect class="qr-light" width=size.to_string() height=size.to_string()></rect>
                <path class="qr-dark" d=path></path>
            </svg>
        },
        None => view! { <p>"This is too long for a QR code. Copy the link instead."</p> },
    };
    view! { <div class="qr-frame">{drawn}</div> }
}

/// Modules across, quiet zone included, and the dark ones as a path. `None`: too long.
fn modules(text: &str) -> Option<(usize, String)> {
    let code = qrcode::QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let mut path = String::new();
    for (y, line) in colors.chunks(width).enumerate() {
        let mut x = 0;
        while x < line.len() {
            let run = line[x..].iter().take_while(|color| **color == Color::Dark).count();
            if run > 0 {
                // One stroke for neighbours: a tenth of the text, and no seams between them.
                path.push_str(&format!("M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET));
            }
            x += run.max(1);
        }
    }
    Some((width + 2 * QUIET, path))
}

/// Digits to be compared or typed elsewhere, large. Read out one by one.
#[component]
pub fn Digits(
    /// The digits.
    #[prop(into)]
    text: Signal<String>,
) -> impl IntoView {
    let spoken = move || text.get().chars().map(String::from).collect::<Vec<_>>().join(" ");
    let boxes = move || {
        let digits: Vec<char> = text.get().chars().collect();
        digits.into_iter().map(|digit| view! { <b>{digit.to_string()}</b> }).collect_view()
    };
    view! {
        <p class="digits" role="img" aria-label=spoken>
            {boxes}
        </p>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_stays_in_its_box() {
        for points in [vec![], vec![3.0], vec![0.0, 0.0], vec![1.0, 9.0, f64::NAN, -4.0]] {
            for corner in curve(&points).split_whitespace() {
                let (x, y) = corner.split_once(',').unwrap();
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                assert!((0.0..=CURVE.0).contains(&x) && (0.0..=CURVE.1).contains(&y), "{points:?}: {corner}");
            }
        }
        assert_eq!(curve(&[]), "");
        assert_eq!(curve(&[3.0]).split_whitespace().count(), 2, "one value is a line, not a point");
    }

    #[test]
    fn a_code_has_a_quiet_zone_and_its_three_eyes() {
        let (size, path) = modules("https://192.168.1.7:7717/#P1").unwrap();
        assert_eq!(size, 25 + 2 * QUIET);
        // The top of the first eye begins in the corner of the quiet zone and is seven wide.
        assert!(path.starts_with("M4 4h7v1h-7z"), "{path}");
        assert!(path.contains("M4 28h7v1h-7z") || path.contains("M4 26h1v1h-1z"), "{path}");
        assert_eq!(modules(&"x".repeat(5_000)), None);
    }
}
