//! The child process in which programs and schemas run: what it gives back, and what ends it.

use redrive::sandbox::{Answer, SandboxError, SchemaDocument, Task, Worker};

use crate::support::dashboard::sandbox;

async fn worker(program: &str) -> Worker {
    let program = program.to_owned();
    sandbox().start(Task::Repair { program }).await.unwrap()
}

#[tokio::test]
async fn one_child_takes_many_payloads() {
    let mut worker = worker(".a += 1").await;
    let changed = |text: &str| Answer::Changed(text.to_owned());
    assert_eq!(
        worker.repair(br#"{"a": 1, "b":1.0}"#).await.unwrap(),
        changed(r#"{"a": 2, "b":1.0}"#)
    );
    assert!(matches!(
        worker.repair(b"\xff").await.unwrap(),
        Answer::Failed(_)
    ));
    let large = format!("{{\"x\":\"{}\",\"a\":1}}", "é".repeat(500_000));
    assert_eq!(
        worker.repair(large.as_bytes()).await.unwrap(),
        changed(&large.replace(":1}", ":2}"))
    );
}

#[tokio::test]
async fn a_program_with_a_mistake_is_refused_with_its_place() {
    let program = ".a = (".to_owned();
    let error = sandbox().start(Task::Repair { program }).await.unwrap_err();
    assert!(
        matches!(&error, SandboxError::Refused(why) if why.contains("line 1")),
        "{error}"
    );
}

/// What ends the child on this program.
async fn limit(program: &str) -> String {
    match worker(program).await.repair(b"{}").await {
        Err(SandboxError::Exceeded(limit)) => limit.to_owned(),
        other => panic!("{program}: {other:?}"),
    }
}

#[tokio::test]
async fn a_program_that_runs_for_ever_is_ended() {
    let limit =
        limit("[range(infinite)] | length | empty, first(repeat(1) | select(. == 2))").await;
    assert!(
        limit.contains("2 s") || limit.contains("256 MiB"),
        "{limit}"
    );
    let limit = self::limit("last(repeat(1))").await;
    assert!(limit.contains("2 s"), "{limit}");
}

#[tokio::test]
async fn a_program_that_takes_all_memory_is_ended() {
    let limit = limit("reduce range(60) as $i (\"x\"; . + .)").await;
    assert!(limit.contains("256 MiB"), "{limit}");
}

#[tokio::test]
async fn a_program_that_never_comes_back_up_is_ended() {
    let limit = limit("def f: 1 + f; f").await;
    assert!(
        limit.contains("went too deep") || limit.contains("2 s"),
        "{limit}"
    );
}

#[tokio::test]
async fn a_schema_that_never_decides_is_ended() {
    // Each level tries both ways, and both fail at the bottom.
    let text = r##"{"$defs":{"n":{"anyOf":[
        {"properties":{"a":{"$ref":"#/$defs/n"}},"type":"object","required":["x"]},
        {"properties":{"a":{"$ref":"#/$defs/n"}},"type":"object","required":["y"]},
        {"type":"object","required":["z"],"properties":{"a":{"$ref":"#/$defs/n"}}}]}},
        "$ref":"#/$defs/n"}"##;
    let schemas = vec![SchemaDocument {
        name: "n.json".to_owned(),
        text: text.to_owned(),
    }];
    let mut worker = sandbox().start(Task::Check { schemas }).await.unwrap();
    let payload = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
    match worker.check("n.json", payload.as_bytes()).await {
        Err(SandboxError::Exceeded(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_children_wait_for_one_another() {
    let sandbox = sandbox();
    let runs = (0..6).map(|_| async {
        let program = ".a = 1".to_owned();
        let mut worker = sandbox.start(Task::Repair { program }).await.unwrap();
        worker.repair(b"{}").await.unwrap()
    });
    let answers = futures_util::future::join_all(runs).await;
    assert!(
        answers
            .iter()
            .all(|answer| *answer == Answer::Changed("{\"a\":1}".to_owned()))
    );
}
