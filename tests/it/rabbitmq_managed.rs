//! Queues that are emptied into the store: what a crash leaves behind, and what becomes of rows that a
//! look at the queue has left before.

use std::path::Path;

use redrive::brokers::rabbitmq::amqp::AmqpChannel;
use redrive::config::{Config, QueueConfig, QueueCustody};
use redrive::dead_letters::{IntakeState, Requester};
use redrive::domain::{
    AmqpProperties, Custody, DeadLetterStatus, DeadLetterSummary, Filter, Message, QueueName,
    QueuePlace, QueueRole, Timestamp,
};
use redrive::store::{PageRequest, Store};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::intake::{Redrive, with_queue};
use crate::support::crashes::{Kill, Kills, run_and_kill, serve};
use crate::support::eventually;
use crate::support::rabbitmq::{REQUEST_TIMEOUT, Vhost, body, default_exchange, fill, text};

pub(crate) fn dlq() -> QueueName {
    QueueName::new("orders.dlq")
}

fn with_message_id(text: &str) -> Message {
    Message {
        properties: Some(Box::new(AmqpProperties {
            message_id: Some("event-1".to_owned()),
            ..AmqpProperties::default()
        })),
        ..body(text)
    }
}

pub(crate) async fn publish(channel: &AmqpChannel, queue: &QueueName, message: &Message) {
    channel
        .publish(&default_exchange(), queue.as_str(), message)
        .await
        .unwrap();
}

pub(crate) fn in_custody(vhost: &Vhost, custody: QueueCustody) -> Config {
    let queue = QueueConfig {
        vhost: vhost.name.clone(),
        name: dlq(),
        role: Some(QueueRole::Dlq),
        custody: Some(custody),
        observe_every: None,
    };
    with_queue(vhost.config(), queue)
}

/// Writes `redrive.toml` for a process that has these queues in custody.
pub(crate) fn write_config(vhost: &Vhost, folder: &Path, queues: &[QueueName]) {
    let config = vhost.config();
    let (amqp, management) = (config.amqp_url.expose(), config.management_url.expose());
    let settings = format!(
        "[http]\nlisten = '127.0.0.1:0'\n[store]\nurl = 'sqlite:redrive.db'\n\
         [sampling]\ninterval = '1s'\n[dead_letters]\nkafka_topics = ['no-topic-of-that-name']\n\
         [[rabbitmq]]\nname = 'rabbitmq'\namqp_url = '{amqp}'\nmanagement_url = '{management}'\n"
    );
    let managed = queues.iter().map(|queue| {
        format!(
            "[[rabbitmq.queues]]\nvhost = '{}'\nname = '{queue}'\nrole = 'dlq'\n\
             custody = 'managed'\n",
            vhost.name
        )
    });
    let settings: String = std::iter::once(settings).chain(managed).collect();
    std::fs::write(folder.join("redrive.toml"), settings).unwrap();
}

pub(crate) async fn rows_in(folder: &Path) -> Vec<DeadLetterSummary> {
    let url = format!("sqlite:{}", folder.join("redrive.db").display());
    let store = Store::open(&url).await.unwrap();
    let page = PageRequest::first(10_000);
    let all = Filter::default();
    let found = store.dead_letters(&all, Timestamp::now(), &page).await;
    store.close().await;
    found.unwrap().items
}

async fn stop(mut child: Child) {
    let pid = child.id().unwrap().to_string();
    let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(asked.unwrap().success());
    child.wait().await.unwrap();
}

/// Messages in a managed queue whose reader is killed as told, then read to the end. Answers all rows and how
/// many of them are marked as possible duplicates.
async fn survive(messages: &[Message], kills: &[Kill]) -> (usize, usize) {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    for message in messages {
        publish(&channel, &dlq(), message).await;
    }
    let expected = Some(messages.len() as u64);
    vhost
        .queue_once(&dlq(), |sample| sample.messages == expected)
        .await;
    let folder = tempfile::tempdir().unwrap();
    write_config(&vhost, folder.path(), &[dlq()]);
    for kill in kills {
        run_and_kill(folder.path(), kill, &Kills::default()).await;
    }
    let child = serve(folder.path(), None);
    vhost
        .queue_once(&dlq(), |sample| sample.messages == Some(0))
        .await;
    stop(child).await;
    let rows = rows_in(folder.path()).await;
    let marked = rows
        .iter()
        .filter(|row| row.possible_duplicate_of.is_some());
    (rows.len(), marked.count())
}

