//! A live endpoint whose peer turns hostile in the middle of an honest conversation.
//!
//! For every mutant: no panic, no hang; a frame that is refused has allocated at most twice its
//! bytes, any other a stated multiple; what is held keeps its limits, and is gone with the link; the
//! endpoint still syncs with an honest peer afterwards, and its documents can be saved and opened. Checksums are no
//! shelter: payloads are also wrapped into parts with the right hash, and snapshots are given the right digest.
//!
//! `CRDT_HOSTILE_FRAMES` sets the number of random mutants (default 250,000), `CRDT_LAW_SEED` the
//! seed; a failure prints it with the frame. Allocation is counted by this test binary's allocator.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crdt_core::codec::Encode;
use crdt_core::limits::REPLICAS_MAX;
use crdt_core::{Document, Kind, Snapshot, Transaction};
use crdt_sync::{CloseReason, Config, DocumentId, Endpoint, Footprint, Input, LinkFootprint, LinkId, Now, Output};
use crdt_tests::{Choices, WALL_MS, forge, law, mutate, replica};
use xxhash_rust::xxh3::xxh3_64;

/// Random mutants unless `CRDT_HOSTILE_FRAMES` says otherwise.
const CASES: usize = 250_000;
/// What an endpoint may allocate for a frame that it refuses, per byte of it.
const REFUSED_GROWTH_MAX: u64 = 2;
/// What comes on top of that: the outputs that end the link.
const CLOSING_BYTES_MAX: u64 = 2 << 10;
/// What it may allocate for any other, per byte of it: a snapshot's share (see `hostile_bytes.rs`),
/// twice, for the document and for what is waiting to be durable.
const TAKEN_GROWTH_MAX: u64 = 256;
/// What comes on top of that: answers, which may be whole documents, timers, a session.
const TAKEN_BYTES_MAX: u64 = 64 << 10;
/// More outputs than any honest frame of these conversations asks for.
const OUTPUTS_MAX: usize = 1_000;
/// Every how-manieth victim is also put to the test of an honest peer.
const MET_EVERY: usize = 4;

const NOW: Now = Now { monotonic_ms: 1_000, wall_ms: WALL_MS };
const HOSTILE: LinkId = LinkId(1);
const HONEST: LinkId = LinkId(2);

const DELTA: u8 = 3;
const SNAPSHOT: u8 = 4;
const BEGIN: u8 = 5;
const PART: u8 = 6;

fn id(name: &str) -> DocumentId {
    DocumentId::new(name).expect("a short name")
}

fn config() -> Config {
    let mut config = Config::default();
    config.chunk_bytes_max = 1_024;
    config.log_bytes_max = 600;
    config
}

fn write(endpoint: &mut Endpoint, name: &str, act: impl FnOnce(&mut Transaction<'_>)) {
    let edit = |transaction: &mut Transaction<'_>| {
        act(transaction);
        Ok::<(), ()>(())
    };
    endpoint.transact(NOW, &id(name), edit).expect("within all limits");
}

/// The victim before the conversation: two documents, one of which the peer has a version of too.
fn victim() -> Endpoint {
    let mut endpoint = Endpoint::new(replica(1), 1, config());
    write(&mut endpoint, "both", |t| t.counter("c").add(5).expect("small"));
    write(&mut endpoint, "mine", |t| t.set("s").insert("x").expect("small"));
    let _ = carry_out(&mut endpoint);
    endpoint
}

/// The peer: a document below whose log's floor the victim stands, and two small ones.
fn peer() -> Endpoint {
    let mut endpoint = Endpoint::new(replica(2), 2, config());
    for number in 0..60_i64 {
        write(&mut endpoint, "both", |t| {
            t.set("s").insert(format!("an element of some length, number {number}")).expect("small")
        });
        write(&mut endpoint, "both", |t| t.map("m").register("r").set(number).expect("small"));
    }
    write(&mut endpoint, "tiny", |t| {
        for number in 0..100_i64 {
            t.set("s").insert(number).expect("small");
            t.map(&number.to_string()).create().expect("small");
        }
    });
    write(&mut endpoint, "theirs", |t| t.map("m").counter("c").add(1).expect("small"));
    write(&mut endpoint, "theirs", |t| {
        let _ = t.root().remove(Kind::Map, "m").expect("small");
    });
    let _ = carry_out(&mut endpoint);
    endpoint
}

/// What an endpoint did while it was driven to rest.
#[derive(Default)]
struct Done {
    sent: Vec<Vec<u8>>,
    closed: Option<CloseReason>,
}

/// Does what an endpoint asks for, the store being instant.
fn carry_out(endpoint: &mut Endpoint) -> Done {
    let mut done = Done::default();
    for _ in 0..OUTPUTS_MAX {
        match endpoint.poll_output() {
            Some(Output::Persist { ticket, .. }) => endpoint.handle(NOW, Input::Persisted { ticket }),
            Some(Output::Transmit { bytes, .. }) => done.sent.push(bytes),
            Some(Output::Close { reason, .. }) => done.closed = Some(reason),
            Some(Output::Load { .. } | Output::Rested { .. }) => panic!("two documents fit in memory"),
            Some(Output::Renew | Output::Disputed { .. } | Output::Settled { .. }) => {}
            Some(Output::Event(_)) => {}
            None => return done,
        }
    }
    panic!("an endpoint that does not come to rest");
}

