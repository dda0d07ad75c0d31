//! What a Prometheus says about the rules: read in the background, bounded in time and size, and kept
//! with its age when the next answer does not come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::alert_names;
use crate::config::PrometheusConfig;
use crate::domain::Timestamp;
use crate::http_body::bounded_body;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The rules of a large company with every alert firing; a longer answer is refused.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// What of an answer is kept. A page can show no more, and an answer may hold anything.
const RULES_KEPT: usize = 500;
const ALERTS_KEPT: usize = 100;
const LABELS_KEPT: usize = 30;
const TEXT_KEPT: usize = 300;
const QUERY_KEPT: usize = 4000;

/// How a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    Inactive,
    Pending,
    Firing,
}

impl AlertState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Inactive, Self::Pending, Self::Firing];
        all.into_iter().find(|state| state.as_str() == text)
    }
}

/// One of our alerts as Prometheus has it loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedRule {
    pub name: String,
    /// The expression, as Prometheus writes it.
    pub query: String,
    pub pending_for: Duration,
    pub state: AlertState,
    /// Why the last evaluation failed; empty if it did not.
    pub problem: String,
    /// What is pending or fires, the firing first; cut off after some.
    pub alerts: Vec<FiringAlert>,
    /// How many fire, and how many are pending.
    pub firing: usize,
    pub pending: usize,
}

/// A pending or firing alert.
#[derive(Clone, Debug, PartialEq)]
pub struct FiringAlert {
    pub state: AlertState,
    pub summary: String,
    /// Without the name of the alert.
    pub labels: BTreeMap<String, String>,
    pub since: Option<Timestamp>,
}

/// An answer of Prometheus.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrometheusAnswer {
    pub rules: Vec<LoadedRule>,
}

/// What is known: the last answer, and why there is no newer one.
#[derive(Clone, Debug, Default)]
pub struct PrometheusView {
    pub answer: Option<(Timestamp, Arc<PrometheusAnswer>)>,
    pub problem: Option<String>,
}

/// Where the reader leaves what it read. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AlertBoard(Arc<Mutex<PrometheusView>>);

impl AlertBoard {
    pub fn view(&self) -> PrometheusView {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, now: Timestamp, result: Result<PrometheusAnswer, String>) {
        let mut view = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(answer) => {
                *view = PrometheusView {
                    answer: Some((now, Arc::new(answer))),
                    problem: None,
                };
            }
            Err(problem) => view.problem = Some(problem),
        }
    }
}

/// Reads the rules of the configured Prometheus at its interval; returns at once without one.
pub async fn follow(config: PrometheusConfig, board: AlertBoard, stop: CancellationToken) {
    let Some(mut url) = config.rules_url() else {
        return;
    };
    // Older releases answer with all rules, which is as good.
    for name in alert_names() {
        url.query_pairs_mut().append_pair("rule_name[]", name);
    }
    let client = match client() {
        Ok(client) => client,
        Err(error) => {
            let problem = crate::error_chain(&error);
            tracing::error!(problem, "Prometheus cannot be asked for its alerts");
            return board.note(Timestamp::now(), Err(problem));
        }
    };
    loop {
        let result = tokio::select! {
            () = stop.cancelled() => return,
            result = ask(&client, &url) => result,
        };
        if let Err(problem) = &result {
            tracing::warn!(problem, "Prometheus does not tell its alerts");
        }
        board.note(Timestamp::now(), result);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(*config.interval) => {}
        }
    }
}

fn client() -> reqwest::Result<Client> {
    // A second one is refused, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    Client::builder()
        .timeout(TIMEOUT)
        .redirect(Policy::none())
        .build()
}

async fn ask(client: &Client, url: &Url) -> Result<PrometheusAnswer, String> {
    // The client's own time-out starts anew with a retry; this one does not.
    match tokio::time::timeout(TIMEOUT, exchange(client, url)).await {
        Ok(Ok(body)) => read_answer(&body),
        Ok(Err(problem)) => Err(problem),
        Err(_elapsed) => Err(format!("it did not answer within {} s", TIMEOUT.as_secs())),
    }
}

async fn exchange(client: &Client, url: &Url) -> Result<BytesMut, String> {
    // The URL may hold a password.
    let broken = |error: reqwest::Error| crate::error_chain(&error.without_url());
    let response = client.get(url.clone()).send().await.map_err(broken)?;
    let status = response.status();
    if !status.is_success() {
        return Err(refusal(status));
    }
    let body = bounded_body(response, ANSWER_LIMIT).await.map_err(broken)?;
    body.ok_or_else(|| {
        format!(
            "its answer is larger than {} MiB; is prometheus.url the address of a Prometheus?",
            ANSWER_LIMIT / 1024 / 1024
        )
    })
}

fn refusal(status: StatusCode) -> String {
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "; prometheus.url needs a user and password that may read rules"
        }
        StatusCode::NOT_FOUND => {
            "; prometheus.url must be the address below which /api/v1/rules is"
        }
        _ if status.is_redirection() => {
            ", a redirect, which is not followed; configure the URL to which it leads"
        }
        _ => "",
    };
    format!("it answered {}{hint}", status.as_u16())
}

#[derive(Deserialize)]
struct Envelope {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    query: String,
    duration: f64,
    state: String,
    last_error: String,
    alerts: Vec<Alert>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Alert {
    state: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    active_at: String,
}

fn read_answer(body: &[u8]) -> Result<PrometheusAnswer, String> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| {
        let place = (error.line(), error.column());
        format!(
            "its answer is no list of rules (line {}, column {})",
            place.0, place.1
        )
    })?;
    let known = alert_names();
    let rules = envelope
        .data
        .groups
        .into_iter()
        .flat_map(|group| group.rules);
    let ours = rules.filter(|rule| rule.kind == "alerting" && known.contains(&rule.name.as_str()));
    Ok(PrometheusAnswer {
        rules: ours.take(RULES_KEPT).map(LoadedRule::from).collect(),
    })
}

