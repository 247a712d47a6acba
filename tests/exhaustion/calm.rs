//! From any state, with no more faults: a usable token is reached without a person, unless the residue forbids it.

use bearerd::credential::lifecycle::{Event, Offer};

use crate::{
    act::{Act, Fault, Meanwhile},
    laws::{Broken, NO_PERSON_NEEDED},
    search::Hashes,
    setup::{Budget, at},
    words,
    world::World,
};

/// So many rounds without a token are for ever.
const ROUNDS: u32 = 2_000;

/// The states from which it is known to come right.
#[derive(Default)]
pub(crate) struct Calm(Hashes);

/// What was done, for a history that is told.
type Told<'a> = Option<&'a mut Vec<String>>;

/// How a round ended.
enum Round {
    Busy,
    /// Everybody has a token, or may need a person.
    Done,
}

impl Calm {
    pub(crate) fn states(&self) -> usize {
        self.0.len()
    }

    /// Runs all processes in turn until each has a token; then lets all tokens expire and runs them once more, so
    /// that an old token that still works hides nothing.
    pub(crate) fn reaches_a_token(&mut self, world: &World, mut told: Told<'_>) -> Result<(), Broken> {
        let mut world = world.clone();
        world.left = Budget::default();
        // What never arrives harms nobody; what does is a fault.
        world.late.clear();
        world.calm_since = Some(world.now);
        let mut path = Vec::new();
        for phase in 1..=2 {
            if phase == 2 {
                let expired = world.all_expired();
                tell(&mut told, &world, "every access token expires");
                world.jump(expired)?;
            }
            let mut rounds = 0;
            loop {
                let hash = world.canonical(phase);
                if self.0.contains(&hash) {
                    self.0.extend(path);
                    return Ok(());
                }
                path.push(hash);
                if let Round::Done = round(&mut world, &mut told)? {
                    break;
                }
                rounds += 1;
                if rounds > ROUNDS {
                    return no_token(&world, "it goes on for ever");
                }
            }
        }
        self.0.extend(path);
        Ok(())
    }
}

fn tell(told: &mut Told<'_>, world: &World, deed: &str) {
    if let Some(told) = told {
        told.push(words::moment(world, deed));
    }
}

fn round(world: &mut World, told: &mut Told<'_>) -> Result<Round, Broken> {
    let mut busy = false;
    for process in 0..world.processes.len() {
        let mut acts = Vec::new();
        if world.processes[process].login.is_some() {
            acts.push(Act::Save(process, Fault::None));
        }
        acts.push(Act::Mail(process));
        for act in acts {
            if act != Act::Mail(process) || world.processes[process].mail.is_some() {
                tell(told, world, &words::act(world, act));
                world.act(act)?;
            }
        }
        world.tell(process, Event::Wanted)?;
        if world.step(process).is_io() {
            busy = true;
            let act = Act::Step(process, Fault::None, Meanwhile::Nothing);
            tell(told, world, &words::act(world, act));
            world.act(act)?;
        }
    }
    if busy {
        return Ok(Round::Busy);
    }
    let all = 0..world.processes.len();
    let has_token = |process: usize| matches!(world.offer(process), Offer::Token(_));
    if all.clone().all(has_token) {
        return Ok(Round::Done);
    }
    let at_rest = |process: usize| has_token(process) || (world.needs_login(process) && !world.has_news(process));
    if all.clone().all(at_rest) {
        return match is_excused(world) {
            true => Ok(Round::Done),
            false => no_token(world, "a person is needed").map(|()| Round::Done),
        };
    }
    match world.deadlines().first() {
        Some(next) => {
            tell(told, world, &words::act(world, Act::Jump(*next)));
            world.jump(*next).map(|()| Round::Busy)
        }
        None => no_token(world, "nothing is left to wait for").map(|()| Round::Done),
    }
}

/// Whether the session ended by the residue, with no sign-in grant to start another.
fn is_excused(world: &World) -> bool {
    let family = world.stored_family().map(|family| &world.server.families[family]);
    !world.setup.can_sign_in && family.is_some_and(|family| family.dead && family.residue)
}

fn no_token(world: &World, how: &str) -> Result<(), Broken> {
    let seconds = (world.now - world.calm_since.unwrap_or(world.now)) / 1000;
    let steps: Vec<String> = (0..world.processes.len())
        .map(|process| format!("{:?}", world.processes[process].lifecycle.offer(at(world.now))))
        .collect();
    Err(Broken {
        law: NO_PERSON_NEEDED,
        how: format!(
            "{how}, {seconds} s after all faults ended: {}; {}",
            words::state(world),
            steps.join(", ")
        ),
    })
}
