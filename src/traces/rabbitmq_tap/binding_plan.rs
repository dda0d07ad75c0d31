//! Which bindings the tap of a virtual host of RabbitMQ needs, and which of its own have to go. Pure.
//!
//! A binding of the tap is the copy of one that leads from a followed exchange to somebody's queue: what reaches
//! the tap reaches that queue as well, so that nothing becomes routable by the tap. Bindings between exchanges
//! are no models for that reason, nor are those of other taps. A copy goes with its last model. Models and
//! copies are compared by the key that the broker gives them, in which the types of arguments count.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::brokers::rabbitmq::amqp::TapCopy;
use crate::brokers::rabbitmq::{TapBinding, TapExchange, TapRouting};
use crate::config::TracesConfig;
use crate::domain::{
    AmqpValue, BindingDestination, ExchangeName, GlobError, NameFilter, QueueName,
};

/// Bindings of one tap: each costs the broker memory, and applications may make them by the thousand.
const MOST_COPIES: usize = 5_000;

/// The prefix of the exchanges that are there from the start.
const PREDECLARED: &str = "amq.";

/// Where the broker itself writes.
const OF_THE_BROKER: &str = "amq.rabbitmq.";

/// An exchange and the broker's key of a binding from it.
pub(super) type BindingKey = (ExchangeName, String);

/// The patterns of `[traces]` for exchanges.
pub(super) struct ExchangeRules {
    wanted: NameFilter,
    /// The patterns that begin with `amq.`.
    wanted_predeclared: NameFilter,
    ignored: NameFilter,
}

/// What is to be done, and what the page says of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) add: Vec<(BindingKey, TapCopy)>,
    pub(super) remove: Vec<TapCopy>,
    /// The exchanges that are followed, with the number of different bindings that are copied.
    pub(super) followed: BTreeMap<ExchangeName, usize>,
    /// The exchanges that match and are not followed, or not wholly, and why.
    pub(super) left_out: BTreeMap<ExchangeName, String>,
}

/// What is known beside the routing.
pub(super) struct Situation<'a> {
    /// The tap's own queue.
    pub(super) own: &'a QueueName,
    /// Queues of dead letters, which are in the store already.
    pub(super) dlqs: &'a BTreeSet<QueueName>,
    /// How many readings of the arguments gave a copy to which the broker gave another key.
    pub(super) failed: &'a HashMap<BindingKey, usize>,
    /// Exchanges of which the broker refused copies, and why.
    pub(super) refused: &'a BTreeMap<ExchangeName, String>,
}

impl ExchangeRules {
    pub(super) fn of(config: &TracesConfig) -> Result<Self, GlobError> {
        let wanted = || config.rabbitmq_exchanges.iter().map(String::as_str);
        let ignored = config.rabbitmq_exchanges_ignored.iter();
        Ok(Self {
            wanted: NameFilter::parse(wanted())?,
            wanted_predeclared: NameFilter::parse(
                wanted().filter(|pattern| pattern.starts_with(PREDECLARED)),
            )?,
            ignored: NameFilter::parse(ignored.map(String::as_str))?,
        })
    }

    /// The default exchange cannot be bound, and what the broker itself writes is no event.
    fn want(&self, exchange: &ExchangeName) -> bool {
        let name = exchange.as_str();
        let is_wanted = match name {
            "" => false,
            _ if name.starts_with(OF_THE_BROKER) => false,
            _ if name.starts_with(PREDECLARED) => self.wanted_predeclared.matches(name),
            _ => self.wanted.matches(name),
        };
        is_wanted && !self.ignored.matches(name)
    }
}

/// Compares what is there with what should be.
pub(super) fn plan(rules: &ExchangeRules, routing: &TapRouting, known: &Situation<'_>) -> Plan {
    let mut by_exchange: HashMap<&ExchangeName, Vec<&TapBinding>> = HashMap::new();
    for binding in &routing.bindings {
        let from = by_exchange.entry(&binding.exchange).or_default();
        from.push(binding);
    }
    let mut plan = Plan::default();
    let mut models: BTreeMap<BindingKey, &TapBinding> = BTreeMap::new();
    for exchange in &routing.exchanges {
        let name = &exchange.exchange;
        if !rules.want(name) {
            continue;
        }
        let bindings = by_exchange.get(name).map_or(&[][..], Vec::as_slice);
        let found = models_among(bindings, routing, known);
        let reason = unfit(exchange).or_else(|| found.is_empty().then(|| no_models(bindings)));
        match reason {
            Some(reason) => {
                plan.left_out.insert(name.clone(), reason);
            }
            None => plan.admit(name, found, &mut models, known),
        }
    }
    plan.compare(&models, routing, known);
    plan
}

/// Why an exchange must not be bound.
fn unfit(exchange: &TapExchange) -> Option<String> {
    let kind = exchange.kind.as_str();
    if !matches!(kind, "direct" | "topic" | "fanout" | "headers") {
        return Some(format!(
            "its type is {kind}; only direct, topic, fanout and headers leave others what they get"
        ));
    }
    exchange.auto_delete.then(|| {
        "it is deleted with its last binding, and one of the tap would keep it alive".to_owned()
    })
}

