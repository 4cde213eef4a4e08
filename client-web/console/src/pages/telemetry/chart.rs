//! Charts as SVG: stacked bars and curves, with the same figures in a table below. No style is set by script.

use std::sync::Arc;

use lanyard_web_view::{component, view};
use leptos::prelude::*;

/// Width and height of the drawing, in its own units.
const SIZE: (f64, f64) = (600.0, 160.0);

/// Room between bars, as a share of a bar's place.
const GAP: f64 = 0.2;

/// One line of figures.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// What it counts.
    pub(super) name: &'static str,
    /// Its colour, by the style sheet.
    pub(super) class: &'static str,
    /// Oldest first.
    pub(super) values: Vec<u64>,
}

/// What is drawn.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// What it shows.
    pub(super) title: &'static str,
    /// Where each figure begins.
    pub(super) times: Arc<[String]>,
    /// The figures.
    pub(super) series: Vec<Series>,
    /// A figure in words.
    pub(super) unit: fn(u64) -> String,
}

impl Chart {
    /// The largest sum of all series at one time.
    fn stacked_top(&self) -> u64 {
        let sum = |at: usize| self.series.iter().fold(0, |sum: u64, one| sum.saturating_add(one.value(at)));
        (0..self.times.len()).map(sum).max().unwrap_or(0)
    }

    /// The largest single figure.
    fn top(&self) -> u64 {
        self.series.iter().flat_map(|one| one.values.iter().copied()).max().unwrap_or(0)
    }

    /// What it shows, for those who do not see it.
    fn label(&self, top: u64) -> String {
        let from = self.times.first().map_or("", String::as_str);
        let to = self.times.last().map_or("", String::as_str);
        format!(
            "{}, from {from} to {to}; at most {}. The figures are in the table below.",
            self.title,
            (self.unit)(top)
        )
    }
}

impl Series {
    fn value(&self, at: usize) -> u64 {
        self.values.get(at).copied().unwrap_or(0)
    }
}

/// The bars of each series as one path: `(class, d)`, the first series at the bottom.
fn bars(chart: &Chart) -> Vec<(&'static str, String)> {
    let top = chart.stacked_top().max(1) as f64;
    let (width, height) = SIZE;
    let place = width / chart.times.len().max(1) as f64;
    let mut heights = vec![0.0_f64; chart.times.len()];
    let mut paths = Vec::new();
    for series in &chart.series {
        let mut path = String::new();
        for (at, below) in heights.iter_mut().enumerate() {
            let high = series.value(at) as f64 / top * height;
            if high > 0.0 {
                let (x, y, wide) =
                    (place * (at as f64 + GAP / 2.0), height - *below - high, place * (1.0 - GAP));
                path.push_str(&format!("M{x:.1} {y:.1}h{wide:.1}v{high:.1}h-{wide:.1}z"));
                *below += high;
            }
        }
        paths.push((series.class, path));
    }
    paths
}

/// The corners of each series' curve: `(class, points)`.
fn curves(chart: &Chart) -> Vec<(&'static str, String)> {
    let top = chart.top().max(1) as f64;
    let (width, height) = SIZE;
    let step = width / (chart.times.len().max(2) - 1) as f64;
    let of = |series: &Series| {
        let corner = |at: usize| {
            // A margin above and below, so that the line is not cut.
            let y = height - 2.0 - series.value(at) as f64 / top * (height - 4.0);
            format!("{:.1},{y:.1}", at as f64 * step)
        };
        (series.class, (0..chart.times.len()).map(corner).collect::<Vec<_>>().join(" "))
    };
    chart.series.iter().map(of).collect()
}

/// Stacked bars.
#[component]
pub(super) fn Bars(chart: Chart) -> impl IntoView {
    let top = chart.stacked_top();
    let drawn = bars(&chart)
        .into_iter()
        .map(|(class, path)| view! { <path class=class d=path></path> })
        .collect_view();
    view! { <Frame top chart>{drawn}</Frame> }
}

/// One curve a series.
#[component]
pub(super) fn Curves(chart: Chart) -> impl IntoView {
    let top = chart.top();
    let drawn = curves(&chart)
        .into_iter()
        .map(|(class, points)| view! { <polyline class=format!("chart-line {class}") points=points></polyline> })
        .collect_view();
    view! { <Frame top chart>{drawn}</Frame> }
}

