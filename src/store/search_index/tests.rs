use bytes::Bytes;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::super::{PageRequest, search_follower};
use super::*;
use crate::domain::*;

const NOW: Timestamp = Timestamp(1_000_000);
const UUID: &str = "3f2a8c1e-90ab-4d5e-8f00-1234567890ab";

fn letter(offset: i64, body: &str, class: &str, message: &str) -> NewDeadLetter {
    let mut letter = NewDeadLetter {
        cluster: "c".into(),
        position: Position::Kafka {
            topic: "orders.dlq".into(),
            topic_id: None,
            partition: Partition(0),
            offset: Offset(offset),
        },
        message: Message {
            key: Some(Bytes::from(format!("ord-{offset}"))),
            body: Some(Bytes::from(body.to_owned())),
            headers: vec![Header::text("Tenant", format!("acme {offset}"))],
            properties: None,
        },
        body_omitted: None,
        dead_at: Timestamp(offset * 1000),
        decoded: Decoded::default(),
        event: EventIdentity::default(),
        classification: Classification {
            group: format!("v1:{class}").into(),
            title: "title".to_owned(),
            explanation: "grouped by test".to_owned(),
        },
        custody: Custody::Broker,
        replay_id: None,
        redelivered: false,
    };
    letter.decoded.failure.class = Some(class.to_owned());
    letter.decoded.failure.message = Some(message.to_owned());
    letter
}

/// Three dead letters with the IDs 1, 2 and 3.
async fn filled_store() -> (Store, TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    let store = Store::open(&url).await.unwrap();
    let order = format!(
        r#"{{"orderId":"ord-4711","customerId":42,"event":"{UUID}","items":[{{"sku":"A 1"}},{{"sku":"B-2"}}]}}"#
    );
    let batch = [
        letter(1, &order, "com.x.FooException", "Connection timed out"),
        letter(
            2,
            r#"{"customerId":"43","kind":"OrderCreated"}"#,
            "com.x.BarError",
            "refused",
        ),
        letter(
            3,
            "no JSON, ord 4711",
            "com.y.TimeoutException",
            "after 5 ms",
        ),
    ];
    store
        .index_kafka_batch(&"c".into(), &batch, &[], &[], NOW)
        .await
        .unwrap();
    (store, folder, url)
}

async fn found(store: &Store, text: &str) -> Vec<i64> {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let page = store
        .dead_letters(&filter, NOW, &PageRequest::first(10))
        .await;
    let page = page.unwrap_or_else(|error| panic!("{text}: {error}"));
    page.items.iter().map(|letter| letter.id.0).collect()
}

#[tokio::test]
async fn each_kind_of_term_finds_what_it_means() {
    let (store, _folder, _url) = filled_store().await;
    let cases: &[(&str, &[i64])] = &[
        ("ord-4711", &[3, 1]),
        ("ORD-4711", &[3, 1]),
        ("payload.orderId:ord-4711", &[1]),
        ("4711", &[3, 1]),
        ("471*", &[3, 1]),
        ("471", &[]),
        (UUID, &[1]),
        ("90ab-4d5e", &[1]),
        ("3f2a8c1e", &[1]),
        ("com.x.FooException", &[1]),
        ("fooexception", &[1]),
        ("FooException", &[1]),
        ("Exception", &[3, 1]),
        ("com.x", &[2, 1]),
        ("\"x.Foo\"", &[]),
        ("x.Foo*", &[1]),
        ("Created", &[2]),
        ("\"timed out\"", &[1]),
        ("\"out timed\"", &[]),
        ("error:timeout", &[3]),
        ("error:\"timed out\"", &[1]),
        ("error:OrderCreated", &[]),
        ("error:Tim*", &[3, 1]),
        ("payload.customerId:42", &[1]),
        ("payload.CUSTOMERID:43", &[2]),
        ("payload.customerId:4", &[]),
        ("payload.items[0].sku:\"A 1\"", &[1]),
        ("payload.items[1].sku:\"A 1\"", &[]),
        ("payload.items[].sku:B-2", &[1]),
        ("payload.items[].sku:B-2*", &[1]),
        ("payload.orderId:ord-47*", &[1]),
        ("header.tenant:\"acme 2\"", &[2]),
        ("header.tenant:acme*", &[3, 2, 1]),
        ("header.tenant:acme", &[]),
        ("-ord-4711", &[2]),
        ("com.x -refused", &[1]),
        ("-payload.customerId:42 -error:refused", &[3]),
        ("group:v1:com.x.BarError refused", &[2]),
        ("group:v1:com.x.BarError timed", &[]),
        ("orders.dlq", &[3, 2, 1]),
        ("id:1,3", &[3, 1]),
        ("-id:1-2", &[3]),
        ("after:1970-01-01T00:00:02 before:1970-01-01T00:00:03", &[2]),
        ("edited:no duplicate:no size:>1", &[3, 2, 1]),
        ("edited:yes", &[]),
        ("duplicate:yes", &[]),
        ("size:<10", &[]),
        ("status:open ord-4711 -id:1", &[3]),
    ];
    for (text, expected) in cases {
        assert_eq!(found(&store, text).await, *expected, "{text}");
        let filter = Filter::parse(text).unwrap();
        let count = store.count_up_to_limit(&filter, NOW).await.unwrap();
        assert_eq!(count, expected.len() as u64, "{text}");
    }
}

