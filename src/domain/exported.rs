use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    ClusterName, Custody, DeadLetterStatus, Masking, Message, Position, System, Timestamp,
};

/// The version of the form that is written, and the only one that is read.
pub const EXPORT_FORMAT: &str = "redrive-dead-letter/1";

/// A dead letter as one line of an export: the message as the broker gave it, where it lay, and what people
/// made of it. Everything else is derived from these anew where it is imported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedDeadLetter {
    /// [`EXPORT_FORMAT`].
    pub format: String,
    /// The installation that first held it and its number there: the same wherever it is exported from.
    pub origin: String,
    pub cluster: ClusterName,
    pub position: Position,
    pub dead_at: Timestamp,
    pub status: DeadLetterStatus,
    /// Whether a RabbitMQ queue that was only observed, or a stream, still has the message. It is left out where
    /// the store alone had it, of Kafka, whose topic always has, and was by earlier versions.
    #[serde(default = "taken", skip_serializing_if = "is_taken")]
    pub custody: Custody,
    pub message: Message,
    /// Why the whole body is not in `message`.
    pub body_omitted: Option<String>,
    /// Oldest first.
    pub revisions: Vec<ExportedRevision>,
    /// Headers or fields of payloads were hidden when it was written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

const fn taken() -> Custody {
    Custody::Store
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_taken(custody: &Custody) -> bool {
    *custody == taken()
}

/// An edit of an exported dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedRevision {
    pub message: Message,
    pub author: String,
    pub created_at: Timestamp,
    pub note: Option<String>,
}

/// Why a line of an export cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ExportLineError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("its format is {0:?}; this version reads {EXPORT_FORMAT}")]
    Format(String),
    #[error("its {field} has {length} characters; at most {LONGEST_NAME} are taken")]
    LongName { field: &'static str, length: usize },
    #[error("its {0} is empty")]
    Missing(&'static str),
    #[error("its custody is {}, which is told of RabbitMQ only", .0.as_str())]
    Custody(Custody),
    #[error(
        "headers or fields of it were masked when it was exported, and the import would lose them; export it where \
         [masking] has no rules"
    )]
    Masked,
}

/// No broker has longer names.
const LONGEST_NAME: usize = 1_000;

impl ExportedDeadLetter {
    /// Reads a line of an export. An unknown field is an error, because leaving it out would lose it.
    pub fn parse(line: &[u8]) -> Result<Self, ExportLineError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let head: Head = serde_json::from_slice(line)?;
        if head.format != EXPORT_FORMAT {
            return Err(ExportLineError::Format(head.format));
        }
        let letter: Self = serde_json::from_slice(line)?;
        let names = [
            ("origin", letter.origin.as_str()),
            ("cluster", letter.cluster.as_str()),
            ("topic or queue", letter.position.dlq()),
        ];
        for (field, name) in names {
            let length = name.chars().count();
            if length > LONGEST_NAME {
                return Err(ExportLineError::LongName { field, length });
            }
            if length == 0 {
                return Err(ExportLineError::Missing(field));
            }
        }
        if letter.position.system() == System::Kafka && !is_taken(&letter.custody) {
            return Err(ExportLineError::Custody(letter.custody));
        }
        if letter.masked {
            return Err(ExportLineError::Masked);
        }
        Ok(letter)
    }

    /// The same with what is hidden marked, if there is any rule. Of a message that is wrapped, in which no field can
    /// be found, the body is hidden whole.
    #[must_use]
    pub fn masked_by(mut self, masking: &Masking, is_wrapped: impl Fn(&Message) -> bool) -> Self {
        self.masked |= masking.is_on();
        let revisions = self.revisions.iter_mut();
        let messages = revisions.map(|revision| &mut revision.message);
        for message in messages.chain([&mut self.message]) {
            let wrapped = is_wrapped(message);
            *message = masking.masked(message).into_owned();
            if wrapped && masking.has_fields() {
                message.body = Some(Bytes::from_static(b"***"));
            }
        }
        self
    }

    /// It waits in a RabbitMQ queue: where it is imported a replay would be a second copy.
    pub fn lies_in_observed_queue(&self) -> bool {
        self.custody == Custody::Broker && self.status_after_import() == DeadLetterStatus::Open
    }

    /// The status that it gets where it is imported: a replay and a discard do not travel, so that what
    /// waited for one is open again.
    pub const fn status_after_import(&self) -> DeadLetterStatus {
        match self.status {
            DeadLetterStatus::Replaying | DeadLetterStatus::Discarded => DeadLetterStatus::Open,
            status => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Header, HeaderValue};
    use proptest::prelude::*;

    fn line(format: &str, cluster: &str) -> String {
        format!(
            r#"{{"format":"{format}","origin":"a/1","cluster":"{cluster}","position":{{"system":"kafka",
            "topic":"t.dlq","topic_id":null,"partition":0,"offset":7}},"dead_at":1,"status":"open",
            "message":{{"headers":[]}},"body_omitted":null,"revisions":[]}}"#
        )
    }

    #[test]
    fn what_is_wrong_with_a_line_is_named() {
        let check = |line: &str, expected: &str| {
            let error = ExportedDeadLetter::parse(line.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        assert!(ExportedDeadLetter::parse(line(EXPORT_FORMAT, "k").as_bytes()).is_ok());
        check("nonsense", "line 1 column 2");
        check("{}", "missing field `format`");
        check(&line("redrive-dead-letter/2", "k"), "redrive-dead-letter/2");
        let held =
            line(EXPORT_FORMAT, "k").replace("\"status\"", "\"custody\":\"broker\",\"status\"");
        check(&held, "its custody is broker");
        check(&line(EXPORT_FORMAT, ""), "its cluster is empty");
        check(&line(EXPORT_FORMAT, &"x".repeat(1001)), "1001 characters");
        let unknown =
            line(EXPORT_FORMAT, "k").replace("\"body_omitted\"", "\"more\":1,\"body_omitted\"");
        check(&unknown, "unknown field `more`");
        let rules = Masking::new(&["x-*".to_owned()], &[]).unwrap();
        let whole = ExportedDeadLetter::parse(line(EXPORT_FORMAT, "k").as_bytes()).unwrap();
        let masked = serde_json::to_string(&whole.masked_by(&rules, |_| false)).unwrap();
        check(&masked, "were masked when it was exported");
    }

    fn any_bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
    }

    proptest! {
        #[test]
        fn any_bytes_survive_a_line(
            key in prop::option::of(any_bytes()),
            body in prop::option::of(any_bytes()),
            headers in prop::collection::vec((any_bytes(), prop::option::of(any_bytes())), 0..4),
        ) {
            let header = |(name, value): (Bytes, Option<Bytes>)| Header {
                name,
                value: value.map_or(HeaderValue::Null, HeaderValue::Bytes),
            };
            let headers = headers.into_iter().map(header).collect();
            let mut letter = ExportedDeadLetter::parse(line(EXPORT_FORMAT, "k").as_bytes()).unwrap();
            letter.message = Message { key, body, headers, properties: None };
            let written = serde_json::to_string(&letter).unwrap();
            prop_assert!(!written.contains('\n'));
            prop_assert_eq!(ExportedDeadLetter::parse(written.as_bytes()).unwrap(), letter);
        }
    }
}
