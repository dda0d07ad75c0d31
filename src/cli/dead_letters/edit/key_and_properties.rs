//! The key of a record of Kafka and the properties of a message of RabbitMQ, as options.

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::headers::name_and_value;
use crate::domain::Message;
use crate::web::views::PROPERTIES;

#[derive(Debug, Default, clap::Args)]
#[group(multiple = false)]
pub(super) struct KeyArgs {
    /// The new key of a record of Kafka, as text.
    #[arg(long)]
    key: Option<String>,
    /// The same for a key that is no text.
    #[arg(long, value_name = "BASE64")]
    key_base64: Option<String>,
    /// A null key, which is not the same as an empty one.
    #[arg(long)]
    no_key: bool,
}

#[derive(Debug, Default, clap::Args)]
pub(super) struct PropertyArgs {
    /// Set a property of a message of RabbitMQ, as content-type=text/plain; without a value it is taken away. May be
    /// repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = name_and_value)]
    properties: Vec<(String, String)>,
}

impl KeyArgs {
    pub(super) fn is_given(&self) -> bool {
        self.no_key || self.key.is_some() || self.key_base64.is_some()
    }

    pub(super) fn apply(&self, message: &mut Message) -> anyhow::Result<()> {
        if !self.is_given() {
            return Ok(());
        }
        if message.properties.is_some() {
            bail!("a message of RabbitMQ has no key");
        }
        message.key = match (&self.key, &self.key_base64) {
            (Some(text), _) => Some(Bytes::from(text.clone())),
            (None, Some(text)) => {
                let key = STANDARD.decode(text).context("--key-base64 is no base64")?;
                Some(Bytes::from(key))
            }
            (None, None) => None,
        };
        Ok(())
    }
}

impl PropertyArgs {
    pub(super) fn is_given(&self) -> bool {
        !self.properties.is_empty()
    }

    pub(super) fn apply(&self, message: &mut Message) -> anyhow::Result<()> {
        for (name, text) in &self.properties {
            let Some(properties) = message.properties.as_deref_mut() else {
                bail!("a record of Kafka has no properties; --header sets its headers");
            };
            let property = PROPERTIES.iter().find(|property| property.name == name);
            let property = property.ok_or_else(|| {
                let names = PROPERTIES.map(|property| property.name).join(", ");
                anyhow!("there is no property {name:?} that can be edited; these can: {names}")
            })?;
            property
                .apply(properties, text)
                .map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AmqpProperties;

    #[test]
    fn a_key_becomes_text_bytes_or_null() {
        let check = |args: KeyArgs, expected: Option<&'static [u8]>| {
            let mut message = Message {
                key: Some(Bytes::from_static(b"old")),
                ..Message::default()
            };
            args.apply(&mut message).unwrap();
            assert_eq!(message.key.as_deref(), expected);
            message.properties = Some(Box::default());
            assert_eq!(args.apply(&mut message).is_err(), args.is_given());
        };
        check(KeyArgs::default(), Some(b"old"));
        let text = KeyArgs {
            key: Some(String::new()),
            ..KeyArgs::default()
        };
        check(text, Some(b""));
        let binary = KeyArgs {
            key_base64: Some("/wA=".to_owned()),
            ..KeyArgs::default()
        };
        check(binary, Some(b"\xff\x00"));
        let null = KeyArgs {
            no_key: true,
            ..KeyArgs::default()
        };
        check(null, None);
    }

    #[test]
    fn properties_are_set_and_taken_away() {
        let apply = |texts: &[&str]| {
            let args = PropertyArgs {
                properties: texts.iter().map(|t| name_and_value(t).unwrap()).collect(),
            };
            let mut message = Message {
                properties: Some(Box::new(AmqpProperties {
                    message_id: Some("m-1".to_owned()),
                    ..AmqpProperties::default()
                })),
                ..Message::default()
            };
            let applied = args.apply(&mut message).map_err(|e| e.to_string());
            applied.map(|()| *message.properties.unwrap())
        };
        let expected = AmqpProperties {
            priority: Some(7),
            kind: Some("OrderCreated".to_owned()),
            ..AmqpProperties::default()
        };
        let set = ["priority=7", "type=OrderCreated", "message-id="];
        assert_eq!(apply(&set), Ok(expected));
        assert!(
            apply(&["priority=high"])
                .unwrap_err()
                .contains("from 0 to 255")
        );
        let unknown = apply(&["exchange=e"]).unwrap_err();
        assert!(
            unknown.ends_with("user-id, app-id, cluster-id"),
            "{unknown}"
        );
    }
}