const EQUAL_MESSAGES: usize = 450;

#[tokio::test]
async fn of_many_equal_messages_none_is_lost_by_a_kill_before_the_acknowledgement() {
    let kill = [Kill::At("custody.stored:2".to_owned())];
    for message in [body("equal"), with_message_id("equal")] {
        let (rows, marked) = survive(&vec![message; EQUAL_MESSAGES], &kill).await;
        // The second batch was stored and came back.
        assert!(rows > EQUAL_MESSAGES, "{rows}");
        assert!(
            rows - marked <= EQUAL_MESSAGES,
            "{rows} rows, {marked} marked"
        );
    }
}

#[tokio::test]
async fn of_many_equal_messages_none_is_lost_by_a_kill_after_the_acknowledgement() {
    let kill = [Kill::At("custody.acknowledged:2".to_owned())];
    for message in [body("equal"), with_message_id("equal")] {
        let (rows, _) = survive(&vec![message; EQUAL_MESSAGES], &kill).await;
        assert_eq!(
            rows, EQUAL_MESSAGES,
            "nothing came back, whatever is marked"
        );
    }
}

#[tokio::test]
async fn one_message_with_an_identity_is_stored_once_however_often_its_reader_dies() {
    let kill = Kill::At("custody.stored".to_owned());
    let kills = [kill.clone(), kill.clone(), kill];
    assert_eq!(survive(&[with_message_id("one")], &kills).await, (1, 0));
}

/// A full batch of 200 ends between two equal messages, and so does every other of an even size.
#[tokio::test]
async fn equal_messages_with_one_identity_are_both_kept_where_an_acknowledgement_ends_between_them()
{
    let pair = |number| vec![with_message_id(&format!("pair {number}")); 2];
    let mut messages = vec![with_message_id("single")];
    messages.extend((0..150).flat_map(pair));
    let kill = [Kill::At("custody.acknowledged".to_owned())];
    let (rows, _) = survive(&messages, &kill).await;
    assert_eq!(rows, messages.len());
}

/// RabbitMQ 4.3 delivers both as redelivered for the first time.
#[tokio::test]
async fn an_event_that_died_twice_with_the_same_bytes_is_kept_twice() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let work = QueueName::new("orders");
    let dead = [
        text("x-dead-letter-exchange", ""),
        text("x-dead-letter-routing-key", dlq().as_str()),
    ];
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    channel.declare_queue(&work, &dead).await.unwrap();
    let mut consumer = channel.consume(&work, 10).await.unwrap();
    for _ in 0..2 {
        publish(&channel, &work, &with_message_id("order")).await;
    }
    let mut deliveries = Vec::new();
    for _ in 0..2 {
        deliveries.push(consumer.next(REQUEST_TIMEOUT).await.unwrap().unwrap());
    }
    for delivery in deliveries {
        delivery.reject().await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let redrive = Redrive::start(in_custody(&vhost, QueueCustody::Managed), &folder).await;
    let rows = redrive.await_dead_letters(2).await;
    redrive.stop().await;
    assert!(rows.iter().all(|row| row.possible_duplicate_of.is_none()));
}

#[tokio::test]
async fn what_was_observed_before_keeps_its_rows_when_the_queue_becomes_managed() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    fill(&channel, &dlq(), "m", 5).await;
    fill(&channel, &dlq(), "m", 5).await;
    let folder = TempDir::new().unwrap();
    let mut observed = in_custody(&vhost, QueueCustody::Observe);
    observed.dead_letters.observe_window = 7;
    let redrive = Redrive::start(observed, &folder).await;
    eventually("the queue may be looked at", async || {
        let looked = redrive.observer.look(&vhost.place(&dlq()), None).await;
        looked.ok().filter(|look| look.seen == 7)
    })
    .await;
    let seen = redrive.dead_letters().await;
    redrive.stop().await;

    // The statistics forget the look first.
    let managed = in_custody(&vhost, QueueCustody::Managed);
    let redrive = Redrive::start(managed, &folder).await;
    let rows = eventually("all are in the store", async || {
        let rows = redrive.dead_letters().await;
        let taken = rows.iter().filter(|row| row.custody == Custody::Store);
        (taken.count() >= 10).then_some(rows)
    })
    .await;
    redrive.stop().await;
    assert_eq!(rows.len(), 10);
    let kept = seen
        .iter()
        .filter(|old| rows.iter().any(|row| row.id == old.id));
    assert_eq!(kept.count(), 7);
    assert!(rows.iter().all(|row| row.status == DeadLetterStatus::Open));
}

