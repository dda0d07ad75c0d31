//! `redrive dead-letters`: what a shell does beside listing and moving dead letters.

use std::process::{Command, Stdio};

use redrive::domain::Timestamp;
use serde_json::{Value, json};

use crate::support::dashboard::Dashboard;
use crate::support::shell::{agreed, fails, refused, succeeds, typed};
use crate::support::stored_letters::{Letter, kafka_letter};
use crate::support::visitor::{api, client};

async fn jobs(dashboard: &Dashboard) -> usize {
    let jobs = api(dashboard, "/replays?limit=1000").await;
    jobs["items"].as_array().unwrap().len()
}

/// More open dead letters than are replayed without typing their number.
pub(crate) async fn many(dashboard: &Dashboard) {
    let letter = |offset| {
        kafka_letter(&Letter {
            offset,
            event_type: "Many",
            class: "Late",
            message: "arrived in a crowd",
            body: b"{\"data\":{}}",
            age: 5,
        })
    };
    let letters: Vec<_> = (1_000..1_101).map(letter).collect();
    let store = &dashboard.state.store;
    store
        .index_kafka_batch(&"kafka".into(), &letters, &[], &[], Timestamp::now())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_would_go_where_and_sends_nothing() {
    let dashboard = Dashboard::busy().await;
    let before = jobs(&dashboard).await;
    let text = succeeds(
        &dashboard,
        &["replay", "13", "12", "1", "4711", "--dry-run"],
    );
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("4 selected; "), "{text}");
    assert!(text.contains("to topic orders on kafka: "), "{text}");
    assert!(
        text.contains("  group payment-consumers, 2 members, failed on them\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "4711  nothing       -                          there is no such dead letter\n"
        ),
        "{text}"
    );
    let judged = succeeds(&dashboard, &["replay", "13", "1", "--dry-run", "--json"]);
    let judged: Value = serde_json::from_str(&judged).unwrap();
    assert_eq!(judged["matching"], 2, "{judged}");
    assert_eq!(judged["events"][0]["dead_letter_id"], 1, "{judged}");
    // The page judges the same.
    let (_, _, page) = crate::support::visitor::get(&dashboard, "/replays/new?id=13&id=1").await;
    let eligible = judged["eligible"].as_u64().unwrap();
    let sum =
        format!("<span class=\"figure\">{eligible}</span><span class=\"status ok\">will be sent");
    assert!(page.contains(&sum), "{judged}: {page}");
    let elsewhere = ["--cluster", "rabbitmq", "--queue", "orders.queue"];
    let text = succeeds(
        &dashboard,
        &[&["replay", "42", "20", "--dry-run"], &elsewhere[..]].concat(),
    );
    assert!(
        text.contains("to queue orders.queue on rabbitmq: 1 event\n"),
        "{text}"
    );
    assert_eq!(jobs(&dashboard).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_shows_its_pre_flight_and_asks() {
    let dashboard = Dashboard::busy().await;
    let before = jobs(&dashboard).await;
    let said = refused(&dashboard, &["replay", "13"], "n\n");
    assert!(
        said.contains("1 selected; 1 will be sent\n")
            && said.contains("Replay 1 event? [y/N] ")
            && said.ends_with("nothing was replayed\n"),
        "{said}"
    );
    assert!(refused(&dashboard, &["replay", "13"], "").contains("nothing was replayed"));
    assert_eq!(jobs(&dashboard).await, before);
    let brake = [
        "--rate",
        "7",
        "--ramp",
        "--stop-count",
        "3",
        "--not-before",
        "2099-01-01T02:00",
    ];
    let (done, _) = agreed(&dashboard, &[&["replay", "13"], &brake[..]].concat(), "y\n");
    assert!(
        done.starts_with("job ") && done.ends_with(": 1 planned\n"),
        "{done}"
    );
    let job = &api(&dashboard, "/replays").await["items"][0];
    let expected = json!({
        "not_before": "2099-01-01T02:00:00.000Z", "events_per_second": 7, "ramp": true,
        "stop_percent": null, "stop_count": 3,
    });
    assert_eq!(job["brake"], expected, "{job}");
    let again = refused(&dashboard, &["replay", "13"], "y\n");
    assert!(
        again.contains("1 refused: active")
            && again.ends_with("nothing of the selection can be replayed\n"),
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_many_is_typed() {
    let dashboard = Dashboard::busy().await;
    many(&dashboard).await;
    let before = jobs(&dashboard).await;
    let replay = ["replay", "--filter", "type:Many"];
    let said = refused(&dashboard, &replay, "y\n");
    assert!(
        said.contains("Replay 101 events? Type 101 to confirm: "),
        "{said}"
    );
    assert!(said.contains("\nand 1 more\n"), "{said}");
    assert_eq!(jobs(&dashboard).await, before);
    let (done, _) = agreed(&dashboard, &replay, "101\n");
    assert!(done.contains(": 101 planned\n"), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_replay_is_refused_in_words() {
    let dashboard = Dashboard::busy().await;
    let check = |arguments: &[&str], expected: &str| {
        let said = fails(&dashboard, &[&["replay"], arguments].concat());
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    check(&[], "<IDS|--filter <FILTER>>");
    check(&["13", "--topic", "t"], "--cluster <CLUSTER>");
    check(&["13", "--cluster", "kafka"], "--topic <TOPIC>");
    check(
        &["13", "--cluster", "kafka", "--topic", "t", "--queue", "q"],
        "cannot be used with",
    );
    check(&["13", "--rate", "0"], "0 is not in 1..");
    check(&["13", "--stop-percent", "101"], "101 is not in 0..=100");
    check(
        &["13", "--not-before", "tonight", "--dry-run"],
        "\"tonight\" is no time; write it like 2026-11-25T02:00 (UTC) or in RFC 3339",
    );
    check(&["--filter", "colour:red", "--dry-run"], "colour");
    check(&["--filter", "id:4711", "--dry-run"], "nothing is selected");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_if_another_number_would_be() {
    let dashboard = Dashboard::busy().await;
    let url = dashboard.url("/api/v1/replays");
    let body = json!({ "dead_letter_ids": [13], "eligible": 2 });
    let answer = client().post(url).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 409);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(
        problem["detail"],
        "meanwhile the number of events that would be sent changed from 2 to 1; look again and confirm"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_steers_a_job() {
    let dashboard = Dashboard::busy().await;
    let made = succeeds(&dashboard, &["replay", "13", "14", "--yes", "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let job = made["id"].as_str().unwrap();
    let list = succeeds(&dashboard, &["replays"]);
    assert!(list.starts_with("JOB ") && list.contains(job), "{list}");
    assert_eq!(succeeds(&dashboard, &["replays", "list"]), list);
    let one = succeeds(&dashboard, &["replays", "--limit", "1", "--json"]);
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one["items"][0]["id"], job);
    let paused = succeeds(&dashboard, &["replays", "pause", job]);
    assert!(
        paused.contains("paused, started ") && paused.contains("why: paused by anonymous\n"),
        "{paused}"
    );
    let twice = fails(&dashboard, &["replays", "pause", job]);
    assert!(
        twice.contains(&format!("replay job {job} is paused already")),
        "{twice}"
    );
    let resumed = succeeds(&dashboard, &["replays", "resume", job]);
    assert!(resumed.contains("ready, started "), "{resumed}");
    let braked = succeeds(&dashboard, &["replays", "brake", job, "--rate", "5"]);
    assert!(braked.contains("at most 5 events per second\n"), "{braked}");
    let shown = succeeds(&dashboard, &["replays", "show", job]);
    assert!(
        shown.contains("13           planned  ") && shown.contains("topic orders, partition 1"),
        "{shown}"
    );
    let none = succeeds(
        &dashboard,
        &["replays", "show", job, "--state", "sent", "--json"],
    );
    let none: Value = serde_json::from_str(&none).unwrap();
    assert_eq!((&none["total"], &none["events"]), (&json!(2), &json!([])));
    let no = refused(&dashboard, &["replays", "cancel", job], "n\n");
    assert!(
        no.contains("Cancel 2 events that the job has not sent yet?")
            && no.ends_with("nothing was cancelled\n"),
        "{no}"
    );
    let cancelled = succeeds(&dashboard, &["replays", "cancel", job, "--yes"]);
    assert!(cancelled.contains(": 2 cancelled\n"), "{cancelled}");
    let nothing = fails(&dashboard, &["replays", "cancel", job, "--yes"]);
    assert!(nothing.contains("left to cancel: 2 cancelled"), "{nothing}");
    let nonsense = fails(&dashboard, &["replays", "show", "nonsense"]);
    assert!(
        nonsense.contains("a replay job is named by a UUID"),
        "{nonsense}"
    );
    let state = fails(&dashboard, &["replays", "show", job, "--state", "gone"]);
    assert!(
        state.contains("state: ") && state.contains("gone"),
        "{state}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_decides_what_is_unknown() {
    let dashboard = Dashboard::busy().await;
    let unknown = succeeds(&dashboard, &["replays", "unknown", "--json"]);
    let unknown: Value = serde_json::from_str(&unknown).unwrap();
    assert_eq!(unknown["count"], 1, "{unknown}");
    let event = &unknown["items"][0];
    let (job, replay) = (
        event["job_id"].as_str().unwrap(),
        event["replay_id"].as_str().unwrap(),
    );
    let listed = succeeds(
        &dashboard,
        &["replays", "unknown", "--filter", "cluster:kafka"],
    );
    assert!(
        listed.starts_with("1 unknown\n") && listed.contains(replay) && listed.contains(job),
        "{listed}"
    );
    let elsewhere = ["replays", "unknown", "--filter", "dlq:elsewhere"];
    assert_eq!(succeeds(&dashboard, &elsewhere), "0 unknown\n");
    let none = [
        "replays",
        "decide",
        "send-again",
        "--filter",
        "dlq:elsewhere",
    ];
    assert!(fails(&dashboard, &none).contains("none of them is unknown"));
    let all = ["replays", "decide", "send-again", "--filter", ""];
    let no = refused(&dashboard, &all, "\n");
    assert!(
        no.contains("Send 1 unknown replay again? [y/N] ") && no.ends_with("nothing was decided\n"),
        "{no}"
    );
    let perhaps = fails(&dashboard, &["replays", "decide", "perhaps", job]);
    assert!(
        perhaps.contains("accept-as-sent, accept-as-failed, send-again"),
        "{perhaps}"
    );
    let foreign = fails(
        &dashboard,
        &["replays", "decide", "send-again", job, job, "--yes"],
    );
    assert!(
        foreign.contains(&format!("there is no replay {job}")),
        "{foreign}"
    );
    let one = [
        "replays",
        "decide",
        "accept-as-failed",
        job,
        replay,
        "--yes",
    ];
    assert_eq!(succeeds(&dashboard, &one), "1 decided\n");
    let again = fails(&dashboard, &one);
    assert!(again.contains("failed"), "{again}");
    let job_left = fails(&dashboard, &["replays", "decide", "send-again", job]);
    assert!(job_left.contains("none of them is unknown"), "{job_left}");
    let awaiting = succeeds(&dashboard, &["replays", "awaiting"]);
    assert!(
        awaiting.starts_with("2 awaiting\n") && awaiting.contains("the broker confirmed it"),
        "{awaiting}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn show_tells_the_history_that_the_page_tells() {
    let dashboard = Dashboard::busy().await;
    let check = |id: &str, expected: &[&str]| {
        let text = succeeds(&dashboard, &["show", id]);
        let (_, history) = text.split_once("\nhistory\n").unwrap();
        for words in expected {
            assert!(history.contains(words), "{words}: {history}");
        }
    };
    let death = "died in orders, 3 times: MissingField: data.customerId is required\n";
    let replay = "replay 1 (revision 1) to topic orders, partition 1, passed: payment-consumers (";
    let edit = "edited by anonymous, revision 1: add the customer\n";
    let arrival = "arrived in orders.dlq: the broker keeps the message\n";
    check("3", &[death, arrival, edit, replay]);
    let letter = api(&dashboard, "/dead-letters/20").await;
    let group = letter["failure_group"].as_str().unwrap();
    succeeds(&dashboard, &["groups", "note", group, "look"]);
    succeeds(&dashboard, &["discard", "20", "--reason", "stale", "--yes"]);
    let note = "note of anonymous on its failure group: look\n";
    check(
        "20",
        &["discarded by anonymous, expires ", "Z: stale\n", note],
    );
    let told = succeeds(&dashboard, &["show", "20", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let history = &told["history"];
    assert_eq!(history["discard"]["reason"], "stale", "{told}");
    assert_eq!(history["notes"][0]["text"], "look", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_a_topic_only_is_not_fetched_and_says_why() {
    let dashboard = Dashboard::busy().await;
    let output = typed(&dashboard, &["fetch-bodies", "13", "4711"], "");
    let told = String::from_utf8(output.stdout).unwrap();
    let expected =
        "0 fetched\n13: its body is in the store already\n4711: there is no dead letter 4711\n";
    assert_eq!(told, expected);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "error: bodies that were not fetched: 2\n");
}

#[test]
fn a_command_whose_reader_goes_ends_quietly() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redrive"))
        .arg("config-reference")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(command.stdout.take());
    let output = command.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(141));
}