/// The bindings of an exchange that are somebody's, one of each key.
fn models_among<'a>(
    bindings: &[&'a TapBinding],
    routing: &TapRouting,
    known: &Situation<'_>,
) -> BTreeMap<BindingKey, &'a TapBinding> {
    let is_model = |binding: &&&TapBinding| match &binding.destination {
        BindingDestination::Queue(queue) => {
            queue != known.own && !routing.taps.contains(queue) && !known.dlqs.contains(queue)
        }
        BindingDestination::Exchange(_) => false,
    };
    let models = bindings.iter().filter(is_model);
    models.map(|binding| (key(binding), *binding)).collect()
}

fn no_models(bindings: &[&TapBinding]) -> String {
    let leads_on =
        |binding: &&TapBinding| matches!(binding.destination, BindingDestination::Exchange(_));
    if bindings.iter().any(leads_on) {
        return "it leads to other exchanges alone; name those".to_owned();
    }
    "no queue is bound to it, DLQs aside".to_owned()
}

fn key(binding: &TapBinding) -> BindingKey {
    (binding.exchange.clone(), binding.properties_key.clone())
}

impl Plan {
    /// Nothing is followed, and nothing is left to tidy up.
    pub(super) fn is_idle(&self) -> bool {
        self.followed.is_empty() && self.remove.is_empty()
    }

    /// Takes the models of an exchange as far as they can be copied.
    fn admit<'a>(
        &mut self,
        exchange: &ExchangeName,
        found: BTreeMap<BindingKey, &'a TapBinding>,
        models: &mut BTreeMap<BindingKey, &'a TapBinding>,
        known: &Situation<'_>,
    ) {
        let (all, before) = (found.len(), models.len());
        for (key, binding) in found {
            let is_told = copy_of(binding, known.failed.get(&key)).is_some();
            if is_told && models.len() < MOST_COPIES {
                models.insert(key, binding);
            }
        }
        let taken = models.len() - before;
        let reason = match known.refused.get(exchange) {
            Some(reason) => reason.clone(),
            None if taken == all => String::new(),
            None if models.len() >= MOST_COPIES => {
                format!("{taken} of its {all} bindings are copied: a tap has {MOST_COPIES} at most")
            }
            None => format!(
                "{taken} of its {all} bindings are copied: the others have arguments whose types the \
                 management API does not tell"
            ),
        };
        if !reason.is_empty() {
            self.left_out.insert(exchange.clone(), reason);
        }
        if taken > 0 && !known.refused.contains_key(exchange) {
            self.followed.insert(exchange.clone(), taken);
        }
    }

    fn compare(
        &mut self,
        models: &BTreeMap<BindingKey, &TapBinding>,
        routing: &TapRouting,
        known: &Situation<'_>,
    ) {
        let copies = copies(routing, known.own);
        for (key, copy) in &copies {
            if !models.contains_key(key) {
                self.remove.extend(readings(copy));
            }
        }
        for (key, model) in models {
            if copies.contains_key(key) || known.refused.contains_key(&key.0) {
                continue;
            }
            let copy = copy_of(model, known.failed.get(key));
            self.add.extend(copy.map(|copy| (key.clone(), copy)));
        }
    }
}

/// The bindings of a tap's own queue, without that of the default exchange, which every queue has for ever.
pub(super) fn copies<'a>(
    routing: &'a TapRouting,
    own: &QueueName,
) -> BTreeMap<BindingKey, &'a TapBinding> {
    let is_copy = |binding: &&TapBinding| match &binding.destination {
        BindingDestination::Queue(queue) => queue == own && !binding.exchange.as_str().is_empty(),
        BindingDestination::Exchange(_) => false,
    };
    let copies = routing.bindings.iter().filter(is_copy);
    copies.map(|binding| (key(binding), binding)).collect()
}

/// The copy to try next; none where every reading of the arguments came out differently.
fn copy_of(model: &TapBinding, failed: Option<&usize>) -> Option<TapCopy> {
    readings(model)
        .into_iter()
        .nth(failed.copied().unwrap_or(0))
}

/// All that a binding may be by what the management API tells of it, the likeliest first. One that has to go is
/// named by all of them: the broker does not mind what is not there.
fn readings(binding: &TapBinding) -> Vec<TapCopy> {
    let Some(told) = &binding.arguments else {
        return Vec::new();
    };
    let mut readings: Vec<TapCopy> = Vec::new();
    for undefined in [Undefined::IsNothing, Undefined::IsText] {
        for integers in [Integers::Short, Integers::Long] {
            let arguments = told.iter();
            let arguments = arguments.map(|(name, value)| {
                let value = undefined.read(&integers.read(value));
                (name.clone(), value)
            });
            let copy = TapCopy {
                exchange: binding.exchange.clone(),
                routing_key: binding.routing_key.clone(),
                arguments: arguments.collect(),
            };
            if !readings.contains(&copy) {
                readings.push(copy);
            }
        }
    }
    readings
}

#[derive(Clone, Copy)]
enum Integers {
    /// 32 bits where the value fits, as most clients write it.
    Short,
    Long,
}

impl Integers {
    fn read(self, value: &AmqpValue) -> AmqpValue {
        match (self, value) {
            (Self::Short, AmqpValue::I64(long)) => {
                i32::try_from(*long).map_or(AmqpValue::I64(*long), AmqpValue::I32)
            }
            _ => value.clone(),
        }
    }
}

#[derive(Clone, Copy)]
enum Undefined {
    IsNothing,
    IsText,
}

impl Undefined {
    fn read(self, value: &AmqpValue) -> AmqpValue {
        match self {
            Self::IsNothing if value.as_text() == Some("undefined") => AmqpValue::Void,
            _ => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
