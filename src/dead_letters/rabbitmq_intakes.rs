use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::{IntakeContext, rabbitmq_intake};
use crate::config::{QueueConfig, QueueCustody, RabbitMqConfig};
use crate::domain::QueuePlace;

/// Empties every managed queue of a cluster into the store: those of the configuration, and those that an
/// administrator gives into custody, for as long as they are.
pub(super) async fn run(context: IntakeContext, config: RabbitMqConfig) {
    let mut managed = context.managed.subscribe();
    let mut intakes = Intakes {
        context: &context,
        config: &config,
        running: FuturesUnordered::new(),
        stops: BTreeMap::new(),
    };
    loop {
        let wanted = wanted(&config, &managed.borrow_and_update());
        intakes.start_and_stop(&wanted);
        tokio::select! {
            () = context.stop.cancelled() => break,
            // The sender lives in the context.
            _ = managed.changed() => {}
            Some(ended) = intakes.running.next(), if !intakes.running.is_empty() => {
                intakes.stops.remove(&ended);
            }
        }
    }
    while intakes.running.next().await.is_some() {}
}

fn wanted(
    config: &RabbitMqConfig,
    managed: &BTreeSet<QueuePlace>,
) -> BTreeMap<QueuePlace, QueueConfig> {
    let configured = config
        .queues
        .iter()
        .filter(|queue| queue.custody == Some(QueueCustody::Managed));
    let on_pages = managed.iter().filter(|place| place.cluster == config.name);
    let on_pages = on_pages.map(|place| QueueConfig {
        vhost: place.vhost.clone(),
        name: place.queue.clone(),
        role: None,
        custody: Some(QueueCustody::Managed),
        observe_every: None,
    });
    let place = |queue: QueueConfig| {
        let place = QueuePlace {
            cluster: config.name.clone(),
            vhost: queue.vhost.clone(),
            queue: queue.name.clone(),
        };
        (place, queue)
    };
    configured.cloned().chain(on_pages).map(place).collect()
}

struct Intakes<'a> {
    context: &'a IntakeContext,
    config: &'a RabbitMqConfig,
    /// Each answers which it was when it has ended.
    running: FuturesUnordered<BoxFuture<'static, QueuePlace>>,
    stops: BTreeMap<QueuePlace, CancellationToken>,
}

impl Intakes<'_> {
    /// One that is to stop stays among the running until it has ended.
    fn start_and_stop(&mut self, wanted: &BTreeMap<QueuePlace, QueueConfig>) {
        for (place, stop) in &self.stops {
            if !wanted.contains_key(place) {
                stop.cancel();
            }
        }
        for (place, queue) in wanted {
            if self.stops.contains_key(place) {
                continue;
            }
            let stop = self.context.stop.child_token();
            self.stops.insert(place.clone(), stop.clone());
            let context = IntakeContext {
                stop,
                ..self.context.clone()
            };
            let intake = rabbitmq_intake::run(context, self.config.clone(), queue.clone());
            let place = place.clone();
            self.running.push(Box::pin(async move {
                intake.await;
                place
            }));
        }
    }
}
