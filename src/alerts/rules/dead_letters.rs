use crate::alerts::rule::{AlertRule, Hold, RuleFile, Severity};

pub(super) const FILE: RuleFile = RuleFile {
    name: "dead-letters.yml",
    group: "redrive-dead-letters",
    about: "Dead letters of both brokers. What lay in a DLQ when Redrive found it is in the first value of its \
        counters, so that a new installation alerts nobody.",
    rules: &[
        RECEIVING,
        GROWING,
        RATIO_HIGH,
        NOT_DRAINED,
        BODY_EXPIRING,
        REPLAYED_EVENTS_DIE_AGAIN,
    ],
};

const RECEIVING: AlertRule = AlertRule {
    name: "DLQReceiving",
    severity: Severity::Warning,
    hold: Hold::AtOnce,
    why: "",
    expression: r#"sum by (cluster, system, dlq) (increase(dlq_messages_total{cluster!=""}[10m])) > 0"#,
    summary: "New dead letters in {{ $labels.dlq }}: about {{ $value | printf \"%.0f\" }}",
    description: "Events failed and went to {{ $labels.dlq }} ({{ $labels.system }} cluster {{ $labels.cluster }}) \
        in the last 10 minutes. Open Dead letters in Redrive: they are grouped by cause. Repair the cause first, \
        then replay the group.",
};

const GROWING: AlertRule = AlertRule {
    name: "DLQGrowing",
    severity: Severity::Critical,
    hold: Hold::AtOnce,
    why: "",
    expression: r#"sum by (cluster, system, dlq) (increase(dlq_messages_total{cluster!=""}[1h])) > <dlq-growing>"#,
    summary: "{{ $labels.dlq }} received about {{ $value | printf \"%.0f\" }} dead letters within an hour",
    description: "More than <dlq-growing> events an hour fail and go to {{ $labels.dlq }} ({{ $labels.system }} \
        cluster {{ $labels.cluster }}). This is an outage of a consumer or of what it depends on, not a single \
        bad event. See the largest failure group in Redrive.",
};

const RATIO_HIGH: AlertRule = AlertRule {
    name: "DLQRatioHigh",
    severity: Severity::Critical,
    hold: Hold::For("dlq-ratio-for"),
    why: "Against the busiest consumer of the source: a second consumer of it must not halve the ratio. One of \
        a few events is no share of anything.",
    expression: r#"
        sum by (cluster, system, source) (rate(dlq_messages_total{cluster!=""}[10m]))
        / on (cluster, system, source)
        max by (cluster, system, source) (rate(events_processed_total{cluster!=""}[10m]))
        > <dlq-ratio>
        and on (cluster, system, source)
        sum by (cluster, system, source) (increase(dlq_messages_total{cluster!=""}[10m])) >= 5
    "#,
    summary: "{{ $value | humanizePercentage }} of the events of {{ $labels.source }} end as dead letters",
    description: "More than <dlq-ratio> of the events that are handled from {{ $labels.source }} \
        ({{ $labels.system }} cluster {{ $labels.cluster }}) have failed for <dlq-ratio-for>. Compare with the \
        last deployment of its consumers and with the newest failure groups in Redrive.",
};

const NOT_DRAINED: AlertRule = AlertRule {
    name: "DLQNotDrained",
    severity: Severity::Warning,
    hold: Hold::For("dlq-age-for"),
    why: "Known for a day already: who installs Redrive beside a full DLQ has a day to look at it.",
    expression: r#"
        dlq_oldest_message_age_seconds{cluster!=""} > <dlq-age:seconds>
        and dlq_depth{cluster!=""} > 0
        and present_over_time(dlq_depth{cluster!=""}[1h] offset 1d)
    "#,
    summary: "{{ $labels.dlq }} holds a dead letter for {{ $value | humanizeDuration }}",
    description: "The oldest open dead letter of {{ $labels.dlq }} ({{ $labels.system }} cluster \
        {{ $labels.cluster }}) is older than <dlq-age>. Replay it or decide that it is not needed, before \
        retention decides.",
};

const BODY_EXPIRING: AlertRule = AlertRule {
    name: "DeadLetterBodyExpiring",
    severity: Severity::Critical,
    hold: Hold::AtOnce,
    why: "A hole in the series, for example a restart of Redrive, saves no body.",
    expression: r#"last_over_time(dlq_expiring_bodies{cluster!=""}[10m]) > 0"#,
    summary: "Dead letters of {{ $labels.dlq }} that are about to lose their body: {{ $value }}",
    description: "They wait in {{ $labels.dlq }} ({{ $labels.system }} cluster {{ $labels.cluster }}), are too large \
        for Redrive's store, and their topic may lose them within 24 hours, by their age, its size or their keys. \
        Redrive has not fetched them: see its log, or fetch them on their pages.",
};

const REPLAYED_EVENTS_DIE_AGAIN: AlertRule = AlertRule {
    name: "ReplayedEventsDieAgain",
    severity: Severity::Warning,
    hold: Hold::AtOnce,
    why: "",
    expression: r#"sum by (cluster, system, dlq) (increase(dlq_replayed_total{cluster!="", outcome="died_again"}[10m])) > 0"#,
    summary: "Replayed events that came back to {{ $labels.dlq }}: about {{ $value | printf \"%.0f\" }}",
    description: "Events that were replayed from {{ $labels.dlq }} ({{ $labels.system }} cluster \
        {{ $labels.cluster }}) failed again: the cause is not repaired, or not for all of them. Stop replaying \
        this group and compare the new error with the old one.",
};
