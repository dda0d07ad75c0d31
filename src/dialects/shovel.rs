//! RabbitMQ's shovel: from where a message was moved, which is no death.

use super::dialect::{Dialect, KnownHeader, Sign};
use crate::domain::System;

pub(super) const DIALECT: Dialect = Dialect {
    name: "shovel",
    title: "RabbitMQ shovel",
    system: Some(System::RabbitMq),
    sign: Sign::AnyOf(&["x-shovelled"]),
    headers: &[
        KnownHeader::kept("x-shovelled", "from where and whereto a shovel moved it"),
        KnownHeader::kept(
            "x-shovelled-timestamp",
            "when a shovel moved it, in seconds",
        ),
    ],
    decode: |_, _| None,
};
