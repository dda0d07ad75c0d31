use bytes::Bytes;

use super::event::{Event, Metadata, ORDER_CREATED, OrderData, OrderItem};
use super::gateway::UNREACHABLE_PROVIDER;
use super::random::Random;
use crate::domain::{Message, Timestamp};

/// A currency that analytics has no rate for: ISO 4217's code for tests.
pub(super) const CURRENCY_WITHOUT_RATE: &str = "XTS";

/// What will become of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is paid for and shipped.
    Sound,
    /// The payment gateway times out while it is broken; a replay after its repair succeeds.
    GatewayTimeout,
    /// `data.customerId` is missing; a replay succeeds once it was edited in.
    MissingCustomer,
    /// The record on Kafka is cut off in the middle.
    MalformedJson,
    /// It is published to Kafka twice, with one event ID.
    Duplicate,
    /// It is paid for in a currency that analytics cannot convert.
    UnknownCurrency,
}

impl Fate {
    /// Each kind of failure. A new workload shows them in this order before chance decides, so that
    /// nobody has to wait for a rare one.
    pub const FAILURES: [Self; 5] = [
        Self::GatewayTimeout,
        Self::MissingCustomer,
        Self::MalformedJson,
        Self::Duplicate,
        Self::UnknownCurrency,
    ];

    /// Half of all failures is the gateway, a quarter the missing field.
    const WEIGHTED: [Self; 12] = [
        Self::GatewayTimeout,
        Self::GatewayTimeout,
        Self::GatewayTimeout,
        Self::GatewayTimeout,
        Self::GatewayTimeout,
        Self::GatewayTimeout,
        Self::MissingCustomer,
        Self::MissingCustomer,
        Self::MissingCustomer,
        Self::MalformedJson,
        Self::Duplicate,
        Self::UnknownCurrency,
    ];
}

/// An order and what will become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedOrder {
    pub event: Event<OrderData>,
    pub fate: Fate,
}

impl PlannedOrder {
    /// The records for the topic `orders`.
    pub fn kafka_messages(&self) -> Vec<Message> {
        let message = self.event.kafka_message();
        match self.fate {
            Fate::Duplicate => vec![message.clone(), message],
            Fate::MalformedJson => {
                let cut = |body: Bytes| body.slice(..body.len() * 2 / 3);
                let body = message.body.map(cut);
                vec![Message { body, ..message }]
            }
            _ => vec![message],
        }
    }
}

/// Invents orders. The same seed and share give the same orders with the same fates.
#[derive(Clone, Debug)]
pub struct OrderGenerator {
    random: Random,
    failure_share: f64,
    failures_so_far: usize,
}

impl OrderGenerator {
    /// `failure_share` of the orders, from 0 to 1, fail in one way or another.
    pub fn new(seed: u64, failure_share: f64) -> Self {
        Self {
            random: Random::seeded(seed),
            failure_share,
            failures_so_far: 0,
        }
    }

    pub fn next(&mut self, now: Timestamp) -> PlannedOrder {
        let fate = self.next_fate();
        let event = self.sound_order(now);
        PlannedOrder {
            event: doom(event, fate),
            fate,
        }
    }

    /// The event that tells RabbitMQ of an order that is on Kafka: another event of the same
    /// transaction, caused by the one on Kafka.
    pub fn follow_up(&mut self, order: &Event<OrderData>) -> Event<OrderData> {
        Event {
            event_id: self.random.uuid(),
            causation_id: Some(order.event_id),
            ..order.clone()
        }
    }

    fn next_fate(&mut self) -> Fate {
        if !self.random.chance(self.failure_share) {
            return Fate::Sound;
        }
        let shown = self.failures_so_far;
        self.failures_so_far = shown.saturating_add(1);
        let by_chance = self.random.pick(Fate::WEIGHTED);
        Fate::FAILURES.get(shown).copied().unwrap_or(by_chance)
    }

    fn sound_order(&mut self, now: Timestamp) -> Event<OrderData> {
        let items: Vec<OrderItem> = (0..=self.random.below(3)).map(|_| self.item()).collect();
        let total: f64 = items
            .iter()
            .map(|item| item.unit_price * f64::from(item.quantity))
            .sum();
        Event {
            event_id: self.random.uuid(),
            event_type: ORDER_CREATED.to_owned(),
            timestamp: now.to_rfc3339(),
            aggregate_id: format!("order-{}", self.random.uuid().simple()),
            version: 1,
            correlation_id: self.random.uuid(),
            causation_id: None,
            data: OrderData {
                customer_id: Some(format!("customer-{}", 1000 + self.random.below(500))),
                items,
                total_amount: (total * 100.0).round() / 100.0,
            },
            metadata: Metadata {
                source: "order-service".to_owned(),
                currency: self.random.pick(["EUR", "USD", "GBP"]).to_owned(),
                payment_provider: self.random.pick(["citypay", "globalcard"]).to_owned(),
            },
        }
    }

