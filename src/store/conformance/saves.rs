//! What is saved: commit, replace, seed and forget.

use super::*;

pub(super) async fn a_refresh_saves_the_next_generation(rig: Rig) {
    rig.replace("hand").await;
    let doubtful = rig.claim(at(1, 1), Kind::Refresh).await;
    let wait = BackOff {
        until: Deadline::after(rig.now(), LEASE),
        failures: 1,
    };
    rig.release(&doubtful, Some(wait), true).await;
    let claim = rig.claim(at(1, 1), Kind::Refresh).await;
    let record = saved(rig.commit(&claim, "next").await);
    assert_eq!(record, rig.record().await);
    assert_eq!((record.position, record.origin), (at(1, 2), Origin::ByHand));
    assert_eq!(record.tokens, tokens("next"));
    assert_eq!((record.claim, record.doubt, record.back_off), (None, false, None));
    assert!(!rig.claim(at(1, 2), Kind::Refresh).await.in_doubt);
}

pub(super) async fn a_sign_in_saves_the_next_chain(rig: Rig) {
    let claim = rig.claim(at(0, 0), Kind::SignIn).await;
    let record = saved(rig.commit(&claim, "first").await);
    assert_eq!((record.position, record.origin), (at(1, 1), Origin::SignIn));
    let refresh = rig.claim_briefly(at(1, 1), Kind::Refresh).await;
    rig.lapse().await;
    let sign_in = rig.claim(at(1, 1), Kind::SignIn).await;
    let record = saved(rig.commit(&sign_in, "second").await);
    assert_eq!((record.position, record.attempt), (at(2, 1), 2));
    superseded(rig.commit(&refresh, "late").await);
    assert_eq!(
        rig.record().await,
        record,
        "a late reply of an older chain changes nothing"
    );
}

pub(super) async fn a_restored_position_is_saved_again(rig: Rig) {
    rig.replace("hand").await;
    let claim = rig.claim(at(1, 1), Kind::Restore(at(1, 5))).await;
    let record = saved(rig.commit(&claim, "held").await);
    assert_eq!((record.position, record.origin), (at(1, 5), Origin::ByHand));
    let back = rig.claim(at(1, 5), Kind::Restore(at(1, 3))).await;
    superseded(rig.commit(&back, "older").await);
    assert_eq!(rig.record().await.tokens, tokens("held"));
}

pub(super) async fn a_lost_chain_is_restored_with_its_lineage(rig: Rig) {
    let known = Lineage {
        origin: Origin::Seed,
        seeds: vec![SeedHash::of("seed")],
        ..lineage()
    };
    // Emptied, or as it was before the chain began.
    for is_empty in [true, false] {
        let on = if is_empty { at(0, 0) } else { at(1, 1) };
        if !is_empty {
            rig.here.lose(&rig.key).await.unwrap();
            rig.replace("of a backup").await;
        }
        let claim = rig.claim(on, Kind::Restore(at(3, 4))).await;
        let committed = rig.here.commit(&rig.key, &claim, &tokens("held"), &known).await;
        let record = saved(committed.unwrap());
        assert_eq!((record.position, record.origin), (at(3, 4), Origin::Seed));
        let seeded = rig.seed(random_id().unwrap(), "seed").await;
        assert_eq!(seeded, Seeded::Seen(Box::new(record)), "it is spent, and known to be");
    }
}

pub(super) async fn a_late_reply_is_saved_unless_a_later_one_is(rig: Rig) {
    rig.replace("hand").await;
    let first = rig.claim_briefly(at(1, 1), Kind::Refresh).await;
    rig.lapse().await;
    let second = rig.claim(at(1, 1), Kind::Refresh).await;
    assert_eq!(saved(rig.commit(&first, "first").await).position, at(1, 2));
    let stale = rig.claim(at(1, 2), Kind::Refresh).await;
    let record = saved(rig.commit(&second, "second").await);
    assert_eq!((record.position, record.attempt), (at(1, 2), 2));
    assert_eq!(record.claim, None, "the claim on the first reply is void");
    assert_eq!(superseded(rig.commit(&first, "first").await).tokens, tokens("second"));
    let next = rig.claim(at(1, 2), Kind::Refresh).await;
    assert_eq!(next.attempt, stale.attempt + 1, "attempts go on where they were");
    saved(rig.commit(&next, "next").await);
    superseded(rig.commit(&second, "other").await);

    // A refusal is no reply: it outranks none.
    let slow = rig.claim_briefly(at(1, 3), Kind::Refresh).await;
    rig.lapse().await;
    let refused = rig.claim(at(1, 3), Kind::Refresh).await;
    rig.mark_dead(&refused).await;
    let record = saved(rig.commit(&slow, "slow").await);
    assert_eq!((record.position, record.state), (at(1, 4), State::Live));
}

