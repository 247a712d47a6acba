//! The spend protocol, explored: every interleaving of processes that run the very lifecycle of the program over the
//! very transitions of its stores, against a model of an authorization server, with everything that can go wrong.
//!
//! Each setup bounds what goes wrong, not when. In every state laws 1, 2, 3 and 7 hold, and from every state a usable
//! token is reached without a person once faults end, wherever the residue that the design states doesn't forbid it.

mod act;
mod alike;
mod calm;
mod canon;
mod deed;
mod laws;
mod planted;
mod search;
mod server;
mod setup;
mod store;
mod words;
mod world;

use std::time::Duration;

use bearerd::credential::spec::OnDoubt;

use self::{
    search::Explored,
    setup::{Begin, Budget, Setup},
};

/// Longer than a lease and a restart.
const GRACE: Duration = Duration::from_secs(300);

/// A sign-in grant, and nothing that goes wrong.
fn base(name: &'static str) -> Setup {
    Setup {
        name,
        processes: 2,
        can_sign_in: true,
        on_doubt: None,
        grace: None,
        begin: Begin::SignedIn,
        left: Budget::default(),
        issues: 5,
        recovers: true,
        planted: None,
    }
}

/// The same, followed less far.
fn brief(name: &'static str) -> Setup {
    Setup {
        issues: 3,
        ..base(name)
    }
}

fn anew(name: &'static str) -> Setup {
    Setup {
        begin: Begin::Nothing,
        ..brief(name)
    }
}

/// A chain that a person began, and no sign-in grant.
fn by_hand(name: &'static str) -> Setup {
    Setup {
        can_sign_in: false,
        begin: Begin::ByHand,
        ..base(name)
    }
}

fn with_grace(name: &'static str) -> Setup {
    Setup {
        grace: Some(GRACE),
        ..by_hand(name)
    }
}

fn with_retries(name: &'static str) -> Setup {
    Setup {
        on_doubt: Some(OnDoubt::Retry),
        ..base(name)
    }
}

fn insisting(name: &'static str) -> Setup {
    Setup {
        on_doubt: Some(OnDoubt::SignIn),
        ..brief(name)
    }
}

/// The old config's seed in one process, the new config's in the other.
fn with_seeds(name: &'static str) -> Setup {
    Setup {
        can_sign_in: false,
        begin: Begin::Seeds(&[0, 1]),
        issues: 4,
        ..base(name)
    }
}

fn three(name: &'static str) -> Setup {
    Setup {
        processes: 3,
        issues: 3,
        ..by_hand(name)
    }
}

#[track_caller]
fn holds(setup: Setup, left: Budget) -> Explored {
    let setup = Setup { left, ..setup };
    match search::explore(&setup) {
        Ok(explored) => explored,
        Err(found) => panic!("{found}"),
    }
}

/// Three rotations on top of the first tokens, and a crash anywhere.
const DEEP: Budget = Budget {
    faults: 0,
    crashes: 1,
    rejections: 0,
    logins: 0,
    revocations: 0,
    jumps: 3,
};
/// A fault and a crash about one rotation.
const WIDE: Budget = Budget {
    faults: 1,
    crashes: 1,
    jumps: 2,
    ..DEEP
};
const REJECTED: Budget = Budget {
    faults: 1,
    crashes: 0,
    rejections: 2,
    jumps: 1,
    ..DEEP
};
const SIGNED_IN: Budget = Budget {
    faults: 1,
    crashes: 0,
    logins: 1,
    jumps: 1,
    ..DEEP
};

/// No fault but other people's timing.
const UNRULY: Budget = Budget {
    crashes: 0,
    logins: 1,
    jumps: 1,
    ..DEEP
};
const CRASHED: Budget = Budget { jumps: 1, ..DEEP };
const CROWDED: Budget = Budget {
    crashes: 1,
    jumps: 2,
    ..DEEP
};

macro_rules! explored {
    ($($name:ident: $setup:ident, $left:ident;)*) => {$(
        #[test]
        fn $name() {
            holds($setup(stringify!($name)), $left);
        }
    )*};
}

explored! {
    sign_in_deep: base, DEEP;
    sign_in_wide: base, WIDE;
    sign_in_rejected: brief, REJECTED;
    sign_in_then_by_hand: brief, SIGNED_IN;
    sign_in_insisting: insisting, SIGNED_IN;
    sign_in_anew: anew, UNRULY;
    retries_wide: with_retries, WIDE;
    by_hand_deep: by_hand, DEEP;
    by_hand_wide: by_hand, WIDE;
    by_hand_rejected: by_hand, REJECTED;
    by_hand_again: by_hand, SIGNED_IN;
    grace_wide: with_grace, WIDE;
    three_processes: three, CROWDED;
    seeds_crashed: with_seeds, CRASHED;
    seeds_by_hand: with_seeds, UNRULY;
}
