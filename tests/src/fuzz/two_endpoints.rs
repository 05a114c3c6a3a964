//! Two endpoints whose network, disks and clocks do what a script says.
//!
//! What may be claimed once forgeries are about? A forged delta that is taken is a write of whoever it
//! names: nobody can tell it from theirs, so nothing can be said about content. Two things remain. What is not
//! taken does no harm: as long as no document has changed for what may be a forgery, a fresh link leads both
//! to the same. And nothing differs in silence: where documents differ after a fresh link, one end has said so
//! ([`Event::IdentityConflict`], [`Event::Diverged`] or [`Event::Refused`]).
//!
//! Lost, doubled and overtaking messages are not forgeries, and must not even cause an event.

use std::collections::BTreeSet;

use crdt_core::{Document, Frontier, Transaction};
use crdt_sync::{DocumentId, Event};

use super::history::ACTS;
use super::input::{Input, put_piece};
use super::node::id;
use super::pair::Pair;
use super::seal::{IN_PARTS, SEALED, SNAPSHOT, frames};
use crate::choices::Choices;
use crate::mutate;
use crate::network::replica;
use crate::script::WALL_MS;

/// Steps that one input takes at most.
const STEPS_MAX: usize = 200;
/// What seeds draw from, besides numbers.
const SEEDS: u64 = 24;
/// Longer than the delay after which digests are compared, shorter than that of a ping.
const REST_MS: u64 = 3_000;

/// What the step codes mean. A code is taken modulo how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// act, document: a transaction.
    Write,
    /// The next message arrives, or the news that the link has ended.
    Deliver,
    /// Everything arrives.
    DeliverAll,
    /// seed: the next message arrives with random wounds.
    Wounded,
    /// flags, seed: the next message arrives wounded, with its checksums made right.
    WoundedSealed,
    /// position, byte: the next message arrives with that byte there.
    Edited,
    /// flags, piece: a message that nobody has sent.
    Forged,
    /// The next message is lost.
    Lost,
    /// The next message arrives twice.
    Doubled,
    /// The next message but one arrives first.
    Overtaken,
    /// One end hears that the link has ended.
    HangUp,
    /// One more link.
    Connect,
    /// amount: time passes; 0 to the next timer.
    Pass,
    /// The store becomes slow.
    Hold,
    /// One write becomes durable.
    PersistOne,
    /// All writes become durable, and the store is fast again.
    PersistAll,
    /// A crash.
    Restart,
    /// document: it is opened.
    Open,
}

const STEPS: [Step; 18] = [
    Step::Write,
    Step::Deliver,
    Step::DeliverAll,
    Step::Wounded,
    Step::WoundedSealed,
    Step::Edited,
    Step::Forged,
    Step::Lost,
    Step::Doubled,
    Step::Overtaken,
    Step::HangUp,
    Step::Connect,
    Step::Pass,
    Step::Hold,
    Step::PersistOne,
    Step::PersistAll,
    Step::Restart,
    Step::Open,
];

/// A story of two replicas, at most 200 steps long.
///
/// Script: steps, each with the end that it concerns (bit 0) and its number among links (bits 1 and 2) in one
/// byte, its code in the next, then what the code asks for.
///
/// At every step: endpoints come to rest, every frame can be read and is within the limit, timers move on,
/// what was stored opens. At the end all links are cut and a fresh one is laid. It is not closed; both fall
/// silent; stores hold what memory holds; all documents work. If no document has changed for what may be a
/// forgery, both hold the same and have nothing to say about it; otherwise each document is the same at
/// both ends or an event names it.
///
/// # Panics
/// If one of these does not hold.
pub fn two_endpoints(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut pair = Pair::new();
    pair.connect(0);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let place = input.u8();
        let code = STEPS[input.below(STEPS.len())];
        step(&mut pair, &mut input, code, place);
    }
    settle(&mut pair);
}

