//! Breadth first, so that what is found is the shortest history.

use std::{
    collections::{HashMap, HashSet},
    fmt::{self, Write as _},
    hash::{BuildHasherDefault, Hasher},
    io::Write as _,
    time::Duration,
};

use bearerd::clock::Clock;

use crate::{
    act::Act,
    calm::Calm,
    laws::Broken,
    setup::{Budget, Setup},
    words,
    world::World,
};

/// Hashes are their own hash.
#[derive(Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

pub(crate) type Hashes = HashSet<u128, BuildHasherDefault<AsIs>>;

#[derive(Debug)]
pub(crate) struct Explored {
    pub states: usize,
    pub transitions: usize,
    pub depth: usize,
    pub generation: u64,
    pub chain: u64,
    pub recovered: usize,
    pub took: Duration,
}

/// A history that breaks a law.
pub(crate) struct Counterexample {
    pub broken: Broken,
    text: String,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct Search {
    setup: Setup,
    /// Where each state came from, in the order in which they were found.
    came: Vec<(u32, Act)>,
    /// What was left of the budget in each state that was met: more than once where neither covers the other.
    seen: HashMap<u128, Vec<Budget>, BuildHasherDefault<AsIs>>,
    calm: Calm,
}

/// Follows every history of this setup.
pub(crate) fn explore(setup: &Setup) -> Result<Explored, Box<Counterexample>> {
    let clock = Clock::system();
    let begun = clock.monotonic();
    let world = World::new(setup.clone());
    let mut search = Search {
        setup: setup.clone(),
        came: vec![(0, Act::Revoke)],
        seen: HashMap::default(),
        calm: Calm::default(),
    };
    search.is_new(&world);
    let mut frontier = vec![(0_u32, world)];
    let (mut transitions, mut depth) = (0, 0);
    let (mut generation, mut chain) = (0, 0);
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for (index, world) in frontier {
            if setup.recovers
                && let Err(broken) = search.calm.reaches_a_token(&world, None)
            {
                return Err(search.counterexample(index, None, broken));
            }
            if let Some(record) = &world.store.record {
                generation = generation.max(record.position.generation);
                chain = chain.max(record.position.chain);
            }
            if world.server.tokens.len() >= setup.issues {
                continue;
            }
            for act in world.acts() {
                transitions += 1;
                let mut after = world.clone();
                if let Err(broken) = after.act(act) {
                    return Err(search.counterexample(index, Some(act), broken));
                }
                if search.is_new(&after) {
                    search.came.push((index, act));
                    next.push((search.came.len() as u32 - 1, after));
                }
            }
        }
        frontier = next;
        depth += usize::from(!frontier.is_empty());
    }
    let explored = Explored {
        states: search.seen.len(),
        transitions,
        depth,
        generation,
        chain,
        recovered: search.calm.states(),
        took: clock.monotonic() - begun,
    };
    explored.print(setup);
    Ok(explored)
}

impl Search {
    /// Whether this state was not met with as much left.
    fn is_new(&mut self, world: &World) -> bool {
        let met = self.seen.entry(world.canonical(0)).or_default();
        let is_new = !met.iter().any(|left| left.covers(&world.left));
        if is_new {
            met.retain(|left| !world.left.covers(left));
            met.push(world.left);
        }
        is_new
    }

    /// Lives through the history again, and tells it.
    fn counterexample(&self, mut index: u32, last: Option<Act>, broken: Broken) -> Box<Counterexample> {
        let mut acts: Vec<Act> = last.into_iter().collect();
        while index > 0 {
            let (before, act) = self.came[index as usize];
            acts.push(act);
            index = before;
        }
        acts.reverse();
        let mut world = World::new(self.setup.clone());
        let mut text = format!(
            "{}, planted {:?}: {} is broken\n",
            self.setup.name, self.setup.planted, broken.law
        );
        for act in &acts {
            let _ = writeln!(text, "{}", words::moment(&world, &words::act(&world, *act)));
            let _ = world.act(*act);
        }
        if last.is_none() {
            let mut told = vec![words::moment(&world, "from here on nothing goes wrong")];
            let _ = Calm::default().reaches_a_token(&world, Some(&mut told));
            text.extend(told.into_iter().map(|line| line + "\n"));
        }
        let _ = writeln!(text, "{}", words::moment(&world, "at last"));
        let _ = writeln!(text, "     {}: {}", broken.law, broken.how);
        Box::new(Counterexample { broken, text })
    }
}

impl Explored {
    fn print(&self, setup: &Setup) {
        say(&format!(
            "{}: {} states, {} transitions, {} deep, chain {}, generation {}, {} states on the way back, {:.1} s; bounds: {} processes, {} tokens, {:?}",
            setup.name,
            self.states,
            self.transitions,
            self.depth,
            self.chain,
            self.generation,
            self.recovered,
            self.took.as_secs_f64(),
            setup.processes,
            setup.issues,
            setup.left,
        ));
    }
}

/// Past the test harness, which keeps what passing tests print to itself.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
