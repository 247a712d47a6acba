//! A strict ledger of tokens, one for each API.
//!
//! A refresh token can be spent once. Sending a spent one again revokes its whole family: everything that grew from
//! the same sign-in (RFC 9700 §4.14.2). The ledger holds digests, so nothing in it can leak a token unless it is told
//! to remember them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use secrecy::SecretString;

use super::{count::Tally, mint::Mint};
use crate::clock::{Clock, Deadline};

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// The user, device or key, as data calls show it.
    pub(super) name: String,
    /// The client that signed in.
    pub(super) client: String,
    /// The one tenant it may see, where the API has tenants.
    pub(super) tenant: Option<String>,
}

/// Freshly issued tokens. Not `Debug`: they are secrets.
pub(super) struct Pair {
    /// The access token.
    pub(super) access: String,
    /// The refresh token, if one was issued.
    pub(super) refresh: Option<String>,
}

/// Why a refresh token was refused. To the client they all look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Never issued.
    Unknown,
    /// Spent before; its family is revoked now.
    Reused,
    /// Its family had been revoked.
    Revoked,
    /// Issued to another client.
    OtherClient,
}

/// Why a data call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// No credential, several, or one in the wrong place.
    Missing,
    /// Never issued.
    Unknown,
    /// No longer good.
    Expired,
    /// Revoked, alone or with its family.
    Revoked,
    /// Good, but for another tenant.
    Forbidden,
}

/// What happens to a refresh token that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotation {
    /// It is spent, and a new one takes its place.
    Rotate,
    /// It stays good, and the reply brings none.
    Keep,
}

type Digest = [u8; 32];

