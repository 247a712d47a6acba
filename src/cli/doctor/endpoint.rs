//! Endpoints: name, connection, certificate, clock, and whether anybody answers. No credential is sent.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};

use super::Check;
use crate::{
    admin::Moment,
    assemble,
    clock::Clock,
    config::checked::{Proxy, Tls},
    upstream::{Exchange, Sent, Settings, probe},
};

/// How long a connection and an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A certificate that ends sooner than this should have been renewed: automatic renewals leave a month (90-day
/// certificates) or a few days (short-lived ones).
const EXPIRES_SOON: Duration = Duration::from_secs(7 * 24 * 3600);
/// Clocks further apart than this break absolute expiries and signed tokens.
const SKEW: u64 = 30;
/// How much of an answer's body is read.
const BODY: usize = 64 * 1024;

/// How an endpoint is connected to.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) tls: &'a Tls,
    pub(super) proxy: Option<&'a Proxy>,
}

fn settings(way: Way<'_>) -> Settings {
    Settings {
        tls: assemble::tls(way.tls),
        proxy: way.proxy.map(assemble::proxy),
        connect_timeout: PATIENCE,
        response_timeout: PATIENCE,
        ..Settings::default()
    }
}

/// Whether there is a connection.
pub(super) async fn connection(what: &str, uri: &Uri, way: Way<'_>, clock: &Clock, checks: &mut Vec<Check>) -> bool {
    let seen = match probe(&settings(way), uri).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => {
            checks.push(Check::fail(what, error.to_string()));
            return false;
        }
        Err(error) => {
            checks.push(Check::fail(what, error.to_string()));
            return false;
        }
    };
    let host = uri.host().unwrap_or_default();
    let at = seen.address.map_or(String::new(), |address| format!(" at {address}"));
    let how = match &seen.tls {
        Some(tls) => format!("{host} is reached{at}, {}", tls.version),
        None => format!("{host} is reached{at}, without TLS"),
    };
    checks.push(Check::ok(what, how));
    if let Some(expires) = seen.tls.and_then(|tls| tls.expires) {
        checks.extend(certificate(what, expires, clock.now().wall));
    }
    true
}

/// One that ends soon is worth a line; one that has ended was no connection.
fn certificate(what: &str, expires: u64, now: u64) -> Option<Check> {
    let left = Duration::from_millis(expires.saturating_sub(now));
    (left < EXPIRES_SOON).then(|| {
        Check::warn(
            what,
            format!(
                "its certificate ends in {} h, at {}: ask whoever runs it to renew it",
                left.as_secs() / 3600,
                Moment(expires)
            ),
        )
    })
}

/// Asks without any credential, which spends nothing: any answer is an answer. Some routers know a path only by its
/// method, so where HEAD finds nothing the grant's own method is tried, with an empty body.
pub(super) async fn answer(what: &str, uri: &Uri, own: &Method, way: Way<'_>, clock: &Clock, checks: &mut Vec<Check>) {
    let mut asked = ask(uri, Method::HEAD, way).await;
    if matches!(&asked, Ok((status, _)) if is_missing(*status)) {
        asked = ask(uri, own.clone(), way).await;
    }
    match asked {
        Ok((status, headers)) => {
            checks.push(path(what, status));
            checks.extend(skew(what, &headers, clock.now().wall));
        }
        Err(words) => checks.push(Check::warn(
            what,
            format!("it does not answer a request without credentials ({words}); it may still answer token requests"),
        )),
    }
}

async fn ask(uri: &Uri, method: Method, way: Way<'_>) -> Result<(StatusCode, HeaderMap), String> {
    let exchange = Exchange::new(&settings(way)).map_err(|error| error.to_string())?;
    let connection = exchange.open(uri).await.map_err(|error| error.to_string())?;
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = method;
    *request.uri_mut() = uri.clone();
    match connection.send(request, PATIENCE, BODY).await {
        Sent::Answered(reply) => Ok((reply.status, reply.headers)),
        Sent::NoAnswer(error) | Sent::NeverLeft(error) => Err(error.to_string()),
    }
}

fn is_missing(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// What the status says of the path: 405 and 400 are what a token endpoint owes such a request.
fn path(what: &str, status: StatusCode) -> Check {
    match status {
        status if is_missing(status) => Check::warn(
            what,
            format!("it answers {}: check the path of its url", status.as_u16()),
        ),
        status if status.is_server_error() => Check::warn(what, format!("it is in trouble: it answers {status}")),
        status if status.is_redirection() => Check::warn(
            what,
            format!(
                "it answers {}, and redirects are never followed: check its url",
                status.as_u16()
            ),
        ),
        status => Check::ok(what, format!("it answers ({})", status.as_u16())),
    }
}

/// This machine's clock against the answer's Date (RFC 9110 §6.6.1), which counts in seconds.
fn skew(what: &str, headers: &HeaderMap, now: u64) -> Option<Check> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let date = httpdate::parse_http_date(date).ok()?;
    let theirs = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    let ours = now / 1000;
    let apart = ours.abs_diff(theirs);
    Some(if apart > SKEW {
        let which = if ours > theirs { "ahead of" } else { "behind" };
        Check::warn(
            what,
            format!("this machine's clock is {apart} s {which} its clock: set it (NTP), or tokens end at odd times"),
        )
    } else {
        Check::ok(what, format!("its clock and this machine's are {apart} s apart"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    const NOW: u64 = 1_750_000_000_000;

    #[test]
    fn clocks_that_differ_are_told_with_their_direction() {
        let skew_of = |seconds: i64| {
            let theirs = (NOW as i64 / 1000 + seconds) as u64;
            let date = std::time::UNIX_EPOCH + Duration::from_secs(theirs);
            let mut headers = HeaderMap::new();
            headers.insert(header::DATE, httpdate::fmt_http_date(date).parse().unwrap());
            skew("x", &headers, NOW).unwrap()
        };
        for near in [-30, 0, 30] {
            assert_eq!(skew_of(near).verdict, Verdict::Ok);
        }
        let behind = skew_of(31);
        assert_eq!(behind.verdict, Verdict::Warn);
        assert!(behind.words.contains("31 s behind"), "{}", behind.words);
        assert!(skew_of(-3600).words.contains("3600 s ahead of"));
        assert_eq!(skew("x", &HeaderMap::new(), NOW), None);
    }

    #[test]
    fn a_certificate_that_ends_soon_is_told() {
        let day = 24 * 3600 * 1000;
        assert_eq!(certificate("x", NOW + 8 * day, NOW), None);
        let soon = certificate("x", NOW + 2 * day, NOW).unwrap();
        assert_eq!(soon.verdict, Verdict::Warn);
        assert!(soon.words.contains("in 48 h"), "{}", soon.words);
    }

    #[test]
    fn a_status_tells_of_the_path() {
        let verdict = |status: u16| path("x", StatusCode::from_u16(status).unwrap()).verdict;
        for good in [200, 400, 401, 405, 415] {
            assert_eq!(verdict(good), Verdict::Ok, "{good}");
        }
        for odd in [301, 404, 500, 503] {
            assert_eq!(verdict(odd), Verdict::Warn, "{odd}");
        }
    }
}
