//! Laws 10 and 11: old tokens work while they work, and one bad credential breaks one credential.

use std::time::Duration;

use bearerd::demo::{Misbehaviour, Times};

use crate::{
    lifetimes::call_each_but,
    stage::{Bearerd, PATIENT, Stage, eventually},
};

const LIFETIME: Duration = Duration::from_secs(2 * 3600);
/// A renewal of such a token is due twelve minutes ahead of its expiry, or up to a fifth of that earlier.
const DUE: Duration = Duration::from_secs(2 * 3600 - 12 * 60);
const STEP: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Down,
    Answers(Misbehaviour),
}

const TROUBLES: [Trouble; 9] = [
    Trouble::Down,
    Trouble::Answers(Misbehaviour::Hang),
    Trouble::Answers(Misbehaviour::LostBefore),
    Trouble::Answers(Misbehaviour::Html),
    Trouble::Answers(Misbehaviour::Status500),
    Trouble::Answers(Misbehaviour::Status503RetryAfter),
    Trouble::Answers(Misbehaviour::RateLimited429),
    Trouble::Answers(Misbehaviour::InvalidClient),
    Trouble::Answers(Misbehaviour::Redirect),
];

impl Trouble {
    fn begin(self, stage: &Stage) {
        match self {
            Self::Down => stage.apis.fluent().unreachable(true),
            Self::Answers(misbehaviour) => stage.apis.fluent().misbehave(misbehaviour, Times::Always),
        }
    }

    fn end(stage: &Stage) {
        stage.apis.fluent().unreachable(false);
        stage.apis.fluent().behave();
    }
}

async fn long_lived() -> Stage {
    Stage::with(|options| options.token_lifetime = LIFETIME).await
}

/// One step of the clock and one call, which must succeed with what is held.
async fn works(stage: &Stage, bearerd: &Bearerd, trouble: Trouble) {
    stage.clock.advance(STEP);
    let answer = bearerd.hasty().await;
    assert_eq!(answer.word(), "200", "{trouble:?}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn law_10_ten_minutes_of_trouble_at_the_token_endpoint_fail_no_request_and_pass_by_themselves() {
    for trouble in TROUBLES {
        let stage = long_lived().await;
        let bearerd = stage.start(&stage.signing_in(", spend_deadline: 1s")).await;
        assert_eq!(bearerd.get(PATIENT).await.word(), "200");
        let obtained = bearerd.status().obtained;
        stage.clock.advance(DUE);
        trouble.begin(&stage);
        let minutes = 10;
        for _ in 0..minutes * 60 / STEP.as_secs() {
            works(&stage, &bearerd, trouble).await;
        }
        assert_eq!(bearerd.status().obtained, obtained, "{trouble:?}: it was trouble");
        eventually("it was tried", || bearerd.status().last_error.is_some()).await;
        let tried = stage.fluent_counts().token_requests();
        assert!(tried <= 40, "{trouble:?}: {tried} token requests");

        Trouble::end(&stage);
        // Back-offs are of a minute at the most here, but for five minutes after a refusal of the client.
        stage.clock.advance(Duration::from_secs(59));
        for _ in 0..11 {
            works(&stage, &bearerd, trouble).await;
            eventually("the try has ended", || bearerd.status().state != "renewing").await;
        }
        let renewed = bearerd.get(PATIENT).await;
        assert_eq!(renewed.word(), "200");
        stage.clock.advance(Duration::from_secs(300));
        assert_eq!(
            bearerd.get(PATIENT).await.word(),
            "200",
            "{trouble:?}: past the old expiry"
        );
        bearerd.until("renewed", |status| status.obtained > obtained).await;
        let counts = stage.fluent_counts();
        assert_eq!((counts.unauthorised, counts.reuses), (0, 0), "{trouble:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_10_a_token_is_never_used_after_it_has_expired() {
    let stage = long_lived().await;
    let bearerd = stage.start(&stage.signing_in("")).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.apis.fluent().misbehave(Misbehaviour::Status500, Times::Always);
    stage.clock.advance(LIFETIME - Duration::from_millis(1));
    assert_eq!(bearerd.hasty().await.word(), "200");
    stage.clock.advance(Duration::from_millis(1));
    assert_eq!(bearerd.hasty().await.word(), "503 token_unavailable");
    assert_eq!(stage.fluent_counts().unauthorised, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_11_a_hanging_token_endpoint_slows_no_other_credential() {
    let stage = Stage::new().await;
    let bearerd = stage.start(&stage.every_preset()).await;
    call_each_but(&bearerd, "at first", "none").await;
    stage.expire();
    stage.apis.fluent().misbehave(Misbehaviour::Hang, Times::Always);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let client = bearerd.client.clone();
            tokio::spawn(async move { client.get(PATIENT).await })
        })
        .collect();
    eventually("its refresh hangs", || stage.fluent_counts().spends == 1).await;
    for _ in 0..3 {
        call_each_but(&bearerd, "beside a hanging one", "/fluent").await;
        stage.expire();
    }
    assert!(callers.iter().all(|caller| !caller.is_finished()), "they still wait");
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}