fn fingerprint(token: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

struct Family {
    holder: Holder,
    revoked: bool,
}

struct Access {
    family: usize,
    expires: Deadline,
    revoked: bool,
}

struct Refresh {
    family: usize,
    /// Spent; sent again it is taken for a lost reply until then, and for a theft from then on.
    spent: Option<Deadline>,
}

#[derive(Default)]
struct Book {
    families: Vec<Family>,
    accesses: HashMap<Digest, Access>,
    refreshes: HashMap<Digest, Refresh>,
    /// The tokens themselves, where they are to be remembered.
    issued: Option<Vec<SecretString>>,
}

/// The ledger.
pub(super) struct Ledger {
    clock: Clock,
    lifetime: Duration,
    /// For how long a spent refresh token is accepted again.
    grace: Duration,
    tally: Arc<Tally>,
    book: Mutex<Book>,
}

impl Ledger {
    /// An empty ledger, whose access tokens live this long.
    pub(super) fn new(clock: Clock, lifetime: Duration, tally: Arc<Tally>) -> Self {
        Self {
            clock,
            lifetime,
            grace: Duration::ZERO,
            tally,
            book: Mutex::default(),
        }
    }

    /// The same ledger, where a spent refresh token is accepted again for so long.
    pub(super) fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// The same, and every token issued is remembered as it is.
    pub(super) fn keeping_issued(self) -> Self {
        self.book().issued = Some(Vec::new());
        self
    }

    /// Every token issued, where they are remembered.
    pub(super) fn issued(&self) -> Vec<SecretString> {
        self.book().issued.clone().unwrap_or_default()
    }

    /// How long access tokens live, in whole seconds, as replies say it.
    pub(super) fn expires_in(&self) -> u64 {
        self.lifetime.as_secs()
    }

    /// Begins a family: a sign-in.
    pub(super) fn issue(&self, holder: Holder, mint: Mint) -> Pair {
        let mut book = self.book();
        let family = self.begin(&mut book, holder);
        self.mint(&mut book, family, mint)
    }

    /// Begins a family whose first refresh token is this one, handed over by some other way.
    pub(super) fn plant(&self, refresh: &str, holder: Holder) {
        let mut book = self.book();
        let family = self.begin(&mut book, holder);
        book.refreshes
            .insert(fingerprint(refresh), Refresh { family, spent: None });
    }

    /// Spends a refresh token.
    pub(super) fn renew(
        &self,
        refresh: &str,
        client: &str,
        mint: Mint,
        rotation: Rotation,
    ) -> Result<(Holder, Pair), Refused> {
        let mut book = self.book();
        let book = &mut *book;
        let known = book.refreshes.get_mut(&fingerprint(refresh)).ok_or(Refused::Unknown)?;
        let family = &mut book.families[known.family];
        let now = self.clock.now();
        if known.spent.is_some_and(|graced| graced.has_passed(now)) {
            let first = !family.revoked;
            family.revoked = true;
            self.tally.add(|counts| {
                counts.reuses += 1;
                counts.families_revoked += u64::from(first);
            });
            return Err(Refused::Reused);
        }
        if family.revoked {
            return Err(Refused::Revoked);
        }
        if family.holder.client != client {
            return Err(Refused::OtherClient);
        }
        let mint = match rotation {
            Rotation::Rotate => {
                known.spent.get_or_insert(Deadline::after(now, self.grace));
                mint
            }
            Rotation::Keep => mint.access_only(),
        };
        self.tally.add(|counts| counts.spends += 1);
        let holder = family.holder.clone();
        let family = known.family;
        Ok((holder, self.mint(book, family, mint)))
    }

    /// Who this access token speaks for.
    pub(super) fn holder(&self, access: &str) -> Result<Holder, Cause> {
        let book = self.book();
        let known = book.accesses.get(&fingerprint(access)).ok_or(Cause::Unknown)?;
        let family = &book.families[known.family];
        if known.revoked || family.revoked {
            return Err(Cause::Revoked);
        }
        if known.expires.has_passed(self.clock.now()) {
            return Err(Cause::Expired);
        }
        Ok(family.holder.clone())
    }

    /// Revokes every access token; refresh tokens stay good.
    pub(super) fn revoke_accesses(&self) {
        for access in self.book().accesses.values_mut() {
            access.revoked = true;
        }
    }

    /// Revokes every family: all access and refresh tokens.
    pub(super) fn revoke_families(&self) {
        for family in self.book().families.iter_mut().filter(|family| !family.revoked) {
            family.revoked = true;
            self.tally.add(|counts| counts.families_revoked += 1);
        }
    }

    fn begin(&self, book: &mut Book, holder: Holder) -> usize {
        self.tally.add(|counts| counts.families += 1);
        book.families.push(Family { holder, revoked: false });
        book.families.len() - 1
    }

    fn mint(&self, book: &mut Book, family: usize, mint: Mint) -> Pair {
        let pair = Pair {
            access: (mint.access)(),
            refresh: mint.refresh.map(|make| make()),
        };
        let access = Access {
            family,
            expires: Deadline::after(self.clock.now(), self.lifetime),
            revoked: false,
        };
        book.accesses.insert(fingerprint(&pair.access), access);
        if let Some(issued) = &mut book.issued {
            issued.extend(
                [&pair.access]
                    .into_iter()
                    .chain(&pair.refresh)
                    .map(|token| token.as_str().into()),
            );
        }
        if let Some(refresh) = &pair.refresh {
            book.refreshes
                .insert(fingerprint(refresh), Refresh { family, spent: None });
        }
        pair
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::mint;

    const MINT: Mint = Mint {
        access: mint::uuid,
        refresh: Some(mint::url_safe),
    };

    fn holder() -> Holder {
        Holder {
            name: "kari".into(),
            client: "erp".into(),
            tenant: None,
        }
    }

    fn ledger() -> (Ledger, Clock, Arc<Tally>) {
        let (clock, tally) = (Clock::manual(), Arc::new(Tally::default()));
        let ledger = Ledger::new(clock.clone(), Duration::from_secs(20), Arc::clone(&tally));
        (ledger, clock, tally)
    }

    fn renew(ledger: &Ledger, refresh: &str) -> Result<Pair, Refused> {
        ledger
            .renew(refresh, "erp", MINT, Rotation::Rotate)
            .map(|(_, pair)| pair)
    }

    #[test]
    fn access_tokens_expire_on_the_clock_they_were_given() {
        let (ledger, clock, _) = ledger();
        let pair = ledger.issue(holder(), MINT);
        clock.advance(Duration::from_millis(19_999));
        assert_eq!(ledger.holder(&pair.access), Ok(holder()));
        clock.advance(Duration::from_millis(1));
        assert_eq!(ledger.holder(&pair.access), Err(Cause::Expired));
        assert_eq!(ledger.holder("made up"), Err(Cause::Unknown));
    }

    #[test]
    fn reuse_revokes_the_whole_family_and_no_other() {
        let (ledger, _, tally) = ledger();
        let other = ledger.issue(holder(), MINT);
        let first = ledger.issue(holder(), MINT).refresh.unwrap();
        let second = renew(&ledger, &first).ok().unwrap();
        assert_eq!(renew(&ledger, &first).err(), Some(Refused::Reused));
        assert_eq!(ledger.holder(&second.access), Err(Cause::Revoked));
        assert_eq!(
            renew(&ledger, &second.refresh.unwrap()).err(),
            Some(Refused::Revoked),
            "the newest refresh token went with its family"
        );
        assert_eq!(ledger.holder(&other.access), Ok(holder()));
        let counts = tally.counts();
        assert_eq!((counts.spends, counts.reuses, counts.families_revoked), (1, 1, 1));
    }

    #[test]
    fn another_client_spends_nothing() {
        let (ledger, _, _) = ledger();
        let refresh = ledger.issue(holder(), MINT).refresh.unwrap();
        let refused = ledger.renew(&refresh, "else", MINT, Rotation::Rotate).err();
        assert_eq!(refused, Some(Refused::OtherClient));
        assert!(renew(&ledger, &refresh).is_ok());
    }

    #[test]
    fn a_kept_refresh_token_stays_good() {
        let (ledger, _, _) = ledger();
        ledger.plant("seed", holder());
        let (_, pair) = ledger.renew("seed", "erp", MINT, Rotation::Keep).ok().unwrap();
        assert!(pair.refresh.is_none());
        assert!(renew(&ledger, "seed").is_ok());
    }

    #[test]
    fn a_spent_refresh_token_is_accepted_again_for_as_long_as_the_grace_lasts() {
        let (ledger, clock, tally) = ledger();
        let ledger = ledger.with_grace(Duration::from_secs(5));
        let first = ledger.issue(holder(), MINT).refresh.unwrap();
        assert!(renew(&ledger, &first).is_ok());
        clock.advance(Duration::from_secs(4));
        assert!(renew(&ledger, &first).is_ok());
        clock.advance(Duration::from_secs(1));
        assert_eq!(
            renew(&ledger, &first).err(),
            Some(Refused::Reused),
            "a repetition doesn't prolong it"
        );
        assert_eq!((tally.counts().spends, tally.counts().reuses), (2, 1));
    }

    #[test]
    fn revoking_access_leaves_refresh_tokens_good_and_revoking_families_does_not() {
        let (ledger, _, _) = ledger();
        let pair = ledger.issue(holder(), MINT);
        ledger.revoke_accesses();
        assert_eq!(ledger.holder(&pair.access), Err(Cause::Revoked));
        let pair = renew(&ledger, &pair.refresh.unwrap()).ok().unwrap();
        ledger.revoke_families();
        assert_eq!(renew(&ledger, &pair.refresh.unwrap()).err(), Some(Refused::Revoked));
    }
}
