//! The HTTP proxy that connections to the outside go through, as many a company wants it.

use http::Uri;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use super::Check;
use crate::config::{
    checked::{Proxy, ProxyUser},
    node::KeyPath,
    raw::{Field, Text},
};

/// What a proxy is called where there is to be none.
const NO_PROXY: &str = "none";

impl Check<'_> {
    /// The proxy that is given here, else the environment's.
    pub(super) fn proxy(&self, field: &Field<Text>, at: &KeyPath) -> Option<Proxy> {
        match field {
            Field::Given(Text(none)) if none == NO_PROXY => None,
            Field::Given(_) if self.blind => None,
            Field::Given(_) => {
                let parsed = parse(&self.text(field, at)?);
                parsed
                    .map_err(|why| {
                        let hint = "write it as `http://HOST:PORT` or `http://USER:PASSWORD@HOST:PORT`, or `none`";
                        self.fault(at, why.into(), Some(hint.into()));
                    })
                    .ok()
            }
            Field::Absent => self.environment_proxy(at),
            Field::Faulty => None,
        }
    }

    /// What `HTTPS_PROXY` and `NO_PROXY` say, in capitals or not, as other programs read them.
    fn environment_proxy(&self, at: &KeyPath) -> Option<Proxy> {
        let variable = |name: &'static str| {
            let names = [name.to_lowercase(), name.to_owned()];
            let mut given = names.iter().filter_map(|name| self.surroundings.env.get(name));
            given.find(|value| !value.trim().is_empty())
        };
        let text = variable("HTTPS_PROXY")?;
        match parse(text.trim()) {
            Ok(proxy) => {
                let except = variable("NO_PROXY").map_or("", |text| text).split(',');
                let except = except.map(|entry| entry.trim().to_ascii_lowercase());
                Some(Proxy {
                    except: Some(except.filter(|entry| !entry.is_empty()).collect()),
                    ..proxy
                })
            }
            Err(why) => {
                let hint = "set it to `http://HOST:PORT`, or say `proxy: none` here";
                let why = format!("the environment variable HTTPS_PROXY is of no use: {why}");
                self.fault_at_key(at, why, Some(hint.into()));
                None
            }
        }
    }
}

/// A proxy's URL; the scheme may be missing, as it often is in `HTTPS_PROXY`.
fn parse(text: &str) -> Result<Proxy, &'static str> {
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return Err("only a proxy that is spoken to in plain HTTP can be used"),
        None => text,
    };
    let unreadable = "this is not a proxy's URL";
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, rest),
    };
    let uri: Uri = format!("http://{place}").parse().map_err(|_| unreadable)?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(unreadable)?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err("a proxy's URL has no path");
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(String::from);
    let user = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
        Some((name, password)) => Some(ProxyUser {
            name: decoded(name).map_err(|_| unreadable)?,
            password: SecretString::from(decoded(password).map_err(|_| unreadable)?),
        }),
        None => None,
    };
    Ok(Proxy {
        host: host.to_owned(),
        port: uri.port_u16().unwrap_or(80),
        user,
        except: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_proxys_url_is_read_as_people_write_it() {
        let proxy = parse("http://DOM%5Cuser:p%40ss:w@proxy.corp:3128/").unwrap();
        assert_eq!((&*proxy.host, proxy.port), ("proxy.corp", 3128));
        let user = proxy.user.unwrap();
        assert_eq!((&*user.name, user.password.expose_secret()), ("DOM\\user", "p@ss:w"));
        let proxy = parse("[::1]:8080").unwrap();
        assert_eq!((&*proxy.host, proxy.port, proxy.user.is_none()), ("[::1]", 8080, true));
        assert_eq!(parse("http://proxy.corp").unwrap().port, 80);
        for wrong in [
            "https://proxy.corp",
            "socks5://proxy.corp",
            "http://proxy.corp/path",
            "http://",
            "a b",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
