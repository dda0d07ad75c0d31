use std::collections::BTreeMap;

use crate::config::HumanDuration;

/// A threshold that a platform team may change: an option of `redrive alerts`.
#[derive(Debug)]
pub struct Setting {
    /// The option without its dashes.
    pub name: &'static str,
    pub default: &'static str,
    pub help: &'static str,
    kind: Kind,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A whole number from 1 on.
    Count,
    /// Messages a second.
    Rate,
    /// A part of the whole: `0.01` or `1%`.
    Share,
    /// An age or a delay, compared with a number of seconds.
    Age,
    /// How far an expression looks back: at least a minute, in which there are some scrapes.
    Window,
    /// How long a condition must hold; may be `0s`.
    Hold,
}

const LONGEST: HumanDuration = HumanDuration::from_secs(365 * 86_400);
const SHORTEST_WINDOW: HumanDuration = HumanDuration::from_secs(60);
const MOST: f64 = 1e15;

macro_rules! settings {
    ($($name:literal $kind:ident $default:literal $help:literal;)+) => {
        /// All settings, in the order of the help.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            name: $name,
            default: $default,
            help: $help,
            kind: Kind::$kind,
        }),+];
    };
}

settings! {
    "lag" Count "10000" "KafkaConsumerLagHigh: unread messages of a group on a topic";
    "lag-for" Hold "10m" "KafkaConsumerLagHigh: how long the lag must be that high";
    "time-lag" Age "5m" "KafkaConsumerTimeLagHigh: age of the oldest unread message";
    "time-lag-for" Hold "5m" "KafkaConsumerTimeLagHigh: how long it must be that old";
    "growing-lag" Count "1000" "KafkaConsumerLagGrowing: unread messages from which on growth counts";
    "growing-rate" Rate "1" "KafkaConsumerLagGrowing: messages a second by which the lag grows";
    "growing-for" Hold "15m" "KafkaConsumerLagGrowing: how long it must grow";
    "stalled" Window "10m" "KafkaConsumerStalled, RabbitMQQueueStalled: no progress for so long";
    "stalled-for" Hold "5m" "KafkaConsumerStalled, RabbitMQQueueStalled: and then for so long";
    "no-members-for" Hold "10m" "KafkaConsumerGroupNoMembers: how long nobody may read";
    "headroom" Share "10%" "KafkaConsumerNearDataLoss: share of the log before the committed offset";
    "headroom-for" Hold "5m" "KafkaConsumerNearDataLoss: how long it must be that little";
    "low-rate" Share "50%" "LowProcessingRate: handled, as a share of what arrives";
    "low-rate-for" Hold "10m" "LowProcessingRate: how long it must be that slow";
    "min-traffic" Rate "0.1" "LowProcessingRate, HighEventLatency, EventsConsumedLate: quieter is ignored";
    "no-consumers-for" Hold "5m" "RabbitMQQueueNoConsumers: how long nobody may consume";
    "unroutable-for" Hold "5m" "RabbitMQDeadLetterUnroutable: how long dead letters may route nowhere";
    "circling-for" Hold "5m" "RabbitMQQueueCircling: how long messages may only go round";
    "dlq-growing" Count "100" "DLQGrowing: dead letters within an hour";
    "dlq-ratio" Share "1%" "DLQRatioHigh: dead letters as a share of the events handled";
    "dlq-ratio-for" Hold "10m" "DLQRatioHigh: how long the share must be that high";
    "dlq-age" Age "1d" "DLQNotDrained: age of the oldest open dead letter";
    "dlq-age-for" Hold "30m" "DLQNotDrained: how long it must be that old";
    "latency" Age "5s" "HighEventLatency: time from an event to the one it causes, 95 %";
    "latency-for" Hold "10m" "HighEventLatency: how long it must be that slow";
    "late" Age "1m" "EventsConsumedLate: time from publishing to committing, 95 %";
    "late-for" Hold "10m" "EventsConsumedLate: how long it must be that late";
    "stale" Window "3m" "RedriveSampleStale: age of the newest sample of a broker";
    "stale-for" Hold "1m" "RedriveSampleStale: how long it must be that old";
    "down-for" Hold "5m" "RedriveDown: how long Redrive may be unseen";
    "dropped-for" Hold "10m" "RedriveSeriesDropped: how long series may be dropped";
    "keep-firing" Hold "5m" "All alerts on a state: a gap of so long does not end them (Prometheus 2.42)";
}

