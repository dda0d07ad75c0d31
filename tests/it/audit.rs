//! The audit as people and scripts meet it: the page's filter, the files, and `redrive audit verify`.

use std::path::Path;
use std::process::Output;

use redrive::store::Store;
use serde_json::Value;
use tokio::process::Command;

use crate::support::crashes::serve;
use crate::support::dashboard::Dashboard;
use crate::support::{eventually, install_crypto_provider};

async fn get(dashboard: &Dashboard, path: &str) -> (u16, String) {
    install_crypto_provider();
    let response = reqwest::get(dashboard.url(path)).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_page_shows_what_its_url_asks_for_and_where_the_chain_ends() {
    let dashboard = Dashboard::busy().await;
    let head = dashboard.state.store.audit_head().await.unwrap().unwrap();
    let (status, html) = get(&dashboard, "/audit?action=replay").await;
    assert_eq!(status, 200);
    assert!(html.contains("<code>replay.create</code>"), "{html}");
    assert!(!html.contains("<code>revision.create</code>"), "{html}");
    assert!(html.contains(&head.hash), "{html}");
    let (_, html) = get(&dashboard, "/audit?actor=nobody").await;
    assert!(html.contains("No entry matches"), "{html}");
    let (status, html) = get(&dashboard, "/audit?since=yesterday").await;
    assert_eq!(status, 200);
    assert!(html.contains("since=yesterday is no time"), "{html}");
    assert!(!html.contains("<code>replay.create</code>"), "{html}");
}

#[tokio::test]
async fn an_export_holds_every_entry_oldest_first() {
    let dashboard = Dashboard::busy().await;
    let (_, text) = get(&dashboard, "/api/v1/audit/export").await;
    let entries: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(entries.len(), 2, "{text}");
    assert_eq!(entries[0]["action"], "revision.create");
    assert_eq!(entries[1]["previous_hash"], entries[0]["hash"]);
    let (_, text) = get(
        &dashboard,
        "/api/v1/audit/export?format=csv&action=replay.create",
    )
    .await;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.starts_with("seq,at,actor,"), "{text}");
    let (status, problem) = get(&dashboard, "/api/v1/audit/export?format=xml").await;
    assert_eq!(status, 400);
    assert!(problem.contains("ndjson, csv"), "{problem}");
    let (_, head) = get(&dashboard, "/api/v1/audit/head").await;
    let head: Value = serde_json::from_str(&head).unwrap();
    assert_eq!(head["hash"], entries[1]["hash"]);
}

async fn redrive(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_redrive"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .await
        .unwrap()
}

/// The hash of the last "audit head" in the logs of a folder.
fn logged_head(folder: &Path) -> Option<String> {
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path());
    let logs = names.filter(|path| path.to_string_lossy().contains("log-"));
    let text: String = logs
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let line = text.lines().rfind(|line| line.contains("audit head"))?;
    let start = line.find("\"hash\":\"")? + 8;
    Some(line[start..start + 64].to_owned())
}

#[tokio::test]
async fn the_head_that_was_logged_shows_that_the_store_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let text = "[http]\nlisten = '127.0.0.1:0'\n[store]\nurl = 'sqlite:redrive.db'\n\
                [log]\nformat = 'json'\n";
    std::fs::write(path.join("redrive.toml"), text).unwrap();
    let mut service = serve(path, None);
    let head = eventually("the head is logged", async || logged_head(path)).await;
    let verify = [
        "audit",
        "verify",
        "--config",
        "redrive.toml",
        "--head",
        &head,
    ];
    let whole = redrive(path, &verify).await;
    assert!(whole.status.success(), "{whole:?}");
    let said = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(said.contains("none changed or missing"), "{said}");
    service.kill().await.unwrap();

    // An older copy of the file is put in the place of the one that was written to since.
    for name in ["redrive.db", "redrive.db-wal", "redrive.db-shm"] {
        std::fs::remove_file(path.join(name)).ok();
    }
    let url = format!("sqlite:{}", path.join("redrive.db").display());
    Store::open(&url).await.unwrap().close().await;
    let cut = redrive(path, &verify).await;
    assert_eq!(cut.status.code(), Some(1), "{cut:?}");
    let said = String::from_utf8_lossy(&cut.stdout).into_owned();
    assert!(said.contains(&head) && said.contains("NOT"), "{said}");
    let nonsense = redrive(path, &["audit", "verify", "--head", "ab"]).await;
    assert_eq!(nonsense.status.code(), Some(2));
}
