//! One dead letter out of its observed queue, and back into it, on a real RabbitMQ.

use std::time::Duration;

use redrive::config::QueueCustody;
use redrive::dead_letters::{LookError, Requester};
use redrive::domain::{
    AmqpProperties, AmqpValue, BulkSelection, Custody, DeadLetterId, DeadLetterStatus,
    DeadLetterSummary, Filter, Header, Message, QueueName,
};
use redrive::store::ReturnState;
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::intake::Redrive;
use crate::rabbitmq_custody::{drain, unlimited_quorum};
use crate::rabbitmq_managed::{dlq, in_custody, publish};
use crate::support::dashboard::Dashboard;
use crate::support::eventually;
use crate::support::rabbitmq::{Vhost, body, fill, text};
use crate::support::replays::new_store;
use crate::support::visitor::{Visitor, get};

fn somebody() -> Requester {
    Requester {
        name: "alice".to_owned(),
        address: "192.0.2.1".to_owned(),
    }
}

/// Looks at the queue until so many messages are in the window.
async fn look(redrive: &Redrive, vhost: &Vhost, expected: usize) -> Vec<DeadLetterSummary> {
    eventually("the queue is looked at", async || {
        let looked = redrive.observer.look(&vhost.place(&dlq()), None).await;
        looked.ok().filter(|look| look.seen == expected)
    })
    .await;
    let mut rows = redrive.dead_letters().await;
    rows.sort_by_key(|row| row.id);
    rows
}

/// Takes one once the statistics have forgotten the look before.
async fn take(redrive: &Redrive, id: DeadLetterId) {
    eventually("the message is taken", async || {
        match redrive.observer.take(id, &somebody(), false).await {
            Ok(()) => Some(()),
            Err(LookError::Refused { reason, .. }) if reason.contains("consumer") => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}

async fn give_back(redrive: &Redrive, id: DeadLetterId) {
    let one = BulkSelection::DeadLetters(vec![id]);
    let report = redrive.observer.give_back(&one, &somebody()).await.unwrap();
    assert_eq!(report.returned, [id], "{report:?}");
}

async fn observed(vhost: &Vhost, folder: &TempDir) -> Redrive {
    Redrive::start(in_custody(vhost, QueueCustody::Observe), folder).await
}

async fn one_of_the_middle_is_taken(vhost: &Vhost, arguments: &[(String, AmqpValue)]) {
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), arguments).await.unwrap();
    fill(&channel, &dlq(), "m", 6).await;
    let folder = TempDir::new().unwrap();
    let redrive = observed(vhost, &folder).await;
    let rows = look(&redrive, vhost, 6).await;
    take(&redrive, rows[2].id).await;
    let taken = redrive.store.dead_letter_summary(rows[2].id).await.unwrap();
    assert_eq!(
        (taken.custody, taken.status),
        (Custody::Store, DeadLetterStatus::Open)
    );
    let again = redrive.observer.take(rows[2].id, &somebody(), false).await;
    assert!(
        matches!(again, Err(LookError::NotTaken { .. })),
        "{again:?}"
    );
    assert_eq!(
        look(&redrive, vhost, 5).await.len(),
        6,
        "the others keep their rows"
    );
    redrive.stop().await;
    let rest: Vec<String> = drain(vhost, &dlq(), 5)
        .await
        .into_iter()
        .map(|(b, _)| b)
        .collect();
    assert_eq!(rest, ["m0", "m1", "m3", "m4", "m5"]);
}

#[tokio::test]
async fn one_of_the_middle_of_a_classic_queue_is_taken_and_the_others_keep_their_order() {
    let vhost = Vhost::create().await;
    one_of_the_middle_is_taken(&vhost, &[]).await;
}

#[tokio::test]
async fn one_of_the_middle_of_a_quorum_queue_is_taken_and_the_others_keep_their_order() {
    let vhost = Vhost::create().await;
    let arguments = unlimited_quorum(&vhost).await;
    one_of_the_middle_is_taken(&vhost, &arguments).await;
}

#[tokio::test]
async fn what_left_the_queue_is_not_taken_and_nothing_else_is() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    fill(&channel, &dlq(), "m", 3).await;
    let folder = TempDir::new().unwrap();
    let redrive = observed(&vhost, &folder).await;
    let rows = look(&redrive, &vhost, 3).await;
    drain(&vhost, &dlq(), 3).await;
    fill(&channel, &dlq(), "another", 2).await;
    let refused = eventually("the queue may be read", async || {
        match redrive.observer.take(rows[1].id, &somebody(), false).await {
            Err(LookError::Refused { reason, .. }) if reason.contains("consumer") => None,
            other => Some(other),
        }
    })
    .await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("not among the first")
    );
    redrive.stop().await;
    assert_eq!(drain(&vhost, &dlq(), 2).await.len(), 2);
}

