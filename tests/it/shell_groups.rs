//! `redrive dead-letters groups` and `repair`.

use serde_json::Value;

use crate::shell::many;
use crate::support::dashboard::Dashboard;
use crate::support::shell::{agreed, fails, refused, succeeds};
use crate::support::visitor::api;

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_looks_at_failure_groups_and_says_something_of_them() {
    let dashboard = Dashboard::busy().await;
    let list = succeeds(&dashboard, &["groups", "--filter", "error:MissingField"]);
    assert!(
        list.starts_with("GROUP") && list.contains("MissingField: data.customerId is required"),
        "{list}"
    );
    assert_eq!(list.lines().count(), 2, "{list}");
    let listed = api(&dashboard, "/failure-groups?filter=error:MissingField").await;
    let group = listed["items"][0]["id"].as_str().unwrap();
    let by_open = succeeds(
        &dashboard,
        &["groups", "list", "--state", "open", "--order", "open"],
    );
    assert!(by_open.contains(group), "{by_open}");
    let shown = succeeds(&dashboard, &["groups", "show", group]);
    assert!(
        shown.contains("grouped by   grouped by exception class and message\n"),
        "{shown}"
    );
    let noted = succeeds(
        &dashboard,
        &["groups", "note", group, "known since\nMonday"],
    );
    assert!(noted.ends_with("\n  known since\n  Monday\n"), "{noted}");
    let assigned = succeeds(&dashboard, &["groups", "assign", group, "ana"]);
    assert!(assigned.contains("assignee     ana\n"), "{assigned}");
    let nobody = succeeds(&dashboard, &["groups", "assign", group, "--json"]);
    let nobody: Value = serde_json::from_str(&nobody).unwrap();
    assert_eq!(nobody["assignee"], Value::Null, "{nobody}");
    let pivot = succeeds(&dashboard, &["groups", "by", "exception"]);
    assert!(
        pivot.starts_with("OPEN") && pivot.contains("PaymentGatewayTimeout"),
        "{pivot}"
    );
    let none = fails(&dashboard, &["groups", "policy", group]);
    assert!(none.contains("no redrive policy"), "{none}");
    let made = succeeds(
        &dashboard,
        &["groups", "set-policy", group, "--off", "--attempts", "2"],
    );
    assert!(
        made.starts_with("the policy is off\nat most 2 attempts, the first after "),
        "{made}"
    );
    let removed = succeeds(&dashboard, &["groups", "remove-policy", group]);
    assert_eq!(removed, "the policy was removed\n");
    let check = |arguments: &[&str], expected: &str| {
        let said = fails(&dashboard, &[&["groups"], arguments].concat());
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    check(
        &["--state", "bad"],
        "state is one of new, regressed, growing, open, resolved",
    );
    check(
        &["--order", "bad"],
        "order is one of last, open, total, first",
    );
    check(
        &["by", "colour"],
        "one of exception, source, type, consumer, dlq",
    );
    check(&["show", "v1:none"], "there is no failure group v1:none");
    check(&["note", group, " "], "note");
    check(&["set-policy", group, "--attempts", "99"], "20");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_tries_a_program_out_and_repairs_then() {
    let dashboard = Dashboard::busy().await;
    // One is changed, one is no JSON, one is binary.
    let repair = [
        "repair",
        "13",
        "14",
        "15",
        "--program",
        ".data.customerId = \"c-1\"",
    ];
    let tried = succeeds(&dashboard, &[&repair[..], &["--dry-run"]].concat());
    assert!(
        tried.starts_with("3 selected that are open: 1 changed, 0 left as they are, 2 failed\n"),
        "{tried}"
    );
    assert!(
        tried.contains("dead letter 13\n") && tried.contains("  +    \"customerId\": \"c-1\""),
        "{tried}"
    );
    assert!(
        tried.contains("  14 failed: the payload is no JSON"),
        "{tried}"
    );
    let trial = succeeds(
        &dashboard,
        &[&repair[..], &["--dry-run", "--json"]].concat(),
    );
    let trial: Value = serde_json::from_str(&trial).unwrap();
    assert_eq!(trial["changed"], 1, "{trial}");
    let no = refused(&dashboard, &repair, "n\n");
    assert!(
        no.contains("Run the program over 3 dead letters? [y/N] ")
            && no.ends_with("nothing was repaired\n"),
        "{no}"
    );
    let letter = api(&dashboard, "/dead-letters/13").await;
    assert_eq!(letter["latest_revision"], 0, "{letter}");
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("repair.jq");
    std::fs::write(&program, ".data.customerId = \"c-1\"").unwrap();
    let program = program.to_str().unwrap();
    let by_file = [
        "repair",
        "13",
        "14",
        "15",
        "--program-file",
        program,
        "--note",
        "why",
    ];
    let (done, _) = agreed(&dashboard, &by_file, "y\n");
    assert!(
        done.starts_with("repair 1: 1 changed, 0 left as they are, 2 failed\n")
            && done.ends_with("replay them: redrive dead-letters replay --filter repair:1\n"),
        "{done}"
    );
    let letter = api(&dashboard, "/dead-letters/13").await;
    assert_eq!(letter["latest_revision"], 1, "{letter}");
    let check = |arguments: &[&str], expected: &str| {
        let said = fails(&dashboard, &[&["repair"], arguments].concat());
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    check(
        &["13", "--program", "("],
        "the program cannot be used: line 1",
    );
    check(&["13"], "--program <PROGRAM>");
    check(
        &["13", "--program-file", "/nowhere.jq"],
        "cannot read /nowhere.jq",
    );
    check(
        &["13", "--program", "."],
        "nothing was repaired: the program changes none of them",
    );
    check(&["--filter", "colour:red", "--program", "."], "colour");
    many(&dashboard).await;
    let all = ["repair", "--filter", "type:Many", "--program", ".x = 1"];
    let asked = refused(&dashboard, &all, "y\n");
    assert!(asked.contains("Type 101 to confirm: "), "{asked}");
    let (done, _) = agreed(&dashboard, &all, "101\n");
    assert!(done.starts_with("repair 2: 101 changed,"), "{done}");
}
