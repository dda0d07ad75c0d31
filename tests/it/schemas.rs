//! JSON Schemas of event types: on the payload tab, in the editor, at the gate of replays, at the start.

use std::path::Path;
use std::process::Command;

use redrive::config::{Config, SchemaConfig, SchemasConfig};
use redrive::domain::Timestamp;
use redrive::schemas::{Schemas, Verdict};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::browser::Browser;
use crate::support::dashboard::{Dashboard, sandbox};
use crate::support::snapshots::busy_snapshot;
use crate::support::stored_letters::fill;
use crate::support::visitor::{Visitor, api, client, get};

/// Dead letters 3, 8, … lack the customer; the others of the type have it.
const ORDER: &str = r#"{"required":["data"],"properties":{"data":{"type":"object",
    "required":["customerId"],"properties":{"customerId":{"type":"string"}}}}}"#;

const WITH_CUSTOMER: &str = "{\"eventType\":\"OrderCreated\",\n \"data\":{\"customerId\":\"c\"}}";

fn with_schema(folder: &Path, text: &str) -> SchemasConfig {
    std::fs::write(folder.join("OrderCreated.schema.json"), text).unwrap();
    SchemasConfig {
        folder: Some(folder.to_owned()),
        ..SchemasConfig::default()
    }
}

async fn dashboard(gate_replays: bool) -> (Dashboard, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::parse("", []).unwrap();
    config.schemas = SchemasConfig {
        gate_replays,
        ..with_schema(folder.path(), ORDER)
    };
    let dashboard = Dashboard::serve(busy_snapshot(Timestamp::now()), config).await;
    fill(&dashboard.state.store).await;
    (dashboard, folder)
}

#[tokio::test]
async fn the_payload_tab_marks_what_the_schema_misses() {
    let (dashboard, _folder) = dashboard(false).await;
    let (_, _, page) = get(&dashboard, "/dead-letters/13").await;
    assert!(
        page.contains("Not valid by its schema: 1 violation."),
        "{page}"
    );
    assert!(
        page.contains("<code>data.customerId</code> is missing"),
        "{page}"
    );
    assert!(
        page.contains("<mark>{</mark><span class=\"note\">  ← data.customerId is missing"),
        "{page}"
    );
    let (_, _, page) = get(&dashboard, "/dead-letters/12").await;
    assert!(
        page.contains("Valid by its schema.") && !page.contains("<mark>"),
        "{page}"
    );
    // A type without a schema.
    let (_, _, page) = get(&dashboard, "/dead-letters/14").await;
    assert!(!page.contains("by its schema"), "{page}");
    let verdict = api(&dashboard, "/dead-letters/13/schema").await;
    let missing = json!([{ "path": "data.customerId", "message": "is missing" }]);
    assert_eq!(
        (&verdict["verdict"], &verdict["violations"]),
        (&json!("invalid"), &missing)
    );
    assert_eq!(
        api(&dashboard, "/dead-letters/14/schema").await["verdict"],
        "no_schema"
    );
    assert_eq!(
        api(&dashboard, "/dead-letters/12/schema?revision=0").await["verdict"],
        "valid"
    );
    // The original of it lacks the customer, its revision has one.
    let (_, _, page) = get(&dashboard, "/dead-letters/3?revision=1").await;
    assert!(
        page.contains("Valid by its schema.") && !page.contains("<mark>"),
        "{page}"
    );
}

#[tokio::test]
async fn the_editor_says_what_the_schema_says_of_what_is_typed() {
    let (dashboard, _folder) = dashboard(false).await;
    let visitor = Visitor::of(&dashboard).await;
    let (_, _, page) = get(&dashboard, "/dead-letters/13/edit").await;
    assert!(
        page.contains("data-schema") && page.contains("<span class=\"meta\">line 3</span>"),
        "{page}"
    );
    let url = dashboard.url("/dead-letters/13/edit");
    let fields = |body: &'static str, step: &'static str| {
        [
            ("body_form", "text"),
            ("body", body),
            ("step", step),
            ("headers", "0"),
        ]
    };
    let (_, _, page) = visitor.post(&url, &fields(WITH_CUSTOMER, "check")).await;
    assert!(
        page.contains("Valid by its schema.") && page.contains("data-editor"),
        "{page}"
    );
    let (_, _, page) = visitor
        .post(&url, &fields("{\"data\":\n{\"customerId\":7}}", "review"))
        .await;
    assert!(page.contains("Review the edit"), "{page}");
    assert!(
        page.contains("it is not of type &#34;string&#34;")
            || page.contains("it is not of type &quot;string&quot;"),
        "{page}"
    );
    assert!(page.contains("line 2"), "{page}");
}

