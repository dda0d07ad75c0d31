//! Charts as inline SVG, drawn on the server: there at first paint, in print, and without a library.
//! Pure; a gap in the samples is a gap in the line.

use std::fmt::Write as _;

use askama::filters::Safe;

use super::escape::{Markup, escaped};
use crate::domain::Timestamp;
use crate::sampling::{HistoryPoint, Line};

/// How the values of a chart are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Count,
    PerSecond,
    Seconds,
}

impl Unit {
    /// As the API writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::PerSecond => "per_second",
            Self::Seconds => "seconds",
        }
    }

    /// For a table.
    pub(crate) fn exact(self, value: f64) -> String {
        match self {
            Self::Count => grouped(value),
            Self::PerSecond | Self::Seconds => self.text(value),
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::Count => whole(value),
            Self::PerSecond => super::markup::rate_text(value),
            Self::Seconds => {
                super::markup::duration(std::time::Duration::from_secs_f64(value.clamp(0.0, 1e15)))
            }
        }
    }
}

/// A chart on a page: its line, its labels and the rows of "show data".
#[derive(Clone, Debug)]
pub(crate) struct ChartData<'a> {
    /// Says what is drawn, for those who cannot see it.
    pub(crate) label: &'a str,
    pub(crate) unit: Unit,
    pub(crate) line: &'a Line,
    /// What stands at its left end.
    pub(crate) began: &'a str,
    /// Drawn as a dashed line where it lies in view.
    pub(crate) threshold: Option<f64>,
}

const SPARK: Area = Area {
    width: 120.0,
    height: 28.0,
    left: 1.0,
    right: 3.0,
    top: 3.0,
    bottom: 3.0,
};

const FULL: Area = Area {
    width: 640.0,
    height: 200.0,
    left: 4.0,
    right: 6.0,
    top: 28.0,
    bottom: 28.0,
};

/// Between a line and the label above it.
const ABOVE: f64 = 6.0;

/// A label takes so much on a narrow screen, where the chart shrinks and its text does not.
const LABEL_HEIGHT: f64 = 24.0;

/// 120 × 28, for rows.
pub(crate) fn sparkline(label: &str, unit: Unit, line: &Line) -> Markup {
    let Some(range) = Range::of(line, None) else {
        return Safe("<span class=\"spark-empty\" title=\"no samples yet\"></span>".to_owned());
    };
    let now = line.points.last().and_then(|point| point.value);
    let title = format!(
        "{label}: min {}, max {}, now {}",
        unit.text(range.low),
        unit.text(range.high),
        now.map_or_else(|| "not known".to_owned(), |value| unit.text(value)),
    );
    let mut svg = format!(
        "<svg class=\"spark\" viewBox=\"0 0 120 28\" width=\"120\" height=\"28\" role=\"img\" \
         aria-label=\"{0}\"><title>{0}</title>",
        escaped(&title)
    );
    push_line(&mut svg, &SPARK, range, line);
    push_last_point(&mut svg, &SPARK, range, line);
    svg.push_str("</svg>");
    Safe(svg)
}

/// Bars instead of a line, for counts per span of time.
pub(crate) fn spark_bars(label: &str, counts: &[u64]) -> Markup {
    let highest = counts.iter().copied().max().unwrap_or(0);
    let total: u64 = counts.iter().sum();
    let title = format!("{label}: {}", super::markup::thousands(total));
    let mut svg = format!(
        "<svg class=\"spark\" viewBox=\"0 0 120 28\" width=\"120\" height=\"28\" role=\"img\" \
         aria-label=\"{0}\"><title>{0}</title><path class=\"axis\" d=\"M0 27.5H120\"/>",
        escaped(&title)
    );
    let step = 120.0 / (counts.len().max(1) as f64);
    for (index, bar) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (24.0 * *bar as f64 / highest.max(1) as f64).max(2.0);
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
            index as f64 * step + 0.5,
            27.0 - height,
            (step - 1.0).max(1.0),
        );
    }
    svg.push_str("</svg>");
    Safe(svg)
}

/// 640 × 200 with labelled minimum, maximum and now.
pub(crate) fn chart(data: &ChartData<'_>) -> Markup {
    let Some(range) = Range::of(data.line, data.threshold) else {
        return Safe(format!(
            "<p class=\"empty\">{}: nothing is known of this time yet.</p>",
            escaped(data.label)
        ));
    };
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 640 200\" role=\"img\" aria-label=\"{}\">",
        escaped(data.label)
    );
    push_grid(&mut svg, range);
    push_threshold(&mut svg, range, data);
    push_line(&mut svg, &FULL, range, data.line);
    push_last_point(&mut svg, &FULL, range, data.line);
    push_bounds(&mut svg, range, data.unit);
    push_now(&mut svg, range, data);
    svg.push_str("</svg>");
    Safe(svg)
}

struct Area {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    fn x(&self, line: &Line, at: Timestamp) -> f64 {
        let span = self.width - self.left - self.right;
        let whole = line.to.since(line.from).as_secs_f64().max(1.0);
        let share = at.since(line.from).as_secs_f64() / whole;
        self.left + span * share.clamp(0.0, 1.0)
    }

    fn y(&self, range: Range, value: f64) -> f64 {
        let span = self.height - self.top - self.bottom;
        self.top + span * (1.0 - range.share(value))
    }
}

