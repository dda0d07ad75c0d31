//! What a webhook is told, and the two forms in which it is written.

use serde::{Deserialize, Serialize};
use serde_json::json;
use url::form_urlencoded;
use uuid::Uuid;

use crate::config::NotificationKind;
use crate::domain::{FilterField, Timestamp};
use crate::store::{DlqBacklog, DlqKey, GroupEvent, GroupNews, NewNotice};

/// Notices that a message in Redrive's own form spells out, and one for people; the others are counted.
const SPELLED_OUT: usize = 50;
const SPELLED_OUT_FOR_PEOPLE: usize = 5;

/// DLQs that the notice of a discovery names.
const DLQS_NAMED: usize = 20;

const LONGEST_TEXT: usize = 500;

/// One thing to tell, as it waits in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub(super) enum NoticeContent {
    #[serde(rename = "failure_group.new")]
    NewGroup(Box<GroupContent>),
    #[serde(rename = "failure_group.regressed")]
    RegressedGroup(Box<GroupContent>),
    #[serde(rename = "dlqs.discovered")]
    Backlogs {
        dlqs: Vec<BacklogContent>,
        /// DLQs that `dlqs` leaves out.
        more_dlqs: usize,
        url: String,
    },
    #[serde(rename = "test")]
    Test { requested_by: String },
}

/// A failure group as it was when the notice was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GroupContent {
    group: String,
    title: String,
    explanation: String,
    system: String,
    cluster: String,
    vhost: String,
    dlq: String,
    source: Option<String>,
    open: u64,
    total: u64,
    first_seen: String,
    last_seen: String,
    url: String,
}

/// What lay in a DLQ when it was discovered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BacklogContent {
    system: String,
    cluster: String,
    vhost: String,
    dlq: String,
    dead_letters: u64,
    failure_groups: u64,
}

/// Links to the dashboard: whole where its address is configured, else only the path.
pub(super) struct Links {
    base: String,
}

