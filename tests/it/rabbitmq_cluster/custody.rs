//! A managed queue whose node goes while it is read.

use redrive::brokers::rabbitmq::amqp::GiveBack;
use redrive::config::{QueueCustody, RabbitMqConfig};
use redrive::dead_letters::IntakeState;
use redrive::domain::{Filter, QueueName, Timestamp};
use redrive::store::{PageRequest, Store};
use tempfile::TempDir;

use super::{NODES, address, channel, declare, in_custody, intake, publish};
use crate::intake::{Redrive, with_queue};
use crate::support::eventually;
use crate::support::rabbitmq::{Vhost, look_unasked, text};
use crate::support::rabbitmq_cluster::Node;

/// More than are taken while a node is being killed.
const MANY: usize = 4_000;

/// The identities of all dead letters, and how many rows are marked as possible duplicates.
async fn stored(store: &Store) -> (Vec<usize>, usize) {
    let (all, mut page) = (Filter::default(), PageRequest::first(1000));
    let (mut identities, mut marked) = (Vec::new(), 0);
    loop {
        let found = store.dead_letters(&all, Timestamp::now(), &page);
        let found = found.await.unwrap();
        for row in found.items {
            identities.push(row.event.event_id.unwrap().parse().unwrap());
            marked += usize::from(row.possible_duplicate_of.is_some());
        }
        page.cursor = found.next_cursor;
        if page.cursor.is_none() {
            identities.sort_unstable();
            return (identities, marked);
        }
    }
}

/// Without either of its two nodes a quorum queue has no quorum, and still counts the consumer that died.
#[tokio::test]
async fn a_managed_quorum_queue_survives_the_node_that_it_is_read_through() {
    let _alone = NODES.write().await;
    let read_through_first = RabbitMqConfig {
        amqp_url: Node::First.config().amqp_url,
        ..Node::Second.config()
    };
    let vhost = Vhost::on(read_through_first).await;
    let channel = channel(&vhost, Node::Second).await;
    let queue = QueueName::new("orders.dlq");
    let quorum = [text("x-queue-type", "quorum")];
    declare(&channel, queue.as_str(), &quorum).await;
    publish(&channel, queue.as_str(), MANY).await;
    let managed = in_custody(&vhost, queue.as_str(), QueueCustody::Managed);
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(with_queue(vhost.config(), managed), &folder).await;
    redrive.await_dead_letters(400).await;
    Node::First.control("kill").await;
    let (taken, _) = stored(&redrive.store).await;
    assert!(taken.len() < MANY, "all were taken before the node went");
    let address = address(&vhost.config().amqp_url);
    let unreachable = format!("cannot connect to RabbitMQ rabbitmq at {address}");
    eventually("it is said why nothing is read", async || {
        match intake(&redrive) {
            IntakeState::Failing(told) => told.contains(&unreachable),
            IntakeState::Refused(told) => told.contains("Redrive's own"),
            _ => false,
        }
        .then_some(())
    })
    .await;
    Node::First.control("start").await;
    eventually("all are stored", async || {
        (stored(&redrive.store).await.0.len() >= MANY).then_some(())
    })
    .await;
    redrive.stop().await;
    let rest = look_unasked(&vhost, &queue, GiveBack::Close).await;
    assert_eq!(rest.messages.len(), 0, "all are acknowledged");
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    let (identities, marked) = stored(&Store::open(&url).await.unwrap()).await;
    assert_eq!(identities.len(), MANY);
    assert_eq!(identities, (0..MANY).collect::<Vec<_>>());
    assert_eq!(marked, 0);
}
