use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};

use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, THEME_COOKIE, Theme};

/// Keeps the chosen theme in a cookie, so that the first paint has it; "system" forgets it.
pub(crate) async fn choose_theme(CheckedForm(fields): CheckedForm) -> Result<Response, Problem> {
    let cookie = match Theme::parse(fields.get("theme").unwrap_or("")) {
        Some(theme) => format!(
            "{THEME_COOKIE}={}; Path=/; SameSite=Lax; Max-Age=31536000",
            theme.as_str()
        ),
        None => format!("{THEME_COOKIE}=; Path=/; SameSite=Lax; Max-Age=0"),
    };
    let mut response = Redirect::to(local_path(fields.get("back"))).into_response();
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

/// A path of ours, never another site's: `//host` and `/\host` are addresses of hosts to a browser.
fn local_path(back: Option<&str>) -> &str {
    let is_local = |path: &&str| {
        let mut characters = path.chars();
        characters.next() == Some('/')
            && !matches!(characters.next(), Some('/' | '\\'))
            && path
                .bytes()
                .all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\')
    };
    back.filter(is_local).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_never_leads_to_another_site() {
        let check = |back: &str, expected: &str| assert_eq!(local_path(Some(back)), expected);
        check("/consumers?sort=-lag", "/consumers?sort=-lag");
        check("//evil.example", "/");
        check("/\\evil.example", "/");
        check("https://evil.example", "/");
        check("/a\r\nset-cookie: x", "/");
        check("", "/");
    }
}
