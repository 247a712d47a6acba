//! What can't be asked through a store: other epochs, lost records, and the bounds of what is remembered.

use super::*;

const NOW: StoreNow = StoreNow { ms: 1_000, epoch: 7 };
const LEASE: Duration = Duration::from_secs(1);

fn at(chain: u64, generation: u64) -> Position {
    Position { chain, generation }
}

fn tokens(access: &str) -> Tokens {
    Tokens {
        access: Some(access.into()),
        ..Tokens::default()
    }
}

fn fingerprint() -> Fingerprint {
    Fingerprint::of(["erp"])
}

fn ask(id: u128, on: Position) -> AskClaim {
    AskClaim {
        id: Id(id),
        on,
        kind: Kind::Refresh,
        lease: LEASE,
        fingerprint: fingerprint(),
    }
}

fn put<A>(ruling: Ruling<A>) -> Record {
    match ruling.change {
        Change::Put(record) => *record,
        Change::Keep | Change::Remove => panic!("nothing was put"),
    }
}

fn granted(ruling: Ruling<Claimed>) -> (Record, Claim) {
    let Claimed::Granted(claim) = ruling.answer.clone() else {
        panic!("{:?}", ruling.answer);
    };
    (put(ruling), claim)
}

fn by_hand() -> Record {
    put(replace(None, Id(1), &tokens("hand"), &[], &fingerprint()))
}

fn committed(record: Option<&Record>, claim: &Claim, access: &str) -> Ruling<Committed> {
    commit(record, claim, &tokens(access), &Lineage::unknown(fingerprint()))
}

#[test]
fn a_lease_of_another_epoch_is_over_whatever_the_clock_says() {
    let (record, _) = granted(claim(Some(&by_hand()), &ask(2, at(1, 1)), NOW));
    for epoch in [0, 8] {
        let rebooted = StoreNow { ms: 0, epoch };
        let (_, claim) = granted(claim(Some(&record), &ask(3, at(1, 1)), rebooted));
        assert_eq!((claim.attempt, claim.in_doubt), (2, true));
    }
}

#[test]
fn a_lease_ends_at_its_last_millisecond() {
    let (record, _) = granted(claim(Some(&by_hand()), &ask(2, at(1, 1)), NOW));
    let later = |ms| StoreNow { ms: NOW.ms + ms, ..NOW };
    let held = claim(Some(&record), &ask(3, at(1, 1)), later(999)).answer;
    assert_eq!(held, Claimed::Held(Duration::from_millis(1)));
    granted(claim(Some(&record), &ask(3, at(1, 1)), later(1_000)));
}

#[test]
fn an_endless_lease_overflows_nothing() {
    let endless = AskClaim {
        lease: Duration::MAX,
        ..ask(2, at(1, 1))
    };
    let (record, _) = granted(claim(Some(&by_hand()), &endless, NOW));
    assert_eq!(record.claim.unwrap().lease.until, u64::MAX);
}

#[test]
fn tokens_whose_record_was_forgotten_are_saved_and_treated_as_signed_in_by_hand() {
    let (_, claim) = granted(claim(Some(&by_hand()), &ask(2, at(1, 1)), NOW));
    let record = put(committed(None, &claim, "late"));
    assert_eq!((record.position, record.origin), (at(1, 2), Origin::ByHand));

    let anew = put(replace(None, Id(9), &tokens("anew"), &[], &fingerprint()));
    let other = Claim { on: at(4, 1), ..claim };
    let ruling = committed(Some(&anew), &other, "of another chain");
    assert_eq!(ruling.change, Change::Keep);
}

#[test]
fn a_chain_restored_into_an_empty_store_is_not_given_up_lightly() {
    let ask = AskClaim {
        kind: Kind::Restore(at(3, 4)),
        ..ask(2, at(0, 0))
    };
    let (record, claim) = granted(claim(None, &ask, NOW));
    let record = put(committed(Some(&record), &claim, "held"));
    assert_eq!((record.position, record.origin), (at(3, 4), Origin::ByHand));
}

