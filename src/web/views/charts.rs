//! The charts of a page over a range that its URL names, and their data as a table.

use std::collections::BTreeMap;

use crate::domain::Timestamp;
use crate::sampling::{ChartRange, Line};
use crate::web::AppState;
use crate::web::chart::{self, ChartData, Unit};
use crate::web::escape::Markup;
use crate::web::lines::{LineOf, range};
use crate::web::markup;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Rows of the table: more than a range has points.
const ROWS: usize = 500;

pub(crate) struct Charts {
    pub(crate) ranges: Vec<RangeLink>,
    pub(crate) panels: Vec<ChartPanel>,
    /// Newest first.
    pub(crate) rows: Vec<DataRow>,
}

pub(crate) struct RangeLink {
    pub(crate) href: String,
    pub(crate) label: &'static str,
    pub(crate) title: &'static str,
    pub(crate) is_current: bool,
}

pub(crate) struct ChartPanel {
    pub(crate) label: &'static str,
    pub(crate) chart: Markup,
}

pub(crate) struct DataRow {
    pub(crate) at: Markup,
    /// In the order of the panels.
    pub(crate) values: Vec<String>,
}

impl Charts {
    pub(crate) async fn load(
        state: &AppState,
        visit: &Visit,
        lines: &[LineOf],
    ) -> Result<Self, Problem> {
        let range = range(visit)?;
        let mut panels = Vec::with_capacity(lines.len());
        let mut table = Table::default();
        for (column, of) in lines.iter().enumerate() {
            let line = of.load(state, range, visit).await?;
            let chart = chart::chart(&ChartData {
                label: of.label,
                unit: of.unit,
                line: &line,
                began: title(range),
                threshold: None,
            });
            panels.push(ChartPanel {
                label: of.label,
                chart,
            });
            table.add(&line, column, of.unit);
        }
        Ok(Self {
            ranges: links(visit, range),
            panels,
            rows: table.rows(lines.len()),
        })
    }
}

fn links(visit: &Visit, current: ChartRange) -> Vec<RangeLink> {
    let link = |range: ChartRange| RangeLink {
        href: match range {
            ChartRange::Hour => visit.url_with("range", ""),
            _ => visit.url_with("range", range.as_str()),
        },
        label: range.as_str(),
        title: title(range),
        is_current: range == current,
    };
    ChartRange::ALL.map(link).into()
}

const fn title(range: ChartRange) -> &'static str {
    match range {
        ChartRange::Hour => "1 hour ago",
        ChartRange::SixHours => "6 hours ago",
        ChartRange::Day => "24 hours ago",
        ChartRange::Week => "7 days ago",
    }
}

/// Values by their time, in the order of the columns.
#[derive(Default)]
struct Table(BTreeMap<Timestamp, Vec<(usize, String)>>);

impl Table {
    fn add(&mut self, line: &Line, column: usize, unit: Unit) {
        for point in &line.points {
            let text = point
                .value
                .map_or_else(|| "not known".to_owned(), |value| unit.exact(value));
            self.0.entry(point.at).or_default().push((column, text));
        }
    }

    fn rows(self, columns: usize) -> Vec<DataRow> {
        let row = |(at, values): (Timestamp, Vec<(usize, String)>)| {
            let mut cells = vec![String::new(); columns];
            for (column, value) in values {
                cells[column] = value;
            }
            DataRow {
                at: markup::clock(at),
                values: cells,
            }
        };
        self.0.into_iter().rev().take(ROWS).map(row).collect()
    }
}
