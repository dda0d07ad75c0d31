//! Tables that sort by a link in their head; the order is the parameter `sort`, `-` for descending.

use std::cmp::Ordering;

use super::visit::Visit;

/// One column as its page declares it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Its name in the URL; empty for a column that does not sort.
    pub(crate) key: &'static str,
    pub(crate) label: &'static str,
    pub(crate) kind: ColumnKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// Left-aligned, sorts from A.
    Text,
    /// Right-aligned, sorts from the largest.
    Number,
}

impl Column {
    pub(crate) const fn text(key: &'static str, label: &'static str) -> Self {
        Self {
            key,
            label,
            kind: ColumnKind::Text,
        }
    }

    pub(crate) const fn number(key: &'static str, label: &'static str) -> Self {
        Self {
            key,
            label,
            kind: ColumnKind::Number,
        }
    }
}

/// The head of a column as the template shows it.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) label: &'static str,
    pub(crate) class: &'static str,
    /// Where a click leads; empty for a column that does not sort.
    pub(crate) href: String,
    /// The value of `aria-sort`.
    pub(crate) sorted: &'static str,
}

/// The order of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) key: String,
    pub(crate) descending: bool,
}

impl Sort {
    /// What the URL asks for, if it is a column, or the default.
    pub(crate) fn of(visit: &Visit, columns: &[Column], default: &str) -> Self {
        let asked = visit.query.get("sort").map(Self::parse);
        let known = asked.filter(|sort| {
            columns
                .iter()
                .any(|c| !c.key.is_empty() && c.key == sort.key)
        });
        known.unwrap_or_else(|| Self::parse(default))
    }

    fn parse(text: &str) -> Self {
        let key = text.trim_start_matches('-');
        Self {
            key: key.to_owned(),
            descending: text.starts_with('-'),
        }
    }

    /// Sorts by the ascending comparison of the chosen column; equal rows keep their order.
    pub(crate) fn apply<T>(&self, rows: &mut [T], compare: impl Fn(&str, &T, &T) -> Ordering) {
        rows.sort_by(|a, b| {
            let ordering = compare(&self.key, a, b);
            if self.descending {
                ordering.reverse()
            } else {
                ordering
            }
        });
    }

    /// The heads of a table: a click sorts by the column, a second one turns the order round.
    pub(crate) fn heads(&self, visit: &Visit, columns: &[Column]) -> Vec<Head> {
        columns
            .iter()
            .map(|column| self.head(visit, column))
            .collect()
    }

    fn head(&self, visit: &Visit, column: &Column) -> Head {
        let is_sorted = !column.key.is_empty() && self.key == column.key;
        let next_descends = if is_sorted {
            !self.descending
        } else {
            column.kind == ColumnKind::Number
        };
        let sign = if next_descends { "-" } else { "" };
        let href = if column.key.is_empty() {
            String::new()
        } else {
            visit.url_with("sort", &format!("{sign}{}", column.key))
        };
        Head {
            label: column.label,
            class: match column.kind {
                ColumnKind::Text => "",
                ColumnKind::Number => "n",
            },
            href,
            sorted: match (is_sorted, self.descending) {
                (false, _) => "none",
                (true, true) => "descending",
                (true, false) => "ascending",
            },
        }
    }
}

/// Compares what may be unknown: unknown is smaller than everything.
pub(crate) fn by_number(a: Option<f64>, b: Option<f64>) -> Ordering {
    a.unwrap_or(f64::NEG_INFINITY)
        .total_cmp(&b.unwrap_or(f64::NEG_INFINITY))
}
