//! `redrive dead-letters edit`: all parts of a message, their types, and the way back.

use serde_json::{Value, json};

use crate::support::dashboard::Dashboard;
use crate::support::shell::{agreed, fails, refused, succeeds};
use crate::support::visitor::api;

async fn revision(dashboard: &Dashboard, id: u32, number: u32) -> Value {
    api(dashboard, &format!("/dead-letters/{id}/revisions/{number}")).await
}

fn header<'a>(message: &'a Value, name: &str) -> &'a Value {
    let mut headers = message["headers"].as_array().unwrap().iter();
    &headers.find(|header| header["name"] == name).unwrap()["value"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_keeps_its_type_or_another_is_named() {
    let dashboard = Dashboard::busy().await;
    let edit = ["edit", "41", "--header", "x-retry-count=4"];
    let (_, asked) = agreed(&dashboard, &edit, "y\n");
    assert!(asked.contains("Save this as a new revision?"), "{asked}");
    let saved = revision(&dashboard, 41, 1).await;
    let value = header(&saved, "x-retry-count");
    assert_eq!(value, &json!({ "amqp": { "type": "i32", "value": 4 } }));
    let said = fails(
        &dashboard,
        &["edit", "41", "--header", "x-retry-count=many", "--yes"],
    );
    assert!(
        said.contains(
            "header x-retry-count: it is of type int32, and \"many\" is not a whole number"
        ) && said.contains("--header-type"),
        "{said}"
    );
    let typed = [
        "edit",
        "41",
        "--header",
        "x-retry-count=5",
        "--header-type",
        "x-retry-count=int64",
    ];
    succeeds(&dashboard, &[&typed[..], &["--yes"]].concat());
    let saved = revision(&dashboard, 41, 2).await;
    let value = header(&saved, "x-retry-count");
    assert_eq!(value, &json!({ "amqp": { "type": "i64", "value": 5 } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_payload_and_properties_are_edited_and_taken_away() {
    let dashboard = Dashboard::busy().await;
    let said = refused(
        &dashboard,
        &["edit", "13", "--no-payload", "--key", "k"],
        "n\n",
    );
    assert!(said.ends_with("nothing was saved\n"), "{said}");
    succeeds(
        &dashboard,
        &["edit", "13", "--no-payload", "--key", "k-1", "--yes"],
    );
    let saved = revision(&dashboard, 13, 1).await;
    assert_eq!(
        (&saved["payload"], &saved["key"]["text"]),
        (&Value::Null, &json!("k-1"))
    );
    succeeds(&dashboard, &["edit", "13", "--no-key", "--yes"]);
    assert_eq!(revision(&dashboard, 13, 2).await["key"], Value::Null);
    let set = ["--property", "priority=7", "--property", "message-id="];
    succeeds(&dashboard, &[&["edit", "41", "--yes"], &set[..]].concat());
    let properties = &revision(&dashboard, 41, 1).await["properties"];
    assert_eq!(
        (&properties["priority"], &properties["message_id"]),
        (&json!(7), &Value::Null)
    );
    assert_eq!(properties["content_type"], "application/json");
    let check = |arguments: &[&str], expected: &str| {
        let said = fails(&dashboard, &[&["edit", "--yes"], arguments].concat());
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    check(&["41", "--key", "k"], "RabbitMQ has no key");
    check(
        &["13", "--property", "priority=7"],
        "a record of Kafka has no properties",
    );
    check(&["13", "--key", "k", "--no-key"], "cannot be used with");
    check(
        &["13", "--payload", "f", "--no-payload"],
        "cannot be used with",
    );
    check(&["13", "--no-key"], "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_goes_back_to_an_earlier_revision() {
    let dashboard = Dashboard::busy().await;
    let before = revision(&dashboard, 41, 0).await;
    let edit = [
        "--header",
        "x-retry-count=4",
        "--property",
        "priority=7",
        "--no-payload",
    ];
    succeeds(&dashboard, &[&["edit", "41", "--yes"], &edit[..]].concat());
    let (said, asked) = agreed(&dashboard, &["edit", "41", "--revert-to", "0"], "y\n");
    assert_eq!(
        said,
        "saved as revision 2; replay it: redrive dead-letters replay 41\n"
    );
    for line in [
        "-x-retry-count: 4 (int32)\n",
        "+x-retry-count: 3 (int32)\n",
        "-property priority: 7\n",
    ] {
        assert!(asked.contains(line), "{line}: {asked}");
    }
    let after = revision(&dashboard, 41, 2).await;
    for part in ["key", "payload", "headers", "properties"] {
        assert_eq!(after[part], before[part], "{part}");
    }
    let letter = api(&dashboard, "/dead-letters/41").await;
    let revisions = &letter["history"]["revisions"];
    assert_eq!(revisions[1]["note"], "back to the original", "{letter}");
    let check = |arguments: &[&str], expected: &str| {
        let said = fails(&dashboard, &[&["edit", "41", "--yes"], arguments].concat());
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    check(&["--revert-to", "2"], "nothing was changed");
    check(&["--revert-to", "9"], "has no revision 9");
    check(&["--revert-to", "0", "--no-key"], "cannot be used with");
    check(
        &["--revert-to", "0", "--header", "a=b"],
        "cannot be used with",
    );
}