impl From<Rule> for LoadedRule {
    fn from(rule: Rule) -> Self {
        let mut alerts: Vec<FiringAlert> = rule.alerts.into_iter().filter_map(read_alert).collect();
        let in_state = |state| alerts.iter().filter(|alert| alert.state == state).count();
        let (firing, pending) = (in_state(AlertState::Firing), in_state(AlertState::Pending));
        alerts.sort_by_key(|alert| (std::cmp::Reverse(alert.state), alert.since));
        alerts.truncate(ALERTS_KEPT);
        Self {
            state: AlertState::parse(&rule.state).unwrap_or(AlertState::Inactive),
            name: rule.name,
            query: kept(&rule.query, QUERY_KEPT),
            pending_for: Duration::try_from_secs_f64(rule.duration).unwrap_or_default(),
            problem: kept(&rule.last_error, TEXT_KEPT),
            alerts,
            firing,
            pending,
        }
    }
}

fn read_alert(alert: Alert) -> Option<FiringAlert> {
    let state = AlertState::parse(&alert.state)?;
    let labels = alert
        .labels
        .into_iter()
        .filter(|(name, _)| name != "alertname");
    let summary = alert.annotations.get("summary").map_or("", String::as_str);
    Some(FiringAlert {
        state,
        summary: kept(summary, TEXT_KEPT),
        labels: labels
            .take(LABELS_KEPT)
            .map(|(name, value)| (kept(&name, TEXT_KEPT), kept(&value, TEXT_KEPT)))
            .collect(),
        since: Timestamp::parse_rfc3339(&alert.active_at),
    })
}

fn kept(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer(rules: &Value) -> Result<PrometheusAnswer, String> {
        let body = json!({ "status": "success", "data": { "groups": [{ "rules": rules }] } });
        read_answer(body.to_string().as_bytes())
    }

    #[test]
    fn our_alerts_are_read_with_what_fires_first() {
        let alert = |state: &str, group: &str, since: &str| {
            json!({
                "state": state, "activeAt": since, "value": "1e+04",
                "labels": { "alertname": "KafkaConsumerLagHigh", "group": group },
                "annotations": { "summary": format!("{group} is behind") },
            })
        };
        let found = answer(&json!([
            { "type": "recording", "name": "KafkaConsumerLagHigh", "query": "1" },
            { "type": "alerting", "name": "SomebodyElses", "query": "1" },
            {
                "type": "alerting", "name": "KafkaConsumerLagHigh", "query": "x > 1", "duration": 600,
                "state": "firing", "lastError": "out of memory",
                "alerts": [
                    alert("pending", "a", "2026-11-29T10:00:00.123456789Z"),
                    alert("firing", "b", "2026-11-29T11:00:00Z"),
                    alert("nonsense", "c", ""),
                ],
            },
        ]));
        let [rule] = &found.unwrap().rules[..] else {
            panic!("one rule");
        };
        assert_eq!(rule.state, AlertState::Firing);
        assert_eq!((rule.firing, rule.pending), (1, 1));
        assert_eq!(rule.pending_for, Duration::from_mins(10));
        assert_eq!(rule.problem, "out of memory");
        assert_eq!(rule.alerts[0].summary, "b is behind");
        assert_eq!(rule.alerts[0].labels.len(), 1, "without the name");
        assert!(rule.alerts[1].since.is_some());
    }

    #[test]
    fn a_hostile_answer_is_cut_or_refused() {
        let labels: BTreeMap<String, String> = (0..40)
            .map(|n| (format!("l{n}"), "é".repeat(400)))
            .collect();
        let alerts = vec![json!({ "state": "firing", "labels": labels }); 150];
        let rule = json!({
            "type": "alerting", "name": "DLQGrowing", "query": "x".repeat(5_000), "duration": -1e300,
            "state": "\u{202e}", "alerts": alerts,
        });
        let found = answer(&json!(vec![rule; 2])).unwrap();
        let rule = &found.rules[0];
        assert_eq!((rule.alerts.len(), rule.firing), (ALERTS_KEPT, 150));
        assert_eq!(rule.query.chars().count(), QUERY_KEPT + 1);
        assert_eq!(rule.alerts[0].labels.len(), LABELS_KEPT);
        assert_eq!(
            (rule.state, rule.pending_for),
            (AlertState::Inactive, Duration::ZERO)
        );
        let nested = "[".repeat(100_000);
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "<html>",
            r#"{"data":{"groups":1}}"#,
            &nested,
        ] {
            let problem = read_answer(body.as_bytes()).unwrap_err();
            assert!(problem.contains("no list of rules"), "{problem}");
        }
    }

    #[test]
    fn the_last_answer_stays_while_no_other_comes() {
        let board = AlertBoard::default();
        board.note(Timestamp(1), Ok(PrometheusAnswer::default()));
        board.note(Timestamp(2), Err("it answered 503".to_owned()));
        let view = board.view();
        assert_eq!(view.answer.unwrap().0, Timestamp(1));
        assert_eq!(view.problem.as_deref(), Some("it answered 503"));
        board.note(Timestamp(3), Ok(PrometheusAnswer::default()));
        assert_eq!(board.view().problem, None);
    }
}
