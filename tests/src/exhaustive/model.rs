//! The model that the checker explores: states, what can happen in them, what must hold in each.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stateright::{Model, Property};

use super::replicas::{
    BROKEN_LINK, CRASH_LOSS, CUT_LOSS, DUPLICATE_IDENTITY, DUPLICATE_LINK, Facts, Fault, Marks, PARTS, Replicas,
    SNAPSHOT, StateId,
};
use super::scenario::Scenario;
use super::settle::{Settled, Way};
use super::world::{Action, Turn, World};

/// A scenario, and what has been learnt about it.
#[derive(Debug)]
pub(super) struct Replication {
    pub(super) scenario: Arc<Scenario>,
    first: World,
    replicas: Mutex<Replicas>,
    settled: Mutex<Settled>,
    /// The properties that were found broken, by bit: only the first discovery is kept, which is
    /// on a shortest way.
    broken: AtomicU32,
}

/// What must hold in every state, by name.
pub(super) const CONVERGES: &str = "once faults stop, all replicas come to hold the same, durably";

impl Replication {
    pub(super) fn new(scenario: Scenario) -> Self {
        let scenario = Arc::new(scenario);
        let (replicas, states) = Replicas::new(&scenario);
        Self {
            first: World::new(&scenario, states),
            scenario,
            replicas: Mutex::new(replicas),
            settled: Mutex::default(),
            broken: AtomicU32::new(0),
        }
    }

    pub(super) fn replicas(&self) -> MutexGuard<'_, Replicas> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settled(&self) -> MutexGuard<'_, Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a way through the states, and how the world settles from its end.
    pub(super) fn tell(&self, actions: &[Action]) -> Vec<String> {
        let (mut replicas, mut story) = (self.replicas(), Vec::new());
        let mut world = self.first.clone();
        for action in actions {
            story.push(format!("{action:?}"));
            let mut turn = Turn { scenario: &self.scenario, replicas: &mut replicas, world, story: Some(&mut story) };
            turn.act(*action);
            world = turn.world;
        }
        drop(replicas);
        let way = self.failing_end(&world).unwrap_or(Way::Told);
        story.push(format!("-- faults stop; followed: {way:?}"));
        let mut replicas = self.replicas();
        let mut turn = Turn { scenario: &self.scenario, replicas: &mut replicas, world, story: Some(&mut story) };
        let ends_well = self.settled().ends_well(&mut turn, way);
        let fault = turn.world.fault;
        story.push(format!("-- ends well: {ends_well}, fault: {fault:?}"));
        story
    }

    fn states(&self, world: &World) -> Vec<StateId> {
        world.replicas[..self.scenario.writes.len()].to_vec()
    }

    /// Passes `holds` on, but lets only the first breach of a property be seen.
    fn once(&self, property: u32, holds: bool) -> bool {
        holds || self.broken.fetch_or(1 << property, Ordering::Relaxed) & (1 << property) != 0
    }

    fn has_no(&self, world: &World, fault: Fault) -> bool {
        self.once(fault as u32, world.fault != Some(fault))
    }

    fn each_two(&self, world: &World, property: u32, holds: impl Fn(&Facts, &Facts) -> bool) -> bool {
        let (states, replicas) = (self.states(world), self.replicas());
        let mut pairs =
            states.iter().enumerate().flat_map(|(at, one)| states[at + 1..].iter().map(move |two| (*one, *two)));
        self.once(property, pairs.all(|(one, two)| holds(replicas.facts(one), replicas.facts(two))))
    }

    /// Nobody holds more of a replica's writes than its own store does.
    fn shown_is_durable(&self, world: &World) -> bool {
        let (states, replicas) = (self.states(world), self.replicas());
        let holds = states.iter().enumerate().all(|(writer, state)| {
            let durable = replicas.facts(*state).stored[writer];
            let others = states.iter().enumerate().filter(|(other, _)| *other != writer);
            others.into_iter().all(|(_, other)| replicas.facts(*other).version[writer] <= durable)
        });
        self.once(16, holds)
    }

    fn ends_well(&self, world: &World) -> bool {
        if world.fault.is_some() {
            return true;
        }
        self.once(17, self.failing_end(world).is_none())
    }

    /// Returns in which way a world does not end well.
    fn failing_end(&self, world: &World) -> Option<Way> {
        [Way::Told, Way::Untold, Way::Rest].into_iter().find(|way| {
            let mut turn =
                Turn { scenario: &self.scenario, replicas: &mut self.replicas(), world: world.clone(), story: None };
            (*way == Way::Told || Settled::is_sample(world)) && !self.settled().ends_well(&mut turn, *way)
        })
    }

    fn is_concurrent(&self, world: &World) -> bool {
        let (states, replicas) = (self.states(world), self.replicas());
        let lacks = |one: &StateId, two: &StateId| {
            let (one, two) = (replicas.facts(*one).version, replicas.facts(*two).version);
            one.iter().zip(two).any(|(one, two)| *one < two)
        };
        states.iter().any(|one| states.iter().any(|two| lacks(one, two) && lacks(two, one)))
    }
}

fn marked(world: &World, mark: Marks) -> bool {
    world.marks & mark != 0
}

impl Model for Replication {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.first.clone()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.fault.is_none() {
            world.actions(&self.scenario, &self.replicas(), actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut turn =
            Turn { scenario: &self.scenario, replicas: &mut self.replicas(), world: world.clone(), story: None };
        turn.act(action);
        Some(turn.world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("honest replicas are not blamed, and none is found divergent", |model: &Self, world| {
                model.has_no(world, Fault::Blame)
            }),
            Property::always("no version goes back, but to the durable one in a crash", |model: &Self, world| {
                model.has_no(world, Fault::Regress)
            }),
            Property::always("a history has one content, and so has a dot", |model: &Self, world| {
                model.has_no(world, Fault::Content)
            }),
            Property::always("messages of a link that has ended do nothing", |model: &Self, world| {
                model.has_no(world, Fault::Late)
            }),
            Property::always("in sync with a peer means that it holds everything durably", |model: &Self, world| {
                model.has_no(world, Fault::InSync)
            }),
            Property::always("a dot is the same everywhere", |model: &Self, world| {
                model.each_two(world, 18, |one, two| {
                    one.dots.iter().all(|dot| {
                        two.dots.iter().all(|other| (dot.0, dot.1) != (other.0, other.1) || dot.2 == other.2)
                    })
                })
            }),
            Property::always("equal versions have equal content", |model: &Self, world| {
                model.each_two(world, 19, |one, two| one.version != two.version || one.content == two.content)
            }),
            Property::always("what others hold is durable where it was written", Self::shown_is_durable),
            Property::always(
                "while nothing fails, replicas that were linked stay so",
                |model: &Self, world: &World| model.once(20, world.keeps_links(&model.scenario)),
            ),
            Property::always(CONVERGES, Self::ends_well),
            Property::sometimes("concurrent writes", Self::is_concurrent),
            Property::sometimes("link cut with messages on it", |_, world| marked(world, CUT_LOSS)),
            Property::sometimes("writes lost in a crash", |_, world| marked(world, CRASH_LOSS)),
            Property::sometimes("snapshot sent", |_, world| marked(world, SNAPSHOT)),
            Property::sometimes("message in parts", |_, world| marked(world, PARTS)),
            Property::sometimes("duplicate link closed", |_, world| marked(world, DUPLICATE_LINK)),
            Property::sometimes("restarted replica refused", |_, world| marked(world, DUPLICATE_IDENTITY)),
            Property::sometimes("message lost or repeated", |_, world| marked(world, BROKEN_LINK)),
        ]
    }
}
