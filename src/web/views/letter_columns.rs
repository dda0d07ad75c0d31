//! Which columns the list of dead letters has and which rows come first. The URL says both; what it does not say of the
//! columns, a cookie may, in which the browser keeps the last choice that was to be kept.
//!
//! One more column is a variant, its name, its label and its cell in `dead_letter_list.html`.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};

use crate::domain::DeadLetterOrder;
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;
use crate::web::table::Head;
use crate::web::visit::{COLUMNS_COOKIE, CheckedForm, Visit};

const PATH: &str = "/dead-letters/list";

/// The columns that can be chosen, as they stand in the table; the event, which leads to the page of its dead letter,
/// is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LetterColumn {
    Status,
    Died,
    TakenIn,
    Event,
    Place,
    Position,
    Key,
    Correlation,
    Aggregate,
    Consumer,
    Attempts,
    Size,
    Error,
}

impl LetterColumn {
    const ALL: [Self; 13] = [
        Self::Status,
        Self::Died,
        Self::TakenIn,
        Self::Event,
        Self::Place,
        Self::Position,
        Self::Key,
        Self::Correlation,
        Self::Aggregate,
        Self::Consumer,
        Self::Attempts,
        Self::Size,
        Self::Error,
    ];

    /// Without a choice.
    const USUAL: [Self; 5] = [
        Self::Status,
        Self::Died,
        Self::Event,
        Self::Place,
        Self::Error,
    ];

    /// Its name in the URL.
    const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Died => "died",
            Self::TakenIn => "taken",
            Self::Event => "event",
            Self::Place => "place",
            Self::Position => "offset",
            Self::Key => "key",
            Self::Correlation => "correlation",
            Self::Aggregate => "aggregate",
            Self::Consumer => "consumer",
            Self::Attempts => "tried",
            Self::Size => "size",
            Self::Error => "error",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Status => "Status",
            Self::Died => "Died",
            Self::TakenIn => "Taken in",
            Self::Event => "Event",
            Self::Place => "From → DLQ",
            Self::Position => "Partition, offset",
            Self::Key => "Key",
            Self::Correlation => "Correlation ID",
            Self::Aggregate => "Aggregate ID",
            Self::Consumer => "Consumer",
            Self::Attempts => "Tried",
            Self::Size => "Size",
            Self::Error => "Error",
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Position | Self::Size => "n",
            _ => "",
        }
    }

    /// Those that a list of names has, in the order of the table; `None` if it has none that there is.
    fn chosen<'a>(names: impl Iterator<Item = &'a str>) -> Option<Vec<Self>> {
        let names: Vec<&str> = names.map(str::trim).collect();
        let is_named = |column: &Self| names.contains(&column.name());
        let is_any = Self::ALL.iter().any(is_named);
        let is_shown = |column: &Self| is_named(column) || *column == Self::Event;
        is_any.then(|| Self::ALL.into_iter().filter(is_shown).collect())
    }
}

/// A box of the form.
pub(super) struct ColumnChoice {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) is_shown: bool,
}

/// How a list of dead letters is looked at, beside its filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListView {
    pub(super) order: DeadLetterOrder,
    pub(super) columns: Vec<LetterColumn>,
    /// Whether the URL says the columns, so that links go on saying them.
    is_chosen: bool,
    /// What the browser would show without that.
    preferred: Vec<LetterColumn>,
}

impl ListView {
    pub(super) fn of(visit: &Visit) -> Self {
        Self::asked(&visit.query, visit.columns.as_deref())
    }

    /// By fields of a URL or a form, and what the cookie holds. What is not understood is as if it was absent, as in every
    /// table.
    pub(super) fn asked(fields: &Parameters, cookie: Option<&str>) -> Self {
        let chosen = fields.all("columns").flat_map(|names| names.split(','));
        let chosen = LetterColumn::chosen(chosen);
        let preferred = cookie.and_then(|names| LetterColumn::chosen(names.split('.')));
        let preferred = preferred.unwrap_or_else(|| LetterColumn::USUAL.into());
        let order = fields.get("sort").and_then(DeadLetterOrder::parse);
        Self {
            order: order.unwrap_or_default(),
            is_chosen: chosen.is_some(),
            columns: chosen.unwrap_or_else(|| preferred.clone()),
            preferred,
        }
    }

    /// The list under a filter, looked at in the same way.
    pub(super) fn url(&self, filter: &str) -> String {
        self.parameters(filter, self.order)
            .url(PATH)
            .replace("%2C", ",")
    }

    /// The page of a dead letter in the list under a filter, which leads back to it.
    pub(super) fn page(&self, id: i64, filter: &str) -> String {
        let within = self.parameters(filter, self.order);
        within
            .url(&format!("/dead-letters/{id}"))
            .replace("%2C", ",")
    }

    fn parameters(&self, filter: &str, order: DeadLetterOrder) -> Parameters {
        let is_usual = order == DeadLetterOrder::default();
        Parameters::default()
            .with("filter", filter)
            .with("sort", if is_usual { "" } else { order.as_str() })
            .with("columns", &self.names_in_links())
    }

    /// The columns as links say them; empty if they need not.
    pub(super) fn names_in_links(&self) -> String {
        if self.is_chosen {
            self.names(",")
        } else {
            String::new()
        }
    }