pub(super) async fn a_sign_in_by_hand_replaces_everything(rig: Rig) {
    let seeds = [SeedHash::of("one"), SeedHash::of("two")];
    let claim = rig.claim(at(0, 0), Kind::SignIn).await;
    let (id, mine) = (random_id().unwrap(), tokens("hand"));
    let replace = async |store: &Arc<dyn Portable>| {
        store
            .replace(&rig.key, id, &mine, &seeds, &fingerprint())
            .await
            .unwrap()
    };
    let record = replace(&rig.here).await;
    assert_eq!(record, rig.record().await);
    assert_eq!((record.position, record.origin), (at(1, 1), Origin::ByHand));
    assert_eq!((&record.claim, &record.seeds), (&None, &seeds.to_vec()));
    superseded(rig.commit(&claim, "automatic").await);
    assert_eq!(rig.record().await.tokens, mine);
    for seed in ["one", "two"] {
        assert!(matches!(rig.seed(random_id().unwrap(), seed).await, Seeded::Seen(_)));
    }

    // Its acknowledgement was lost, and others have spent what it saved: asked again, it begins nothing.
    let refresh = rig.claim(at(1, 1), Kind::Refresh).await;
    let refreshed = saved(rig.commit(&refresh, "next").await);
    assert_eq!(replace(&rig.there).await, refreshed);
    assert_eq!(rig.replace("another").await.position, at(2, 1));
    assert_eq!(replace(&rig.there).await.tokens, tokens("another"));
}

pub(super) async fn a_seed_counts_once(rig: Rig) {
    let (first, second) = (random_id().unwrap(), random_id().unwrap());
    let Seeded::Replaced(record) = rig.seed(first, "one").await else {
        panic!("never seen");
    };
    assert_eq!((record.position, record.origin), (at(1, 1), Origin::Seed));
    assert_eq!(record.tokens, tokens("one"));
    assert_eq!(rig.seed(first, "one").await, Seeded::Replaced(record.clone()));
    assert_eq!(rig.seed(second, "one").await, Seeded::Seen(record));
    let claim = rig.claim(at(1, 1), Kind::Refresh).await;
    let Seeded::Replaced(record) = rig.seed(second, "two").await else {
        panic!("never seen");
    };
    assert_eq!((record.position, &record.claim), (at(2, 1), &None));
    superseded(rig.commit(&claim, "late").await);
    let third = random_id().unwrap();
    assert!(
        matches!(rig.seed(third, "one").await, Seeded::Seen(_)),
        "never forgotten"
    );
    assert_eq!(rig.record().await, *record);
}

/// Each verb is asked twice with the same id, the second time by the other handle: same answer, one effect.
pub(super) async fn lost_acknowledgements_are_asked_for_again(rig: Rig) {
    let Rig { here, there, key, .. } = &rig;
    let mark = fingerprint();
    let (id, tokens) = (random_id().unwrap(), self::tokens("hand"));
    let answer = here.replace(key, id, &tokens, &[], &mark).await;
    assert_eq!(answer, there.replace(key, id, &tokens, &[], &mark).await);

    let ask = ask(random_id().unwrap(), at(1, 1), Kind::Refresh);
    let answer = here.claim(key, ask.clone()).await;
    assert_eq!(answer, there.claim(key, ask).await);
    let claim = granted(answer.unwrap());

    let tokens = self::tokens("next");
    let answer = here.commit(key, &claim, &tokens, &lineage()).await;
    assert_eq!(answer, there.commit(key, &claim, &tokens, &lineage()).await);
    let standing = rig.claim(at(1, 2), Kind::Refresh).await;
    saved(there.commit(key, &claim, &tokens, &lineage()).await.unwrap());
    assert!(
        matches!(here.check(key, &standing, LEASE / 2).await, Ok(Checked::Standing(_))),
        "an old commit that is asked again voids no claim on what it saved"
    );

    let wait = BackOff {
        until: Deadline::after(rig.now(), LEASE),
        failures: 1,
    };
    here.release(key, &standing, Some(wait), true).await.unwrap();
    let before = rig.record().await;
    there.release(key, &standing, None, false).await.unwrap();
    assert_eq!(before, rig.record().await);

    let refused = rig.claim(at(1, 2), Kind::Refresh).await;
    let answer = here.mark_dead(key, &refused).await;
    assert!(matches!(answer, Ok(MarkedDead::Dead(_))));
    assert_eq!(answer, there.mark_dead(key, &refused).await);

    let (id, hash) = (random_id().unwrap(), SeedHash::of("seed"));
    let answer = here.seed(key, id, hash, &tokens, &mark).await;
    assert!(matches!(answer, Ok(Seeded::Replaced(_))));
    assert_eq!(answer, there.seed(key, id, hash, &tokens, &mark).await);

    let unborn = Key::of(&format!("{}_unborn", key.as_str()).parse().unwrap());
    let ask = super::ask(random_id().unwrap(), at(0, 0), Kind::SignIn);
    let claim = granted(here.claim(&unborn, ask).await.unwrap());
    here.release(&unborn, &claim, None, false).await.unwrap();
    here.forget(&unborn).await.unwrap();
    there.forget(&unborn).await.unwrap();
    assert_eq!(here.load(&unborn).await, Ok(None));
}

