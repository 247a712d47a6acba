//! Who may ask for tokens: claim, check, release and mark_dead.

use super::*;

pub(super) async fn a_key_without_a_record_is_at_position_0_0(rig: Rig) {
    assert_eq!(rig.load().await, None);
    match rig.ask(at(1, 1), Kind::Refresh).await {
        Claimed::Moved(record) => assert_eq!(record.position, at(0, 0)),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.load().await, None, "a refused claim makes no record");
    let claim = rig.claim(at(0, 0), Kind::SignIn).await;
    assert_eq!((claim.on, claim.attempt, claim.in_doubt), (at(0, 0), 1, false));
    assert_eq!(rig.record().await.fingerprint, fingerprint());
}

pub(super) async fn a_claim_elsewhere_is_moved(rig: Rig) {
    let record = rig.replace("hand").await;
    for elsewhere in [at(0, 0), at(1, 0), at(1, 2), at(2, 1)] {
        let answer = rig.ask(elsewhere, Kind::Refresh).await;
        assert_eq!(answer, Claimed::Moved(Box::new(record.clone())));
    }
}

pub(super) async fn one_claim_stands(rig: Rig) {
    let first = rig.claim(at(0, 0), Kind::SignIn).await;
    rig.assert_held(rig.ask(at(0, 0), Kind::SignIn).await, LEASE);
    rig.pass(LEASE - Duration::from_millis(1));
    rig.assert_held(rig.ask(at(0, 0), Kind::SignIn).await, Duration::from_millis(1));
    rig.release(&first, None, false).await;
    assert!(!rig.claim(at(0, 0), Kind::SignIn).await.in_doubt);
}

/// Many callers of both handles at once: how many of them were granted, the others being held.
async fn crowd(rig: &Rig, on: Position) -> Vec<Claim> {
    let start = Arc::new(tokio::sync::Barrier::new(CROWD));
    let callers: Vec<_> = (0..CROWD)
        .map(|caller| {
            let store = if caller % 2 == 0 { &rig.here } else { &rig.there }.clone();
            let (key, start) = (rig.key.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                store
                    .claim(&key, ask(random_id().unwrap(), on, Kind::Refresh))
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut claims = Vec::new();
    for caller in callers {
        match caller.await.unwrap() {
            Claimed::Granted(claim) => claims.push(claim),
            Claimed::Held(left) => rig.assert_left(left, LEASE),
            moved => panic!("{moved:?}"),
        }
    }
    claims
}

pub(super) async fn of_a_crowd_one_is_granted(rig: Rig) {
    rig.replace("hand").await;
    let claims = crowd(&rig, at(1, 1)).await;
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].attempt, claims[0].in_doubt), (1, false));
}

pub(super) async fn of_a_crowd_one_takes_over(rig: Rig) {
    rig.replace("hand").await;
    rig.claim_briefly(at(1, 1), Kind::Refresh).await;
    rig.lapse().await;
    let claims = crowd(&rig, at(1, 1)).await;
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].attempt, claims[0].in_doubt), (2, true));
}

pub(super) async fn attempts_count_within_a_position(rig: Rig) {
    rig.replace("hand").await;
    for attempt in 1..=3 {
        let claim = rig.claim(at(1, 1), Kind::Refresh).await;
        assert_eq!(claim.attempt, attempt);
        rig.release(&claim, None, false).await;
    }
    let claim = rig.claim(at(1, 1), Kind::Refresh).await;
    assert_eq!(saved(rig.commit(&claim, "next").await).attempt, 4);
    assert_eq!(rig.claim(at(1, 2), Kind::Refresh).await.attempt, 1);
}

pub(super) async fn a_standing_claim_is_renewed_by_its_id(rig: Rig) {
    let claim = rig.claim(at(0, 0), Kind::SignIn).await;
    let again = ask(claim.id, at(0, 0), Kind::SignIn);
    let granted = Ok(Claimed::Granted(claim.clone()));
    rig.pass(LEASE / 2);
    assert_eq!(rig.there.claim(&rig.key, again.clone()).await, granted);
    rig.pass(LEASE / 2);
    rig.assert_held(rig.ask(at(0, 0), Kind::SignIn).await, LEASE / 2);
    assert_eq!(rig.there.claim(&rig.key, brief(again.clone())).await, granted);
    rig.lapse().await;
    assert_eq!(
        rig.there.claim(&rig.key, brief(again.clone())).await,
        granted,
        "a lease that is over and that nobody took over is renewed all the same"
    );
    rig.lapse().await;
    rig.claim(at(0, 0), Kind::SignIn).await;
    rig.assert_held(rig.there.claim(&rig.key, again).await.unwrap(), LEASE);
}