#[tokio::test]
async fn a_gate_refuses_what_is_not_valid_with_its_path_until_it_is_edited() {
    let (dashboard, _folder) = dashboard(true).await;
    let (_, _, page) = get(&dashboard, "/replays/new?id=13&id=12").await;
    assert!(page.contains("payload not valid by its schema"), "{page}");
    assert!(
        page.contains("data.customerId is missing; edit it first"),
        "{page}"
    );
    let replay = async || {
        let response = client()
            .post(dashboard.url("/api/v1/replays"))
            .json(&json!({ "dead_letter_ids": [13] }))
            .send()
            .await
            .unwrap();
        (response.status(), response.text().await.unwrap())
    };
    let (status, problem) = replay().await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem.contains("data.customerId is missing"), "{problem}");
    let url = dashboard.url("/api/v1/dead-letters/13/revisions");
    let edit = client()
        .post(url)
        .json(&json!({ "payload": WITH_CUSTOMER }));
    assert_eq!(edit.send().await.unwrap().status(), StatusCode::CREATED);
    let (status, answer) = replay().await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

#[tokio::test]
async fn without_a_gate_a_schema_only_tells() {
    let (dashboard, _folder) = dashboard(false).await;
    let (_, _, page) = get(&dashboard, "/replays/new?id=13").await;
    assert!(page.contains("Replay 1 event now"), "{page}");
}

#[tokio::test]
async fn a_fault_in_a_schema_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let check = async |text: &str, part: &str| {
        let config = with_schema(folder.path(), text);
        let error = Schemas::load(&config, &sandbox())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("OrderCreated.schema.json") && error.contains(part),
            "{error}"
        );
    };
    check("{", "is no JSON").await;
    check(r#"{"type":"strin"}"#, "/type").await;
    check(r#"{"$ref":"other.json"}"#, "other.json").await;
}

#[test]
fn check_and_serve_name_the_file_with_the_fault() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("OrderCreated.json"),
        r#"{"type":"strin"}"#,
    )
    .unwrap();
    let config = folder.path().join("redrive.toml");
    let text = format!(
        "[http]\nlisten = '127.0.0.1:1'\n[store]\nurl = 'sqlite:{0}/x.db'\n[schemas]\nfolder = '{0}'\n\
         [[kafka]]\nname = 'k'\nbootstrap_servers = ['127.0.0.1:1']\n[sampling]\nrequest_timeout = '1s'\n",
        folder.path().display()
    );
    std::fs::write(&config, text).unwrap();
    for subcommand in ["check", "serve"] {
        let run = Command::new(env!("CARGO_BIN_EXE_redrive"))
            .args([subcommand, "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let said = [run.stdout, run.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!run.status.success());
        assert!(
            said.contains("OrderCreated.json") && said.contains("/type"),
            "{subcommand}: {said}"
        );
    }
}

#[tokio::test]
async fn a_hostile_payload_is_not_checked_and_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let tree = r##"{"$defs":{"n":{"anyOf":[
        {"type":"object","required":["x"],"properties":{"a":{"$ref":"#/$defs/n"}}},
        {"type":"object","required":["y"],"properties":{"a":{"$ref":"#/$defs/n"}}}]}},"$ref":"#/$defs/n"}"##;
    let config = SchemasConfig {
        types: vec![SchemaConfig {
            event_type: "Tree".to_owned(),
            file: folder.path().join("OrderCreated.schema.json"),
        }],
        ..with_schema(folder.path(), tree)
    };
    let schemas = Schemas::load(&config, &sandbox()).await.unwrap();
    let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
    let mut checker = schemas.checker();
    match checker.verdict(Some("Tree"), deep.as_bytes()).await {
        Some(Verdict::NotChecked(why)) => assert!(why.contains("was ended"), "{why}"),
        other => panic!("{other:?}"),
    }
    // The next payload has a child of its own.
    let verdict = checker.verdict(Some("Tree"), br#"{"x":1}"#).await;
    assert_eq!(verdict, Some(Verdict::Valid));
    assert_eq!(checker.verdict(Some("Other"), b"{}").await, None);
    let folder_type = checker.verdict(Some("OrderCreated"), b"{}").await;
    assert!(matches!(folder_type, Some(Verdict::Invalid(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_asks_for_the_verdict_while_somebody_types() {
    let (dashboard, _folder) = dashboard(false).await;
    let browser = Browser::start().await;
    browser.goto(&dashboard.url("/dead-letters/13/edit")).await;
    let verdict = "document.querySelector('[data-schema]').textContent";
    let misses = format!("return {verdict}.includes('data.customerId is missing')");
    assert_eq!(browser.execute(&misses).await, true);
    let typed = serde_json::to_string(WITH_CUSTOMER).unwrap();
    browser
        .execute(&format!(
            "const body = document.getElementById('body'); body.value = {typed}; \
             body.dispatchEvent(new Event('input', {{ bubbles: true }}))"
        ))
        .await;
    let valid = format!("return {verdict}.includes('Valid by its schema.')");
    browser.until("the verdict follows the text", &valid).await;
    browser.close().await;
}
