use super::*;

const OWN: &str = "redrive-traces";

/// `exchange` → `queue`, with a key that is the broker's name of it as well.
fn binding(exchange: &str, queue: &str, key: &str) -> TapBinding {
    TapBinding {
        exchange: exchange.into(),
        destination: BindingDestination::Queue(queue.into()),
        routing_key: key.to_owned(),
        arguments: Some(Vec::new()),
        properties_key: key.to_owned(),
    }
}

fn between(exchange: &str, next: &str, key: &str) -> TapBinding {
    TapBinding {
        destination: BindingDestination::Exchange(next.into()),
        ..binding(exchange, "", key)
    }
}

fn with_arguments(binding: TapBinding, arguments: &[(&str, AmqpValue)], key: &str) -> TapBinding {
    let arguments = arguments.iter();
    TapBinding {
        arguments: Some(
            arguments
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        ),
        properties_key: key.to_owned(),
        ..binding
    }
}

fn exchange(name: &str, kind: &str) -> TapExchange {
    TapExchange {
        exchange: name.into(),
        kind: kind.to_owned(),
        auto_delete: false,
    }
}

struct Case {
    wanted: &'static [&'static str],
    ignored: &'static [&'static str],
    exchanges: Vec<TapExchange>,
    bindings: Vec<TapBinding>,
    failed: HashMap<BindingKey, usize>,
    refused: BTreeMap<ExchangeName, String>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            wanted: &["*"],
            ignored: &[],
            exchanges: vec![exchange("orders", "topic")],
            bindings: Vec::new(),
            failed: HashMap::new(),
            refused: BTreeMap::new(),
        }
    }
}

impl Case {
    fn of(bindings: Vec<TapBinding>) -> Self {
        Self {
            bindings,
            ..Self::default()
        }
    }

    fn plan(self) -> Plan {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let config = TracesConfig {
            rabbitmq_exchanges: texts(self.wanted),
            rabbitmq_exchanges_ignored: texts(self.ignored),
            ..TracesConfig::default()
        };
        let routing = TapRouting {
            exchanges: self.exchanges,
            bindings: self.bindings,
            taps: [OWN.into(), "other-tap".into()].into(),
        };
        let known = Situation {
            own: &OWN.into(),
            dlqs: &["orders.dlq".into()].into(),
            failed: &self.failed,
            refused: &self.refused,
        };
        plan(&ExchangeRules::of(&config).unwrap(), &routing, &known)
    }

    /// `+exchange key` and `-exchange key`.
    #[track_caller]
    fn check(self, expected: &[&str]) -> Plan {
        let plan = self.plan();
        let line = |sign, copy: &TapCopy| format!("{sign}{} {}", copy.exchange, copy.routing_key);
        let removed = plan.remove.iter().map(|copy| line('-', copy));
        let added = plan.add.iter().map(|(_, copy)| line('+', copy));
        let lines: Vec<_> = removed.chain(added).collect();
        assert_eq!(lines, expected);
        plan
    }
}

#[test]
fn what_leads_to_somebody_s_queue_is_copied_and_nothing_else() {
    let check = |bindings: Vec<TapBinding>, expected: &[&str]| {
        Case::of(bindings).check(expected);
    };
    check(vec![binding("orders", "work", "a.*")], &["+orders a.*"]);
    // Two queues with one key.
    check(
        vec![
            binding("orders", "work", "a"),
            binding("orders", "audit", "a"),
        ],
        &["+orders a"],
    );
    // What leads to another exchange may end nowhere.
    check(vec![between("orders", "audit", "#")], &[]);
    // Neither the own copies nor those of another Redrive are models.
    check(vec![binding("orders", "other-tap", "a")], &[]);
    // Dead letters come into traces by themselves.
    check(vec![binding("orders", "orders.dlq", "dead")], &[]);
    // The broker lists these too.
    check(
        vec![binding("", "work", "work"), binding("", OWN, OWN)],
        &[],
    );
    // Of an exchange that nobody follows.
    check(vec![binding("payments", "work", "a")], &[]);
}

#[test]
fn a_copy_stays_as_long_as_one_of_its_models_does() {
    let check = |bindings: Vec<TapBinding>, expected: &[&str]| {
        Case::of(bindings).check(expected);
    };
    let copy = |key| binding("orders", OWN, key);
    check(vec![binding("orders", "work", "a"), copy("a")], &[]);
    check(
        vec![
            binding("orders", "work", "a"),
            binding("orders", "audit", "a"),
            copy("a"),
        ],
        &[],
    );
    check(vec![copy("a")], &["-orders a"]);
    check(
        vec![copy("a"), binding("orders", "other-tap", "a")],
        &["-orders a"],
    );
    check(
        vec![copy("a"), binding("orders", "orders.dlq", "a")],
        &["-orders a"],
    );
    check(
        vec![copy("a"), binding("orders", "work", "b")],
        &["-orders a", "+orders b"],
    );
    // A former run followed it, or a person bound it.
    check(
        vec![
            binding("payments", "work", "a"),
            binding("payments", OWN, "a"),
        ],
        &["-payments a"],
    );
}

