//! A running sample workload with names and a virtual host of its own.

use std::time::Duration;

use redrive::brokers::kafka::KafkaAdmin;
use redrive::demo::{
    self, DemoError, GatewayFile, GatewayState, Names, SlowPhases, WorkloadSettings,
};
use redrive::domain::{QueueName, TopicName};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::rabbitmq::Vhost;
use super::{eventually, kafka, unique};

pub(crate) struct Workload {
    pub(crate) names: Names,
    pub(crate) vhost: Vhost,
    state_dir: TempDir,
    stop: CancellationToken,
    task: JoinHandle<Result<(), DemoError>>,
}

impl Workload {
    /// One in which every order fails; of a fixed seed.
    pub(crate) async fn failing() -> Self {
        let vhost = Vhost::create().await;
        let names = Names::with_prefix(format!("{}.", unique("demo")));
        let state_dir = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let settings = settings(&vhost, &names, &state_dir);
        let task = tokio::spawn(demo::run(settings, stop.clone()));
        Self {
            names,
            vhost,
            state_dir,
            stop,
            task,
        }
    }

    pub(crate) fn orders_dlq(&self) -> (TopicName, i32) {
        (Names::dead_letter_topic(&self.names.orders_topic()), 3)
    }

    pub(crate) fn payments_dlq(&self) -> (TopicName, i32) {
        (Names::dead_letter_topic(&self.names.payments_topic()), 2)
    }

    pub(crate) fn payments(&self) -> (TopicName, i32) {
        (self.names.payments_topic(), 2)
    }

    pub(crate) fn repair_gateway(&self) {
        let file = GatewayFile::in_directory(self.state_dir.path());
        assert_eq!(file.read().unwrap(), GatewayState::Broken);
        file.write(GatewayState::Working).unwrap();
    }

    pub(crate) async fn queue_is_there(&self, queue: &QueueName) {
        let management = self.vhost.management();
        eventually("the queue is declared", async || {
            management.queue(&self.vhost.name, queue).await.unwrap()
        })
        .await;
    }

    /// The depth as the management API has it, some seconds old.
    pub(crate) async fn dead_letters(&self, queue: &QueueName) -> u64 {
        let sample = self.vhost.queue_once(queue, |_| true).await;
        sample.ready.unwrap_or(0)
    }

    pub(crate) async fn dead_letters_more_than(&self, queue: &QueueName, count: u64) {
        self.queue_is_there(queue).await;
        let more = |sample: &redrive::domain::QueueSample| sample.ready > Some(count);
        self.vhost.queue_once(queue, more).await;
    }

    /// Stops the workload and starts it with the same names.
    pub(crate) async fn restart(&mut self) {
        self.finish().await;
        let settings = settings(&self.vhost, &self.names, &self.state_dir);
        self.stop = CancellationToken::new();
        self.task = tokio::spawn(demo::run(settings, self.stop.clone()));
    }

    async fn finish(&mut self) {
        assert!(!self.task.is_finished(), "it ended by itself");
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(15), &mut self.task).await;
        ended.expect("it stops when told").unwrap().unwrap();
    }

    /// Stops the workload and removes what it made on the brokers.
    pub(crate) async fn stop(mut self) {
        self.finish().await;
        let admin = KafkaAdmin::new(&kafka()).unwrap();
        for topic in [self.names.orders_topic(), self.names.payments_topic()] {
            admin
                .delete_topic(&Names::dead_letter_topic(&topic))
                .await
                .unwrap();
            admin.delete_topic(&topic).await.unwrap();
        }
    }
}

fn settings(vhost: &Vhost, names: &Names, state_dir: &TempDir) -> WorkloadSettings {
    WorkloadSettings {
        kafka: kafka(),
        rabbitmq: vhost.config(),
        state_dir: state_dir.path().to_owned(),
        names: names.clone(),
        orders_per_second: 10.0,
        failure_share: 1.0,
        seed: 2026,
        slow_phases: SlowPhases {
            duration: Duration::ZERO,
            ..SlowPhases::default()
        },
        gateway_timeout: Duration::from_millis(10),
    }
}
