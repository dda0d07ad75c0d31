use tempfile::TempDir;

use super::*;
use crate::domain::Timestamp;
use crate::store::{NewAuditEntry, Store};

/// A store with five entries that somebody with a shell went at, and what is found then.
async fn faults_after(tampering: &str) -> Vec<AuditFault> {
    let (folder, url, _) = five_entries().await;
    tamper(&url, tampering).await;
    let report = verify_audit(&url, None).await.unwrap();
    drop(folder);
    report.faults
}

async fn five_entries() -> (TempDir, String, AuditHead) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    let store = Store::open(&url).await.unwrap();
    for number in 1..=5 {
        let entry = NewAuditEntry {
            at: Timestamp(number),
            actor: "alice".to_owned(),
            address: "10.0.0.7".to_owned(),
            action: "replay.create".to_owned(),
            detail: serde_json::json!({ "dead_letters": number }),
        };
        store.append_audit(&entry).await.unwrap();
    }
    let head = store.audit_head().await.unwrap().unwrap();
    store.close().await;
    (folder, url, head)
}

async fn tamper(url: &str, sql: &str) {
    let options = connect_options(url).unwrap();
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_chain_that_nobody_touched_has_no_fault() {
    let (_folder, url, head) = five_entries().await;
    let report = verify_audit(&url, Some(&head.hash)).await.unwrap();
    assert_eq!(report.faults, []);
    assert_eq!((report.entries, report.asked), (5, Some(5)));
    assert_eq!(report.head, Some(head));
}

#[tokio::test]
async fn every_field_of_an_entry_is_covered() {
    for change in [
        "at_ms = 9",
        "actor = 'mallory'",
        "address = ''",
        "action = 'x'",
        "detail = '{\"dead_letters\":7}'",
    ] {
        let faults = faults_after(&format!("UPDATE audit SET {change} WHERE seq = 3")).await;
        assert_eq!(faults, [AuditFault::Changed { seq: 3 }], "{change}");
    }
}

#[tokio::test]
async fn removed_entries_are_named_wherever_they_stood() {
    let removed = |first, last| AuditFault::Removed { first, last };
    let check = async |sql: &str, expected: AuditFault| {
        assert_eq!(faults_after(sql).await, [expected], "{sql}");
    };
    check("DELETE FROM audit WHERE seq = 1", removed(1, 1)).await;
    check("DELETE FROM audit WHERE seq IN (2, 3)", removed(2, 3)).await;
    let cut_off = AuditFault::CutOff { first: 4, last: 5 };
    check("DELETE FROM audit WHERE seq > 3", cut_off).await;
}

#[tokio::test]
async fn an_entry_that_was_replaced_with_a_new_hash_breaks_the_chain_after_it() {
    let sql = "UPDATE audit SET detail = '{}', hash = 'ab' WHERE seq = 2; \
               UPDATE audit SET seq = 9 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 9;";
    let expected = [
        AuditFault::Changed { seq: 2 },
        AuditFault::Detached { seq: 3 },
    ];
    assert_eq!(faults_after(sql).await, expected);
}

#[tokio::test]
async fn a_tail_that_was_cut_off_without_a_trace_is_found_by_the_head() {
    let (_folder, url, head) = five_entries().await;
    let sql =
        "DELETE FROM audit WHERE seq > 3; UPDATE sqlite_sequence SET seq = 3 WHERE name = 'audit'";
    tamper(&url, sql).await;
    assert_eq!(verify_audit(&url, None).await.unwrap().faults, []);
    let report = verify_audit(&url, Some(&head.hash)).await.unwrap();
    assert_eq!(
        report.faults,
        [AuditFault::HeadNotFound { hash: head.hash }]
    );
}

#[tokio::test]
async fn a_store_that_is_not_there_is_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let error = verify_audit(&format!("sqlite:{}", path.display()), None).await;
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("none.db") && text.contains("store.url"),
        "{text}"
    );
    assert!(!path.exists());
}