/// The title, the drawing with its largest figure and its ends, what the colours are, and the table.
#[component]
fn Frame(top: u64, chart: Chart, children: Children) -> impl IntoView {
    let view_box = format!("0 0 {} {}", SIZE.0, SIZE.1);
    let label = chart.label(top);
    let unit = chart.unit;
    let from = chart.times.first().cloned().unwrap_or_default();
    let to = chart.times.last().cloned().unwrap_or_default();
    let legend = chart.series.iter().map(|series| {
        view! { <li><i class=format!("chart-key {}", series.class) aria-hidden="true"></i>{series.name}</li> }
    });
    let legend = legend.collect_view();
    let title = chart.title;
    view! {
        <figure class="card chart">
            <figcaption><h2>{title}</h2><ul class="chart-legend">{legend}</ul></figcaption>
            <p class="chart-top tabular" aria-hidden="true">{unit(top)}</p>
            <svg class="chart-drawing" viewBox=view_box preserveAspectRatio="none" role="img" aria-label=label>{children()}</svg>
            <p class="chart-ends tabular" aria-hidden="true"><span>{from}</span><span>{to}</span></p>
            <Table chart/>
        </figure>
    }
}

/// The same figures, made when somebody wants them.
#[component]
fn Table(chart: Chart) -> impl IntoView {
    let open = RwSignal::new(false);
    let title = chart.title;
    let chart = StoredValue::new(chart);
    let rows = move || {
        chart.with_value(|chart| {
            let row = |(at, time): (usize, &String)| {
                let cells =
                    chart.series.iter().map(|series| view! { <td>{(chart.unit)(series.value(at))}</td> });
                view! { <tr><th scope="row">{time.clone()}</th>{cells.collect_view()}</tr> }
            };
            chart.times.iter().enumerate().map(row).collect_view()
        })
    };
    let heads = move || {
        chart.with_value(|chart| {
            chart.series.iter().map(|series| view! { <th scope="col">{series.name}</th> }).collect_view()
        })
    };
    let turn = move |_| open.update(|open| *open = !*open);
    let label = format!("{title} as a table");
    view! {
        <button type="button" class="fold-button" aria-expanded=move || if open.get() { "true" } else { "false" } on:click=turn>
            {move || if open.get() { "Hide the table" } else { "As a table" }}<span class="unseen">": "{title}</span>
        </button>
        {move || open.get().then(|| view! {
            <div class="table-scroll table-tall" tabindex="0" role="region" aria-label=label.clone()>
                <table class="table">
                    <thead><tr><th scope="col">"From"</th>{heads}</tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        })}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[&[u64]]) -> Chart {
        let length = values.first().map_or(0, |values| values.len());
        Chart {
            title: "Tasks",
            times: (0..length).map(|at| format!("{at}:00")).collect::<Vec<_>>().into(),
            series: values
                .iter()
                .map(|values| Series { name: "n", class: "c", values: values.to_vec() })
                .collect(),
            unit: |number| number.to_string(),
        }
    }

    #[test]
    fn bars_stand_on_each_other_and_fill_the_height() {
        let chart = chart(&[&[1, 0], &[3, 2]]);
        assert_eq!(chart.stacked_top(), 4);
        let paths = bars(&chart);
        assert_eq!(paths[0].1, "M30.0 120.0h240.0v40.0h-240.0z", "a quarter of the height, at the bottom");
        assert!(paths[1].1.starts_with("M30.0 0.0h240.0v120.0"), "{}", paths[1].1);
        assert!(paths[1].1.contains("M330.0 80.0"), "{}", paths[1].1);
    }

    #[test]
    fn nothing_is_drawn_outside() {
        for values in [&[][..], &[7], &[0, 0], &[u64::MAX, 1, 0]] {
            let chart = chart(&[values, values]);
            for (_, points) in curves(&chart) {
                for corner in points.split_whitespace() {
                    let (x, y) = corner.split_once(',').unwrap();
                    let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                    assert!(
                        (0.0..=SIZE.0).contains(&x) && (0.0..=SIZE.1).contains(&y),
                        "{values:?} {corner}"
                    );
                }
            }
            assert!(bars(&chart).iter().all(|(_, path)| !path.contains("NaN") && !path.contains("inf")));
        }
        assert!(chart(&[&[5, 9]]).label(9).contains("from 0:00 to 1:00; at most 9"));
    }
}
