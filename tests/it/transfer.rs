//! Dead letters from one installation to another, by the API and from a shell.

use redrive::config::Config;
use redrive::domain::{Custody, Snapshot, Timestamp};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::dashboard::Dashboard;
use crate::support::shell::{fails, succeeds, typed};
use crate::support::snapshots::busy_snapshot;
use crate::support::stored_letters::{Letter, queue_letter};
use crate::support::visitor::{api, client};

async fn empty() -> Dashboard {
    let snapshot: Snapshot = busy_snapshot(Timestamp::now());
    Dashboard::serve(snapshot, Config::parse("", []).unwrap()).await
}

async fn export(dashboard: &Dashboard, filter: &str) -> String {
    let url = dashboard.url(&format!("/api/v1/dead-letters/export?filter={filter}"));
    let response = client().get(url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    response.text().await.unwrap()
}

async fn import(dashboard: &Dashboard, lines: &str, dry_run: bool) -> Value {
    let url = dashboard.url(&format!("/api/v1/dead-letters/import?dry_run={dry_run}"));
    let request = client().post(url).body(lines.to_owned());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

const IN_QUEUE: &str = "a replay would be a second";

/// What an import changes of a line.
fn as_imported(line: &str) -> Value {
    let mut line: Value = serde_json::from_str(line).unwrap();
    if line["status"] == "replaying" || line["status"] == "discarded" {
        line["status"] = json!("open");
    }
    line
}

#[tokio::test]
async fn what_is_exported_imported_and_exported_again_is_the_same() {
    let (here, there) = (Dashboard::busy().await, empty().await);
    let exported = export(&here, "").await;
    let count = exported.lines().count();
    assert!(count > 10, "{count}");
    assert!(exported.contains("\"author\""), "none was edited");
    let judged = import(&there, &exported, true).await;
    assert_eq!(
        (&judged["imported"], &judged["faulty"]),
        (&json!(count), &json!(0)),
        "{judged}"
    );
    assert_eq!(export(&there, "").await, "", "a dry run imported something");
    let imported = import(&there, &exported, false).await;
    assert_eq!(imported["imported"], json!(count), "{imported}");
    let expected: Vec<_> = exported.lines().map(as_imported).collect();
    let again = export(&there, "").await;
    let again: Vec<Value> = again
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(again, expected);
    let reopened = exported
        .lines()
        .filter(|line| as_imported(line) != serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(imported["reopened"], json!(reopened.count()));
}

#[tokio::test]
async fn what_still_lies_in_its_queue_is_not_replayed_where_it_is_imported() {
    let (here, there, elsewhere) = (empty().await, empty().await, empty().await);
    let mut letter = queue_letter(&Letter {
        offset: 1,
        event_type: "OrderCreated",
        class: "Late",
        message: "x",
        body: b"{}",
        age: 1,
    });
    letter.custody = Custody::Broker;
    let (cluster, vhost, queue) = (letter.cluster.clone(), "/".into(), "orders.dlq".into());
    let store = &here.state.store;
    store
        .replace_window(&cluster, (&vhost, &queue), &[letter], Timestamp::now())
        .await
        .unwrap();
    let line = export(&here, "").await;
    assert!(line.contains("\"custody\":\"broker\""), "{line}");
    let refusal = async |dashboard: &Dashboard| {
        let url = dashboard.url("/api/v1/replays/preflight");
        let request = json!({ "dead_letter_ids": [1] });
        let request = client().post(url).json(&request);
        request.send().await.unwrap().text().await.unwrap()
    };
    let judged = import(&there, &line, true).await;
    assert_eq!(judged["still_in_queue"], 1, "{judged}");
    import(&there, &line, false).await;
    let refused = refusal(&there).await;
    assert!(refused.contains(IN_QUEUE), "{refused}");
    assert_eq!(export(&there, "").await, line);
    // A line of an earlier version does not tell.
    let line = line.replace("\"custody\":\"broker\",", "");
    let imported = import(&elsewhere, &line, false).await;
    assert_eq!(
        (&imported["imported"], &imported["still_in_queue"]),
        (&json!(1), &json!(0)),
        "{imported}"
    );
    let judged = refusal(&elsewhere).await;
    assert!(
        judged.contains("dead_letter_id") && !judged.contains(IN_QUEUE),
        "{judged}"
    );
}

#[tokio::test]
async fn the_same_line_twice_is_one_dead_letter() {
    let (here, there) = (Dashboard::busy().await, empty().await);
    let exported = export(&here, "system:kafka").await;
    let count = exported.lines().count();
    // Where it comes from, everything is there.
    let at_home = import(&here, &exported, false).await;
    assert_eq!(at_home["already_here"], json!(count), "{at_home}");
    let twice = exported.repeat(2);
    let first = import(&there, &twice, false).await;
    assert_eq!(
        (&first["imported"], &first["already_here"]),
        (&json!(count), &json!(count)),
        "{first}"
    );
    let second = import(&there, &exported, false).await;
    assert_eq!(second["already_here"], json!(count), "{second}");
    let audit = api(&there, "/audit?action=dead_letters.import").await;
    assert_eq!(audit["items"].as_array().unwrap().len(), 1, "{audit}");
    let ids = &audit["items"][0]["detail"]["dead_letters"];
    assert_eq!(ids, &first["dead_letter_ids"]);
}

#[tokio::test]
async fn a_faulty_line_is_named_and_nothing_of_its_request_is_imported() {
    let (here, there) = (Dashboard::busy().await, empty().await);
    let exported = export(&here, "").await;
    let good = exported.lines().next().unwrap();
    let foreign = good.replace("redrive-dead-letter/1", "redrive-dead-letter/9");
    let lines = format!("{good}\n\n{foreign}\n{{\n");
    let answer = import(&there, &lines, false).await;
    assert_eq!(
        (&answer["imported"], &answer["faulty"]),
        (&json!(0), &json!(2)),
        "{answer}"
    );
    assert_eq!(answer["faults"][0]["line"], 3, "{answer}");
    assert!(
        answer["faults"][0]["error"]
            .as_str()
            .unwrap()
            .contains("redrive-dead-letter/9"),
        "{answer}"
    );
    assert_eq!(answer["faults"][1]["line"], 4, "{answer}");
    assert_eq!(export(&there, "").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_lists_shows_edits_discards_and_restores() {
    let dashboard = Dashboard::busy().await;
    let list = succeeds(&dashboard, &["list", "--filter", "system:rabbitmq"]);
    assert!(
        list.contains("orders.dlq") && list.starts_with("ID"),
        "{list}"
    );
    let shown = succeeds(&dashboard, &["show", "20"]);
    assert!(
        shown.contains("headers") && shown.contains("payload"),
        "{shown}"
    );
    let folder = tempfile::tempdir().unwrap();
    let payload = folder.path().join("payload.json");
    std::fs::write(&payload, "{\"repaired\":true}").unwrap();
    let payload = payload.to_str().unwrap();
    let edit = [
        "edit",
        "20",
        "--payload",
        payload,
        "--header",
        "x-fixed=yes",
        "--note",
        "why",
        "--yes",
    ];
    let saved = succeeds(&dashboard, &edit);
    assert!(saved.contains("saved as revision"), "{saved}");
    let letter = api(&dashboard, "/dead-letters/20").await;
    let revision = &letter["latest_revision"];
    let message = api(
        &dashboard,
        &format!("/dead-letters/20/revisions/{revision}"),
    )
    .await;
    assert_eq!(message["payload"]["text"], "{\"repaired\":true}");
    let headers = message["headers"].as_array().unwrap();
    assert_eq!(headers.last().unwrap()["name"], "x-fixed", "{message}");
    let unchanged = fails(&dashboard, &["edit", "20", "--payload", payload, "--yes"]);
    assert!(unchanged.contains("nothing was changed"), "{unchanged}");
    let discard = ["discard", "20", "--reason", "known", "--yes"];
    assert_eq!(succeeds(&dashboard, &discard), "1 discarded\n");
    assert_eq!(
        succeeds(&dashboard, &["restore", "20", "--yes"]),
        "1 restored\n"
    );
    let problem = fails(&dashboard, &["list", "--filter", "status:nonsense"]);
    assert!(problem.contains("nonsense"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_exports_and_imports() {
    let (here, there) = (Dashboard::busy().await, empty().await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letters.ndjson");
    let file = file.to_str().unwrap();
    let said = succeeds(&here, &["export", "-o", file]);
    let written = std::fs::read_to_string(file).unwrap();
    let count = written.lines().count();
    assert_eq!(said, format!("{count} exported to {file}\n"));
    assert_eq!(succeeds(&here, &["export"]), written);
    let exists = fails(&here, &["export", "-o", file]);
    assert!(exists.contains(file), "{exists}");
    let judged = succeeds(&there, &["import", file, "--dry-run"]);
    assert!(
        judged.starts_with(&format!("{count} of {count} lines would be imported")),
        "{judged}"
    );
    let done = succeeds(&there, &["import", file, "--yes", "--json"]);
    let done: Value = serde_json::from_str(&done).unwrap();
    assert_eq!(done["imported"], json!(count));
    let again = succeeds(&there, &["import", file, "--yes"]);
    assert!(
        again.contains(&format!("{count} are here already")),
        "{again}"
    );
    std::fs::write(file, format!("{written}nonsense\n")).unwrap();
    let refused = fails(&there, &["import", file, "--yes"]);
    assert!(
        refused.contains(&format!("line {}: ", count + 1)),
        "{refused}"
    );
    let told = typed(&there, &["import", file, "--yes", "--json"], "");
    assert_eq!(told.status.code(), Some(2));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let numbers = [&told["lines"], &told["imported"], &told["faulty"]];
    assert_eq!(numbers, [&json!(count + 1), &json!(0), &json!(1)], "{told}");
    assert_eq!(told["faults"][0]["line"], json!(count + 1), "{told}");
}

#[tokio::test]
async fn what_is_masked_leaves_in_no_export_and_is_not_imported() {
    let here = Dashboard::busy().await;
    let rules = "[masking]\nheaders = ['x-error-*']\npayload = ['data.customerId']\n";
    let config = Config::parse(rules, []).unwrap();
    let masked = Dashboard::serve(busy_snapshot(Timestamp::now()), config).await;
    let exported = export(&here, "").await;
    let secrets = ["cust-17", "PaymentGatewayTimeout"];
    assert!(secrets.iter().all(|secret| exported.contains(secret)));
    let imported = import(&masked, &exported, false).await;
    assert_eq!(imported["faulty"], 0, "{imported}");

    let lines = export(&masked, "").await;
    assert_eq!(lines.lines().count(), exported.lines().count());
    for secret in secrets {
        assert!(!lines.contains(secret), "{secret} in {lines}");
    }
    assert!(lines.contains("\\\"customerId\\\":\\\"***\\\""), "{lines}");
    let refused = import(&empty().await, &lines, true).await;
    assert_eq!(refused["imported"], 0);
    let error = refused["faults"][0]["error"].as_str().unwrap();
    assert!(error.contains("masked when it was exported"), "{error}");
}
