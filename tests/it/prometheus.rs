//! A real Prometheus scrapes, and every expression that is shipped finds data.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::dashboards::dashboards;
use crate::support::exposition::{self, MovingMetrics};
use crate::support::prometheus::Prometheus;
use crate::support::promql::{Expression, expressions_of_dashboard, selectors};

/// Selectors that may find no series (those that begin with this text or hold it as a matcher), why, and
/// an expression that must have data to prove it.
pub(crate) struct LegitimatelyEmpty {
    part: &'static str,
    because: &'static str,
    proof: &'static str,
}

/// What has no series while the sample workload runs as it should.
pub(crate) const EMPTY_ON_THE_DEMO: [LegitimatelyEmpty; 5] = [
    LegitimatelyEmpty {
        part: "redrive_trace_export_spans_total",
        because: "the demo has no backend of OpenTelemetry",
        proof: "redrive_trace_events_total",
    },
    LegitimatelyEmpty {
        part: "dlq_expiring_bodies",
        because: "every body of the sample workload is small enough for the store",
        proof: "dlq_depth{system=\"kafka\"}",
    },
    LegitimatelyEmpty {
        part: "redrive_rabbitmq_queue_dead_letter_unroutable",
        because: "every dead-letter key of the sample workload routes somewhere",
        proof: "redrive_rabbitmq_queue_info{role=\"dlq\"}",
    },
    LegitimatelyEmpty {
        part: "redrive_rabbitmq_queue_circling",
        because: "the consumers of the sample workload settle what they get",
        proof: "redrive_rabbitmq_queue_info{role=\"retry\"}",
    },
    LegitimatelyEmpty {
        part: "redrive_rabbitmq_dead_lettered_total",
        because: "only RabbitMQ's prometheus plugin tells it",
        proof: "redrive_rabbitmq_queue_info unless on () redrive_rabbitmq_dead_lettered_total",
    },
];

/// Metrics of the process as a whole, which belong to no cluster.
const WITHOUT_CLUSTER: [&str; 6] = [
    "redrive_build_info",
    "redrive_series_dropped_total",
    "redrive_http_",
    "redrive_store_",
    "redrive_trace_export_",
    "process_",
];

/// Runs every expression of every panel, variable and rule of what is shipped against a Prometheus
/// that scrapes a dashboard: a panel's whole, a rule's selectors (its condition is false when all is
/// well). Each must return data or be legitimately empty.
pub(crate) async fn every_expression_finds_data(
    prometheus: &Prometheus,
    legitimately_empty: &[LegitimatelyEmpty],
) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let failures = failures(prometheus, legitimately_empty).await;
        if failures.is_empty() {
            return;
        }
        let failures = failures.join("\n");
        assert!(Instant::now() < deadline, "without data:\n{failures}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn failures(prometheus: &Prometheus, empty: &[LegitimatelyEmpty]) -> Vec<String> {
    let mut failures = Vec::new();
    for Expression { origin, promql } in shipped_expressions(prometheus).await {
        let found = prometheus.query(&promql).await;
        if found.as_ref().is_ok_and(|found| !found.is_empty()) {
            continue;
        }
        if found.is_ok() && is_legitimately_empty(prometheus, &promql, empty).await {
            continue;
        }
        failures.push(format!("{origin}: {promql} ({:?})", found.err()));
    }
    failures
}

async fn is_legitimately_empty(
    prometheus: &Prometheus,
    promql: &str,
    empty: &[LegitimatelyEmpty],
) -> bool {
    let selectors = selectors(promql);
    for LegitimatelyEmpty {
        part,
        because,
        proof,
    } in empty
    {
        let concerned = selectors
            .iter()
            .any(|s| name_of(s) == *part || s.contains(part));
        if concerned && prometheus.query(proof).await.is_ok_and(|p| !p.is_empty()) {
            eprintln!("{promql} is empty: {because}");
            return true;
        }
    }
    false
}

