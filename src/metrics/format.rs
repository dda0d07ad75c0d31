use super::text::Kind;

/// The formats of the exposition. The lines of the series are the same in both; what stands above them, and
/// what a counter's family is called, differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

/// Units that the names of our families end with.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

impl Format {
    pub const ALL: [Self; 2] = [Self::Text, Self::OpenMetrics];

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What follows the last family. A reader of `OpenMetrics` takes a text without it for cut off.
    pub(super) const fn end(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::OpenMetrics => "# EOF\n",
        }
    }

    /// What stands above the series of a family.
    pub(super) fn head(self, kind: Kind, name: &str, help: &str) -> String {
        let help = help.trim().replace('\\', "\\\\").replace('\n', "\\n");
        match self {
            Self::Text => {
                let kind = kind.as_str();
                format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")
            }
            Self::OpenMetrics => openmetrics_head(kind, name, &help.replace('"', "\\\"")),
        }
    }
}

/// A counter's family lacks the `_total` of its series; a gauge that is 1 for its labels' sake is an info.
fn openmetrics_head(kind: Kind, name: &str, help: &str) -> String {
    let (family, kind) = match kind {
        Kind::Counter => (name.strip_suffix("_total"), "counter"),
        Kind::Gauge if name.ends_with("_info") => (name.strip_suffix("_info"), "info"),
        other => (None, other.as_str()),
    };
    let family = family.unwrap_or(name);
    let unit = UNITS.into_iter().find(|unit| {
        let stem = family.strip_suffix(unit);
        stem.is_some_and(|stem| stem.ends_with('_'))
    });
    let unit = unit.map_or_else(String::new, |unit| format!("# UNIT {family} {unit}\n"));
    format!("# TYPE {family} {kind}\n{unit}# HELP {family} {help}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_described_in_the_words_of_each_format() {
        let check = |kind, name: &str, openmetrics: &str| {
            let text = Format::Text.head(kind, name, " Says \"x\".");
            assert!(text.starts_with(&format!("# HELP {name} Says \"x\".\n# TYPE {name} ")));
            let head = Format::OpenMetrics.head(kind, name, " Says \"x\".");
            assert_eq!(head, openmetrics);
        };
        check(
            Kind::Counter,
            "dlq_messages_total",
            "# TYPE dlq_messages counter\n# HELP dlq_messages Says \\\"x\\\".\n",
        );
        check(
            Kind::Counter,
            "process_cpu_seconds_total",
            "# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\n\
             # HELP process_cpu_seconds Says \\\"x\\\".\n",
        );
        check(
            Kind::Gauge,
            "redrive_build_info",
            "# TYPE redrive_build info\n# HELP redrive_build Says \\\"x\\\".\n",
        );
        check(
            Kind::Gauge,
            "redrive_rabbitmq_queue_bytes",
            "# TYPE redrive_rabbitmq_queue_bytes gauge\n# UNIT redrive_rabbitmq_queue_bytes bytes\n\
             # HELP redrive_rabbitmq_queue_bytes Says \\\"x\\\".\n",
        );
        check(
            Kind::Histogram,
            "d_seconds",
            "# TYPE d_seconds histogram\n# UNIT d_seconds seconds\n# HELP d_seconds Says \\\"x\\\".\n",
        );
    }
}
