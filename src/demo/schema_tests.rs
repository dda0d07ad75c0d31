//! The schema and what the generator makes are checked against one another by the few keywords that
//! the schema uses, without a validator.

use serde_json::Value;

use super::{Fate, ORDER_CREATED_SCHEMA, OrderGenerator};
use crate::domain::Timestamp;

fn schema() -> Value {
    serde_json::from_str(ORDER_CREATED_SCHEMA).unwrap()
}

fn violations(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let mut check = |holds: bool, keyword: &str| {
        if !holds {
            found.push(format!("{path}: {keyword}"));
        }
    };
    check(has_type(&schema["type"], value), "type");
    if let Some(constant) = schema.get("const") {
        check(constant == value, "const");
    }
    if let Some(least) = schema["minLength"].as_u64() {
        check(
            value.as_str().unwrap_or("").len() as u64 >= least,
            "minLength",
        );
    }
    if let Some(least) = schema["minItems"].as_u64() {
        check(
            value.as_array().map_or(0, Vec::len) as u64 >= least,
            "minItems",
        );
    }
    if let Some(least) = schema["minimum"].as_f64() {
        check(
            value.as_f64().is_some_and(|number| number >= least),
            "minimum",
        );
    }
    if let Some(bound) = schema["exclusiveMinimum"].as_f64() {
        check(
            value.as_f64().is_some_and(|number| number > bound),
            "exclusiveMinimum",
        );
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap();
        check(value.get(name).is_some(), &format!("requires {name}"));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(field) = value.get(name) {
            violations(property, field, &format!("{path}.{name}"), found);
        }
    }
    if let Some(item_schema) = schema.get("items") {
        for item in value.as_array().into_iter().flatten() {
            violations(item_schema, item, &format!("{path}[]"), found);
        }
    }
}

fn has_type(types: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("this test does not know the type {other}"),
    };
    match types {
        Value::Null => true,
        Value::Array(alternatives) => alternatives.iter().any(is),
        name => is(name),
    }
}

fn violations_of(fate: Fate) -> Vec<String> {
    let mut generator = OrderGenerator::new(11, 1.0);
    let order = (0..100)
        .map(|_| generator.next(Timestamp(0)))
        .find(|order| order.fate == fate)
        .unwrap();
    let value = serde_json::to_value(&order.event).unwrap();
    let mut found = Vec::new();
    violations(&schema(), &value, "", &mut found);
    found
}

#[test]
fn the_schema_accepts_what_the_generator_makes() {
    assert_eq!(violations_of(Fate::GatewayTimeout), [""; 0]);
    assert_eq!(violations_of(Fate::Duplicate), [""; 0]);
    let mut generator = OrderGenerator::new(11, 0.0);
    let order = generator.next(Timestamp(0)).event;
    let follow_up = serde_json::to_value(generator.follow_up(&order)).unwrap();
    let mut found = Vec::new();
    violations(&schema(), &follow_up, "", &mut found);
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_schema_misses_the_customer_where_it_is_missing() {
    assert_eq!(
        violations_of(Fate::MissingCustomer),
        [".data: requires customerId"]
    );
}

#[test]
fn the_schema_is_draft_07_and_describes_every_field_of_the_envelope() {
    let schema = schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let order = OrderGenerator::new(1, 0.0).next(Timestamp(0)).event;
    for (name, _) in serde_json::to_value(order).unwrap().as_object().unwrap() {
        assert!(schema["properties"].get(name).is_some(), "{name}");
    }
}
