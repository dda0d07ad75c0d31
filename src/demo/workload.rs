use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::analytics::Analytics;
use super::bystander::Bystander;
use super::event::{Event, OrderData};
use super::fulfilment::Fulfilment;
use super::gateway::Gateway;
use super::kafka_link::{Publisher, Topics, provide_topics};
use super::order_service::OrderService;
use super::outbox::Outbox;
use super::pace::{Pace, SlowPhases};
use super::payments::PaymentService;
use super::processed::ProcessedEvents;
use super::rabbitmq_link::RabbitMqLink;
use super::{GatewayFile, GatewayFileError, Names, OrderGenerator};
use crate::brokers::kafka::{GroupConsumer, KafkaAdmin, KafkaError, StartAt};
use crate::config::{KafkaConfig, RabbitMqConfig};

/// Orders that wait for RabbitMQ, of about a kilobyte each.
const OUTBOX_CAPACITY: usize = 5_000;
/// Event IDs by which duplicates are recognised.
const REMEMBERED_EVENTS: usize = 20_000;

/// What the workload is told.
#[derive(Clone, Debug)]
pub struct WorkloadSettings {
    pub kafka: KafkaConfig,
    /// Only its AMQP address is used; everything is declared in the virtual host that it names.
    pub rabbitmq: RabbitMqConfig,
    /// Where the state of the payment gateway is.
    pub state_dir: PathBuf,
    pub names: Names,
    /// From 0.01 to 1,000; what is beyond is taken for the nearest.
    pub orders_per_second: f64,
    /// The share of orders that fail in one way or another, from 0 to 1.
    pub failure_share: f64,
    /// The same seed gives the same orders.
    pub seed: u64,
    /// When analytics is slow.
    pub slow_phases: SlowPhases,
    /// How long a client of the payment gateway waits for it.
    pub gateway_timeout: Duration,
}

/// Why the workload could not start. An absent broker is no reason: it is waited for.
#[derive(Debug, Error)]
pub enum DemoError {
    #[error(transparent)]
    Gateway(#[from] GatewayFileError),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// Runs all services until `stop` is cancelled. What was not finished then comes again at the next
/// start, because nothing is committed or acknowledged before it is done.
pub async fn run(settings: WorkloadSettings, stop: CancellationToken) -> Result<(), DemoError> {
    let gateway_file = GatewayFile::in_directory(&settings.state_dir);
    gateway_file.write(gateway_file.read()?)?;
    let gateway = Gateway::new(gateway_file, settings.gateway_timeout);
    let (outbox, follow_ups) = mpsc::channel(OUTBOX_CAPACITY);
    let kafka = Box::pin(run_kafka_services(&settings, &gateway, outbox, &stop));
    let rabbitmq = Box::pin(run_rabbitmq_services(
        &settings, &gateway, follow_ups, &stop,
    ));
    tokio::join!(kafka, rabbitmq).0
}

async fn run_kafka_services(
    settings: &WorkloadSettings,
    gateway: &Gateway,
    outbox: mpsc::Sender<Event<OrderData>>,
    stop: &CancellationToken,
) -> Result<(), DemoError> {
    // A configuration that no client accepts stops the services of RabbitMQ as well.
    let stop_others_on_error = stop.clone().drop_guard();
    let admin = KafkaAdmin::new(&settings.kafka)?;
    let publisher = Publisher::new(&settings.kafka)?;
    let Ok(topics) = provide_topics(&admin, &settings.names, stop).await else {
        return Ok(());
    };
    drop(admin);
    let processed = ProcessedEvents::with_capacity(REMEMBERED_EVENTS);
    let processed = Arc::new(Mutex::new(processed));
    let payments = || payment_service(settings, (gateway, &publisher, &topics), &processed);
    let (first, second) = (payments()?, payments()?);
    let analytics = analytics(settings, &publisher, &topics)?;
    let order_service = OrderService {
        generator: OrderGenerator::new(settings.seed, settings.failure_share),
        time_between_orders: Duration::from_secs_f64(1.0 / orders_per_second(settings)),
        publisher: &publisher,
        orders: &topics.orders,
        outbox,
    };
    tracing::info!("the sample workload runs");
    // Each of them ends only because it was told to.
    let _ = tokio::join!(
        order_service.run(stop),
        first.run(stop),
        second.run(stop),
        analytics.run(stop),
    );
    stop_others_on_error.disarm();
    Ok(())
}

fn orders_per_second(settings: &WorkloadSettings) -> f64 {
    settings.orders_per_second.clamp(0.01, 1_000.0)
}

fn payment_service<'a>(
    settings: &WorkloadSettings,
    (gateway, publisher, topics): (&'a Gateway, &'a Publisher, &'a Topics),
    processed: &Arc<Mutex<ProcessedEvents>>,
) -> Result<PaymentService<'a>, KafkaError> {
    let group = settings.names.payment_consumers();
    let subscribed = [topics.orders.name.clone()];
    Ok(PaymentService {
        consumer: GroupConsumer::subscribe(
            &settings.kafka,
            &group,
            &subscribed,
            StartAt::Earliest,
        )?,
        group,
        gateway,
        publisher,
        topics,
        processed: Arc::clone(processed),
    })
}

fn analytics<'a>(
    settings: &WorkloadSettings,
    publisher: &'a Publisher,
    topics: &'a Topics,
) -> Result<Analytics<'a>, KafkaError> {
    let group = settings.names.analytics_consumers();
    let subscribed = [topics.orders.name.clone(), topics.payments.name.clone()];
    // Nearly every order leads to a payment, and it reads both.
    let pace = Pace::for_rate(2.0 * orders_per_second(settings), settings.slow_phases);
    Ok(Analytics {
        consumer: GroupConsumer::subscribe(
            &settings.kafka,
            &group,
            &subscribed,
            StartAt::Earliest,
        )?,
        group,
        publisher,
        topics,
        pace,
        started: Instant::now(),
    })
}

async fn run_rabbitmq_services(
    settings: &WorkloadSettings,
    gateway: &Gateway,
    follow_ups: mpsc::Receiver<Event<OrderData>>,
    stop: &CancellationToken,
) {
    let names = &settings.names;
    let link = |purpose| RabbitMqLink::new(&settings.rabbitmq, names, purpose);
    let outbox = Outbox {
        link: link("order service"),
        events: names.events(),
        waiting: follow_ups,
        unconfirmed: None,
    };
    let fulfilment = Fulfilment {
        link: link("fulfilment"),
        names,
        gateway,
    };
    let shipping = Bystander {
        link: link("shipping"),
        queue: names.shipping_queue(),
    };
    let email = Bystander {
        link: link("email"),
        queue: names.email_queue(),
    };
    // Each of them ends only because it was told to.
    let _ = tokio::join!(
        outbox.run(stop),
        fulfilment.run(stop),
        shipping.run(stop),
        email.run(stop),
    );
}
