use crate::alerts::rule::{AlertRule, Hold, RuleFile, Severity};

pub(super) const FILE: RuleFile = RuleFile {
    name: "redrive.yml",
    group: "redrive",
    about: "Redrive itself.",
    rules: &[SAMPLE_STALE, DOWN, SERIES_DROPPED],
};

const SAMPLE_STALE: AlertRule = AlertRule {
    name: "RedriveSampleStale",
    severity: Severity::Critical,
    hold: Hold::For("stale-for"),
    why: "The second half is a broker that was never reached since Redrive started.",
    expression: r#"
        time() - redrive_sample_last_success_timestamp_seconds{cluster!=""} > <stale:seconds>
        or
        (
          max_over_time(redrive_broker_up{cluster!=""}[<stale>]) == 0
          and present_over_time(redrive_broker_up{cluster!=""}[5m] offset <stale>)
          unless on (cluster, system) redrive_sample_last_success_timestamp_seconds{cluster!=""}
        )
    "#,
    summary: "Redrive has no fresh numbers of {{ $labels.system }} cluster {{ $labels.cluster }}",
    description: "The {{ $labels.system }} cluster {{ $labels.cluster }} could not be sampled for <stale>, so \
        nothing about it can alert. The Status page of Redrive and `redrive check` say what the broker answers.",
};

const DOWN: AlertRule = AlertRule {
    name: "RedriveDown",
    severity: Severity::Critical,
    hold: Hold::ForWhile("down-for"),
    why: "",
    expression: "absent(redrive_build_info)",
    summary: "Redrive is not scraped",
    description: "Prometheus has had no series of Redrive for <down-for>: the process is down, or its address is \
        not a target. Dead letters stay safe in their brokers, but nobody is told about them.",
};

const SERIES_DROPPED: AlertRule = AlertRule {
    name: "RedriveSeriesDropped",
    severity: Severity::Warning,
    hold: Hold::ForWhile("dropped-for"),
    why: "",
    expression: "sum by (reason) (increase(redrive_series_dropped_total[10m])) > 0",
    summary: "Redrive drops series: {{ $labels.reason }}",
    description: "There are more consumer groups, partitions, queues or sources of dead letters than Redrive \
        exports. Numbers are missing in Prometheus, though not on Redrive's pages.",
};
