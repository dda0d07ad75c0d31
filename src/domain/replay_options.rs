use serde::{Deserialize, Serialize};

/// What a job does on RabbitMQ otherwise than replays usually do. All of it is off unless somebody asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayOptions {
    /// `x-death` and its kin go along, for consumers that count deaths on brokers up to 3.13.
    pub keep_x_death: bool,
    /// The expiration that the broker took off at the death is set again.
    pub restore_expiration: bool,
    /// The further routing keys go along; only to an exchange that is named.
    pub keep_cc: bool,
}

impl ReplayOptions {
    /// What a job with these options does, for people: "keeps x-death".
    pub fn words(self) -> Vec<&'static str> {
        let known = [
            (self.keep_x_death, "keeps x-death"),
            (self.restore_expiration, "restores the expiration"),
            (self.keep_cc, "keeps CC"),
        ];
        let asked = known.into_iter().filter(|(is_on, _)| *is_on);
        asked.map(|(_, words)| words).collect()
    }
}