impl Links {
    pub(super) fn new(public_url: Option<&str>) -> Self {
        let base = public_url.unwrap_or_default();
        Self {
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    fn group(&self, group: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("filter", &FilterField::Group.term(group));
        format!("{}/dead-letters/list?{}", self.base, query.finish())
    }
}

/// What a person asks to be sent to see whether a webhook works.
pub fn test_notice(target: &str, requested_by: &str) -> NewNotice {
    let content = NoticeContent::Test {
        requested_by: requested_by.to_owned(),
    };
    NewNotice {
        target: target.to_owned(),
        subject: "test".to_owned(),
        content: content.to_json(),
    }
}

impl NoticeContent {
    pub(super) fn of_group(event: &GroupEvent, links: &Links) -> Self {
        let DlqKey {
            system,
            cluster,
            vhost,
            dlq,
        } = &event.dlq;
        let content = Box::new(GroupContent {
            group: event.group.to_string(),
            title: cut(&event.title),
            explanation: cut(&event.explanation),
            system: system.to_string(),
            cluster: cluster.to_string(),
            vhost: vhost.clone(),
            dlq: dlq.clone(),
            source: event.source.as_deref().map(cut),
            open: event.open,
            total: event.total,
            first_seen: event.first_seen.to_rfc3339(),
            last_seen: event.last_seen.to_rfc3339(),
            url: links.group(event.group.as_str()),
        });
        match event.news {
            GroupNews::New => Self::NewGroup(content),
            GroupNews::Regressed => Self::RegressedGroup(content),
        }
    }

    pub(super) fn of_backlogs(backlogs: &[&DlqBacklog], links: &Links) -> Self {
        let content = |backlog: &&DlqBacklog| BacklogContent {
            system: backlog.dlq.system.to_string(),
            cluster: backlog.dlq.cluster.to_string(),
            vhost: backlog.dlq.vhost.clone(),
            dlq: backlog.dlq.dlq.clone(),
            dead_letters: backlog.dead_letters,
            failure_groups: backlog.groups,
        };
        Self::Backlogs {
            dlqs: backlogs.iter().take(DLQS_NAMED).map(content).collect(),
            more_dlqs: backlogs.len().saturating_sub(DLQS_NAMED),
            url: format!("{}/dead-letters", links.base),
        }
    }

    pub(super) fn to_json(&self) -> String {
        json!(self).to_string()
    }

    /// A notice that was queued by another version of Redrive may be none.
    pub(super) fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The body of a message that tells `notices` and counts `more`.
pub(super) fn body(
    kind: NotificationKind,
    (id, at): (Uuid, Timestamp),
    notices: &[NoticeContent],
    more: u64,
) -> String {
    match kind {
        NotificationKind::Generic => {
            let more = more + notices.len().saturating_sub(SPELLED_OUT) as u64;
            json!({
                "id": id,
                "created_at": at.to_rfc3339(),
                "notices": &notices[..notices.len().min(SPELLED_OUT)],
                "more": more,
            })
        }
        NotificationKind::Slack => json!({ "text": text_for_people(notices, more) }),
    }
    .to_string()
}

fn text_for_people(notices: &[NoticeContent], more: u64) -> String {
    let shown = match notices.len() {
        // "and 1 more" is as long as the one.
        few if few <= SPELLED_OUT_FOR_PEOPLE + 1 => few,
        _ => SPELLED_OUT_FOR_PEOPLE,
    };
    let mut lines: Vec<String> = notices[..shown].iter().map(line).collect();
    let more = more + (notices.len() - shown) as u64;
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

fn line(notice: &NoticeContent) -> String {
    match notice {
        NoticeContent::NewGroup(group) => group_line("New failure group", group),
        NoticeContent::RegressedGroup(group) => group_line("Failure group is back", group),
        NoticeContent::Backlogs {
            dlqs,
            more_dlqs,
            url,
        } => {
            let found = dlqs.iter().map(|dlq| {
                let BacklogContent {
                    dead_letters,
                    failure_groups,
                    ..
                } = dlq;
                let place = escaped(&format!("{} on {}", dlq.dlq, dlq.cluster));
                format!("{place} ({dead_letters} dead letters, {failure_groups} failure groups)")
            });
            let mut found: Vec<String> = found.collect();
            if *more_dlqs > 0 {
                found.push(format!("and {more_dlqs} more"));
            }
            format!(
                "*Dead letters were found* in {}{}",
                found.join(", "),
                link(url)
            )
        }
        NoticeContent::Test { requested_by } => format!(
            "*Test* of a Redrive notification, asked for by {}",
            escaped(requested_by)
        ),
    }
}

fn group_line(what: &str, group: &GroupContent) -> String {
    format!(
        "*{what}* in {} on {}: {} ({} open){}",
        escaped(&group.dlq),
        escaped(&group.cluster),
        escaped(&group.title),
        group.open,
        link(&group.url)
    )
}

/// A path alone is no link there.
fn link(url: &str) -> String {
    if !url.starts_with("http") {
        return String::new();
    }
    format!(" <{}|Open>", escaped(url))
}

/// As Slack asks for: without it, `<!channel>` in an error message would call everybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::System;

    fn group(title: &str) -> NoticeContent {
        let event = GroupEvent {
            id: 1,
            news: GroupNews::New,
            group: "v1:0123".into(),
            title: title.to_owned(),
            explanation: "grouped by error message".to_owned(),
            open: 3,
            total: 4,
            first_seen: Timestamp(0),
            last_seen: Timestamp(1_000),
            dlq: DlqKey {
                system: System::Kafka,
                cluster: "k".into(),
                vhost: String::new(),
                dlq: "orders.dlq".to_owned(),
            },
            source: Some("orders".to_owned()),
            is_backlog: false,
        };
        NoticeContent::of_group(&event, &Links::new(Some("https://redrive.example/")))
    }

    fn text(notices: &[NoticeContent], more: u64) -> String {
        let at = (Uuid::nil(), Timestamp(0));
        let body = body(NotificationKind::Slack, at, notices, more);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        body["text"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_notice_comes_out_of_the_store_as_it_went_in() {
        let notice = group("Timeout");
        assert_eq!(NoticeContent::from_json(&notice.to_json()), Some(notice));
        assert_eq!(
            NoticeContent::from_json("{\"event\":\"of tomorrow\"}"),
            None
        );
    }

    #[test]
    fn a_message_for_people_is_a_line_a_notice_and_calls_nobody() {
        assert_eq!(
            text(&[group("<!channel> failed & died")], 0),
            "*New failure group* in orders.dlq on k: &lt;!channel&gt; failed &amp; died (3 open) \
             <https://redrive.example/dead-letters/list?filter=group%3Av1%3A0123|Open>"
        );
    }

    #[test]
    fn a_digest_names_five_and_counts_the_rest() {
        let notices: Vec<_> = (0..13).map(|n| group(&format!("Error{n}"))).collect();
        let digest = text(&notices, 4);
        assert_eq!(digest.lines().count(), 6, "{digest}");
        assert!(digest.ends_with("\nand 12 more"), "{digest}");
        let six = text(&notices[..6], 0);
        assert!(six.contains("Error5") && !six.contains("more"), "{six}");
    }

    #[test]
    fn the_generic_form_is_bounded_and_says_what_it_leaves_out() {
        let notices: Vec<_> = (0..60).map(|n| group(&"x".repeat(n * 100))).collect();
        let at = (Uuid::nil(), Timestamp(0));
        let body = body(NotificationKind::Generic, at, &notices, 2);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["notices"].as_array().unwrap().len(), 50);
        assert_eq!(body["more"], 12);
        let last = &body["notices"][49];
        assert_eq!(last["event"], "failure_group.new");
        assert_eq!(last["title"].as_str().unwrap().chars().count(), 501);
    }
}