fn step(pair: &mut Pair, input: &mut Input<'_>, step: Step, place: u8) {
    let end = usize::from(place & 1);
    let wire = usize::from(place >> 1 & 3).checked_rem(pair.wires.len());
    match (step, wire) {
        (Step::Write, _) => {
            let act = ACTS[input.below(ACTS.len())];
            let document = document(input);
            // What is over a limit is not written.
            pair.write(end, &document, |t: &mut Transaction<'_>| drop(act(t)));
        }
        (Step::DeliverAll, _) => pair.run(),
        (Step::Connect, _) => pair.connect(end),
        (Step::Pass, _) => {
            let amount = u64::from(input.u8());
            let ms = if amount == 0 { pair.next_timer_ms() } else { amount * 250 };
            pair.pass(ms);
        }
        (Step::Hold, _) => pair.nodes[end].instant = false,
        (Step::PersistOne, _) => pair.persist_one(end),
        (Step::PersistAll, _) => pair.persist_all(),
        (Step::Restart, _) => pair.restart(end),
        (Step::Open, _) => {
            let document = document(input);
            pair.open(end, &document);
        }
        (_, Some(wire)) => on_wire(pair, input, step, (wire, end)),
        (_, None) => {}
    }
}

fn on_wire(pair: &mut Pair, input: &mut Input<'_>, step: Step, (wire, end): (usize, usize)) {
    let queue = &mut pair.wires[wire].towards[end];
    match step {
        Step::Deliver => drop(pair.deliver(wire, end)),
        Step::HangUp => pair.hang_up(wire, end),
        Step::Lost => drop(queue.pop_front()),
        Step::Doubled => {
            if let Some(next) = queue.front().cloned() {
                queue.push_front(next);
                pair.deliver(wire, end);
            }
        }
        Step::Overtaken => {
            if queue.len() > 1 {
                queue.swap(0, 1);
                pair.deliver(wire, end);
            }
        }
        Step::Forged => {
            let flags = input.u8();
            let piece = input.piece();
            forge(pair, (wire, end), flags, piece);
        }
        Step::Wounded | Step::WoundedSealed | Step::Edited => {
            let flags = if step == Step::WoundedSealed { input.u8() } else { 0 };
            let (seed, byte) = (input.u16(), if step == Step::Edited { input.u8() } else { 0 });
            let Some(next) = queue.pop_front() else { return };
            let bytes = match next.get(usize::from(seed)) {
                Some(_) if step == Step::Edited => edited(next, usize::from(seed), byte),
                _ => wounded(&next, queue.make_contiguous(), seed),
            };
            forge(pair, (wire, end), flags, &bytes);
        }
        _ => unreachable!("the others need no link"),
    }
}

fn edited(mut bytes: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    bytes[at] = byte;
    bytes
}

fn wounded(bytes: &[u8], behind: &[Vec<u8>], seed: u16) -> Vec<u8> {
    let donors: Vec<&[u8]> = behind.iter().map(|donor| &donor[..]).collect();
    mutate::wound(bytes, &donors, &mut Choices::new(u64::from(seed)))
}

fn forge(pair: &mut Pair, (wire, end): (usize, usize), flags: u8, bytes: &[u8]) {
    let standing = pair.nodes[end].endpoint.document(&id("a")).map_or_else(Frontier::default, |it| it.frontier());
    let link = pair.wires[wire].link(end);
    for frame in frames(flags, bytes, &standing) {
        // The first of two may have closed the link.
        if let Some(wire) = pair.wires.iter().position(|wire| wire.link(end) == link) {
            pair.forge(wire, end, &frame);
        }
    }
}

fn document(input: &mut Input<'_>) -> DocumentId {
    id(["a", "b"][input.below(2)])
}

/// Heals the network and demands what can be demanded.
fn settle(pair: &mut Pair) {
    pair.hang_up_all();
    pair.persist_all();
    pair.nodes.iter().for_each(|node| node.check_store());
    for node in &mut pair.nodes {
        node.events.clear();
    }
    pair.closes.clear();
    pair.connect(0);
    for _ in 0..2 {
        pair.run();
        pair.pass(REST_MS);
    }
    pair.run();
    assert_eq!(pair.closes, [], "two honest endpoints have no reason to part");
    pair.nodes.iter().for_each(|node| node.check_store());
    let told = told(pair);
    assert!(pair.tainted || told.is_empty(), "nothing was forged, but: {told:?}");
    let names: BTreeSet<DocumentId> =
        pair.nodes.iter().flat_map(|node| node.endpoint.documents()).map(|(name, _)| name.clone()).collect();
    for name in names.difference(&told) {
        let [one, two] = &pair.nodes;
        assert_eq!(one.endpoint.document(name), two.endpoint.document(name), "{name:?} differs in silence");
    }
    // Where both hold the same, one of them will do.
    let differ = usize::from(!told.is_empty());
    pair.nodes[..=differ].iter().for_each(|node| node.check_documents());
}

/// The documents of which an end says that they do not sync, or not well.
fn told(pair: &Pair) -> BTreeSet<DocumentId> {
    let documents = pair.nodes.iter().flat_map(|node| &node.events).filter_map(|event| match event {
        Event::Diverged { document, .. }
        | Event::IdentityConflict { document, .. }
        | Event::Refused { document, .. } => Some(document.clone()),
        _ => None,
    });
    documents.collect()
}

/// Random stories, a third without forgeries, a third with few, a third with many; then one of each step.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..SEEDS).map(story).collect();
    for code in 0..STEPS.len() as u8 {
        let mut script = vec![0, 0, 3, 0, 1, 0, 14, 0, 0, 2, 1, 0, 0, 0];
        script.extend_from_slice(&[1, code, 1, 2, 3, 0, 2]);
        seeds.push(script);
    }
    seeds.push(divergence());
    for flags in [0, SEALED, SEALED | IN_PARTS] {
        let mut script = vec![0, 0, 3, 0, 1, 0, 14, 0, 0, 2, 1, 6, flags];
        put_piece(&mut script, &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        seeds.push(script);
    }
    seeds
}

/// The first write of one end is lost; a snapshot that claims to hold it, and holds nothing, takes its place.
fn divergence() -> Vec<u8> {
    let mut writer = Document::new(replica(1));
    let mut transaction = writer.transact(WALL_MS);
    ACTS[0](&mut transaction).expect("within all limits");
    assert!(transaction.commit().is_some());
    let mut nothing = vec![SNAPSHOT, 0, 3];
    writer.frontier().encode(&mut nothing);
    nothing.extend_from_slice(&[0; 18]);
    let mut script = vec![0, code(Step::Open), 0, 0, code(Step::DeliverAll), 0, code(Step::Write), 0, 0];
    script.extend_from_slice(&[1, code(Step::Lost), 1, code(Step::Forged), SEALED]);
    put_piece(&mut script, &nothing);
    script
}

fn code(step: Step) -> u8 {
    STEPS.iter().position(|known| *known == step).expect("all are listed") as u8
}

fn story(seed: u64) -> Vec<u8> {
    const HONEST: [Step; 8] = [
        Step::Write,
        Step::Write,
        Step::Write,
        Step::Deliver,
        Step::Deliver,
        Step::DeliverAll,
        Step::PersistOne,
        Step::Pass,
    ];
    let mut choices = Choices::new(seed);
    let mut script = Vec::new();
    for _ in 0..choices.below(60) + 20 {
        let any = match seed % 3 {
            0 => 0,
            1 => 8,
            _ => 2,
        };
        let step = if any > 0 && choices.below(any) == 0 {
            STEPS[choices.below(STEPS.len())]
        } else {
            HONEST[choices.below(HONEST.len())]
        };
        script.extend_from_slice(&[choices.bits() as u8, code(step)]);
        let arguments = match step {
            Step::Write | Step::Wounded => 2,
            Step::WoundedSealed | Step::Edited => 3,
            Step::Pass | Step::Open => 1,
            _ => 0,
        };
        script.extend((0..arguments).map(|_| choices.bits() as u8));
        if step == Step::Forged {
            script.push(choices.bits() as u8);
            put_piece(&mut script, &[0x0a, 0, 2]);
        }
    }
    script
}