/// A value that no rule can be made with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("--{setting} {value}: {expected}")]
pub struct ThresholdError {
    setting: String,
    value: String,
    expected: &'static str,
}

/// A value for every setting.
#[derive(Clone, Debug)]
pub struct Thresholds(BTreeMap<&'static str, Value>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Number(f64),
    Share(f64),
    Duration(HumanDuration),
}

/// Where a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Expression,
    Prose,
}

impl Default for Thresholds {
    fn default() -> Self {
        let value = |setting: &'static Setting| {
            let default = setting.parse(setting.default);
            default.map(|value| (setting.name, value))
        };
        Self(SETTINGS.iter().filter_map(|s| value(s).ok()).collect())
    }
}

impl Thresholds {
    /// Changes one setting.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), ThresholdError> {
        let refused = |expected| ThresholdError {
            setting: name.to_owned(),
            value: text.to_owned(),
            expected,
        };
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        let setting = setting.ok_or_else(|| refused("there is no such threshold"))?;
        let value = setting.parse(text).map_err(refused)?;
        self.0.insert(setting.name, value);
        Ok(())
    }

    /// The options that make these thresholds, for the head of a file.
    pub(super) fn options(&self) -> String {
        let defaults = Self::default();
        let changed = self
            .0
            .iter()
            .filter(|(name, value)| defaults.0.get(*name) != Some(value));
        let options = changed.map(|(name, value)| format!(" --{name} {}", value.as_option()));
        options.collect::<Vec<_>>().concat()
    }

    /// A duration for `for`; `None` if it is zero.
    pub(super) fn hold(&self, name: &str) -> Option<String> {
        match self.0.get(name) {
            Some(Value::Duration(hold)) if !hold.is_zero() => Some(hold.to_string()),
            _ => None,
        }
    }

    /// What stands for the placeholder `name` or `name:seconds`.
    pub(super) fn written(&self, placeholder: &str, purpose: Use) -> String {
        let (name, form) = placeholder.split_once(':').unwrap_or((placeholder, ""));
        match (self.0.get(name), form, purpose) {
            (Some(value), "seconds", _) => value.number().to_string(),
            (Some(value), _, Use::Expression) => value.in_expression(),
            (Some(value), _, Use::Prose) => value.in_prose(),
            // Every placeholder is a setting, which a test checks.
            (None, ..) => format!("<{placeholder}>"),
        }
    }
}

impl Setting {
    /// An error says what is expected.
    fn parse(&self, text: &str) -> Result<Value, &'static str> {
        let number = || text.parse::<f64>().ok();
        let within = |low: HumanDuration| {
            let duration = HumanDuration::parse(text)?;
            // Prometheus reads whole milliseconds of all units.
            (low..=LONGEST)
                .contains(&duration)
                .then_some(Value::Duration(duration))
        };
        match self.kind {
            Kind::Count => {
                let count = text.parse::<u64>().ok().map(|count| count as f64);
                let count = count.filter(|count| (1.0..=MOST).contains(count));
                count.map(Value::Number).ok_or("expected a whole number of messages, 1 or more")
            }
            Kind::Rate => {
                let rate = number().filter(|rate| (1e-6..=MOST).contains(rate));
                rate.map(Value::Number).ok_or("expected messages a second, more than 0, for example 0.5")
            }
            Kind::Share => share(text).ok_or("expected a share between 0 and 1, for example 0.05 or 5%"),
            Kind::Age => within(HumanDuration(std::time::Duration::from_millis(1)))
                .ok_or("expected a duration of up to 365d, for example 90s, 5m or 1d"),
            Kind::Window => within(SHORTEST_WINDOW)
                .ok_or("expected a duration between 1m and 365d, for example 10m: it spans several scrapes"),
            Kind::Hold => within(HumanDuration::from_secs(0))
                .ok_or("expected a duration of up to 365d, for example 0s, 90s or 10m"),
        }
    }
}

