//! Each clause of the protocol is taken out in turn, around the real code; each time a history is found that breaks a
//! law, and told. So the model sees what the clauses are there for.

use crate::{
    base,
    laws::{COMMIT_BEFORE_PUBLISH, LOSERS_DESTROY_NOTHING, ONE_SPEND},
    search::{explore, say},
    setup::{Begin, Budget, Planted, Setup},
};

/// The shortest history that breaks a law must break this one.
#[track_caller]
fn is_found(planted: Planted, law: &str, setup: Setup) {
    let setup = Setup {
        planted: Some(planted),
        // What the fault does is more telling than where it leads.
        recovers: false,
        ..setup
    };
    let found = match explore(&setup) {
        Ok(explored) => panic!("without {planted:?} nothing breaks: {explored:?}"),
        Err(found) => found,
    };
    say(&found.to_string());
    assert_eq!(found.broken.law, law, "{found}");
    let unmodified = Setup {
        planted: None,
        recovers: true,
        ..setup
    };
    if let Err(found) = explore(&unmodified) {
        panic!("and with it: {found}");
    }
}

fn by_hand(left: Budget) -> Setup {
    Setup {
        can_sign_in: false,
        begin: Begin::ByHand,
        left,
        ..base("planted, no sign-in grant")
    }
}

fn signing_in(left: Budget) -> Setup {
    Setup {
        left,
        ..base("planted, sign-in grant")
    }
}

#[test]
fn without_a_claim_two_processes_spend_one_token() {
    let left = Budget {
        jumps: 1,
        ..Budget::default()
    };
    is_found(Planted::NoClaim, ONE_SPEND, by_hand(left));
}

#[test]
fn without_the_generation_check_a_spent_token_is_claimed() {
    let left = Budget {
        jumps: 1,
        ..Budget::default()
    };
    is_found(Planted::NoGenerationCheck, ONE_SPEND, by_hand(left));
}

#[test]
fn without_the_check_before_the_first_byte_a_stopped_process_spends_again() {
    let left = Budget {
        jumps: 2,
        ..Budget::default()
    };
    is_found(Planted::NoCheckBeforeSend, ONE_SPEND, by_hand(left));
}

#[test]
fn where_release_forgets_doubt_a_lost_spend_is_repeated() {
    let left = Budget {
        jumps: 1,
        faults: 1,
        crashes: 1,
        ..Budget::default()
    };
    is_found(Planted::ReleaseForgetsDoubt, ONE_SPEND, signing_in(left));
}

#[test]
fn an_unconditional_dead_mark_kills_what_is_newer() {
    let left = Budget {
        jumps: 1,
        logins: 1,
        revocations: 1,
        ..Budget::default()
    };
    is_found(Planted::DeadWhateverStands, LOSERS_DESTROY_NOTHING, by_hand(left));
}

#[test]
fn where_a_sign_in_by_hand_voids_no_claim_it_is_marked_dead() {
    let left = Budget {
        jumps: 1,
        logins: 1,
        revocations: 1,
        ..Budget::default()
    };
    is_found(Planted::ReplaceVoidsNothing, LOSERS_DESTROY_NOTHING, by_hand(left));
}

#[test]
fn what_is_published_before_it_is_saved_is_lost() {
    let left = Budget {
        jumps: 1,
        ..Budget::default()
    };
    is_found(Planted::PublishBeforeCommit, COMMIT_BEFORE_PUBLISH, by_hand(left));
}