/// Lets two endpoints talk until both are silent; returns what the second one sent.
fn converse(one: &mut Endpoint, two: &mut Endpoint, link: LinkId) -> Vec<Vec<u8>> {
    one.handle(NOW, Input::LinkUp { link, nonce: 11 });
    two.handle(NOW, Input::LinkUp { link, nonce: 22 });
    let mut heard = Vec::new();
    for _ in 0..OUTPUTS_MAX {
        let (from_one, from_two) = (carry_out(one).sent, carry_out(two).sent);
        if from_one.is_empty() && from_two.is_empty() {
            return heard;
        }
        from_one.iter().for_each(|bytes| two.handle(NOW, Input::Received { link, bytes }));
        from_two.iter().for_each(|bytes| one.handle(NOW, Input::Received { link, bytes }));
        heard.extend(from_two);
    }
    panic!("two endpoints that never fall silent");
}

/// The frames of an honest peer, in order: catching up, then a few live writes.
fn honest_frames() -> Vec<Vec<u8>> {
    let (mut victim, mut peer) = (victim(), peer());
    let mut frames = converse(&mut victim, &mut peer, HOSTILE);
    assert_eq!(victim.document(&id("both")), peer.document(&id("both")), "the conversation is an honest one");
    for number in 0..3_i64 {
        write(&mut peer, "theirs", |t| t.register("r").set(number).expect("small"));
        for bytes in carry_out(&mut peer).sent {
            victim.handle(NOW, Input::Received { link: HOSTILE, bytes: &bytes });
            frames.push(bytes);
        }
        for bytes in carry_out(&mut victim).sent {
            peer.handle(NOW, Input::Received { link: HOSTILE, bytes: &bytes });
        }
    }
    assert!(frames.iter().any(|frame| frame[0] == BEGIN), "long payloads take part");
    assert!(frames.iter().any(|frame| frame[0] == DELTA));
    frames
}

/// Puts the parts of long payloads together: frames as they were before they were cut.
fn whole_payloads(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    for frame in frames {
        match frame[0] {
            BEGIN => {
                let length = frame[1..].iter().position(|byte| *byte < 0x80).expect("a varint ends") + 2;
                payloads.push(frame[length + 8..].to_vec());
            }
            PART => payloads.last_mut().expect("a part follows its beginning").extend(&frame[1..]),
            DELTA | SNAPSHOT => payloads.push(frame.clone()),
            _ => {}
        }
    }
    payloads
}

/// Wraps a payload into a beginning and a part, with the right length and hash.
fn wrapped(payload: &[u8]) -> Vec<Vec<u8>> {
    let (first, rest) = payload.split_at(payload.len() / 2);
    let mut begin = vec![BEGIN];
    begin.put_varint(payload.len() as u64);
    begin.put_u64(xxh3_64(payload));
    begin.put_bytes(first);
    let mut part = vec![PART];
    part.put_bytes(rest);
    vec![begin, part]
}

/// What the hostile peer says: honest frames up to a moment, then these.
struct Attack {
    honest: usize,
    hostile: Vec<Vec<u8>>,
}

fn attack(frames: &[Vec<u8>], payloads: &[Vec<u8>], choices: &mut Choices) -> Attack {
    let honest = choices.below(frames.len());
    let donors: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
    let hostile = match choices.below(3) {
        0 => {
            let mut payload = payloads[choices.below(payloads.len())].clone();
            let body = mutate::wound(&payload[2..], &donors, choices);
            payload.splice(2.., body);
            if payload[0] == SNAPSHOT {
                let mut body = payload.split_off(2);
                forge::reseal(&mut body);
                payload.extend(body);
            }
            wrapped(&payload)
        }
        1 => vec![mutate::wound(donors[choices.below(donors.len())], &donors, choices)],
        _ => vec![mutate::wound(&frames[honest], &donors, choices)],
    };
    Attack { honest, hostile }
}

/// How many frames were refused and how many were not, and the worst of either, in bytes beyond
/// what they pay for.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    refused_beyond: u64,
    taken: usize,
    taken_beyond: u64,
}

