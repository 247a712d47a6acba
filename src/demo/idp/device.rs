//! Device codes (RFC 8628).

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::{
    Book, CLIENT, Person, Shared,
    wire::{Form, json, refused, text},
};
use crate::{clock::Deadline, demo::mint};

/// `slow_down` adds this (RFC 8628 §3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// A device that waits for its person.
pub(super) struct Device {
    pub(super) user_code: String,
    pub(super) decided: Option<Person>,
    pub(super) expired: bool,
    pub(super) interval: Duration,
    /// Not to be polled before.
    pub(super) next: Deadline,
}

impl Shared {
    /// RFC 8628 §3.1 and §3.2.
    pub(super) fn device(&self, body: &Form) -> Response<Full<Bytes>> {
        if body.get("client_id").map(String::as_str) != Some(CLIENT) {
            return refused(StatusCode::UNAUTHORIZED, "invalid_client");
        }
        let (device_code, user_code) = (mint::url_safe(), mint::uuid()[..8].to_uppercase());
        self.note(&[&device_code]);
        let device = Device {
            user_code: user_code.clone(),
            decided: None,
            expired: false,
            interval: self.interval,
            next: Deadline::after(self.clock.now(), self.interval),
        };
        self.book().devices.insert(device_code.clone(), device);
        json(
            StatusCode::OK,
            &json!({
                "device_code": device_code,
                "user_code": user_code,
                "verification_uri": format!("{}/activate", self.origin),
                "verification_uri_complete": format!("{}/activate?user_code={user_code}", self.origin),
                "expires_in": 600,
                "interval": self.interval.as_secs(),
            }),
        )
    }

    /// A person with a browser.
    pub(super) fn activate(&self, query: &Form) -> Response<Full<Bytes>> {
        let mut book = self.book();
        let person = book.person;
        let code = query.get("user_code");
        match book.devices.values_mut().find(|device| Some(&device.user_code) == code) {
            Some(device) => {
                device.decided = Some(person);
                text(StatusCode::OK, "thank you")
            }
            None => text(StatusCode::NOT_FOUND, "no such code"),
        }
    }

    /// RFC 8628 §3.5.
    pub(super) fn poll(&self, device_code: &str) -> Response<Full<Bytes>> {
        let mut book = self.book();
        let now = self.clock.now();
        let Book {
            slow_downs, devices, ..
        } = &mut *book;
        let Some(device) = devices.get_mut(device_code) else {
            return refused(StatusCode::BAD_REQUEST, "invalid_grant");
        };
        let is_early = !device.next.has_passed(now);
        let slows_down = is_early || *slow_downs > 0;
        if slows_down {
            *slow_downs = slow_downs.saturating_sub(1);
            device.interval += SLOW_DOWN;
        }
        device.next = Deadline::after(now, device.interval);
        let (decided, expired) = (device.decided, device.expired);
        if decided.is_some() || expired {
            devices.remove(device_code);
        }
        drop(book);
        self.counts.send_modify(|counts| {
            counts.polls += 1;
            counts.early_polls += u64::from(is_early);
            counts.slow_downs += u64::from(slows_down);
        });
        let error = match (expired, decided) {
            (true, _) => "expired_token",
            (false, Some(Person::Agrees)) => return self.issue(),
            (false, Some(Person::Refuses)) => "access_denied",
            (false, None) if slows_down => "slow_down",
            (false, None) => "authorization_pending",
        };
        refused(StatusCode::BAD_REQUEST, error)
    }
}