#[derive(Clone, Copy)]
struct Range {
    /// Of the values, for the labels.
    low: f64,
    high: f64,
    /// Of the drawing: from zero, so that a small wobble does not look like a cliff.
    drawn_high: f64,
}

impl Range {
    fn of(line: &Line, threshold: Option<f64>) -> Option<Self> {
        let known = line.points.iter().filter_map(finite);
        let (low, high) = known.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return None;
        }
        // A threshold far above the values would flatten them; it is drawn only where it is near.
        let near = threshold.filter(|threshold| *threshold <= high.max(1.0) * 3.0);
        Some(Self {
            low,
            high,
            drawn_high: high.max(near.unwrap_or(high)),
        })
    }

    fn share(self, value: f64) -> f64 {
        if self.drawn_high <= 0.0 {
            return 0.0;
        }
        (value / self.drawn_high).clamp(0.0, 1.0)
    }
}

fn finite(point: &HistoryPoint) -> Option<f64> {
    point.value.filter(|value| value.is_finite())
}

/// The line in as many pieces as the gaps leave; a lonely sample is a dot.
fn push_line(svg: &mut String, area: &Area, range: Range, line: &Line) {
    let mut path = String::new();
    let mut pen_is_down = false;
    for (index, point) in line.points.iter().enumerate() {
        let Some(value) = finite(point) else {
            pen_is_down = false;
            continue;
        };
        let command = if pen_is_down { 'L' } else { 'M' };
        let (x, y) = (area.x(line, point.at), area.y(range, value));
        let _ = write!(path, "{command}{x:.1} {y:.1}");
        let next_is_gap = line.points.get(index + 1).and_then(finite).is_none();
        if !pen_is_down && next_is_gap {
            path.push_str("h0.1");
        }
        pen_is_down = true;
    }
    let _ = write!(svg, "<path class=\"line\" d=\"{path}\"/>");
}

fn last_known(line: &Line) -> Option<(Timestamp, f64)> {
    let last = line.points.last()?;
    Some((last.at, finite(last)?))
}

fn push_last_point(svg: &mut String, area: &Area, range: Range, line: &Line) {
    let Some((at, value)) = last_known(line) else {
        return;
    };
    let (x, y) = (area.x(line, at), area.y(range, value));
    let _ = write!(
        svg,
        "<circle class=\"now\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"/>"
    );
}

fn push_grid(svg: &mut String, range: Range) {
    let (left, right) = (FULL.left, FULL.width - FULL.right);
    let base = FULL.y(range, 0.0);
    let _ = write!(
        svg,
        "<path class=\"axis\" d=\"M{left} {base:.1}H{right}\"/>"
    );
    let high = FULL.y(range, range.high);
    if range.high > 0.0 {
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{left} {high:.1}H{right}\"/>"
        );
    }
    let low = FULL.y(range, range.low);
    if low - high > LABEL_HEIGHT {
        let _ = write!(svg, "<path class=\"grid\" d=\"M{left} {low:.1}H{right}\"/>");
    }
}

/// Above their lines and over the curve, so that a long one has room.
fn push_bounds(svg: &mut String, range: Range, unit: Unit) {
    let high = FULL.y(range, range.high);
    push_label(
        svg,
        FULL.left,
        high - ABOVE,
        "start",
        &unit.text(range.high),
    );
    let low = FULL.y(range, range.low);
    if low - high > LABEL_HEIGHT {
        push_label(svg, FULL.left, low - ABOVE, "start", &unit.text(range.low));
    }
}

fn push_threshold(svg: &mut String, range: Range, data: &ChartData<'_>) {
    let Some(threshold) = data.threshold.filter(|value| *value <= range.drawn_high) else {
        return;
    };
    let y = FULL.y(range, threshold);
    let right = FULL.width - FULL.right;
    let _ = write!(
        svg,
        "<path class=\"threshold\" d=\"M{} {y:.1}H{right}\"/>",
        FULL.left
    );
    let middle = f64::midpoint(FULL.left, right);
    push_label(svg, middle, y - ABOVE, "middle", &data.unit.text(threshold));
}

fn push_now(svg: &mut String, range: Range, data: &ChartData<'_>) {
    let right = FULL.width - FULL.right;
    push_label(svg, FULL.left, FULL.height - 6.0, "start", data.began);
    push_label(svg, right, FULL.height - 6.0, "end", "now");
    if let Some((_, last)) = last_known(data.line) {
        let point = FULL.y(range, last);
        let mut latest = data.line.points.iter().rev().take(4).filter_map(finite);
        let falls = latest.any(|before| before > last);
        let has_room_below = point + 2.0 * LABEL_HEIGHT < FULL.y(range, 0.0);
        let y = if falls && has_room_below {
            point + LABEL_HEIGHT
        } else {
            point - ABOVE
        };
        push_label(svg, right, y, "end", &data.unit.text(last));
    }
}

fn push_label(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = write!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(text)
    );
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count that does not fit is shown as the largest that does"
)]
fn grouped(value: f64) -> String {
    super::markup::thousands(value.max(0.0).round() as u64)
}

fn whole(value: f64) -> String {
    let rounded = value.max(0.0).round();
    if rounded < 10_000.0 {
        return format!("{rounded:.0}");
    }
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (scale, unit) = units
        .into_iter()
        .find(|(scale, _)| rounded >= *scale)
        .unwrap_or((1.0, ""));
    format!("{:.1}{unit}", rounded / scale)
}

#[cfg(test)]
mod tests;