pub(super) async fn check_asks_for_the_claim_and_its_lease(rig: Rig) {
    rig.replace("hand").await;
    let claim = rig.claim(at(1, 1), Kind::Refresh).await;
    let check = async |at_least| rig.there.check(&rig.key, &claim, at_least).await.unwrap();
    let moved = async || Checked::Moved(rig.load().await.map(Box::new));
    rig.pass(LEASE / 4);
    match check(LEASE / 2).await {
        Checked::Standing(left) => rig.assert_left(left, LEASE / 4 * 3),
        other => panic!("{other:?}"),
    }
    assert_eq!(check(LEASE * 2).await, moved().await, "too little is left");
    let shorter = brief(ask(claim.id, at(1, 1), Kind::Refresh));
    granted(rig.here.claim(&rig.key, shorter).await.unwrap());
    rig.lapse().await;
    assert_eq!(check(Duration::ZERO).await, moved().await, "the lease is over");
    let second = rig.claim(at(1, 1), Kind::Refresh).await;
    assert_eq!(check(Duration::ZERO).await, moved().await, "it was taken over");
    rig.commit(&second, "next").await;
    assert_eq!(check(Duration::ZERO).await, moved().await, "the record moved");
    rig.here.lose(&rig.key).await.unwrap();
    assert_eq!(check(Duration::ZERO).await, Checked::Moved(None));
}

pub(super) async fn release_keeps_doubt_and_back_off(rig: Rig) {
    rig.replace("hand").await;
    let mut claim = rig.claim(at(1, 1), Kind::Refresh).await;
    let wait = BackOff {
        until: Deadline::after(rig.now(), LEASE),
        failures: 3,
    };
    rig.release(&claim, Some(wait), true).await;
    for _ in 0..2 {
        claim = rig.claim(at(1, 1), Kind::Refresh).await;
        assert!(claim.in_doubt, "doubt outlives a release that leaves none of its own");
        rig.release(&claim, None, false).await;
        assert_eq!(rig.record().await.back_off, Some(wait));
    }
    let stale = claim;
    let standing = rig.claim_briefly(at(1, 1), Kind::Refresh).await;
    let before = rig.record().await;
    let longer = BackOff { failures: 4, ..wait };
    rig.release(&stale, Some(longer), true).await;
    assert_eq!(rig.record().await, before, "a stale release does nothing");
    rig.lapse().await;
    rig.release(&standing, None, false).await;
    assert_eq!(rig.record().await.claim, None, "a lease that is over ends no claim");
}

pub(super) async fn only_a_standing_claim_marks_dead(rig: Rig) {
    rig.replace("hand").await;
    let first = rig.claim_briefly(at(1, 1), Kind::Refresh).await;
    rig.lapse().await;
    let second = rig.claim(at(1, 1), Kind::Refresh).await;
    let before = rig.record().await;
    assert_eq!(
        rig.mark_dead(&first).await,
        MarkedDead::Moved(Some(Box::new(before.clone())))
    );
    assert_eq!(rig.record().await, before, "a stale mark does nothing");
    let MarkedDead::Dead(record) = rig.mark_dead(&second).await else {
        panic!("it stood");
    };
    assert_eq!(*record, rig.record().await);
    assert_eq!((record.position, record.state), (at(1, 1), State::Dead));
    assert_eq!((&record.claim, &record.tokens), (&None, &tokens("hand")));
    assert_eq!(
        rig.ask(at(1, 1), Kind::Refresh).await,
        Claimed::Moved(record),
        "a dead refresh token isn't spent"
    );
    let sign_in = rig.claim(at(1, 1), Kind::SignIn).await;
    assert!(!sign_in.in_doubt, "the refusal was a definite answer");
    assert_eq!(saved(rig.commit(&sign_in, "anew").await).state, State::Live);
    assert!(matches!(rig.mark_dead(&second).await, MarkedDead::Moved(Some(_))));
    rig.here.lose(&rig.key).await.unwrap();
    assert_eq!(rig.mark_dead(&second).await, MarkedDead::Moved(None));
}
