//! Which header fields a message has, of those that layers look for: one look at each name, in place of a lookup for
//! each of them, most of which find nothing.

use std::ops::BitOr;

use http::{HeaderMap, HeaderName};

/// A set of header fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields(u16);

impl Fields {
    /// Says from where a browser was sent here (RFC 6454).
    pub const ORIGIN: Self = Self(1);
    /// Says how far away that was (Fetch Metadata).
    pub const SEC_FETCH_SITE: Self = Self(1 << 1);
    /// Asks for `100 Continue`.
    pub const EXPECT: Self = Self(1 << 2);
    /// Asks for another protocol.
    pub const UPGRADE: Self = Self(1 << 3);
    /// Announces trailer fields.
    pub const TRAILER: Self = Self(1 << 4);
    /// Speaks of this connection, and names other fields that do.
    pub const CONNECTION: Self = Self(1 << 5);
    /// Any other that ends at each hop, whether or not `Connection` names it (RFC 9110 §7.6.1).
    pub const OTHER_HOP: Self = Self(1 << 6);
    /// Leads to another place.
    pub const LOCATION: Self = Self(1 << 7);
    /// Names its own place.
    pub const CONTENT_LOCATION: Self = Self(1 << 8);
    /// Sets a cookie.
    pub const SET_COOKIE: Self = Self(1 << 9);
    /// Links to other places, or leads there after a while.
    pub const LINK: Self = Self(1 << 11);
    /// One of bearerd's own, which nobody else gets to write.
    pub const OURS: Self = Self(1 << 10);

    /// The fields of these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        headers
            .keys()
            .fold(Self::default(), |found, name| found | Self::named(name))
    }

    /// Whether any of these is there.
    pub fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    /// What this name says.
    pub fn named(name: &HeaderName) -> Self {
        match name.as_str() {
            "origin" => Self::ORIGIN,
            "sec-fetch-site" => Self::SEC_FETCH_SITE,
            "expect" => Self::EXPECT,
            "upgrade" => Self::UPGRADE | Self::OTHER_HOP,
            "trailer" => Self::TRAILER,
            "connection" => Self::CONNECTION,
            "te"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-authentication-info"
            | "transfer-encoding"
            | "http2-settings"
            // As servers that hand fields on as CGI variables (RFC 3875 §4.1.18) read the framing's own.
            | "transfer_encoding"
            | "content_length" => Self::OTHER_HOP,
            "location" => Self::LOCATION,
            "content-location" => Self::CONTENT_LOCATION,
            "set-cookie" => Self::SET_COOKIE,
            "link" | "refresh" => Self::LINK,
            "x-bearerd-error" | "x-bearerd-replayed" => Self::OURS,
            _ => Self::default(),
        }
    }
}

impl BitOr for Fields {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::{ERROR_HEADER, authorize::REPLAYED_HEADER};
    use http::HeaderValue;

    #[test]
    fn each_field_is_found_and_no_other() {
        let mut headers = HeaderMap::new();
        assert_eq!(Fields::of(&headers), Fields::default());
        headers.insert("accept", HeaderValue::from_static("*/*"));
        headers.insert("origin", HeaderValue::from_static("null"));
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        let found = Fields::of(&headers);
        assert!(found.has(Fields::ORIGIN) && found.has(Fields::UPGRADE) && found.has(Fields::OTHER_HOP));
        assert!(!found.has(Fields::CONNECTION | Fields::EXPECT | Fields::LOCATION | Fields::OURS));
    }

    #[test]
    fn our_own_fields_are_known_by_the_names_that_they_have() {
        for name in [ERROR_HEADER, REPLAYED_HEADER] {
            assert_eq!(Fields::named(&name), Fields::OURS, "{name}");
        }
    }
}