fn observed_by_default(vhost: &Vhost) -> Config {
    let mut config = in_custody(vhost, QueueCustody::Observe);
    config.rabbitmq[0].queues[0].custody = None;
    config
}

fn somebody() -> Requester {
    Requester {
        name: "alice".to_owned(),
        address: "192.0.2.1".to_owned(),
    }
}

fn place(vhost: &Vhost) -> QueuePlace {
    QueuePlace {
        cluster: "rabbitmq".into(),
        vhost: vhost.name.clone(),
        queue: dlq(),
    }
}

async fn manage(redrive: &Redrive, vhost: &Vhost) {
    eventually("the queue may be managed", async || {
        let managed = redrive.observer.manage(place(vhost), &somebody()).await;
        managed.ok()
    })
    .await;
}

#[tokio::test]
async fn a_queue_is_managed_from_its_page_across_a_restart_until_that_is_ended() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    fill(&channel, &dlq(), "m", 3).await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(observed_by_default(&vhost), &folder).await;
    manage(&redrive, &vhost).await;
    assert_eq!(redrive.await_dead_letters(3).await.len(), 3);
    redrive.stop().await;
    fill(&channel, &dlq(), "later", 2).await;
    let redrive = Redrive::start(observed_by_default(&vhost), &folder).await;
    assert_eq!(redrive.await_dead_letters(5).await.len(), 5);
    let (observer, place) = (&redrive.observer, place(&vhost));
    observer.stop_managing(&place, &somebody()).await.unwrap();
    vhost
        .queue_once(&dlq(), |sample| sample.consumers == Some(0))
        .await;
    fill(&channel, &dlq(), "kept", 2).await;
    vhost
        .queue_once(&dlq(), |sample| sample.messages == Some(2))
        .await;
    assert_eq!(redrive.dead_letters().await.len(), 5);
    let actions = redrive.store.audit_actions().await.unwrap();
    assert_eq!(actions, ["custody.manage", "custody.unmanage"]);
    redrive.stop().await;
}

#[tokio::test]
async fn a_queue_whose_topology_alone_proves_it_stays_a_dlq_while_redrive_consumes_it() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let dead = [
        text("x-dead-letter-exchange", ""),
        text("x-dead-letter-routing-key", dlq().as_str()),
    ];
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    let work = QueueName::new("orders");
    channel.declare_queue(&work, &dead).await.unwrap();
    fill(&channel, &dlq(), "m", 2).await;
    let folder = TempDir::new().unwrap();
    let mut config = observed_by_default(&vhost);
    config.rabbitmq[0].queues.clear();
    let redrive = Redrive::start(config, &folder).await;
    manage(&redrive, &vhost).await;
    redrive.await_dead_letters(2).await;
    let role = eventually("the sample counts Redrive's consumer", async || {
        let snapshot = redrive.sampling.snapshot();
        let mut queues = snapshot.queues().map(|(_, queue)| queue);
        let found = queues
            .find(|status| (&status.sample.vhost, &status.sample.queue) == (&vhost.name, &dlq()))?;
        (found.sample.consumers == Some(1)).then_some(found.role)
    })
    .await;
    assert_eq!(role, QueueRole::Dlq);
    redrive.stop().await;
}

#[tokio::test]
async fn a_managed_queue_is_left_to_another_consumer_that_comes() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    fill(&channel, &dlq(), "m", 2).await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(in_custody(&vhost, QueueCustody::Managed), &folder).await;
    redrive.await_dead_letters(2).await;
    let mut consumer = channel.consume(&dlq(), 10).await.unwrap();
    eventually("the queue is left to the other consumer", async || {
        let statuses = redrive.board.statuses();
        let refused = |state: &IntakeState| {
            matches!(state, IntakeState::Refused(reason) if reason.contains("another consumer"))
        };
        statuses.iter().any(|status| refused(&status.state)).then_some(())
    })
    .await;
    fill(&channel, &dlq(), "theirs", 5).await;
    for number in 0..5 {
        let delivery = consumer.next(REQUEST_TIMEOUT).await.unwrap().unwrap();
        assert_eq!(
            delivery.message.body.as_deref(),
            Some(format!("theirs{number}").as_bytes())
        );
        delivery.acknowledge().await.unwrap();
    }
    redrive.stop().await;
}
