use std::convert::Infallible;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::{Stopped, pause};
use super::event::{PaymentData, parse_event};
use super::failure::ProcessingError;
use super::generator::CURRENCY_WITHOUT_RATE;
use super::kafka_link::{Publisher, Topics, commit, next_record};
use super::pace::Pace;
use crate::brokers::kafka::{GroupConsumer, KafkaRecord};
use crate::domain::ConsumerGroup;

/// The consumer of `analytics-consumers`: counts orders, adds up payments, and is slow at times.
pub(super) struct Analytics<'a> {
    pub(super) consumer: GroupConsumer,
    pub(super) group: ConsumerGroup,
    pub(super) publisher: &'a Publisher,
    pub(super) topics: &'a Topics,
    pub(super) pace: Pace,
    pub(super) started: Instant,
}

impl Analytics<'_> {
    pub(super) async fn run(self, stop: &CancellationToken) -> Result<Infallible, Stopped> {
        loop {
            let record = next_record(&self.consumer, stop).await?;
            pause(self.pace.time_for_one_event(self.started.elapsed()), stop).await?;
            self.handle(&record, stop).await?;
            commit(&self.consumer, &record);
        }
    }

    /// Orders are only counted, so nothing in them can fail; payments are converted.
    async fn handle(&self, record: &KafkaRecord, stop: &CancellationToken) -> Result<(), Stopped> {
        if record.topic != self.topics.payments.name {
            return Ok(());
        }
        let Err(error) = convertible_amount(record) else {
            return Ok(());
        };
        let failed = (record, &self.group);
        self.publisher
            .dead_letter(failed, (&error, 1), &self.topics.payments_dead, stop)
            .await
    }
}

fn convertible_amount(record: &KafkaRecord) -> Result<f64, ProcessingError> {
    let payment = parse_event::<PaymentData>(record.message.body.as_ref())?.data;
    if payment.currency == CURRENCY_WITHOUT_RATE {
        return Err(ProcessingError::UnknownCurrency {
            currency: payment.currency,
        });
    }
    Ok(payment.amount)
}
