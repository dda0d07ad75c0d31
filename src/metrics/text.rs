//! Families of series, written straight from a snapshot as the lines that both formats share.
//!
//! A large cluster has a hundred thousand series which all change with every sample. Keeping each as
//! an object of the prometheus crate would cost more than reading the broker, so these families are
//! text from the start: rebuilt from each snapshot, which also removes what vanished.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::format::Format;

/// Longer label values are cut: names come from brokers, which bound few of them.
const LABEL_VALUE_BYTES: usize = 255;

/// The type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Histogram,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// How many series may still be written. What exceeds it is dropped and counted, so that one hostile
/// or huge broker cannot drown Prometheus.
#[derive(Debug)]
pub(super) struct SeriesBudget {
    left: usize,
    written: usize,
    dropped: usize,
}

impl SeriesBudget {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            left: limit,
            written: 0,
            dropped: 0,
        }
    }

    /// Whether so many series may be written, which are then taken as written.
    fn take(&mut self, series: usize) -> bool {
        let fits = series <= self.left;
        if fits {
            self.left -= series;
            self.written += series;
        } else {
            self.dropped += series;
        }
        fits
    }

    pub(super) const fn written(&self) -> usize {
        self.written
    }

    /// Series that were not written.
    pub(super) const fn dropped(&self) -> usize {
        self.dropped
    }
}

/// One metric family and the lines of its series.
#[derive(Debug)]
pub(super) struct Family {
    kind: Kind,
    name: Cow<'static, str>,
    help: Cow<'static, str>,
    lines: String,
}

impl Family {
    pub(super) fn new(
        kind: Kind,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            kind,
            name: name.into(),
            help: help.into(),
            lines: String::new(),
        }
    }

    /// What stands above the lines in a format.
    pub(super) fn head(&self, format: Format) -> String {
        format.head(self.kind, &self.name, &self.help)
    }

    /// The series; a family without any is not shown.
    pub(super) fn lines(&self) -> &str {
        &self.lines
    }

    /// The series, which then belong to the caller.
    pub(super) fn take_lines(&mut self) -> Bytes {
        let mut lines = std::mem::take(&mut self.lines);
        // It grew by doubling.
        lines.shrink_to_fit();
        Bytes::from(lines)
    }

    /// Writes one series, unless the value says nothing or the budget is spent.
    pub(super) fn set(&mut self, budget: &mut SeriesBudget, labels: &Labels, value: f64) {
        if value.is_finite() && budget.take(1) {
            self.line("", &labels.0, value);
        }
    }

    /// Writes the series of one histogram, all or none: `buckets` are upper bounds with cumulative
    /// counts, without the last one, which is infinite.
    pub(super) fn set_histogram(
        &mut self,
        budget: &mut SeriesBudget,
        labels: &Labels,
        buckets: &[(f64, u64)],
        (sum, count): (f64, u64),
    ) {
        if !budget.take(buckets.len() + 3) {
            return;
        }
        for (upper_bound, cumulative) in buckets {
            let labels = labels.with("le", &bound(*upper_bound));
            self.line("_bucket", &labels.0, *cumulative as f64);
        }
        self.line("_bucket", &labels.with("le", "+Inf").0, count as f64);
        self.line("_sum", &labels.0, sum);
        self.line("_count", &labels.0, count as f64);
    }

    fn line(&mut self, suffix: &str, labels: &str, value: f64) {
        self.lines.push_str(&self.name);
        self.lines.push_str(suffix);
        if !labels.is_empty() {
            self.lines.push('{');
            self.lines.push_str(labels);
            self.lines.push('}');
        }
        self.lines.push(' ');
        push_number(&mut self.lines, value);
        self.lines.push('\n');
    }
}

/// A bucket's upper bound as `OpenMetrics` writes it: always with a fraction. Prometheus would take `1`
/// and `1.0` for two series.
fn bound(upper_bound: f64) -> String {
    format!("{upper_bound:?}")
}

/// Whole numbers are the rule, and writing them as such is several times faster.
fn push_number(text: &mut String, value: f64) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and within the exact range of f64"
        )]
        let whole = value as i64;
        let _ = write!(text, "{whole}");
    } else if value.is_finite() {
        let _ = write!(text, "{value}");
    } else {
        text.push_str(match value {
            f64::INFINITY => "+Inf",
            f64::NEG_INFINITY => "-Inf",
            _ => "NaN",
        });
    }
}

/// The labels of a series, already escaped.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(String);

impl Labels {
    pub(super) fn new(pairs: &[(&str, &str)]) -> Self {
        let mut labels = Self::default();
        for (name, value) in pairs {
            labels.push(name, value);
        }
        labels
    }

    /// These labels and one more.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut labels = Self(String::with_capacity(
            self.0.len() + name.len() + value.len() + 4,
        ));
        labels.0.push_str(&self.0);
        labels.push(name, value);
        labels
    }

    fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(name);
        self.0.push_str("=\"");
        for character in bounded(value).chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                other => self.0.push(other),
            }
        }
        self.0.push('"');
    }
}

