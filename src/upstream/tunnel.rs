//! A tunnel through an HTTP proxy: CONNECT (RFC 9110 §9.3.6).

use std::{fmt, io, net::IpAddr};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Uri, uri::Scheme};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// The most that a proxy's answer may be, in bytes.
const MOST_HEAD: usize = 16 * 1024;

/// An HTTP proxy.
#[derive(Clone)]
pub struct Proxy {
    /// Its host, an IPv6 address in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who to be there (RFC 7617): a user, and its password.
    pub user: Option<(String, SecretString)>,
    /// `None`: it is for all connections. Else for those with TLS that don't stay on this machine, but for these hosts,
    /// written as in `NO_PROXY`: `*`, a name with or without a dot before it for all names below it too, an address, or
    /// a network such as `10.0.0.0/8`.
    pub except: Option<Vec<String>>,
}

/// Without who to be there.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Proxy {
    /// Whether connections to this URI go through it.
    pub(super) fn serves(&self, uri: &Uri) -> bool {
        let Some(except) = &self.except else { return true };
        let host = bare(uri.host().unwrap_or_default()).to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok();
        let stays_here = host == "localhost" || address.is_some_and(|address| address.to_canonical().is_loopback());
        uri.scheme() == Some(&Scheme::HTTPS) && !stays_here && !except.iter().any(|entry| is_in(&host, address, entry))
    }

    /// Where it is.
    pub(super) fn uri(&self) -> Option<Uri> {
        format!("http://{self}/").parse().ok()
    }

    /// Asks it for a connection to the URI's host and port; what follows on the stream is the other end's.
    ///
    /// # Errors
    /// In words that say what it answered.
    pub(super) async fn open<S>(&self, stream: &mut S, uri: &Uri) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = uri.host().unwrap_or_default();
        let own = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(own);
        let mut request = Zeroizing::new(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"));
        if let Some((name, password)) = &self.user {
            let pair = Zeroizing::new(format!("{name}:{}", password.expose_secret()));
            let pair = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&pair);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        let broken = |error: io::Error| format!("the proxy {self} ended the connection ({error})");
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;

        // The other end waits for our first byte, so that nothing of it can be read here.
        let mut head = Vec::with_capacity(1024);
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= MOST_HEAD || stream.read_buf(&mut head).await.map_err(broken)? == 0 {
                return Err(format!(
                    "the proxy {self} gave no answer; check that it is an HTTP proxy"
                ));
            }
            if head.len() > 4 && !head.starts_with(b"HTTP/") {
                return Err(format!("the proxy {self} doesn't speak HTTP; check its port"));
            }
            // A refusal may have a body, which nobody needs.
            if !is_agreed(&head) && head.windows(4).any(|end| end == b"\r\n\r\n") {
                break;
            }
        }
        if is_agreed(&head) {
            return Ok(());
        }
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let status = String::from_utf8_lossy(line.get(9..12).unwrap_or_default()).into_owned();
        Err(match (&*status, &self.user) {
            ("407", None) => format!("the proxy {self} wants a user (407); write it as http://USER:PASSWORD@{self}"),
            ("407", Some(_)) => format!("the proxy {self} refuses the user or password that it was given (407)"),
            ("403", _) => format!("the proxy {self} doesn't allow it (403); ask whoever runs it for {host}:{port}"),
            (status, _) => format!("the proxy {self} made no connection to {host}:{port} ({status})"),
        })
    }
}

fn is_agreed(head: &[u8]) -> bool {
    // `HTTP/1.1 200`: any 2xx has switched to a tunnel.
    head.get(9) == Some(&b'2')
}