#[tokio::test]
async fn pages_neighbours_and_selections_agree_with_the_list() {
    let (store, _folder, _url) = filled_store().await;
    let filter = Filter::parse("orders.dlq").unwrap();
    let mut request = PageRequest::first(2);
    let first = store.dead_letters(&filter, NOW, &request).await.unwrap();
    request.cursor = first.next_cursor;
    let second = store.dead_letters(&filter, NOW, &request).await.unwrap();
    assert_eq!((first.items.len(), second.items[0].id.0), (2, 1));
    let beside = store
        .neighbours(DeadLetterId(2), &filter, NOW)
        .await
        .unwrap();
    assert_eq!(beside, (Some(DeadLetterId(3)), Some(DeadLetterId(1))));
    let ids = store.matching_ids_between(&filter, NOW, (DeadLetterId(1), DeadLetterId(3)), 9);
    assert_eq!(ids.await.unwrap(), [DeadLetterId(2), DeadLetterId(3)]);
    let filter = Filter::parse("refused").unwrap();
    let request = PageRequest::first(9);
    let groups = store.failure_groups(&filter, NOW, &request);
    let groups = groups.await.unwrap().items;
    let ids: Vec<_> = groups.iter().map(|group| group.id.as_str()).collect();
    assert_eq!(ids, ["v1:com.x.BarError"]);
}

#[tokio::test]
async fn what_was_stored_before_the_index_is_indexed_in_the_background() {
    let (store, _folder, url) = filled_store().await;
    for sql in [
        "DELETE FROM search_index WHERE rowid <= 2",
        "UPDATE search_backlog SET through = 2",
    ] {
        sqlx::query(sql).execute(&store.writer).await.unwrap();
    }
    store.close().await;
    let store = Store::open(&url).await.unwrap();
    assert_eq!(found(&store, "com.x").await, [0_i64; 0]);
    assert_eq!(store.search_backlog().await.unwrap(), 2);
    store.catch_up_search_index().await.unwrap();
    assert_eq!(store.search_backlog().await.unwrap(), 0);
    assert_eq!(found(&store, "com.x").await, [2, 1]);
    assert_eq!(found(&store, "payload.items[].sku:B-2").await, [1]);
    assert_eq!(found(&store, "header.tenant:acme*").await, [3, 2, 1]);
    assert_eq!(found(&store, "group:v1:com.x.BarError refused").await, [2]);
}