/// A dead letter with a history, an identity, and copies.
fn with_everything() -> Message {
    Message {
        headers: vec![
            Header::amqp(
                "CC",
                AmqpValue::Array(vec![AmqpValue::long_string("copies")]),
            ),
            Header::amqp("tenant", AmqpValue::I64(7)),
        ],
        properties: Some(Box::new(AmqpProperties {
            content_type: Some("application/json".to_owned()),
            delivery_mode: Some(2),
            priority: Some(3),
            message_id: Some("event-1".to_owned()),
            ..AmqpProperties::default()
        })),
        ..body("{}")
    }
}

#[tokio::test]
async fn what_was_taken_goes_back_as_it_was_and_is_the_same_row_when_it_is_seen() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let copies = QueueName::new("copies");
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    channel.declare_queue(&copies, &[]).await.unwrap();
    publish(&channel, &dlq(), &with_everything()).await;
    assert_eq!(drain(&vhost, &copies, 1).await.len(), 1);
    let folder = TempDir::new().unwrap();
    let redrive = observed(&vhost, &folder).await;
    let rows = look(&redrive, &vhost, 1).await;
    take(&redrive, rows[0].id).await;
    give_back(&redrive, rows[0].id).await;
    let last = redrive.store.return_of(rows[0].id).await.unwrap().unwrap();
    assert_eq!(
        (last.state, last.by.as_str()),
        (ReturnState::Returned, "alice")
    );
    let seen = look(&redrive, &vhost, 1).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(
        (seen[0].status, seen[0].custody),
        (DeadLetterStatus::Open, Custody::Broker)
    );
    redrive.stop().await;

    let mut consumer = channel.consume(&dlq(), 1).await.unwrap();
    let wait = crate::support::rabbitmq::REQUEST_TIMEOUT;
    let back = consumer.next(wait).await.unwrap().unwrap();
    let mut expected = with_everything();
    expected.headers.remove(0);
    let properties = expected.properties.as_mut().unwrap();
    properties.routing_key = dlq().to_string();
    assert_eq!(back.message, expected);
    let mut consumer = channel.consume(&copies, 1).await.unwrap();
    let soon = std::time::Duration::from_millis(200);
    assert!(
        consumer.next(soon).await.unwrap().is_none(),
        "a copy went elsewhere"
    );
}

#[tokio::test]
async fn nothing_goes_back_into_a_queue_that_is_gone_or_managed() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel
        .declare_queue(&dlq(), &[text("x-queue-type", "classic")])
        .await
        .unwrap();
    fill(&channel, &dlq(), "m", 2).await;
    let folder = TempDir::new().unwrap();
    let managed = in_custody(&vhost, QueueCustody::Managed);
    let redrive = Redrive::start(managed, &folder).await;
    let rows = redrive.await_dead_letters(2).await;
    let all = BulkSelection::DeadLetters(rows.iter().map(|row| row.id).collect());
    let report = redrive.observer.give_back(&all, &somebody()).await.unwrap();
    assert_eq!((report.returned.len(), report.refused.len()), (0, 2));
    assert!(report.refused[0].1.contains("managed"), "{report:?}");
    redrive.stop().await;

    let redrive = observed(&vhost, &folder).await;
    vhost.delete_queue(&dlq()).await;
    let report = redrive.observer.give_back(&all, &somebody()).await.unwrap();
    assert_eq!((report.returned.len(), report.refused.len()), (0, 2));
    assert!(report.refused[0].1.contains("it was deleted"), "{report:?}");
    for row in redrive.dead_letters().await {
        assert_eq!(
            (row.status, row.custody),
            (DeadLetterStatus::Open, Custody::Store)
        );
    }
    redrive.stop().await;
}

/// Redrive that observes the queue and holds its messages, `m0` and so on, in the store.
async fn with_taken(vhost: &Vhost, folder: &TempDir, count: usize) -> Redrive {
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    fill(&channel, &dlq(), "m", count).await;
    let managed = in_custody(vhost, QueueCustody::Managed);
    let redrive = Redrive::start(managed, folder).await;
    redrive.await_dead_letters(count).await;
    redrive.stop().await;
    observed(vhost, folder).await
}

fn all_open() -> BulkSelection {
    BulkSelection::Filter(Filter::parse("status:open").unwrap())
}

async fn assert_queue_has(vhost: &Vhost, count: usize) {
    let back = drain(vhost, &dlq(), count).await;
    let expected: Vec<String> = (0..count).map(|n| format!("m{n}")).collect();
    assert_eq!(
        back.into_iter().map(|(body, _)| body).collect::<Vec<_>>(),
        expected
    );
}

