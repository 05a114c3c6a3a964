//! Faults stop, and the world goes on until it is quiet: do all replicas hold the same then?
//!
//! What happens next is decided by the state alone, so worlds that meet go on together, and what
//! has been seen to end well need not be followed again.
//!
//! Is it enough to get there? Not by giving up links that are sound: where each end hears of broken
//! links at once and every message arrives before time goes on, no timer may end a link. From every
//! 16th state the world is followed in two more ways: once with ends that are never told of a broken
//! link, and once beyond the end, to see that what has come to rest stays so.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::Xxh3;

use super::replicas::{REPLICAS_MAX, Replicas, TIMED_OUT, bit};
use super::scenario::Scenario;
use super::world::{Action, End, Turn, World};

/// How long it may take. A silent link is noticed after 45 s.
const SETTLED_AFTER_MS: u32 = 120_000;

/// How many steps it may take: so that a timer that is always due ends the search.
const STEPS_MAX: usize = 5_000;

/// How long a pair waits before it dials again.
const REDIAL_AFTER_MS: u32 = 1_000;

/// Every so many states, one is followed in all ways.
const SAMPLE_EVERY: u64 = 16;

/// How long the world is watched once it has come to rest: longer than any wait for credit.
const REST_MS: u32 = 31_000;

/// How a world is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// Ends hear at once that their link has broken.
    Told,
    /// They never do: their timers must find out.
    Untold,
    /// They do, and the world is watched for a while after it has come to rest.
    Rest,
}

/// The worlds that are known to end well, as hashes of 64 bits.
#[derive(Debug, Default)]
pub(super) struct Settled {
    known: HashSet<u64>,
}

impl Settled {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Tells whether a world is one of those that are followed in all ways.
    pub(super) fn is_sample(world: &World) -> bool {
        key(world, Way::Untold).is_multiple_of(SAMPLE_EVERY)
    }

    /// Runs a world until all replicas hold the same; false if they never do. It may be told as a story.
    pub(super) fn ends_well(&mut self, turn: &mut Turn<'_>, way: Way) -> bool {
        let (left, allowed) = (turn.world.left, turn.scenario.allowance);
        if (left.losses, left.repeats) != (allowed.losses, allowed.repeats) {
            renew_links(turn);
        }
        let ends_ms = turn.world.now_ms + SETTLED_AFTER_MS;
        let mut trail = Vec::new();
        loop {
            let key = key(&turn.world, way);
            if turn.story.is_none() && self.known.contains(&key) {
                break;
            }
            trail.push(key);
            if turn.world.fault.is_some() || turn.world.now_ms > ends_ms || trail.len() > STEPS_MAX {
                return false;
            }
            let Some(action) = next(&turn.world, way, turn.scenario, turn.replicas) else {
                if way == Way::Rest && !stays(turn) {
                    return false;
                }
                break;
            };
            if let Some(story) = &mut turn.story {
                story.push(format!("{} ms: {action:?}", turn.world.now_ms));
            }
            turn.act(action);
            if way != Way::Untold && turn.world.marks & TIMED_OUT != 0 {
                return false;
            }
        }
        self.known.extend(trail);
        true
    }
}

fn key(world: &World, way: Way) -> u64 {
    let mut hash = Xxh3::new();
    way.hash(&mut hash);
    world.place().hash(&mut hash);
    hash.finish()
}

/// A link that may have lost or repeated something does not count as healed: each end hears of its end.
fn renew_links(turn: &mut Turn<'_>) {
    let up = |world: &World| {
        let links = (0..).zip(&world.links);
        let mut ends = links.flat_map(|(number, link)| [(number, 0, link.ends[0]), (number, 1, link.ends[1])]);
        ends.find_map(|(link, end, state)| matches!(state, End::Up(_)).then_some(Action::Hear { link, end }))
    };
    while let Some(hear) = up(&turn.world) {
        turn.act(hear);
    }
}

