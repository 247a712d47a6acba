//! `Link` (RFC 8288) and `Refresh`, as the caller can follow them: an API's next page is one of ours.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{LINK, REFRESH},
};

use super::location::Terms;

/// Translates both as a Location is, however many there are.
pub(super) fn translate(headers: &mut HeaderMap, terms: &Terms<'_>) {
    each(headers, &LINK, |links| terms.localise_links(links));
    each(headers, &REFRESH, |refresh| terms.localise_refresh(refresh));
}

fn each(headers: &mut HeaderMap, name: &HeaderName, into_ours: impl Fn(&str) -> String) {
    if !headers.contains_key(name) {
        return;
    }
    // What can't be read can't be cleared of the credential either, and is left out.
    let ours: Vec<HeaderValue> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
        .filter_map(|value| HeaderValue::try_from(into_ours(value)).ok())
        .collect();
    headers.remove(name);
    for value in ours {
        headers.append(name, value);
    }
}

impl Terms<'_> {
    /// `<URL>; rel=next, <URL>; title="<no URL>"`, with each URL for the caller.
    fn localise_links(&self, links: &str) -> String {
        let mut ours = String::with_capacity(links.len());
        let mut rest = links;
        let mut is_quoted = false;
        while let Some(at) = rest.find(['"', '\\', '<']) {
            let (before, from) = rest.split_at(at);
            ours.push_str(before);
            let length = match (&from[..1], is_quoted) {
                ("\"", _) => {
                    is_quoted = !is_quoted;
                    1
                }
                // It and what it escapes.
                ("\\", true) => 1 + from[1..].chars().next().map_or(0, char::len_utf8),
                ("<", false) => {
                    let end = from.find('>').unwrap_or(from.len());
                    ours.push('<');
                    ours.push_str(&self.localise(&from[1..end]));
                    rest = &from[end..];
                    continue;
                }
                _ => 1,
            };
            ours.push_str(&from[..length]);
            rest = &from[length..];
        }
        ours.push_str(rest);
        ours
    }

    /// `5; url=URL`, which HTML's own rules read: the URL may stand in quotes.
    fn localise_refresh(&self, refresh: &str) -> String {
        let at = refresh.to_ascii_lowercase().find("url");
        let Some((before, url)) = at
            .map(|at| refresh.split_at(at + 3))
            .and_then(|(before, rest)| Some((before, rest.trim_start().strip_prefix('=')?.trim_start())))
        else {
            return refresh.to_owned();
        };
        let quote = url
            .chars()
            .next()
            .filter(|first| matches!(first, '"' | '\''))
            .map(String::from);
        let quote = quote.as_deref().unwrap_or_default();
        let url = url.trim_start_matches(quote);
        let end = if quote.is_empty() { None } else { url.find(quote) };
        let url = &url[..end.unwrap_or(url.len())];
        format!("{before}={quote}{}{quote}", self.localise(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::BaseUrl;

    fn translated(name: HeaderName, values: &[&str]) -> Vec<String> {
        let base = BaseUrl {
            scheme: "https".parse().unwrap(),
            authority: "api.example".parse().unwrap(),
            path: "/v2".into(),
        };
        let own = "localhost:8080".parse().unwrap();
        let terms = Terms {
            base: &base,
            prefix: "/p",
            origin: Some(("http", &own)),
            parameter: Some("api_key"),
        };
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        translate(&mut headers, &terms);
        let values = headers.get_all(&name).iter();
        values
            .map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn law_8_links_lead_back_here_and_tell_no_credential() {
        for (links, ours) in [
            (
                "<https://api.example/v2/a?page=2&api_key=s>; rel=\"next\", <https://api.example/v2/a?api%5fkey=s>; rel=first",
                "<http://localhost:8080/p/a?page=2>; rel=\"next\", <http://localhost:8080/p/a>; rel=first",
            ),
            ("</v2/a?api_key=s>;rel=next", "</p/a>;rel=next"),
            (
                "<https://else.example/?api_key=s>; rel=x",
                "<https://else.example/>; rel=x",
            ),
            (
                "<b>; title=\"a \\\" <https://api.example/v2/c> \u{e9}\", <https://api.example/v2/d>",
                "<b>; title=\"a \\\" <https://api.example/v2/c> \u{e9}\", <http://localhost:8080/p/d>",
            ),
            ("<https://api.example/v2/a?api_key=s", "<http://localhost:8080/p/a"),
            ("no link", "no link"),
        ] {
            assert_eq!(translated(LINK, &[links]), [ours], "{links}");
        }
        let two = translated(LINK, &["</v2/a>", "</v2/b>"]);
        assert_eq!(two, ["</p/a>", "</p/b>"]);
    }

    #[test]
    fn law_8_a_refresh_leads_back_here_and_tells_no_credential() {
        for (refresh, ours) in [
            (
                "5; url=https://api.example/v2/a?api_key=s",
                "5; url=http://localhost:8080/p/a",
            ),
            ("0;URL='/v2/a?api_key=s&b=c'", "0;URL='/p/a?b=c'"),
            ("0; url = \"/v2/a\"", "0; url=\"/p/a\""),
            ("5", "5"),
        ] {
            assert_eq!(translated(REFRESH, &[refresh]), [ours], "{refresh}");
        }
    }
}