#[tokio::test]
async fn many_go_back_at_once() {
    let vhost = Vhost::create().await;
    let folder = TempDir::new().unwrap();
    let redrive = with_taken(&vhost, &folder, 120).await;
    let (all, requester) = (all_open(), somebody());
    let report = redrive.observer.give_back(&all, &requester).await.unwrap();
    assert_eq!(report.returned.len(), 120, "{:?}", report.refused);
    redrive.stop().await;
    assert_queue_has(&vhost, 120).await;
}

#[tokio::test]
async fn what_was_begun_goes_back_though_nobody_waits_for_it_any_more() {
    let vhost = Vhost::create().await;
    let folder = TempDir::new().unwrap();
    let redrive = with_taken(&vhost, &folder, 60).await;
    let (all, requester) = (all_open(), somebody());
    let asked = redrive.observer.give_back(&all, &requester);
    let hung_up = tokio::time::timeout(Duration::from_millis(1), asked).await;
    assert!(hung_up.is_err());
    eventually("all are in their queue", async || {
        let rows = redrive.dead_letters().await;
        let returned = rows.iter().filter(|row| row.custody == Custody::Broker);
        (returned.count() == 60).then_some(())
    })
    .await;
    redrive.stop().await;
    assert_queue_has(&vhost, 60).await;
}

#[tokio::test]
async fn what_does_not_begin_in_time_is_as_before_and_goes_back_when_asked_again() {
    let vhost = Vhost::create().await;
    let folder = TempDir::new().unwrap();
    let redrive = with_taken(&vhost, &folder, 60).await;
    let (all, requester) = (all_open(), somebody());
    let within = |limit| redrive.observer.give_back_within(&all, &requester, limit);
    let report = within(Duration::ZERO).await.unwrap();
    assert_eq!((report.returned.len(), report.refused.len()), (0, 60));
    assert!(report.refused[0].1.contains("ask again"), "{report:?}");
    let audit = redrive.store.audit_actions().await.unwrap();
    assert!(audit.is_empty(), "nothing began: {audit:?}");
    let report = within(Duration::from_secs(20)).await.unwrap();
    assert_eq!(report.returned.len(), 60, "{report:?}");
    redrive.stop().await;
    assert_queue_has(&vhost, 60).await;
}

#[tokio::test]
async fn a_store_that_fails_in_the_middle_leaves_nothing_on_its_way() {
    let vhost = Vhost::create().await;
    let folder = TempDir::new().unwrap();
    let redrive = with_taken(&vhost, &folder, 5).await;
    let file = folder.path().join("redrive.db");
    let mut database = sqlx::SqliteConnection::connect(&file.display().to_string())
        .await
        .unwrap();
    sqlx::query(
        "CREATE TRIGGER third BEFORE UPDATE ON returns \
         WHEN NEW.state = 'returned' AND NEW.dead_letter = 3 \
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    .execute(&mut database)
    .await
    .unwrap();
    let failed = redrive.observer.give_back(&all_open(), &somebody()).await;
    assert!(matches!(failed, Err(LookError::Store(_))), "{failed:?}");
    let mut states = Vec::new();
    for id in (1..=5).map(DeadLetterId) {
        let last = redrive.store.return_of(id).await.unwrap().unwrap();
        let row = redrive.store.dead_letter_summary(id).await.unwrap();
        states.push((last.state, row.status));
    }
    let returned = (ReturnState::Returned, DeadLetterStatus::Gone);
    let doubted = (ReturnState::Unknown, DeadLetterStatus::Open);
    assert_eq!(states, [returned, returned, doubted, doubted, doubted]);
    redrive.stop().await;
}

#[tokio::test]
async fn the_list_after_a_look_says_how_much_of_the_queue_was_seen() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    fill(&channel, &dlq(), "m", 5).await;
    let mut config = in_custody(&vhost, QueueCustody::Observe);
    config.dead_letters.observe_window = 3;
    let dashboard = Dashboard::live(config, new_store().await).await;
    let visitor = Visitor::of(&dashboard).await;
    let segment = vhost.name.as_str().replace('/', "%2F");
    let look = dashboard.url(&format!("/queues/rabbitmq/{segment}/{}/observe", dlq()));
    let list = eventually("the queue is looked at", async || {
        let (_, headers, _) = visitor.post(&look, &[]).await;
        let location = headers.get("location")?;
        Some(location.to_str().unwrap().to_owned())
    })
    .await;
    assert!(list.contains("vhost"), "{list}");
    let (_, _, html) = get(&dashboard, &list).await;
    assert!(html.contains("the first 3 of about 5 messages"), "{html}");
    assert!(html.contains("3 dead letters"), "{html}");
}
