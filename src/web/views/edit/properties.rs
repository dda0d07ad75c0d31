//! AMQP's basic properties as rows of the form.

use super::typed;
use crate::domain::AmqpProperties;

/// A property that a person may edit; exchange and routing key are the destination's.
pub(crate) struct Property {
    /// Its name in AMQP, and in the form behind `p-`.
    pub(crate) name: &'static str,
    pub(super) hint: &'static str,
    get: fn(&AmqpProperties) -> Option<String>,
    set: fn(&mut AmqpProperties, Option<String>) -> Result<(), String>,
}

macro_rules! text_property {
    ($name:literal, $field:ident, $hint:literal) => {
        Property {
            name: $name,
            hint: $hint,
            get: |properties| properties.$field.clone(),
            set: |properties, text| {
                properties.$field = text;
                Ok(())
            },
        }
    };
}

macro_rules! number_property {
    ($name:literal, $field:ident, $hint:literal, $parse:expr) => {
        Property {
            name: $name,
            hint: $hint,
            get: |properties| properties.$field.map(|number| number.to_string()),
            set: |properties, text| {
                properties.$field = text.as_deref().map($parse).transpose()?;
                Ok(())
            },
        }
    };
}

/// In the order of the protocol.
pub(crate) const PROPERTIES: [Property; 13] = [
    text_property!("content-type", content_type, "application/json"),
    text_property!("content-encoding", content_encoding, "utf-8"),
    number_property!(
        "delivery-mode",
        delivery_mode,
        "2 is persistent",
        |text: &str| match text {
            "1" => Ok(1),
            "2" => Ok(2),
            other => Err(format!(
                "{other:?} is neither 1 (transient) nor 2 (persistent)"
            )),
        }
    ),
    number_property!("priority", priority, "0 to 255", |text: &str| text
        .parse::<u8>()
        .map_err(|_| format!("{text:?} is not a whole number from 0 to 255"))),
    text_property!("correlation-id", correlation_id, ""),
    text_property!("reply-to", reply_to, ""),
    text_property!("expiration", expiration, "milliseconds"),
    text_property!("message-id", message_id, ""),
    number_property!(
        "timestamp",
        timestamp,
        "seconds since 1970, or RFC 3339",
        typed::seconds
    ),
    text_property!("type", kind, ""),
    text_property!("user-id", user_id, ""),
    text_property!("app-id", app_id, ""),
    text_property!("cluster-id", cluster_id, ""),
];

impl Property {
    /// Its text; empty if it is not set.
    pub(crate) fn text(&self, properties: &AmqpProperties) -> String {
        (self.get)(properties).unwrap_or_default()
    }

    /// Its text cannot go through a form and come back as it was.
    pub(super) fn is_locked(&self, properties: &AmqpProperties) -> bool {
        self.text(properties).chars().any(char::is_control)
    }

    /// Sets it, unless it was not touched: empty text and a property that is not set look the same.
    pub(crate) fn apply(&self, properties: &mut AmqpProperties, text: &str) -> Result<(), String> {
        if self.is_locked(properties) || self.text(properties) == text {
            return Ok(());
        }
        let text = text.trim();
        let value = (!text.is_empty()).then(|| text.to_owned());
        (self.set)(properties, value).map_err(|wrong| format!("property {}: {wrong}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(name: &str, from: &AmqpProperties, text: &str) -> Result<AmqpProperties, String> {
        let property = PROPERTIES.iter().find(|property| property.name == name);
        let mut edited = from.clone();
        property.unwrap().apply(&mut edited, text).map(|()| edited)
    }

    #[test]
    fn what_is_not_touched_stays_even_if_it_is_empty() {
        let awkward = AmqpProperties {
            message_id: Some(String::new()),
            app_id: Some("a\nb".to_owned()),
            ..AmqpProperties::default()
        };
        for property in &PROPERTIES {
            let text = property.text(&awkward).replace('\n', "");
            let same = apply(property.name, &awkward, &text).unwrap();
            assert_eq!(same, awkward, "{}", property.name);
        }
    }

    #[test]
    fn a_property_is_set_changed_and_taken_away() {
        let none = AmqpProperties::default();
        let set = apply("priority", &none, " 7 ").unwrap();
        assert_eq!(set.priority, Some(7));
        assert_eq!(apply("priority", &set, "").unwrap(), none);
        let time = apply("timestamp", &none, "1970-01-01T00:01:00Z").unwrap();
        assert_eq!(time.timestamp, Some(60));
        assert_eq!(
            apply("type", &none, "t").unwrap().kind.as_deref(),
            Some("t")
        );
    }

    #[test]
    fn a_mistake_names_the_property() {
        let error = apply("priority", &AmqpProperties::default(), "high").unwrap_err();
        assert!(error.contains("property priority") && error.contains("high"));
        let error = apply("delivery-mode", &AmqpProperties::default(), "3").unwrap_err();
        assert!(error.contains("persistent"), "{error}");
    }
}