    /// As a form says the order; empty if it need not.
    pub(super) fn sort(&self) -> &'static str {
        match self.order {
            DeadLetterOrder::Newest => "",
            DeadLetterOrder::Oldest => self.order.as_str(),
        }
    }

    pub(super) fn names(&self, separator: &str) -> String {
        let of_choice = self.columns.iter().filter(|it| **it != LetterColumn::Event);
        let names: Vec<_> = of_choice.map(|column| column.name()).collect();
        if names.is_empty() {
            return LetterColumn::Event.name().to_owned();
        }
        names.join(separator)
    }

    /// Whether the browser could keep what the URL says.
    pub(super) fn is_new(&self) -> bool {
        self.columns != self.preferred
    }

    pub(super) fn choices(&self) -> Vec<ColumnChoice> {
        let all = LetterColumn::ALL.into_iter();
        let of_choice = all.filter(|column| *column != LetterColumn::Event);
        let choice = |column: LetterColumn| ColumnChoice {
            name: column.name(),
            label: column.label(),
            is_shown: self.columns.contains(&column),
        };
        of_choice.map(choice).collect()
    }

    /// The heads of the table; a click on the time turns the order round.
    pub(super) fn heads(&self, filter: &str) -> Vec<Head> {
        let ordered_by = [LetterColumn::TakenIn, LetterColumn::Died];
        let ordered_by = ordered_by.into_iter().find(|it| self.columns.contains(it));
        let (sorted, other) = match self.order {
            DeadLetterOrder::Newest => ("descending", DeadLetterOrder::Oldest),
            DeadLetterOrder::Oldest => ("ascending", DeadLetterOrder::Newest),
        };
        let turned = self.parameters(filter, other).url(PATH).replace("%2C", ",");
        let head = |column: &LetterColumn| {
            let is_ordered_by = ordered_by == Some(*column);
            Head {
                label: column.label(),
                class: column.class(),
                href: if is_ordered_by {
                    turned.clone()
                } else {
                    String::new()
                },
                sorted: if is_ordered_by { sorted } else { "none" },
            }
        };
        self.columns.iter().map(head).collect()
    }
}

/// Where the address of a list leads that a form made, a `columns=` for each box: the same with a list of names.
pub(super) fn shorter_address(visit: &Visit, view: &ListView) -> Option<String> {
    let is_longer = visit.query.all("columns").nth(1).is_some();
    let query = || visit.query.with("columns", &view.names_in_links());
    is_longer.then(|| query().url(&visit.path).replace("%2C", ","))
}

/// Keeps the columns of a form in a cookie; the usual ones need none.
pub(crate) async fn keep_columns(CheckedForm(fields): CheckedForm) -> Result<Response, Problem> {
    let kept = ListView::asked(&fields, None);
    let cookie = if kept.is_new() {
        let names = kept.names(".");
        format!("{COLUMNS_COOKIE}={names}; Path=/; SameSite=Lax; Max-Age=31536000")
    } else {
        format!("{COLUMNS_COOKIE}=; Path=/; SameSite=Lax; Max-Age=0")
    };
    let back = fields.get("filter").unwrap_or("");
    let back = Parameters::default()
        .with("filter", back)
        .with("sort", kept.sort())
        .url(PATH);
    let mut response = Redirect::to(&back).into_response();
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(query: &str, cookie: Option<&str>) -> ListView {
        ListView::asked(&Parameters::parse(query.as_bytes()), cookie)
    }

    #[test]
    fn columns_are_read_from_the_url_and_then_from_the_cookie() {
        let check = |query: &str, cookie: Option<&str>, expected: &str| {
            assert_eq!(
                view(query, cookie).names(","),
                expected,
                "{query} {cookie:?}"
            );
        };
        let usual = "status,died,place,error";
        check("", None, usual);
        check("columns=", None, usual);
        check("columns=colour", None, usual);
        check("columns=size,colour,key", None, "key,size");
        check("columns=size&columns=key", None, "key,size");
        check("columns=key%2Ckey,%20size", None, "key,size");
        check("columns=event", None, "event");
        check("", Some("size.key"), "key,size");
        check("", Some("colour"), usual);
        check("columns=died", Some("size.key"), "died");
        check("columns=colour", Some("size.key"), "key,size");
    }

    #[test]
    fn links_say_what_is_not_usual() {
        let check = |query: &str, cookie: Option<&str>, expected: &str| {
            let filter = Parameters::parse(query.as_bytes());
            let filter = filter.get("filter").unwrap_or("");
            assert_eq!(view(query, cookie).url(filter), format!("{PATH}{expected}"));
        };
        check("", None, "");
        check("filter=a&sort=newest&cursor=5", None, "?filter=a");
        check("sort=oldest", None, "?sort=oldest");
        check("sort=size", None, "");
        check("columns=size&columns=key", None, "?columns=key,size");
        check("", Some("size"), "");
        let usual = "columns=status,died,place,error";
        check(usual, Some("size"), &format!("?{usual}"));
    }

    #[test]
    fn the_time_turns_the_order_round() {
        let check = |query: &str, label: &str, sorted: &str, href: &str| {
            let heads = view(query, None).heads("");
            let links: Vec<_> = heads.iter().filter(|head| !head.href.is_empty()).collect();
            let [head] = links[..] else {
                panic!("{query}: {links:?}");
            };
            assert_eq!((head.label, head.sorted), (label, sorted), "{query}");
            assert_eq!(head.href, format!("{PATH}{href}"), "{query}");
        };
        check("", "Died", "descending", "?sort=oldest");
        check("sort=oldest&cursor=5", "Died", "ascending", "");
        let both = "columns=died,taken";
        check(
            both,
            "Taken in",
            "descending",
            &format!("?sort=oldest&{both}"),
        );
        assert!(
            view("columns=size", None)
                .heads("")
                .iter()
                .all(|it| it.href.is_empty())
        );
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        for column in LetterColumn::ALL {
            let chosen = LetterColumn::chosen([column.name()].into_iter()).unwrap();
            assert!(chosen.contains(&column) && chosen.len() <= 2, "{chosen:?}");
            assert!(!column.name().contains([',', '.', ' ']));
        }
    }
}