/// Law 7: one process's refused first sign-in destroys nothing of another's that went well.
pub(super) async fn only_what_never_was_signed_in_is_forgotten(rig: Rig) {
    let forget = async || rig.here.forget(&rig.key).await.unwrap();
    forget().await;
    let refused = rig.claim(at(0, 0), Kind::SignIn).await;
    rig.release(&refused, None, false).await;
    forget().await;
    assert_eq!(rig.load().await, None);

    let refused = rig.claim(at(0, 0), Kind::SignIn).await;
    rig.release(&refused, None, false).await;
    let other = rig.claim_briefly(at(0, 0), Kind::SignIn).await;
    rig.lapse().await;
    let before = rig.record().await;
    forget().await;
    assert_eq!(rig.record().await, before, "its holder may have signed in");
    let record = saved(rig.commit(&other, "first").await);
    forget().await;
    assert_eq!(rig.record().await, record, "another process has signed in");
}

pub(super) async fn only_what_is_as_it_was_seen_is_retired(rig: Rig) {
    let long_ago = Now {
        wall: 7,
        boot: 0,
        boot_id: 0,
    };
    let tokens = Tokens {
        expires: Some(Deadline::after(long_ago, LEASE)),
        ..tokens("first")
    };
    let claim = rig.claim(at(0, 0), Kind::SignIn).await;
    let seen = saved(rig.here.commit(&rig.key, &claim, &tokens, &lineage()).await.unwrap());
    let claim = rig.claim(at(1, 1), Kind::SignIn).await;
    let retire = async |seen, idle| rig.here.retire(&rig.key, seen, idle).await;
    assert_eq!(retire(&seen, LEASE).await, Ok(false), "somebody is at it");
    rig.here.commit(&rig.key, &claim, &tokens, &lineage()).await.unwrap();
    assert_eq!(retire(&seen, LEASE).await, Ok(false), "somebody came back");
    let seen = rig.record().await;
    if let Time::Passing(_) = rig.time {
        let centuries = Duration::from_secs(1 << 34);
        assert_eq!(retire(&seen, centuries).await, Ok(false), "by the store's own clock");
    }
    assert_eq!(retire(&seen, LEASE).await, Ok(true));
    assert_eq!(rig.load().await, None);
    assert_eq!(retire(&seen, LEASE).await, Ok(false));
}

pub(super) async fn the_secret_of_subjects_is_the_store_s(rig: Rig) {
    let secret = rig.here.subject_secret().await.unwrap();
    assert_eq!(rig.there.subject_secret().await, Ok(secret));
    assert_ne!(secret, [0; 32]);
}

/// A new handle reads back every field; where the store is durable, after the old handles have gone.
pub(super) async fn everything_of_a_record_is_kept(rig: Rig, make: &impl AsyncFn() -> Arc<dyn Portable>) {
    let now = rig.now();
    let full = Tokens {
        access: Some("ключ \" ' ; ${x} \u{0}".into()),
        refresh: Some(String::new().into()),
        obtained: now.wall,
        expires: Some(Deadline::after(now, LEASE)),
        dies: Some(Deadline::after(now, LEASE * 9)),
    };
    let seeds = [SeedHash::of("one"), SeedHash::of("two")];
    let id = Id(u128::MAX);
    rig.here
        .replace(&rig.key, id, &full, &seeds, &fingerprint())
        .await
        .unwrap();
    let claim = rig.claim(at(1, 1), Kind::Refresh).await;
    let wait = BackOff {
        until: Deadline::after(now, LEASE),
        failures: 2,
    };
    rig.release(&claim, Some(wait), true).await;
    rig.claim(at(1, 1), Kind::Restore(at(1, 7))).await;
    let before = rig.record().await;
    assert_eq!(before.tokens, full);
    assert_eq!((before.saved_by, before.begun_by.as_slice()), (Some(id), &[id][..]));
    assert!(before.claim.is_some() && before.doubt && before.back_off == Some(wait));
    let secret = rig.here.subject_secret().await;
    let key = rig.key.clone();
    drop(rig);
    let later = make().await;
    assert_eq!(later.load(&key).await, Ok(Some(before)));
    assert_eq!(later.subject_secret().await, secret);
}
