//! The dashboards for Grafana: their form, their layout, and where their links lead.

use std::collections::BTreeSet;
use std::fs;

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::dashboard::Dashboard;
use crate::support::dashboards::dashboards;
use crate::support::prometheus::root;
use crate::support::visitor::get;

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "panels").iter()
}

#[test]
fn every_dashboard_fits_grafanas_model() {
    let path = root().join("tests/fixtures/grafana/dashboard.schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let dashboards = dashboards();
    assert_eq!(dashboards.len(), 5);
    for (file, dashboard) in &dashboards {
        let faults = validator.iter_errors(dashboard);
        let faults: Vec<_> = faults
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{file}: {faults:#?}");
        assert_eq!(
            format!("{}.json", dashboard["uid"].as_str().unwrap()),
            *file
        );
    }
    let titles: BTreeSet<_> = dashboards
        .iter()
        .map(|(_, d)| d["title"].to_string())
        .collect();
    assert_eq!(
        titles.len(),
        dashboards.len(),
        "each has a title of its own"
    );
}

#[test]
fn panels_have_their_own_place_and_number() {
    for (file, dashboard) in dashboards() {
        let mut taken = BTreeSet::new();
        let mut numbers = BTreeSet::new();
        for panel in panels(&dashboard) {
            let (title, place) = (&panel["title"], &panel["gridPos"]);
            let number = |key: &str| place[key].as_u64().unwrap();
            let (right, bottom) = (number("x") + number("w"), number("y") + number("h"));
            assert!(right <= 24, "{file}: {title} reaches beyond the right edge");
            for x in number("x")..right {
                for y in number("y")..bottom {
                    assert!(
                        taken.insert((x, y)),
                        "{file}: {title} overlaps another panel"
                    );
                }
            }
            assert!(
                numbers.insert(panel["id"].as_u64()),
                "{file}: {title} has a number twice"
            );
        }
    }
}

/// Names in `${name}`, `${name:format}` and `$name`, without those that Grafana brings.
fn variables_in(text: &str) -> BTreeSet<String> {
    let after_dollar = text.split('$').skip(1);
    let name = |rest: &str| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        rest[..end.unwrap_or(rest.len())].to_owned()
    };
    let names = after_dollar.map(name);
    names.filter(|name| !name.starts_with("__")).collect()
}

#[test]
fn every_variable_is_used_and_every_used_one_is_there() {
    for (file, dashboard) in dashboards() {
        let variables = list(&dashboard["templating"], "list").iter();
        let declared: BTreeSet<_> = variables
            .map(|variable| variable["name"].as_str().unwrap().to_owned())
            .collect();
        let used: BTreeSet<_> = panels(&dashboard)
            .flat_map(|panel| variables_in(&panel.to_string()))
            .collect();
        assert_eq!(declared, used, "{file}");
        let others = [
            &dashboard["annotations"],
            &dashboard["links"],
            &dashboard["templating"],
        ];
        for part in others {
            let unknown: Vec<_> = variables_in(&part.to_string())
                .difference(&declared)
                .cloned()
                .collect();
            assert!(unknown.is_empty(), "{file}: {unknown:?}");
        }
    }
}

#[test]
fn every_dashboard_is_provisioned_and_shows_replays_where_they_matter() {
    let compose = fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let provisioning = root().join("grafana/provisioning/dashboards/redrive.yml");
    let provisioning = fs::read_to_string(provisioning).unwrap();
    assert!(provisioning.contains("path: /var/lib/grafana/dashboards\n"));
    for (file, dashboard) in dashboards() {
        let mount = format!("./grafana/{file}:/var/lib/grafana/dashboards/{file}:ro");
        assert!(
            compose.contains(&mount),
            "docker-compose.yml does not mount {file}"
        );
        let annotations = list(&dashboard["annotations"], "list");
        let replays = annotations
            .iter()
            .any(|a| a["expr"].as_str().unwrap().contains("dlq_replayed_total"));
        assert_eq!(replays, file != "redrive-itself.json", "{file}");
    }
}

/// A link as a click on a series of the busy dashboard would fill it in.
fn filled_in(url: &str) -> String {
    let mut url = url.strip_prefix("${redrive_url}").unwrap().to_owned();
    let cluster = if url.starts_with("/queues") {
        "rabbitmq"
    } else {
        "kafka"
    };
    let values = [
        ("cluster", cluster),
        ("group", "payment-consumers"),
        ("consumer", "payment-consumers"),
        ("vhost", "%2F"),
        ("queue", "orders.dlq"),
        ("dlq", "orders.dlq"),
        ("source", "orders"),
    ];
    for (label, value) in values {
        for form in ["__field.labels", "__data.fields"] {
            url = url.replace(&format!("${{{form}.{label}:percentencode}}"), value);
        }
    }
    assert!(!url.contains('$'), "{url}");
    url
}

#[tokio::test]
async fn every_link_of_a_panel_leads_to_a_page() {
    let dashboard = Dashboard::busy().await;
    let mut paths = BTreeSet::new();
    for (_, described) in dashboards() {
        for panel in panels(&described) {
            let links = list(&panel["fieldConfig"]["defaults"], "links");
            paths.extend(
                links
                    .iter()
                    .map(|link| filled_in(link["url"].as_str().unwrap())),
            );
        }
    }
    assert!(paths.len() >= 10, "{paths:?}");
    for path in paths {
        let (status, _, html) = get(&dashboard, &path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(!html.contains("filter-error"), "{path}");
        if path.contains("dlq%3A") {
            assert!(html.contains("data-open"), "{path} finds dead letters");
        }
    }
}