fn share(text: &str) -> Option<Value> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    (1e-6..1.0).contains(&share).then_some(Value::Share(share))
}

impl Value {
    fn number(self) -> f64 {
        match self {
            Self::Number(number) | Self::Share(number) => number,
            Self::Duration(duration) => duration.as_secs_f64(),
        }
    }

    fn in_expression(self) -> String {
        match self {
            Self::Number(number) | Self::Share(number) => number.to_string(),
            Self::Duration(duration) => duration.to_string(),
        }
    }

    fn in_prose(self) -> String {
        match self {
            Self::Number(number) => separated(&number.to_string()),
            Self::Share(share) => format!("{} %", percent(share)),
            Self::Duration(duration) => duration_in_words(duration),
        }
    }

    fn as_option(self) -> String {
        match self {
            Self::Share(share) => format!("{}%", percent(share)),
            other => other.in_expression(),
        }
    }
}

/// Without the noise of binary fractions.
fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}

/// `10,000`
fn separated(number: &str) -> String {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut text = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// `10 minutes`, `1 day`
fn duration_in_words(duration: HumanDuration) -> String {
    if duration.is_zero() {
        return "a moment".to_owned();
    }
    let written = duration.to_string();
    let digits = written.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &written[digits.len()..] {
        "ms" => "millisecond",
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        _ => "day",
    };
    let plural = if digits == "1" { "" } else { "s" };
    format!("{digits} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_read() {
        assert_eq!(Thresholds::default().0.len(), SETTINGS.len());
        assert_eq!(Thresholds::default().options(), "");
    }

    #[test]
    fn a_value_is_written_for_prometheus_and_for_people() {
        let check = |name: &str, value: &str, expression: &str, prose: &str| {
            let mut thresholds = Thresholds::default();
            thresholds.set(name, value).unwrap();
            assert_eq!(thresholds.written(name, Use::Expression), expression);
            assert_eq!(thresholds.written(name, Use::Prose), prose);
        };
        check("lag", "50000", "50000", "50,000");
        check("growing-rate", "0.25", "0.25", "0.25");
        check("headroom", "7%", "0.07", "7 %");
        check("headroom", "0.125", "0.125", "12.5 %");
        check("stalled", "90s", "90s", "90 seconds");
        check("stalled", "3600s", "1h", "1 hour");
        check("lag-for", "0s", "0ms", "a moment");
        let mut thresholds = Thresholds::default();
        thresholds.set("latency", "500ms").unwrap();
        assert_eq!(
            thresholds.written("latency:seconds", Use::Expression),
            "0.5"
        );
        assert_eq!(thresholds.options(), " --latency 500ms");
    }

    #[test]
    fn what_no_rule_can_be_made_with_is_refused_by_name() {
        let check = |name: &str, value: &str, expected: &str| {
            let error = Thresholds::default()
                .set(name, value)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(&format!("--{name} {value}: ")), "{error}");
            assert!(error.contains(expected), "{error}");
        };
        for value in ["0", "-1", "1.5", "many", "", "18446744073709551616"] {
            check("lag", value, "whole number");
        }
        for value in ["0", "1", "100%", "-5%", "nan", "inf", "%"] {
            check("dlq-ratio", value, "between 0 and 1");
        }
        for value in ["0", "nan", "inf", "-1"] {
            check("growing-rate", value, "messages a second");
        }
        check("lag-for", "10", "for example");
        check("lag-for", "366d", "365d");
        check("stalled", "30s", "1m");
        check("time-lag", "0s", "duration");
        check("lagg", "1", "no such threshold");
    }

    #[test]
    fn a_hold_of_nothing_is_left_out() {
        let mut thresholds = Thresholds::default();
        assert_eq!(thresholds.hold("lag-for").as_deref(), Some("10m"));
        thresholds.set("lag-for", "0s").unwrap();
        assert_eq!(thresholds.hold("lag-for"), None);
    }
}
