use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::backoff::Stopped;
use super::event::{Event, PaymentData, ValidOrder};
use super::failure::ProcessingError;
use super::gateway::Gateway;
use super::kafka_link::{Publisher, Topics, commit, next_record};
use super::processed::{Acquaintance, ProcessedEvents};
use crate::brokers::kafka::{GroupConsumer, KafkaRecord};
use crate::domain::{ConsumerGroup, Timestamp};

/// How often a payment is tried before the order is a dead letter.
const ATTEMPTS: u32 = 2;

/// A member of `payment-consumers`: charges each order and says so on the topic `payments`.
pub(super) struct PaymentService<'a> {
    pub(super) consumer: GroupConsumer,
    pub(super) group: ConsumerGroup,
    pub(super) gateway: &'a Gateway,
    pub(super) publisher: &'a Publisher,
    pub(super) topics: &'a Topics,
    /// Shared by all members, as a database would be.
    pub(super) processed: Arc<Mutex<ProcessedEvents>>,
}

impl PaymentService<'_> {
    pub(super) async fn run(self, stop: &CancellationToken) -> Result<Infallible, Stopped> {
        loop {
            let record = next_record(&self.consumer, stop).await?;
            self.handle(&record, stop).await?;
            commit(&self.consumer, &record);
        }
    }

    async fn handle(&self, record: &KafkaRecord, stop: &CancellationToken) -> Result<(), Stopped> {
        let order = match self.accept(record) {
            Ok(Some(order)) => order,
            Ok(None) => return Ok(()),
            Err(error) => return self.give_up(record, (&error, 1), stop).await,
        };
        if let Err(error) = self.charge(&order).await {
            return self.give_up(record, (&error, ATTEMPTS), stop).await;
        }
        let payment: Event<PaymentData> = order.payment(Uuid::new_v4(), Timestamp::now());
        self.publisher
            .publish(&self.topics.payments, &payment.kafka_message(), stop)
            .await?;
        let position = (record.partition, record.offset);
        self.processed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remember(order.event.event_id, position);
        Ok(())
    }

    /// The order of the record; `None` if it was handled before its offset was committed.
    fn accept(&self, record: &KafkaRecord) -> Result<Option<ValidOrder>, ProcessingError> {
        let order = ValidOrder::parse(record.message.body.as_ref())?;
        let event_id = order.event.event_id;
        let position = (record.partition, record.offset);
        let processed = self
            .processed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match processed.look_up(event_id, position) {
            Acquaintance::New => Ok(Some(order)),
            Acquaintance::Redelivered => Ok(None),
            Acquaintance::Duplicate => Err(ProcessingError::Duplicate { event_id }),
        }
    }

    async fn charge(&self, order: &ValidOrder) -> Result<(), ProcessingError> {
        let provider = &order.event.metadata.payment_provider;
        for _ in 1..ATTEMPTS {
            if self.gateway.charge(provider).await.is_ok() {
                return Ok(());
            }
        }
        self.gateway.charge(provider).await
    }

    async fn give_up(
        &self,
        record: &KafkaRecord,
        failure: (&ProcessingError, u32),
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let failed = (record, &self.group);
        self.publisher
            .dead_letter(failed, failure, &self.topics.orders_dead, stop)
            .await
    }
}
