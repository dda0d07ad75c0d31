//! The runbooks, one short page an alert. They lie in `docs/runbooks/` and are part of the program, so
//! that the Alerts page can show them where no repository can be reached.

use url::Url;

/// Where the runbooks are in the repository.
const DEFAULT_BASE: &str = "docs/runbooks";

/// Where the link of an alert leads: `BASE/NAME.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunbookBase(String);

impl Default for RunbookBase {
    fn default() -> Self {
        Self(DEFAULT_BASE.to_owned())
    }
}

impl RunbookBase {
    /// Takes an http or https URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = |why: &str| {
            Err(format!(
                "{why}; expected a URL such as https://redrive.example/alerts"
            ))
        };
        match Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                refused("it begins with neither http:// nor https://")
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                refused("it holds a user or password, which everybody would read in the alerts")
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                refused("it has a query or fragment, behind which no name can stand")
            }
            Ok(url) => Ok(Self(url.as_str().trim_end_matches('/').to_owned())),
            Err(error) => refused(&error.to_string()),
        }
    }

    pub(super) fn url(&self, alert: &str) -> String {
        format!("{}/{alert}.md", self.0)
    }
}

/// A runbook as the Alerts page shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runbook {
    pub blocks: Vec<Block>,
}

/// As much of Markdown as the runbooks use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// `## …`; the title is left out, the page has its own.
    Heading(String),
    Paragraph(Vec<Span>),
    /// Points that begin with `- `.
    List(Vec<Vec<Span>>),
    /// Between lines of backticks, without an empty line.
    Code(String),
}

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    Text(String),
    /// Between backticks.
    Code(String),
}

macro_rules! texts {
    ($($alert:literal)+) => {
        const TEXTS: &[(&str, &str)] = &[$((
            $alert,
            include_str!(concat!("../../docs/runbooks/", $alert, ".md")),
        )),+];
    };
}

texts! {
    "KafkaConsumerLagHigh"
    "KafkaConsumerTimeLagHigh"
    "KafkaConsumerLagGrowing"
    "KafkaConsumerStalled"
    "KafkaConsumerGroupNoMembers"
    "KafkaConsumerNearDataLoss"
    "KafkaMessagesLost"
    "LowProcessingRate"
    "RabbitMQMessagesDiscarded"
    "RabbitMQDeadLetterUnroutable"
    "RabbitMQQueueNoConsumers"
    "RabbitMQQueueStalled"
    "RabbitMQQueueCircling"
    "HighEventLatency"
    "EventsConsumedLate"
    "DLQReceiving"
    "DLQGrowing"
    "DLQRatioHigh"
    "DLQNotDrained"
    "DeadLetterBodyExpiring"
    "ReplayedEventsDieAgain"
    "RedriveSampleStale"
    "RedriveDown"
    "RedriveSeriesDropped"
}

impl Runbook {
    /// The runbook of an alert.
    pub fn of(alert: &str) -> Option<Self> {
        let (_, text) = TEXTS.iter().find(|(name, _)| *name == alert)?;
        Some(Self::parse(text))
    }

    fn parse(text: &str) -> Self {
        let mut blocks = Vec::new();
        for part in text.split("\n\n").filter(|part| !part.trim().is_empty()) {
            let part = part.trim_matches('\n');
            if part.starts_with("# ") {
                continue;
            }
            blocks.push(Block::parse(part));
        }
        Self { blocks }
    }
}

impl Block {
    fn parse(part: &str) -> Self {
        if let Some(heading) = part.strip_prefix("## ") {
            return Self::Heading(heading.to_owned());
        }
        if part.starts_with("```") {
            let lines = part.lines().filter(|line| !line.starts_with("```"));
            return Self::Code(lines.collect::<Vec<_>>().join("\n"));
        }
        match part.strip_prefix("- ") {
            Some(points) => Self::List(points.split("\n- ").map(spans).collect()),
            None => Self::Paragraph(spans(part)),
        }
    }
}

fn spans(text: &str) -> Vec<Span> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let span = |(index, part): (usize, &str)| {
        if index.is_multiple_of(2) {
            Span::Text(part.to_owned())
        } else {
            Span::Code(part.to_owned())
        }
    };
    let parts = line.split('`').enumerate().map(span);
    parts
        .filter(|span| !matches!(span, Span::Text(text) if text.is_empty()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::alerts::alert_names;

    const SECTIONS: [&str; 3] = ["What it means", "What to look at", "What to do"];

    #[test]
    fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(DEFAULT_BASE);
        let files = std::fs::read_dir(folder).unwrap();
        let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let alerts = alert_names().into_iter().map(|name| format!("{name}.md"));
        assert_eq!(files.collect::<BTreeSet<_>>(), alerts.collect());
    }

    #[test]
    fn every_runbook_says_what_it_means_what_to_look_at_and_what_to_do() {
        for alert in alert_names() {
            let runbook = Runbook::of(alert).unwrap_or_else(|| panic!("{alert} is not embedded"));
            let headings = runbook.blocks.iter().filter_map(|block| match block {
                Block::Heading(heading) => Some(heading.as_str()),
                _ => None,
            });
            assert_eq!(headings.collect::<Vec<_>>(), SECTIONS, "{alert}");
            let (_, text) = TEXTS.iter().find(|(name, _)| *name == alert).unwrap();
            assert!(text.starts_with(&format!("# {alert}\n\n")), "{alert}");
            assert!(text.lines().count() <= 45, "{alert} is not short");
        }
    }

    #[test]
    fn the_little_markdown_is_read() {
        let text =
            "# A\n\n## B\n\nSome `code`\nhere.\n\n- one\n  more\n- `two`\n\n```sh\na b\n  c\n```\n";
        let text_of = |text: &str| Span::Text(text.to_owned());
        let code_of = |text: &str| Span::Code(text.to_owned());
        let expected = vec![
            Block::Heading("B".to_owned()),
            Block::Paragraph(vec![text_of("Some "), code_of("code"), text_of(" here.")]),
            Block::List(vec![vec![text_of("one more")], vec![code_of("two")]]),
            Block::Code("a b\n  c".to_owned()),
        ];
        assert_eq!(Runbook::parse(text).blocks, expected);
    }

    #[test]
    fn a_base_is_a_plain_web_address() {
        let base = RunbookBase::parse("https://redrive.example/alerts/").unwrap();
        assert_eq!(
            base.url("DLQGrowing"),
            "https://redrive.example/alerts/DLQGrowing.md"
        );
        let check = |text: &str, expected: &str| {
            let error = RunbookBase::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("docs", "https://redrive.example");
        check("ftp://a.example", "http://");
        check("https://u:p@a.example", "password");
        check("https://a.example/?x=1", "query");
        let hostile = RunbookBase::parse("https://a.example/{{ x }}\"\n").unwrap();
        assert!(
            !hostile.url("A").contains(['{', '"', '\n', ' ']),
            "{hostile:?}"
        );
    }
}