#[test]
fn a_holder_s_second_reply_replaces_its_first_and_voids_claims_on_it() {
    let (record, own) = granted(claim(Some(&by_hand()), &ask(2, at(1, 1)), NOW));
    let record = put(committed(Some(&record), &own, "first"));
    let (record, _) = granted(claim(Some(&record), &ask(3, at(1, 2)), NOW));
    let record = put(committed(Some(&record), &own, "second"));
    assert_eq!((record.position, &record.claim), (at(1, 2), &None));
    assert_eq!(record.tokens, tokens("second"));
    let stranger = Claim { id: Id(5), ..own };
    assert_eq!(committed(Some(&record), &stranger, "third").change, Change::Keep);
}

#[test]
fn a_mark_that_another_claim_made_is_not_one_s_own() {
    let (record, first) = granted(claim(Some(&by_hand()), &ask(2, at(1, 1)), NOW));
    let later = StoreNow { epoch: 8, ..NOW };
    let (record, second) = granted(claim(Some(&record), &ask(3, at(1, 1)), later));
    let dead = put(mark_dead(Some(&record), &second));
    let answer = |claim: &Claim| mark_dead(Some(&dead), claim).answer;
    assert!(matches!(answer(&second), MarkedDead::Dead(_)));
    assert!(matches!(answer(&first), MarkedDead::Moved(_)));
    let elsewhere = Claim { on: at(1, 0), ..second };
    assert!(matches!(answer(&elsewhere), MarkedDead::Moved(_)));
}

#[test]
fn the_ids_of_sign_ins_are_remembered_but_not_without_end() {
    let mut record = None;
    for id in 0..40 {
        record = Some(put(replace(record.as_ref(), Id(id), &tokens("t"), &[], &fingerprint())));
    }
    let record = record.unwrap();
    assert_eq!(record.begun_by.len(), REMEMBERED);
    for id in 24..40 {
        let again = replace(Some(&record), Id(id), &tokens("t"), &[], &fingerprint());
        assert_eq!(again.change, Change::Keep);
    }
}

#[test]
fn ids_are_written_as_text_that_json_keeps_whole() {
    let id = Id(u128::MAX - 1);
    let text = serde_json::to_string(&id).unwrap();
    assert_eq!(serde_json::from_str::<Id>(&text).unwrap(), id);
    assert!(serde_json::from_str::<Id>("\"x\"").is_err());
}

#[test]
fn an_import_never_overwrites_what_is_newer() {
    let at = |chain, generation, access: &str| {
        let mut record = Record::new(Fingerprint::of(["erp"]));
        record.position = Position { chain, generation };
        record.tokens.access = Some(access.into());
        record
    };
    let mut incoming = at(2, 3, "a");
    incoming.seeds.push(SeedHash::of("theirs"));
    assert_eq!(
        import(None, &incoming),
        Ruling::put(incoming.clone(), |_| Imported::Saved)
    );
    for (chain, generation) in [(2, 4), (3, 1)] {
        let here = at(chain, generation, "b");
        let answer = import(Some(&here), &incoming);
        assert_eq!(answer, Ruling::keep(Imported::Newer(here.position)));
    }
    let here = at(2, 3, "b");
    assert_eq!(
        import(Some(&here), &incoming),
        Ruling::keep(Imported::Other(here.position))
    );
    let mut here = at(2, 2, "b");
    here.seeds.push(SeedHash::of("ours"));
    let Change::Put(saved) = import(Some(&here), &incoming).change else {
        panic!("not saved");
    };
    assert_eq!(saved.tokens, incoming.tokens);
    assert_eq!(saved.seeds, [SeedHash::of("theirs"), SeedHash::of("ours")]);
}

#[test]
fn an_import_of_the_same_tokens_keeps_what_either_knows() {
    let mut here = Record::new(Fingerprint::of(["erp"]));
    here.position = Position {
        chain: 1,
        generation: 1,
    };
    assert_eq!(import(Some(&here), &here.clone()), Ruling::keep(Imported::Same));
    let incoming = here.clone();
    here.doubt = true;
    here.attempts = 3;
    let again = import(Some(&here), &incoming);
    assert_eq!(again, Ruling::keep(Imported::Same), "its doubt and its attempts stay");
    let Change::Put(merged) = import(Some(&incoming), &here).change else {
        panic!("the doubt is lost");
    };
    assert!(merged.doubt && merged.attempts == 3);
}