    fn item(&mut self) -> OrderItem {
        let sku = self.random.pick(["KETTLE", "LAMP", "CHAIR", "TEAPOT"]);
        OrderItem {
            sku: format!("{sku}-{}", 10 + self.random.below(90)),
            quantity: 1 + self.random.below(4),
            unit_price: f64::from(199 + self.random.below(9_800)) / 100.0,
        }
    }
}

/// Changes a sound order so that its fate will befall it.
fn doom(mut event: Event<OrderData>, fate: Fate) -> Event<OrderData> {
    match fate {
        Fate::GatewayTimeout => {
            UNREACHABLE_PROVIDER.clone_into(&mut event.metadata.payment_provider);
        }
        Fate::MissingCustomer => event.data.customer_id = None,
        Fate::UnknownCurrency => CURRENCY_WITHOUT_RATE.clone_into(&mut event.metadata.currency),
        Fate::Sound | Fate::MalformedJson | Fate::Duplicate => {}
    }
    event
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::demo::ValidOrder;

    fn orders(seed: u64, failure_share: f64, count: usize) -> Vec<PlannedOrder> {
        let mut generator = OrderGenerator::new(seed, failure_share);
        (0..count).map(|_| generator.next(Timestamp(0))).collect()
    }

    #[test]
    fn the_same_seed_plans_the_same_orders() {
        assert_eq!(orders(4, 0.5, 50), orders(4, 0.5, 50));
        assert_ne!(orders(4, 0.5, 50), orders(5, 0.5, 50));
    }

    #[test]
    fn without_a_failure_share_all_orders_are_sound() {
        for order in orders(1, 0.0, 500) {
            assert_eq!(order.fate, Fate::Sound);
            assert!(ValidOrder::parse(Some(&order.event.body())).is_ok());
        }
    }

    #[test]
    fn every_kind_of_failure_is_shown_before_chance_decides() {
        let planned = orders(1, 0.15, 200);
        let failures: Vec<Fate> = planned
            .iter()
            .map(|order| order.fate)
            .filter(|fate| *fate != Fate::Sound)
            .collect();
        assert_eq!(failures[..5], Fate::FAILURES);
    }

    #[test]
    fn failures_have_about_their_shares() {
        let mut counts: HashMap<Fate, usize> = HashMap::new();
        for order in orders(2, 0.2, 10_000) {
            *counts.entry(order.fate).or_default() += 1;
        }
        let check = |fate, expected: std::ops::Range<usize>| {
            assert!(expected.contains(&counts[&fate]), "{fate:?}: {counts:?}");
        };
        check(Fate::Sound, 7_800..8_200);
        check(Fate::GatewayTimeout, 850..1_150);
        check(Fate::MissingCustomer, 400..600);
        check(Fate::MalformedJson, 110..225);
        check(Fate::Duplicate, 110..225);
        check(Fate::UnknownCurrency, 110..225);
    }

    #[test]
    fn a_fate_shows_in_the_records() {
        let planned = orders(1, 1.0, 5);
        let of = |fate| planned.iter().find(|order| order.fate == fate).unwrap();
        let parse = |order: &PlannedOrder| {
            ValidOrder::parse(order.kafka_messages()[0].body.as_ref())
                .map_err(|error| error.class())
        };
        let timing_out = parse(of(Fate::GatewayTimeout)).unwrap();
        assert_eq!(
            timing_out.event.metadata.payment_provider,
            UNREACHABLE_PROVIDER
        );
        assert_eq!(
            parse(of(Fate::MissingCustomer)).unwrap_err(),
            "ValidationException"
        );
        assert_eq!(
            parse(of(Fate::MalformedJson)).unwrap_err(),
            "MalformedEventException"
        );
        let twice = of(Fate::Duplicate).kafka_messages();
        assert_eq!(twice.len(), 2);
        assert_eq!(twice[0], twice[1]);
    }

    #[test]
    fn a_follow_up_is_another_event_of_the_same_transaction() {
        let mut generator = OrderGenerator::new(1, 0.0);
        let order = generator.next(Timestamp(0)).event;
        let follow_up = generator.follow_up(&order);
        assert_ne!(follow_up.event_id, order.event_id);
        assert_eq!(follow_up.causation_id, Some(order.event_id));
        assert_eq!(follow_up.correlation_id, order.correlation_id);
    }
}
