//! The list of dead letters by its order and its columns, on the page, by the API and from the shell.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};

use crate::shell::many;
use crate::support::dashboard::Dashboard;
use crate::support::shell::{fails, succeeds};
use crate::support::visitor::{Visitor, api, client, get};

/// The dead letters of a page from top to bottom.
fn rows(html: &str) -> Vec<i64> {
    let rows = html.split("<tr data-key=\"").skip(1);
    let ids = rows.map(|row| row.split('"').next().unwrap());
    ids.map(|id| id.parse().unwrap()).collect()
}

/// Where the link with that text leads.
fn link(html: &str, text: &str) -> String {
    let (before, _) = html
        .split_once(&format!("\">{text}</a>"))
        .unwrap_or_else(|| panic!("no link {text}: {html}"));
    let (_, href) = before.rsplit_once("href=\"").unwrap();
    href.replace("&amp;", "&").replace("&#38;", "&")
}

fn location(headers: &HeaderMap) -> &str {
    headers[LOCATION].to_str().unwrap()
}

#[tokio::test]
async fn a_click_on_the_time_turns_the_list_round_and_pages_go_on_in_its_order() {
    let dashboard = Dashboard::busy().await;
    many(&dashboard).await;
    let (_, _, newest) = get(&dashboard, "/dead-letters/list?filter=system:kafka").await;
    assert!(
        newest.contains(
            "aria-sort=\"descending\"><a href=\"/dead-letters/list?filter=system%3Akafka&"
        ),
        "{newest}"
    );
    let turned = link(&newest, "Died");
    assert_eq!(
        turned,
        "/dead-letters/list?filter=system%3Akafka&sort=oldest"
    );
    let mut seen = Vec::new();
    let mut path = turned;
    loop {
        let (_, _, html) = get(&dashboard, &path).await;
        assert!(html.contains("aria-sort=\"ascending\""), "{html}");
        let back = link(&html, "Died");
        assert_eq!(back, "/dead-letters/list?filter=system%3Akafka");
        let page = rows(&html);
        assert!(!page.is_empty() && page.len() <= 50, "{page:?}");
        seen.extend(page);
        if !html.contains(">Newer</a>") {
            assert_eq!(
                link(&html, "Oldest"),
                "/dead-letters/list?filter=system%3Akafka&sort=oldest"
            );
            break;
        }
        path = link(&html, "Newer");
    }
    let expected: Vec<i64> = (1..=40).chain(47..=147).collect();
    assert_eq!(seen, expected);
    assert_eq!(
        rows(&newest),
        expected.into_iter().rev().take(50).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn columns_are_chosen_in_the_url_which_every_link_of_the_list_keeps() {
    let dashboard = Dashboard::busy().await;
    let check = async |path: &str, expected: &[&str]| {
        let (_, _, html) = get(&dashboard, path).await;
        let (_, head) = html.split_once("<thead>").unwrap();
        let (head, _) = head.split_once("</thead>").unwrap();
        let heads = head.split("</th>").skip(1).map(|cell| {
            let cell = cell.trim_end_matches("</a>");
            cell.rsplit('>').next().unwrap().trim()
        });
        let heads: Vec<_> = heads.filter(|head| !head.is_empty()).collect();
        assert_eq!(heads, expected, "{path}");
        html
    };
    let usual = ["Status", "Died", "Event", "From → DLQ", "Error"];
    check("/dead-letters/list", &usual).await;
    check("/dead-letters/list?columns=colour", &usual).await;
    let wide =
        "/dead-letters/list?columns=taken,offset,key,correlation,aggregate,consumer,tried,size";
    let heads = [
        "Taken in",
        "Event",
        "Partition, offset",
        "Key",
        "Correlation ID",
        "Aggregate ID",
        "Consumer",
        "Tried",
        "Size",
    ];
    let html = check(&format!("{wide}&filter=id:1"), &heads).await;
    for cell in [
        "0, 0",
        "order-1042",
        "href=\"/traces/9f0c2a41",
        "payment-consumers",
        "3 deliveries",
    ] {
        assert!(html.contains(cell), "{cell}: {html}");
    }
    let sorted = "/dead-letters/list?sort=oldest&columns=died,size";
    let html = check(sorted, &["Died", "Event", "Size"]).await;
    for (text, expected) in [
        (
            "Open",
            "/dead-letters/list?filter=status%3Aopen&sort=oldest&columns=died,size",
        ),
        ("Died", "/dead-letters/list?columns=died,size"),
    ] {
        assert_eq!(link(&html, text), expected);
    }
    assert!(
        html.contains("href=\"/dead-letters/1?sort=oldest&"),
        "{html}"
    );
    for (name, value) in [("sort", "oldest"), ("columns", "died,size")] {
        let field = format!(
            "<input type=\"hidden\" form=\"filter-form\" name=\"{name}\" value=\"{value}\">"
        );
        assert!(html.contains(&field), "{field}: {html}");
    }
    let (_, _, letter) = get(&dashboard, "/dead-letters/1?sort=oldest&columns=died,size").await;
    assert_eq!(link(&letter, "Dead letters"), sorted);
    // What the form of the page sends.
    let form = "/dead-letters/list?filter=a&columns=size&columns=died&sort=newest";
    let (status, headers, _) = get(&dashboard, form).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(
        location(&headers),
        "/dead-letters/list?filter=a&sort=newest&columns=died,size"
    );
}

#[tokio::test]
async fn a_browser_keeps_columns_and_a_saved_filter_returns_to_the_same_view() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let keep = dashboard.url("/dead-letters/list/columns");
    let kept = async |columns: &str| {
        let fields = [
            ("columns", columns),
            ("sort", "oldest"),
            ("filter", "status:open"),
        ];
        let (status, headers, _) = visitor.post(&keep, &fields).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        assert_eq!(
            location(&headers),
            "/dead-letters/list?filter=status%3Aopen&sort=oldest"
        );
        headers[SET_COOKIE].to_str().unwrap().to_owned()
    };
    let cookie = kept("key,size,<colour>").await;
    assert!(cookie.starts_with("redrive_columns=key.size; "), "{cookie}");
    let look = client()
        .get(dashboard.url("/dead-letters/list"))
        .header("cookie", "redrive_columns=key.size");
    let html = look.send().await.unwrap().text().await.unwrap();
    assert!(
        html.contains(">Key</th>") && !html.contains("Keep these"),
        "{html}"
    );
    let usual = kept("status,died,place,error").await;
    assert!(
        usual.starts_with("redrive_columns=; ") && usual.contains("Max-Age=0"),
        "{usual}"
    );
    let fields = [
        ("name", "x"),
        ("filter", "status:open"),
        ("sort", "oldest"),
        ("columns", "key"),
    ];
    let (_, headers, _) = visitor
        .post(&dashboard.url("/saved-filters"), &fields)
        .await;
    assert_eq!(
        location(&headers),
        "/dead-letters/list?filter=status%3Aopen&sort=oldest&columns=key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn api_and_shell_list_the_oldest_first_and_name_an_order_that_there_is_not() {
    let dashboard = Dashboard::busy().await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/dead-letters?filter=system:kafka&sort=oldest&limit=15{cursor}");
        let page = api(&dashboard, &path).await;
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["id"].as_i64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (1..=40).collect::<Vec<_>>());
    let (status, _, problem) = get(&dashboard, "/api/v1/dead-letters?sort=size").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let expected = "sort is one of newest, oldest, and not \\\"size\\\"";
    assert!(problem.contains(expected), "{problem}");
    let listed = succeeds(&dashboard, &["list", "--sort", "oldest", "--limit", "2"]);
    let ids = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    assert_eq!(
        ids.collect::<Vec<_>>(),
        ["ID", "1", "2", "more"],
        "{listed}"
    );
    let refused = fails(&dashboard, &["list", "--sort", "size"]);
    assert!(
        refused.contains("newest, oldest, and not \"size\""),
        "{refused}"
    );
}