#[test]
fn the_patterns_say_which_exchanges_are_followed() {
    let check = |wanted, ignored, name: &str, is_followed: bool| {
        let case = Case {
            wanted,
            ignored,
            exchanges: vec![exchange(name, "topic")],
            ..Case::of(vec![binding(name, "work", "a")])
        };
        let plan = case.plan();
        assert_eq!(
            plan.followed.contains_key(&name.into()),
            is_followed,
            "{name}"
        );
        assert_eq!(plan.add.len(), usize::from(is_followed), "{name}");
    };
    check(&["orders*"], &[], "Orders.new", true);
    check(&["orders*"], &["*.new"], "orders.new", false);
    check(&["payments"], &[], "orders", false);
    check(&[], &[], "orders", false);
    check(&["*"], &[], "amq.topic", false);
    check(&["amq.t*"], &[], "amq.topic", true);
    check(&["*", "amq.*"], &[], "amq.topic", true);
    check(&["amq.*"], &[], "amq.rabbitmq.trace", false);
    check(&["amq.rabbitmq.log"], &[], "amq.rabbitmq.log", false);
    check(&["*", ""], &[], "", false);
}

#[test]
fn what_is_left_out_is_said_with_its_reason() {
    let check = |exchanges, bindings, expected: &str| {
        let case = Case {
            exchanges: vec![exchanges],
            ..Case::of(bindings)
        };
        let plan = case.check(&[]);
        assert!(plan.followed.is_empty(), "{:?}", plan.followed);
        let reason = &plan.left_out[&"orders".into()];
        assert!(reason.contains(expected), "{reason}");
    };
    let model = || vec![binding("orders", "work", "1")];
    for kind in ["x-consistent-hash", "x-random", "x-delayed-message", ""] {
        check(exchange("orders", kind), model(), kind);
    }
    let auto_delete = TapExchange {
        auto_delete: true,
        ..exchange("orders", "topic")
    };
    check(auto_delete, model(), "deleted with its last binding");
    check(exchange("orders", "topic"), vec![], "no queue is bound");
    let leads_on = vec![between("orders", "audit", "#")];
    check(exchange("orders", "topic"), leads_on, "name those");
    let untold = TapBinding {
        arguments: None,
        ..binding("orders", "work", "1")
    };
    check(exchange("orders", "headers"), vec![untold], "0 of its 1");
}

#[test]
fn an_exchange_that_became_unfit_loses_its_copies() {
    let case = Case {
        exchanges: vec![exchange("orders", "x-random")],
        ..Case::of(vec![
            binding("orders", "work", "1"),
            binding("orders", OWN, "1"),
        ])
    };
    case.check(&["-orders 1"]);
}

/// The model has these arguments; so many readings of them failed.
fn arguments_tried(told: &[(&str, AmqpValue)], failed: usize) -> Option<Vec<AmqpValue>> {
    let model = with_arguments(binding("orders", "work", ""), told, "~model");
    let case = Case {
        failed: HashMap::from([(("orders".into(), "~model".to_owned()), failed)]),
        ..Case::of(vec![model])
    };
    let plan = case.plan();
    assert_eq!(plan.left_out.is_empty(), !plan.add.is_empty());
    let copy = plan.add.into_iter().next()?.1;
    Some(copy.arguments.into_iter().map(|(_, value)| value).collect())
}

#[test]
fn arguments_are_tried_in_each_type_that_they_may_have() {
    let check = |told: AmqpValue, expected: &[AmqpValue]| {
        let told = [("x-match", AmqpValue::long_string("all")), ("n", told)];
        for (failed, value) in expected.iter().enumerate() {
            let both = vec![AmqpValue::long_string("all"), value.clone()];
            assert_eq!(arguments_tried(&told, failed), Some(both));
        }
        assert_eq!(arguments_tried(&told, expected.len()), None);
    };
    check(AmqpValue::I64(5), &[AmqpValue::I32(5), AmqpValue::I64(5)]);
    check(AmqpValue::I64(i64::MAX), &[AmqpValue::I64(i64::MAX)]);
    let undefined = AmqpValue::long_string("undefined");
    check(undefined.clone(), &[AmqpValue::Void, undefined]);
    check(AmqpValue::Boolean(true), &[AmqpValue::Boolean(true)]);
}

#[test]
fn a_copy_of_another_type_goes_and_the_next_reading_is_tried() {
    let five = [("n", AmqpValue::I64(5))];
    let model = || with_arguments(binding("orders", "work", ""), &five, "~wide");
    let case = |failed: usize, key: &str| Case {
        failed: HashMap::from([(("orders".into(), "~wide".to_owned()), failed)]),
        ..Case::of(vec![
            model(),
            with_arguments(binding("orders", OWN, ""), &five, key),
        ])
    };
    // It is named as either, because nobody knows which it is.
    case(1, "~narrow").check(&["-orders ", "-orders ", "+orders "]);
    let right = case(1, "~wide").check(&[]);
    assert_eq!(right.followed[&"orders".into()], 1);
    let given_up = case(2, "~narrow").check(&["-orders ", "-orders "]);
    assert!(given_up.followed.is_empty());
    assert!(given_up.left_out[&"orders".into()].contains("0 of its 1"));
}

#[test]
fn what_the_broker_refused_is_not_tried_again_and_what_was_made_stays() {
    let case = Case {
        refused: BTreeMap::from([("orders".into(), "not permitted".to_owned())]),
        ..Case::of(vec![
            binding("orders", "work", "a"),
            binding("orders", "work", "b"),
            binding("orders", OWN, "b"),
        ])
    };
    let plan = case.check(&[]);
    assert_eq!(plan.left_out[&"orders".into()], "not permitted");
    assert!(plan.followed.is_empty());
}

#[test]
fn a_tap_has_no_more_than_so_many_bindings() {
    let bindings = (0..=MOST_COPIES).map(|number| binding("orders", "work", &number.to_string()));
    let plan = Case::of(bindings.collect()).plan();
    assert_eq!(plan.add.len(), MOST_COPIES);
    assert!(plan.left_out[&"orders".into()].contains("5000 of its 5001"));
}