/// Watches a world that has come to rest: whatever is said, it must rest again, on the same links.
fn stays(turn: &mut Turn<'_>) -> bool {
    let ends_ms = turn.world.now_ms + REST_MS;
    while let Some(now_ms) = turn.world.next_timer_ms(turn.scenario, turn.replicas).filter(|now_ms| *now_ms <= ends_ms)
    {
        let mut action = Some(Action::Tick { now_ms });
        while let Some(next_action) = action {
            if let Some(story) = &mut turn.story {
                story.push(format!("{} ms, at rest: {next_action:?}", turn.world.now_ms));
            }
            turn.act(next_action);
            if turn.world.fault.is_some() || turn.world.marks & TIMED_OUT != 0 {
                return false;
            }
            action = next(&turn.world, Way::Rest, turn.scenario, turn.replicas);
            if matches!(action, Some(Action::Tick { .. } | Action::Dial { .. })) {
                return false;
            }
        }
    }
    true
}

/// Decides what happens next; `None` if all is well.
fn next(world: &World, way: Way, scenario: &Scenario, replicas: &Replicas) -> Option<Action> {
    for at in 0..scenario.writes.len() {
        let unsynced = replicas.facts(world.replicas[at]).unsynced;
        if unsynced > 0 {
            return Some(Action::Sync { at: at as u8, count: unsynced });
        }
    }
    for (number, link) in (0..).zip(&world.links) {
        for end in 0..2 {
            let (here, there) = (link.ends[end], link.ends[1 - end]);
            match here {
                End::Up(_) if !link.wires[end].is_empty() => {
                    return Some(Action::Deliver { link: number, to: end as u8 });
                }
                End::Up(_) if there == End::Closed || (there == End::Gone && way != Way::Untold) => {
                    return Some(Action::Hear { link: number, end: end as u8 });
                }
                End::Ringing if there.is_open() => return Some(Action::Accept { link: number }),
                _ => {}
            }
        }
    }
    if is_converged(world, scenario, replicas) {
        return None;
    }
    let idle = |pair: &u8| is_idle(world, scenario, scenario.dials[usize::from(*pair)]);
    let due_ms =
        |pair: u8| world.dialled_ms[usize::from(pair)].map_or(world.now_ms, |dialled_ms| dialled_ms + REDIAL_AFTER_MS);
    let idle_pairs = (0..scenario.dials.len() as u8).filter(idle);
    let redial = idle_pairs.map(|pair| (due_ms(pair), pair)).min();
    match redial {
        Some((due_ms, pair)) if due_ms <= world.now_ms => Some(Action::Dial { pair }),
        redial => {
            let timer_ms = world.next_timer_ms(scenario, replicas);
            Some(Action::Tick { now_ms: timer_ms.into_iter().chain(redial.map(|(due_ms, _)| due_ms)).min()? })
        }
    }
}

/// Tells whether a replica that dials another has no link to it.
fn is_idle(world: &World, scenario: &Scenario, (from, to): (usize, usize)) -> bool {
    !world.links.iter().any(|link| {
        let (dials, accepts) = scenario.dials[usize::from(link.pair)];
        let ours = if (dials, accepts) == (from, to) { Some(0) } else { ((dials, accepts) == (to, from)).then_some(1) };
        ours.is_some_and(|end| link.ends[end].is_open())
    })
}

/// Everybody holds the same, durably, and says so on a link between each two that are linked.
fn is_converged(world: &World, scenario: &Scenario, replicas: &Replicas) -> bool {
    let facts: [_; REPLICAS_MAX] = std::array::from_fn(|at| replicas.facts(world.replicas[at]));
    let same = facts[..scenario.writes.len()].iter().all(|other| {
        (other.version, other.stored, other.content) == (facts[0].version, facts[0].version, facts[0].content)
    });
    let in_sync = |at: usize, end: End| matches!(end, End::Up(number) if facts[at].in_sync & bit(number.into()) != 0);
    same && scenario.dials.iter().all(|(from, to)| {
        world.links.iter().any(|link| {
            let (dials, accepts) = scenario.dials[usize::from(link.pair)];
            let joins = (dials, accepts) == (*from, *to) || (accepts, dials) == (*from, *to);
            joins && in_sync(dials, link.ends[0]) && in_sync(accepts, link.ends[1])
        })
    })
}