/// Feeds the attack to a fresh victim; returns it, however it ended.
fn suffer(frames: &[Vec<u8>], attack: &Attack, tally: &mut Tally) -> Endpoint {
    let mut victim = victim();
    victim.handle(NOW, Input::LinkUp { link: HOSTILE, nonce: 11 });
    let mut message_bytes = 0;
    for bytes in &frames[..attack.honest] {
        message_bytes = paid(message_bytes, bytes);
        victim.handle(NOW, Input::Received { link: HOSTILE, bytes });
        let _ = carry_out(&mut victim);
    }
    for bytes in &attack.hostile {
        message_bytes = paid(message_bytes, bytes);
        let mut done = Done::default();
        let receiving = allocation_counter::measure(|| victim.handle(NOW, Input::Received { link: HOSTILE, bytes }));
        let resting = allocation_counter::measure(|| done = carry_out(&mut victim));
        match done.closed {
            Some(CloseReason::Malformed(_) | CloseReason::HashMismatch | CloseReason::TooLarge { .. }) => {
                tally.refused += 1;
                let beyond = receiving.bytes_max.saturating_sub(REFUSED_GROWTH_MAX * message_bytes);
                tally.refused_beyond = tally.refused_beyond.max(beyond);
                assert!(beyond <= CLOSING_BYTES_MAX, "{receiving:?} for {message_bytes} bytes that were refused");
            }
            _ => {
                tally.taken += 1;
                let allocated = receiving.bytes_max + resting.bytes_max;
                let beyond = allocated.saturating_sub(TAKEN_GROWTH_MAX * message_bytes);
                tally.taken_beyond = tally.taken_beyond.max(beyond);
                assert!(beyond <= TAKEN_BYTES_MAX, "{allocated} bytes allocated for {message_bytes}");
            }
        }
        assert_bounded(&victim);
    }
    victim.handle(NOW, Input::LinkDown { link: HOSTILE });
    let _ = carry_out(&mut victim);
    let held = victim.footprint();
    assert_eq!((held.links, held.timers, held.all_links), (0, 0, LinkFootprint::default()));
    victim
}

/// Asserts that an endpoint at rest holds no more than its settings allow.
fn assert_bounded(victim: &Endpoint) {
    let (config, held) = (config(), victim.footprint());
    let Footprint { documents, all_links, .. } = held;
    assert_eq!((held.outputs, held.writes, held.links_queued, all_links.refusals_queued), (0, 0, 0, 0), "{held:?}");
    assert!(documents <= config.documents_max && held.timers <= held.links, "{held:?}");
    assert!(held.all_documents.log_bytes <= config.log_bytes_max * documents, "{held:?}");
    assert!(all_links.version_entries <= 3 * REPLICAS_MAX * documents, "{held:?}");
    assert!(all_links.numbered <= 2 * REPLICAS_MAX * held.links, "{held:?}");
    assert!(all_links.ends <= 2 * documents, "{held:?}");
    assert!(all_links.incoming_bytes < config.message_bytes_max, "{held:?}");
    assert_eq!((held.loads, held.waiting_bytes, all_links.withheld_bytes), (0, 0, 0), "{held:?}");
    let LinkFootprint { handles, held_snapshots, data_queued, parts_queued, digests_due, .. } = all_links;
    for count in [handles, held_snapshots, data_queued, parts_queued, digests_due] {
        assert!(count <= documents, "{held:?}");
    }
}

/// Returns how many bytes pay for a frame: its own, and of a part also those that it continues.
fn paid(message_bytes: u64, frame: &[u8]) -> u64 {
    let own = frame.len() as u64;
    if frame.first() == Some(&PART) { message_bytes + own } else { own }
}

/// Lets the victim meet somebody honest who has never heard of the hostile peer.
fn still_works(mut victim: Endpoint) {
    for (_, document) in victim.documents() {
        let bytes = document.snapshot().encode();
        let saved = Snapshot::decode(&bytes).expect("a document can be saved and opened, whatever it took in");
        assert_eq!(Document::from_snapshot(replica(1), saved), *document);
    }
    write(&mut victim, "mine", |t| t.set("s").insert("after").expect("small"));
    // An id that no mutant hits upon: whoever forges writes of an honest replica conflicts with it.
    let mut honest = Endpoint::new(replica(0x5eed_0123_4567_89ab_cdef), 3, config());
    write(&mut honest, "mine", |t| t.set("s").insert("honest").expect("small"));
    let _ = converse(&mut victim, &mut honest, HONEST);
    for (name, document) in victim.documents() {
        assert_eq!(Some(document), honest.document(name), "{name:?}");
    }
}

#[test]
fn an_endpoint_survives_whatever_a_peer_says_and_goes_on_with_others() {
    let seed = law::seed();
    let mut choices = Choices::new(seed);
    let frames = honest_frames();
    let payloads = whole_payloads(&frames);
    let cases = law::from_env("CRDT_HOSTILE_FRAMES").unwrap_or(CASES);
    let mut tally = Tally::default();
    for case in 0..cases {
        let attack = attack(&frames, &payloads, &mut choices);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let victim = suffer(&frames, &attack, &mut tally);
            if case % MET_EVERY == 0 {
                still_works(victim);
            }
        }));
        if let Err(panic) = outcome {
            eprintln!("CRDT_LAW_SEED={seed}, case {case}, after {} honest frames:", attack.honest);
            attack.hostile.iter().for_each(|frame| eprintln!("{}", hex(frame)));
            std::panic::resume_unwind(panic);
        }
    }
    println!("{tally:?}");
    assert!(tally.refused > cases / 10 && tally.taken > cases / 10, "both kinds are tested");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
