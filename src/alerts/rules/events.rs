use crate::alerts::rule::{AlertRule, Hold, RuleFile, Severity};

pub(super) const FILE: RuleFile = RuleFile {
    name: "events.yml",
    group: "redrive-events",
    about: "How long events take, on both brokers.",
    rules: &[HIGH_EVENT_LATENCY, EVENTS_CONSUMED_LATE],
};

const HIGH_EVENT_LATENCY: AlertRule = AlertRule {
    name: "HighEventLatency",
    severity: Severity::Warning,
    hold: Hold::For("latency-for"),
    why: "Needs traces, which tell when an event and the one that it caused were published.",
    expression: r#"
        histogram_quantile(0.95,
          sum by (le, cluster, source, consumer) (
            rate(event_processing_duration_seconds_bucket{cluster!="", basis="publish_to_publish"}[10m])
          )
        ) > <latency:seconds>
        and
        sum by (cluster, source, consumer) (
          rate(event_processing_duration_seconds_count{cluster!="", basis="publish_to_publish"}[10m])
        ) > <min-traffic>
    "#,
    summary: "{{ $labels.consumer }} takes {{ $value | humanizeDuration }} for events of {{ $labels.source }}",
    description: "5 % of the events of {{ $labels.source }} took longer than {{ $value | humanizeDuration }} until \
        {{ $labels.consumer }} (cluster {{ $labels.cluster }}) published what follows from them. If they waited \
        in line, its lag or its queue shows it; if not, the handler itself is slow.",
};

const EVENTS_CONSUMED_LATE: AlertRule = AlertRule {
    name: "EventsConsumedLate",
    severity: Severity::Warning,
    hold: Hold::For("late-for"),
    why: "Known to two sampling intervals: with sampling.interval above 20s, raise the threshold.",
    expression: r#"
        histogram_quantile(0.95,
          sum by (le, cluster, source, consumer) (
            rate(event_processing_duration_seconds_bucket{cluster!="", basis="publish_to_commit"}[10m])
          )
        ) > <late:seconds>
        and
        sum by (cluster, source, consumer) (
          rate(event_processing_duration_seconds_count{cluster!="", basis="publish_to_commit"}[10m])
        ) > <min-traffic>
    "#,
    summary: "{{ $labels.consumer }} handles events of {{ $labels.source }} {{ $value | humanizeDuration }} late",
    description: "5 % of the events of {{ $labels.source }} took longer than {{ $value | humanizeDuration }} from \
        being published to being committed by {{ $labels.consumer }} (cluster {{ $labels.cluster }}). If the \
        lag is small, single events are slow; if it is large, they wait in line.",
};