/// A label value of bounded length without control characters. A value that had to be changed ends
/// with a digest of the original, so that two different names stay two series.
pub(super) fn bounded(value: &str) -> Cow<'_, str> {
    if value.len() <= LABEL_VALUE_BYTES && !value.chars().any(char::is_control) {
        return Cow::Borrowed(value);
    }
    let digest = Sha256::digest(value.as_bytes());
    let kept: String = value
        .chars()
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .scan(0, |bytes, character| {
            *bytes += character.len_utf8();
            (*bytes <= LABEL_VALUE_BYTES - 9).then_some(character)
        })
        .collect();
    Cow::Owned(format!(
        "{kept}#{:02x}{:02x}{:02x}{:02x}",
        digest[0], digest[1], digest[2], digest[3]
    ))
}

/// Declares a struct of [`Family`] whose doc comments are the HELP texts.
macro_rules! families {
    (
        $(#[$attribute:meta])*
        struct $type:ident {
            $( $(#[doc = $help:literal])+ $field:ident: $kind:ident = $metric:literal, )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug)]
        pub(in $crate::metrics) struct $type {
            $( $(#[doc = $help])+ pub(in $crate::metrics) $field: $crate::metrics::text::Family, )+
        }

        impl $type {
            pub(in $crate::metrics) fn new() -> Self {
                use $crate::metrics::text::{Family, Kind};
                Self {
                    $( $field: Family::new(Kind::$kind, $metric, concat!($($help),+)), )+
                }
            }

            /// The families in the order of their declaration.
            pub(in $crate::metrics) fn into_families(self) -> Vec<$crate::metrics::text::Family> {
                vec![$( self.$field ),+]
            }
        }
    };
}

pub(super) use families;

#[cfg(test)]
mod tests {
    use super::*;

    fn family() -> Family {
        Family::new(Kind::Gauge, "depth", " Messages.")
    }

    #[test]
    fn a_family_is_written_as_prometheus_reads_it() {
        let mut family = family();
        let mut budget = SeriesBudget::new(10);
        let labels = Labels::new(&[("cluster", "a"), ("queue", "q\"\\\n")]);
        family.set(&mut budget, &labels, 3.0);
        family.set(&mut budget, &Labels::default(), 0.25);
        family.set(&mut budget, &labels, f64::NAN);
        assert_eq!(
            family.head(Format::Text),
            "# HELP depth Messages.\n# TYPE depth gauge\n"
        );
        assert_eq!(
            family.lines(),
            "depth{cluster=\"a\",queue=\"q\\\"\\\\\u{fffd}#b1\"} 3\ndepth 0.25\n"
                .replace("#b1", &bounded("q\"\\\n")["q\"\\\u{fffd}".len()..])
        );
    }

    #[test]
    fn bounds_and_numbers_are_canonical() {
        let mut family = Family::new(Kind::Histogram, "d_seconds", "D.");
        let mut budget = SeriesBudget::new(5);
        let buckets = [(0.001, 1), (20.0, 2)];
        family.set_histogram(
            &mut budget,
            &Labels::default(),
            &buckets,
            (f64::INFINITY, 3),
        );
        assert_eq!(
            family.lines(),
            "d_seconds_bucket{le=\"0.001\"} 1\nd_seconds_bucket{le=\"20.0\"} 2\n\
             d_seconds_bucket{le=\"+Inf\"} 3\nd_seconds_sum +Inf\nd_seconds_count 3\n"
        );
        family.set_histogram(&mut budget, &Labels::new(&[("a", "1")]), &buckets, (1.0, 3));
        assert!(
            !family.lines().contains("a=\"1\""),
            "half a histogram is worse than none"
        );
        assert_eq!((budget.written(), budget.dropped()), (5, 5));
    }

    #[test]
    fn series_beyond_the_budget_are_dropped_and_counted() {
        let mut family = family();
        let mut budget = SeriesBudget::new(1);
        family.set(&mut budget, &Labels::new(&[("a", "1")]), 1.0);
        family.set(&mut budget, &Labels::new(&[("a", "2")]), 1.0);
        family.set(&mut budget, &Labels::new(&[("a", "3")]), 1.0);
        assert_eq!(budget.dropped(), 2);
        assert!(!family.lines().contains("a=\"2\""));
    }

    #[test]
    fn long_and_hostile_label_values_are_bounded_and_stay_distinct() {
        let long = "x".repeat(10_000);
        let other = format!("{long}y");
        assert!(bounded(&long).len() <= LABEL_VALUE_BYTES);
        assert_ne!(bounded(&long), bounded(&other));
        assert_ne!(bounded("a\u{0}"), bounded("a\u{1}"));
        assert!(!bounded("a\r\u{0}\u{1b}[31m").chars().any(char::is_control));
        assert_eq!(bounded("Bestellungen-ä"), "Bestellungen-ä");
        assert!(bounded(&"ä\u{7}".repeat(500)).len() <= LABEL_VALUE_BYTES);
    }
}
