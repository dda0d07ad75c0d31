//! What a person asks of a replay, as parameters of a URL or fields of a form.

use std::str::FromStr;

use crate::domain::{
    Brake, ClusterName, DeadLetterId, ExchangeName, Filter, QueueName, ReplayOptions,
    RevisionNumber, Timestamp, TopicName, VhostName,
};
use crate::replay::{DestinationChoice, ReplayError, ReplayRequest, RevisionChoice, Selection};
use crate::store::RefusedReplay;
use crate::web::markup;
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;

/// The parameters that say what is replayed, for the form that carries them on.
pub(super) const SELECTION: [&str; 4] = ["id", "filter", "all", "revision"];

/// The parameters that say where to.
pub(super) const DESTINATION: [&str; 7] = [
    "to", "cluster", "topic", "vhost", "queue", "exchange", "key",
];

/// The parameters that say what RabbitMQ gets otherwise than usual.
pub(super) const OPTIONS: [&str; 3] = ["keep_x_death", "restore_expiration", "keep_cc"];

/// Reads the request, or says what is missing.
pub(super) fn request_of(parameters: &Parameters) -> Result<ReplayRequest, Problem> {
    Ok(ReplayRequest {
        selection: selection_of(parameters)?,
        revision: match parameters.get("revision") {
            None => RevisionChoice::Latest,
            Some(number) => {
                RevisionChoice::Number(RevisionNumber(number.parse().map_err(|_| {
                    Problem::bad_request(format!("{number:?} is no number of a revision"))
                })?))
            }
        },
        destination: destination_of(parameters)?,
        options: options_of(parameters),
    })
}

pub(super) fn options_of(parameters: &Parameters) -> ReplayOptions {
    let [keep_x_death, restore_expiration, keep_cc] =
        OPTIONS.map(|name| parameters.get(name).is_some());
    ReplayOptions {
        keep_x_death,
        restore_expiration,
        keep_cc,
    }
}

fn selection_of(parameters: &Parameters) -> Result<Selection, Problem> {
    let ids: Result<Vec<_>, _> = parameters
        .all("id")
        .map(|id| id.parse().map(DeadLetterId).map_err(|_| id))
        .collect();
    let ids =
        ids.map_err(|id| Problem::bad_request(format!("{id:?} is no number of a dead letter")))?;
    if !ids.is_empty() {
        return Ok(Selection::DeadLetters(ids));
    }
    match (parameters.get("filter"), parameters.get("all")) {
        (Some(filter), _) => Filter::parse(filter)
            .map(Selection::Filter)
            .map_err(|error| Problem::bad_request(error.to_string())),
        (None, Some(_)) => Ok(Selection::Filter(Filter::default())),
        (None, None) => Err(Problem::bad_request(
            "nothing is selected; go back, tick some dead letters and try again",
        )),
    }
}

pub(super) fn destination_of(parameters: &Parameters) -> Result<DestinationChoice, Problem> {
    let need = |name: &str| {
        parameters
            .get(name)
            .map(|value| value.trim().to_owned())
            .ok_or_else(|| {
                Problem::bad_request(format!(
                    "the destination lacks its {name}; go back and fill it in"
                ))
            })
    };
    let vhost = || VhostName::new(parameters.get("vhost").unwrap_or("/"));
    Ok(match parameters.get("to") {
        Some("topic") => DestinationChoice::KafkaTopic {
            cluster: ClusterName::new(need("cluster")?),
            topic: TopicName::new(need("topic")?),
        },
        Some("queue") => DestinationChoice::Queue {
            cluster: ClusterName::new(need("cluster")?),
            vhost: vhost(),
            queue: QueueName::new(need("queue")?),
        },
        Some("exchange") => DestinationChoice::Exchange {
            cluster: ClusterName::new(need("cluster")?),
            vhost: vhost(),
            exchange: ExchangeName::new(need("exchange")?),
            routing_key: parameters.get("key").unwrap_or("").to_owned(),
        },
        _ => DestinationChoice::Original,
    })
}

/// Reads the brake; what is absent or empty holds nothing back.
pub(super) fn brake_of(parameters: &Parameters) -> Result<Brake, Problem> {
    Ok(Brake {
        not_before: parameters.get("not_before").map(start_time).transpose()?,
        events_per_second: number(parameters, "rate")?,
        ramp: parameters.get("ramp").is_some(),
        stop_percent: number(parameters, "stop_percent")?,
        stop_count: number(parameters, "stop_count")?,
    })
}

fn number<T: FromStr>(parameters: &Parameters, name: &str) -> Result<Option<T>, Problem> {
    let text = parameters.get(name).map(str::trim);
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            let field = name.replace('_', " ");
            Problem::bad_request(format!("{text:?} is no number for the {field}"))
        })
    };
    text.filter(|text| !text.is_empty()).map(parse).transpose()
}

/// The fields of a brake as a form shows them.
#[derive(Debug, Default)]
pub(super) struct BrakeFields {
    pub(super) rate: String,
    pub(super) stop_percent: String,
    pub(super) stop_count: String,
    pub(super) ramp: bool,
    pub(super) not_before: String,
}