/// Dead letters that are too many to enter the index with their rows: 4, 5, ….
fn large_batch() -> Vec<NewDeadLetter> {
    let body = |offset| format!(r#"{{"orderId":"ord-{offset}"}}"#);
    let many = i64::try_from(INDEXED_WITH_THE_ROWS).unwrap() + 1;
    let letters = (10..10 + many).map(|it| letter(it, &body(it), "com.z.LateException", "late"));
    letters.collect()
}

async fn store_batch(store: &Store, batch: &[NewDeadLetter]) -> Vec<i64> {
    let cluster = "c".into();
    let indexed = store
        .index_kafka_batch(&cluster, batch, &[], &[], NOW)
        .await;
    indexed.unwrap().iter().map(|it| it.id.0).collect()
}

#[tokio::test]
async fn a_large_batch_is_indexed_after_it_is_stored_and_a_small_one_waits_behind_it() {
    let (store, _folder, _url) = filled_store().await;
    let batch = large_batch();
    let index = async |batch: &[NewDeadLetter]| store_batch(&store, batch).await;
    let ids = index(&batch).await;
    assert_eq!(ids, (4..104).chain([104]).collect::<Vec<_>>());
    index(&[letter(500, "afterwards", "com.x.FooException", "x")]).await;
    assert_eq!(store.search_backlog().await.unwrap(), 102);
    assert_eq!(found(&store, "afterwards").await, [0_i64; 0]);

    store.catch_up_search_index().await.unwrap();
    assert_eq!(store.search_backlog().await.unwrap(), 0);
    assert_eq!(found(&store, "afterwards").await, [105]);
    assert_eq!(found(&store, "payload.orderId:ord-12").await, [6]);

    index(&[letter(501, "at once", "com.x.FooException", "x")]).await;
    assert_eq!(found(&store, "\"at once\"").await, [106]);
}

#[tokio::test]
async fn however_a_dead_letter_came_in_its_document_is_the_same() {
    let (store, _folder, _url) = filled_store().await;
    let message = format!("{} refused by the warehouse", "no stock, ".repeat(60));
    let told = |offset| letter(offset, "{}", "com.x.FooException", &message);
    let mut many = large_batch();
    many.push(told(601));
    assert_eq!(store_batch(&store, &[told(600)]).await, [4]);
    let in_batch = *store_batch(&store, &many).await.last().unwrap();
    store.catch_up_search_index().await.unwrap();

    let text = "error:\"refused by the warehouse\"";
    assert_eq!(found(&store, text).await, [in_batch, 4]);
    for (id, offset) in [(4, 600), (in_batch, 601)] {
        let stored = store.search_documents(DeadLetterId(id - 1), 1).await;
        let expected = document(&told(offset), |_| None);
        assert_eq!(stored.unwrap(), [(DeadLetterId(id), expected)]);
        let mut transaction = store.writer.begin().await.unwrap();
        let anew = search_follower::index_anew(&mut transaction, DeadLetterId(id), store.unwrap);
        anew.await.unwrap();
        transaction.commit().await.unwrap();
    }
    assert_eq!(found(&store, text).await, [in_batch, 4]);
}

#[tokio::test]
async fn the_follower_wakes_for_a_batch_and_skips_what_has_left() {
    let (store, _folder, _url) = filled_store().await;
    let stop = CancellationToken::new();
    let follower = tokio::spawn(store.clone().follow_search_index(stop.clone()));
    store_batch(&store, &large_batch()).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while store.search_backlog().await.unwrap() > 0 {
        assert!(std::time::Instant::now() < deadline, "nobody indexes");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(found(&store, "payload.orderId:ord-12").await, [6]);
    stop.cancel();
    follower.await.unwrap();

    let mut transaction = store.writer.begin().await.unwrap();
    let gone = [(DeadLetterId(9_999), "ghost")];
    put(&mut transaction, &gone).await.unwrap();
    transaction.commit().await.unwrap();
    let sql = "SELECT COUNT(*) FROM search_index WHERE search_index MATCH 'ghost'";
    let ghosts: i64 = sqlx::query_scalar(sql)
        .fetch_one(&store.reader)
        .await
        .unwrap();
    assert_eq!(ghosts, 0);
}

#[tokio::test]
async fn what_leaves_the_store_is_found_no_more() {
    let (store, _folder, _url) = filled_store().await;
    for sql in [
        "DELETE FROM bodies WHERE dead_letter = 1",
        "DELETE FROM dead_letters WHERE id = 1",
    ] {
        sqlx::query(sql).execute(&store.writer).await.unwrap();
    }
    let left = sqlx::query_scalar(
        "SELECT COUNT(*) FROM search_index WHERE search_index MATCH 'fooexception'",
    );
    let left: i64 = left.fetch_one(&store.reader).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn no_search_reads_all_dead_letters() {
    let (store, _folder, _url) = filled_store().await;
    let filters = [
        "timed",
        "-timed",
        "payload.customerId:42",
        "timed group:v1:x",
        "header.a:b",
    ];
    for text in filters {
        let filter = Filter::parse(text).unwrap();
        let mut query = sqlx::QueryBuilder::<Sqlite>::new("EXPLAIN QUERY PLAN SELECT 1 FROM ");
        super::super::filter_sql::push_source(&mut query, &filter, NOW);
        query.push(" ORDER BY search_index.rowid DESC LIMIT 50");
        let plan: Vec<(i64, i64, i64, String)> = query
            .build_query_as()
            .fetch_all(&store.reader)
            .await
            .unwrap();
        let plan: Vec<String> = plan.into_iter().map(|step| step.3).collect();
        assert!(plan[0].contains("VIRTUAL TABLE INDEX"), "{text}: {plan:?}");
        assert!(
            plan[1].starts_with("SEARCH dead_letters USING"),
            "{text}: {plan:?}"
        );
        assert!(
            !plan.iter().any(|step| step.contains("TEMP B-TREE")),
            "{text}: {plan:?}"
        );
    }
}

/// A page of what one column names reads that column's index, in the order of the list.
#[tokio::test]
async fn no_page_sorts_all_that_matches() {
    let (store, _folder, _url) = filled_store().await;
    let check = async |text: &str, expected: &str| {
        let filter = Filter::parse(text).unwrap();
        let mut query = sqlx::QueryBuilder::<Sqlite>::new("EXPLAIN QUERY PLAN SELECT size FROM ");
        super::super::filter_sql::push_source(&mut query, &filter, NOW);
        query.push(" ORDER BY dead_letters.id DESC LIMIT 50");
        let steps = query.build_query_as().fetch_all(&store.reader).await;
        let steps: Vec<(i64, i64, i64, String)> = steps.unwrap();
        assert_eq!(steps.len(), 1, "{text}: {steps:?}");
        assert!(steps[0].3.contains(expected), "{text}: {steps:?}");
    };
    check("dlq:a", "dead_letters_of_dlq").await;
    check("dlq:a vhost:/ cluster:c status:open", "dead_letters_of_dlq").await;
    check("cluster:c vhost:/ -status:gone", "dead_letters_of_cluster").await;
    check("cluster:c status:open", "dead_letters_of_cluster").await;
    check("status:discarded dlq:a source:b", "dead_letters_by_status").await;
    check("status:open", "dead_letters_by_status").await;
    check("source:a type:b consumer:c", "dead_letters_by_source").await;
    check("group:v1:x dlq:a", "dead_letters_by_group").await;
    check("dlq:a event:e", "dead_letters_by_event").await;
    check("dlq:a*", "SCAN dead_letters").await;
    check("-dlq:a", "SCAN dead_letters").await;
}

#[tokio::test]
async fn what_is_added_at_once_is_one_segment() {
    let (store, _folder, _url) = filled_store().await;
    let letters = (10..310).map(|offset| letter(offset, "{}", "com.x.FooException", "refused"));
    let letters: Vec<NewDeadLetter> = letters.collect();
    store
        .index_kafka_batch(&"c".into(), &letters, &[], &[], NOW)
        .await
        .unwrap();
    let segments = async || -> i64 {
        sqlx::query_scalar("SELECT COUNT(DISTINCT segid) FROM search_index_idx")
            .fetch_one(&store.reader)
            .await
            .unwrap()
    };
    let before = segments().await;
    store.catch_up_search_index().await.unwrap();
    assert_eq!(store.search_backlog().await.unwrap(), 0);
    assert_eq!(segments().await, before + 1);
}

#[tokio::test]
async fn merging_waits_while_many_are_indexed_and_is_made_up_for() {
    let (store, _folder, _url) = filled_store().await;
    for thousand in 1..=11 {
        let offsets = thousand * 1_000..(thousand + 1) * 1_000;
        let letters = offsets.map(|offset| letter(offset, "{}", "com.x.FooException", "refused"));
        let letters: Vec<NewDeadLetter> = letters.collect();
        store
            .index_kafka_batch(&"c".into(), &letters, &[], &[], NOW)
            .await
            .unwrap();
    }
    let merged_segments = async || -> Option<i64> {
        sqlx::query_scalar("SELECT v FROM search_index_config WHERE k = 'automerge'")
            .fetch_optional(&store.reader)
            .await
            .unwrap()
    };
    assert_eq!(merged_segments().await, None);
    store.catch_up_search_index().await.unwrap();
    assert_eq!(store.search_backlog().await.unwrap(), 0);
    assert_eq!(merged_segments().await, Some(4));
    let segments: i64 = sqlx::query_scalar("SELECT COUNT(DISTINCT segid) FROM search_index_idx")
        .fetch_one(&store.reader)
        .await
        .unwrap();
    assert!(segments < 4, "{segments} segments");
    assert_eq!(found(&store, "ord-1234").await, [3 + 235]);

    // A process that ended before the merging was done leaves this behind.
    sqlx::query("INSERT INTO search_index (search_index, rank) VALUES ('automerge', 16)")
        .execute(&store.writer)
        .await
        .unwrap();
    store.catch_up_search_index().await.unwrap();
    assert_eq!(merged_segments().await, Some(4));
}