async fn shipped_expressions(prometheus: &Prometheus) -> Vec<Expression> {
    let mut expressions = dashboard_expressions();
    for (alert, query) in prometheus.rules().await {
        expressions.extend(selectors(&query).into_iter().map(|promql| Expression {
            origin: format!("alert {alert}"),
            promql,
        }));
    }
    expressions
}

fn dashboard_expressions() -> Vec<Expression> {
    let dashboards = dashboards().into_iter();
    dashboards
        .flat_map(|(_, dashboard)| expressions_of_dashboard(&dashboard))
        .collect()
}

fn name_of(selector: &str) -> &str {
    selector.split('{').next().unwrap_or_default()
}

#[tokio::test]
async fn every_shipped_expression_finds_data_in_a_real_prometheus() {
    let address = exposition::serve(Arc::new(MovingMetrics::new())).await;
    let prometheus = Prometheus::scraping(&address.to_string()).await;
    every_expression_finds_data(&prometheus, &[]).await;
    assert_eq!(prometheus.scrape_error().await, "");
    let doubled = "prometheus_target_scrapes_sample_duplicate_timestamp_total";
    assert!(
        prometheus.own_metric(doubled).await.abs() < 0.5,
        "{doubled}"
    );
}

#[tokio::test]
async fn a_real_prometheus_negotiates_openmetrics() {
    let every_alias = "[metrics]\naliases = ['rabbitmq', 'kafka_exporter', 'kafka_lag_exporter']";
    let metrics = Arc::new(MovingMetrics::configured(every_alias));
    let address = exposition::serve(Arc::clone(&metrics)).await;
    let prometheus = Prometheus::scraping(&address.to_string()).await;
    assert_eq!(prometheus.scrape_error().await, "");
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(
        metrics.answered(),
        (openmetrics.to_owned(), "gzip".to_owned())
    );
    for (family, kind, unit) in [
        ("dlq_messages", "counter", ""),
        ("redrive_build", "info", ""),
        ("redrive_rabbitmq_queue_bytes", "gauge", "bytes"),
        ("event_processing_duration_seconds", "histogram", "seconds"),
        ("process_cpu_seconds", "counter", "seconds"),
    ] {
        let described = prometheus.described(family).await;
        let expected = Some((kind.to_owned(), unit.to_owned()));
        assert_eq!(described, expected, "{family}");
    }
    for series in [
        "dlq_messages_total{dlq=\"orders.dlq\"} > 5",
        "redrive_build_info == 1",
        "redrive_rabbitmq_queue_info{role=\"dlq\"}",
        "event_processing_duration_seconds_bucket{le=\"20.0\"}",
        "redrive_http_request_duration_seconds_bucket{le=\"1.0\"}",
        "kafka_consumergroup_lag_sum",
        "kafka_consumergroup_group_lag",
        "rabbitmq_global_messages_dead_lettered_rejected_total",
    ] {
        let found = prometheus.query(series).await.expect("an expression");
        assert!(!found.is_empty(), "{series}");
    }
}

#[tokio::test]
async fn every_shipped_expression_selects_a_cluster() {
    let address = exposition::serve(Arc::new(MovingMetrics::new())).await;
    let prometheus = Prometheus::scraping(&address.to_string()).await;
    assert!(
        prometheus.rules().await.len() >= 20,
        "all rule files are loaded"
    );
    for Expression { origin, promql } in shipped_expressions(&prometheus).await {
        for selector in selectors(&promql) {
            let exempt = WITHOUT_CLUSTER
                .iter()
                .any(|name| selector.starts_with(name));
            assert!(
                exempt || selector.contains("cluster!=\"\""),
                "{origin}: {selector}"
            );
        }
    }
}

/// Set `REDRIVE_TEST_DASHBOARD=127.0.0.1:8750` to check a dashboard that runs beside the sample
/// workload.
#[tokio::test]
async fn every_shipped_expression_finds_data_on_a_running_dashboard() {
    let Ok(dashboard) = std::env::var("REDRIVE_TEST_DASHBOARD") else {
        return;
    };
    let prometheus = Prometheus::scraping(&dashboard).await;
    every_expression_finds_data(&prometheus, &EMPTY_ON_THE_DEMO).await;
}