fn bare(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

fn is_in(host: &str, address: Option<IpAddr>, entry: &str) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some(address) = address {
        let (network, length) = match entry.split_once('/') {
            Some((network, length)) => (network, length.parse().ok()),
            None => (entry, Some(128)),
        };
        return bare(network)
            .parse::<IpAddr>()
            .ok()
            .zip(length)
            .is_some_and(|(network, length)| is_in_network(address, network, length));
    }
    let name = entry.strip_prefix("*.").or(entry.strip_prefix('.')).unwrap_or(entry);
    host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

fn is_in_network(address: IpAddr, network: IpAddr, length: u32) -> bool {
    let (address, network, bits) = match (address.to_canonical(), network.to_canonical()) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (address.to_bits().into(), network.to_bits().into(), 32),
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    let differing: u128 = address ^ network;
    match bits - length.min(bits) {
        128 => true,
        rest => differing >> rest == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    fn proxy(except: Option<&[&str]>) -> Proxy {
        Proxy {
            host: "proxy.corp".into(),
            port: 3128,
            user: None,
            except: except.map(|entries| entries.iter().map(|entry| (*entry).to_owned()).collect()),
        }
    }

    #[test]
    fn what_no_proxy_names_goes_straight() {
        let proxy = proxy(Some(&[
            "corp.example",
            ".intern",
            "10.0.0.0/8",
            "192.0.2.7",
            "fd00::/8",
        ]));
        for (uri, serves) in [
            ("https://api.example/", true),
            ("https://corp.example/", false),
            ("https://a.b.corp.example/", false),
            ("https://notcorp.example/", true),
            ("https://x.intern/", false),
            ("https://10.1.2.3/", false),
            ("https://11.1.2.3/", true),
            ("https://192.0.2.7:8443/", false),
            ("https://[fd12::1]/", false),
            ("https://localhost/", false),
            ("https://127.0.0.1:9/", false),
            ("https://[::1]/", false),
            ("http://api.example/", false),
        ] {
            assert_eq!(proxy.serves(&uri.parse().unwrap()), serves, "{uri}");
        }
        let all = super::tests::proxy(Some(&["*"]));
        assert!(!all.serves(&"https://api.example/".parse().unwrap()));
        assert!(super::tests::proxy(None).serves(&"http://localhost/".parse().unwrap()));
    }

    async fn opened(user: Option<(&str, &str)>, answer: &'static [u8]) -> (Result<(), String>, String) {
        let (mut ours, mut theirs) = duplex(4096);
        let proxy = Proxy {
            user: user.map(|(name, password)| (name.to_owned(), password.to_owned().into())),
            ..proxy(None)
        };
        let server = tokio::spawn(async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                theirs.read_buf(&mut request).await.unwrap();
            }
            theirs.write_all(answer).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        let opened = proxy.open(&mut ours, &"https://api.example/a?b".parse().unwrap()).await;
        (opened, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_with_who_to_be_and_nothing_else_of_the_request() {
        let (opened, asked) = opened(Some(("user", "päss")), b"HTTP/1.0 200 OK\r\nvia: x\r\n\r\n").await;
        assert_eq!(opened, Ok(()));
        assert_eq!(
            asked,
            "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\
             Proxy-Authorization: Basic dXNlcjpww6Rzcw==\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn law_9_a_refusal_is_told_without_the_password() {
        for (user, answer, says) in [
            (
                None,
                &b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 2\r\n\r\nno"[..],
                "wants a user",
            ),
            (
                Some(("user", "canary")),
                b"HTTP/1.1 407 No\r\n\r\n",
                "refuses the user or password",
            ),
            (None, b"HTTP/1.1 403 Forbidden\r\n\r\nblocked", "doesn't allow it"),
            (
                None,
                b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
                "no connection to api.example:443 (502)",
            ),
            (None, b"SSH-2.0-OpenSSH\r\n", "doesn't speak HTTP"),
            (None, b"HTTP/1.1 2", "gave no answer"),
        ] {
            let (opened, _) = opened(user, answer).await;
            let words = opened.unwrap_err();
            assert!(words.contains(says) && !words.contains("canary"), "{words}");
        }
    }
}