impl BrakeFields {
    /// As they were typed.
    pub(super) fn typed(parameters: &Parameters) -> Self {
        let text = |name: &str| parameters.get(name).unwrap_or("").to_owned();
        Self {
            rate: text("rate"),
            stop_percent: text("stop_percent"),
            stop_count: text("stop_count"),
            ramp: parameters.get("ramp").is_some(),
            not_before: text("not_before"),
        }
    }

    pub(super) fn of(brake: &Brake) -> Self {
        // A field of a form takes a time to the minute and without its zone.
        let minute = |at: Timestamp| at.to_rfc3339().chars().take(16).collect();
        Self {
            rate: optional(brake.events_per_second),
            stop_percent: optional(brake.stop_percent),
            stop_count: optional(brake.stop_count),
            ramp: brake.ramp,
            not_before: brake.not_before.map(minute).unwrap_or_default(),
        }
    }
}

fn optional(number: Option<impl ToString>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// A time in UTC, as the field of a form and as RFC 3339.
pub(crate) fn start_time(text: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse(text).ok_or_else(|| {
        Problem::bad_request(format!(
            "{text:?} is no time; write it like 2026-11-25T02:00 (UTC) or in RFC 3339"
        ))
    })
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Store(error) => error.into(),
            ReplayError::NoSuchJob(_) => Self::not_found(error.to_string()),
            ReplayError::NothingEligible { refused } => {
                Self::conflict(format!("nothing can be replayed: {}", reasons(&refused)))
            }
            ReplayError::PausedAlready(_)
            | ReplayError::NotPaused(_)
            | ReplayError::OtherUnknown { .. } => Self::conflict(error.to_string()),
            ReplayError::NothingSelected | ReplayError::NoRate | ReplayError::NoPercentage(_) => {
                Self::bad_request(error.to_string())
            }
        }
    }
}

/// The different reasons, each with how many it concerns.
fn reasons(refused: &[RefusedReplay]) -> String {
    let mut counted: Vec<(&str, u64)> = Vec::new();
    for refusal in refused {
        match counted
            .iter_mut()
            .find(|(reason, _)| *reason == refusal.reason)
        {
            Some((_, count)) => *count += 1,
            None => counted.push((&refusal.reason, 1)),
        }
    }
    let worded = counted.iter().take(5).map(|(reason, count)| match count {
        1 => (*reason).to_owned(),
        more => format!("{reason} ({})", markup::thousands(*more)),
    });
    worded.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<ReplayRequest, String> {
        request_of(&Parameters::parse(query.as_bytes())).map_err(|problem| problem.detail)
    }

    #[test]
    fn nothing_is_replayed_that_was_not_asked_for_in_so_many_words() {
        assert!(parse("").unwrap_err().contains("nothing is selected"));
        assert!(parse("filter=").is_err());
        assert!(parse("filter=colour:red").is_err());
        assert!(parse("id=x").is_err());
        let all = parse("all=1").unwrap().selection;
        assert_eq!(all, Selection::Filter(Filter::default()));
    }

    #[test]
    fn named_dead_letters_go_before_a_filter() {
        let request = parse("filter=status%3Aopen&id=3&id=1&revision=2").unwrap();
        let ids = Selection::DeadLetters(vec![DeadLetterId(3), DeadLetterId(1)]);
        assert_eq!(request.selection, ids);
        assert_eq!(request.revision, RevisionChoice::Number(RevisionNumber(2)));
        assert_eq!(request.destination, DestinationChoice::Original);
    }

    #[test]
    fn options_are_off_unless_they_are_ticked() {
        let options = |query: &str| parse(query).unwrap().options;
        assert_eq!(options("id=1&keep_cc="), ReplayOptions::default());
        let expected = ReplayOptions {
            restore_expiration: true,
            ..ReplayOptions::default()
        };
        assert_eq!(options("id=1&restore_expiration=1"), expected);
    }

    #[test]
    fn a_brake_is_read_as_it_was_typed_and_nonsense_is_named() {
        let parse = |query: &str| brake_of(&Parameters::parse(query.as_bytes()));
        let typed = "rate=50&stop_percent=10&stop_count=&ramp=1&not_before=2026-11-25T02%3A00";
        let brake = parse(typed).unwrap();
        let expected = Brake {
            not_before: Some(Timestamp(1_795_572_000_000)),
            events_per_second: Some(50),
            ramp: true,
            stop_percent: Some(10),
            stop_count: None,
        };
        assert_eq!(brake, expected);
        assert_eq!(BrakeFields::of(&brake).not_before, "2026-11-25T02:00");
        assert_eq!(parse("").unwrap(), Brake::default());
        assert!(parse("rate=fast").unwrap_err().detail.contains("fast"));
        let tonight = parse("not_before=tonight").unwrap_err();
        assert!(tonight.detail.contains("tonight"));
    }

    #[test]
    fn another_destination_needs_its_name() {
        assert!(
            parse("id=1&to=topic&cluster=k")
                .unwrap_err()
                .contains("topic")
        );
        let destination = parse("id=1&to=queue&cluster=r&queue=q")
            .unwrap()
            .destination;
        let expected = DestinationChoice::Queue {
            cluster: "r".into(),
            vhost: "/".into(),
            queue: "q".into(),
        };
        assert_eq!(destination, expected);
    }
}
