//! The table "what may come back" (docs/protocol.md): the token endpoint fails once, with the old token expired.

use std::time::Duration;

use bearerd::demo::{Counts, Misbehaviour, Times};

use crate::stage::{Bearerd, PATIENT, Stage};

/// Longer than the back-off of one failure.
pub(crate) const BACK_OFF: Duration = Duration::from_secs(6);

/// For how long a provider with a grace period takes a spent refresh token again.
const GRACE: Duration = Duration::from_secs(60);

/// A kind of credential and of provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// It can sign in by itself; else it has a refresh token to start from and nothing else.
    pub(crate) signs_in: bool,
    /// The provider takes a spent refresh token again for a while.
    pub(crate) grace: bool,
}

/// All of them.
pub(crate) const SETTINGS: [Setting; 4] = [
    Setting {
        signs_in: true,
        grace: false,
    },
    Setting {
        signs_in: true,
        grace: true,
    },
    Setting {
        signs_in: false,
        grace: false,
    },
    Setting {
        signs_in: false,
        grace: true,
    },
];

/// How the token endpoint fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// It can't be reached.
    NeverLeft,
    /// It answers like this, or not at all.
    Answer(Misbehaviour),
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Came {
    /// What a caller got who doesn't wait for back-offs; what callers got once back-offs were over; and what they got
    /// after yet another lifetime.
    pub(crate) callers: [String; 3],
    /// Refresh tokens accepted since the failure.
    pub(crate) spends: u64,
    /// Sign-ins since the failure.
    pub(crate) sign_ins: u64,
    /// Refresh tokens that were sent again after they were spent.
    pub(crate) reuses: u64,
    /// Data calls that the API rejected.
    pub(crate) rejected: u64,
}

impl Came {
    /// Callers got these; so many refresh tokens were accepted, and nothing else happened.
    pub(crate) fn spending(spends: u64, callers: [&str; 3]) -> Self {
        Self {
            callers: callers.map(str::to_owned),
            spends,
            sign_ins: 0,
            reuses: 0,
            rejected: 0,
        }
    }
}

/// A stage, and bearerd on it with a token in use; `more` are further settings of its credential.
pub(crate) async fn stage(setting: Setting, more: &str) -> (Stage, Bearerd) {
    let grace = if setting.grace { GRACE } else { Duration::ZERO };
    let stage = Stage::with(|options| options.grace = grace).await;
    let grace = if setting.grace { ", grace: 60s" } else { "" };
    let more = format!("{grace}{more}");
    let yaml = match setting.signs_in {
        true => stage.signing_in(&more),
        false => stage.seeded(&more).await,
    };
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200", "{setting:?}: at first");
    (stage, bearerd)
}

/// What comes of one failure.
pub(crate) async fn meet(setting: Setting, row: Row) -> Came {
    // A hanging endpoint is given up after this, which nothing else should take.
    let hangs = row == Row::Answer(Misbehaviour::Hang);
    let (stage, bearerd) = stage(setting, if hangs { ", spend_deadline: 2s" } else { "" }).await;
    let Counts { spends, password, .. } = stage.fluent_counts();
    stage.expire();
    match row {
        Row::NeverLeft => stage.apis.fluent().unreachable(true),
        Row::Answer(misbehaviour) => stage.apis.fluent().misbehave(misbehaviour, Times::Next(1)),
    }
    let first = bearerd.hasty().await;
    stage.apis.fluent().unreachable(false);
    if first.status == 503 {
        assert!(first.header("retry-after").is_some(), "{setting:?}, {row:?}: {first:?}");
    }
    stage.clock.advance(BACK_OFF);
    let later = bearerd.hasty().await;
    stage.expire();
    let last = bearerd.hasty().await;
    let counts = stage.fluent_counts();
    assert_eq!(
        counts.unauthorised, counts.with_expired,
        "{setting:?}, {row:?}: no token was invented or mixed up"
    );
    assert!(bearerd.stop().await, "{setting:?}, {row:?}");
    Came {
        callers: [first.word(), later.word(), last.word()],
        spends: counts.spends - spends,
        sign_ins: counts.password - password,
        reuses: counts.reuses,
        rejected: counts.unauthorised,
    }
}
