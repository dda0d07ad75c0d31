//! The search for traces as a URL carries it, for the page and the API alike.

use super::parameters::Parameters;
use crate::config::HumanDuration;
use crate::store::TraceQuery;

/// The traces that a URL asks for, or which parameter is not understood.
pub(crate) fn trace_query(query: &Parameters) -> Result<TraceQuery, String> {
    let text = |name: &str| {
        let given = query.get(name).map(str::trim);
        given.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let at_least = text("at_least").map(|text| {
        HumanDuration::parse(&text).ok_or_else(|| {
            format!(
                "at_least={text} is no duration; write a number with ms, s, m, h or d, for \
                 example 10s"
            )
        })
    });
    Ok(TraceQuery {
        id: text("id"),
        event_type: text("type"),
        source: text("source"),
        since: query.time("since")?,
        until: query.time("until")?,
        at_least: at_least.transpose()?.map(|duration| *duration),
        has_dead_letter: query.get("dead").is_some(),
        has_duplicate: query.get("duplicate").is_some(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_not_understood_is_named_with_the_remedy() {
        let of = |name: &str, value: &str| trace_query(&Parameters::default().with(name, value));
        let long = of("at_least", "10s").unwrap();
        assert_eq!(long.at_least, Some(Duration::from_secs(10)));
        assert_eq!(of("at_least", " ").unwrap(), TraceQuery::default());
        for (name, value) in [("at_least", "long"), ("since", "noon"), ("until", "never")] {
            let error = of(name, value).unwrap_err();
            assert!(error.contains(&format!("{name}={value}")), "{error}");
        }
    }
}
