//! Bytes that no honest peer sends.

/// A small generator of reproducible numbers (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

use crate::network::{ACK, DELTA, HELLO, Network, REJECT, SNAPSHOT, id, replica};
use crdt_core::limits::REPLICAS_MAX;
use crdt_sync::{CloseReason, Config, Endpoint, Event, Input, LinkId, Now, Output, Refusal};

fn linked() -> (Network, usize) {
    let mut network = Network::new(2);
    let wire = network.connect(0, 1);
    network.open(0, "d");
    network.run();
    (network, wire)
}

/// Returns why node 0 closes the link when it receives these bytes.
fn closes_on(bytes: &[u8]) -> Option<CloseReason> {
    let (mut network, wire) = linked();
    network.inject(wire, 0, bytes);
    network.nodes[0].closes.first().map(|(_, reason)| *reason)
}

#[test]
fn frames_out_of_place_are_violations() {
    let (network, _) = linked();
    let second_hello = network.sent.iter().find(|sent| sent.kind() == HELLO).unwrap().bytes.clone();
    let violations: [&[u8]; 7] = [
        &second_hello,
        &[0x03, 99, 0], // A delta of a handle that was never offered.
        &[0x03, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // A number of a replica that was never given.
        &[0x06, 1, 2, 3], // A part of nothing.
        &[0x08, 200, 1], // Credit for what was never sent.
        &[0x0a, 99, 2], // A rejection of what was never offered.
        &[0x05, 2, 0x75, 0x6f, 0, 0, 0, 0, 0, 0, 0x0b, 0x0b], // In parts, but with another hash or kind.
    ];
    for bytes in violations {
        assert!(closes_on(bytes).is_some(), "{bytes:x?}");
    }
}

#[test]
fn bytes_that_are_no_frame_close_the_link() {
    let malformed: [&[u8]; 5] = [&[], &[0x00], &[0x7f, 1], &[0x0b, 0], &[0x07, 0, 0, 0xff, 0xff, 0x03]];
    for bytes in malformed {
        assert!(matches!(closes_on(bytes), Some(CloseReason::Malformed(_))), "{bytes:x?}");
    }
}

#[test]
fn unknown_kinds_that_may_be_skipped_are() {
    let (mut network, wire) = linked();
    network.inject(wire, 0, &[0x80]);
    network.inject(wire, 0, &[0xff, 1, 2, 3]);
    assert_eq!(network.nodes[0].closes, []);
}

#[test]
fn a_frame_of_the_limit_is_read_and_one_byte_more_is_refused() {
    let limit = Config::default().frame_bytes_max;
    let mut bytes = vec![0x80; limit];
    assert_eq!(closes_on(&bytes), None);
    bytes.push(0);
    assert_eq!(closes_on(&bytes), Some(CloseReason::TooLarge { bytes: limit as u64 + 1 }));
}

/// Returns the second of two deltas of which node 0 has got none, with and without the chain hash before it.
fn without_predecessor() -> (Network, usize, [Vec<u8>; 2]) {
    let (mut network, wire) = linked();
    network.pause(wire, 0);
    network.insert(1, "d", "first");
    network.run();
    let (_, _, chain) = network.nodes[1].endpoint.document(&id("d")).unwrap().frontier().iter().next().unwrap();
    network.insert(1, "d", "second");
    network.run();
    let last = network.sent.iter().rfind(|sent| sent.kind() == DELTA).unwrap().bytes.clone();
    // One name, which is that of the sender; odd means that the hash is left out.
    let (head, rest) = last.split_at(4);
    assert_eq!(head, [DELTA, 0, 1 << 3 | 1, 1]);
    let whole = [&[DELTA, 0, 1 << 3, 1], &chain.to_le_bytes()[..], rest].concat();
    (network, wire, [whole, last])
}

#[test]
fn a_delta_that_does_not_follow_the_last_although_it_says_so_closes_the_link() {
    let (mut network, wire, [_, short]) = without_predecessor();
    network.inject(wire, 0, &short);
    let violation = CloseReason::ProtocolViolation("a delta that does not follow");
    assert_eq!(network.nodes[0].closes[0].1, violation);
    assert!(network.elements(0, "d").is_empty(), "nothing has changed");
}

#[test]
fn a_delta_before_its_predecessor_closes_the_link() {
    let (mut network, wire, [whole, _]) = without_predecessor();
    network.inject(wire, 0, &whole);
    assert_eq!(network.nodes[0].closes[0].1, CloseReason::Gap);
    assert!(network.elements(0, "d").is_empty(), "nothing has changed");
    network.wires.clear();
    network.connect(1, 0);
    network.run();
    assert_eq!(network.nodes[0].closes.len(), 1);
}

#[test]
fn an_announced_length_is_checked_before_anything_is_kept() {
    let mut bytes = vec![0x05];
    let limit = Config::default().message_bytes_max as u64 + 1;
    let mut rest = limit;
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes.extend([0; 8]);
    assert_eq!(closes_on(&bytes), Some(CloseReason::TooLarge { bytes: limit }));
}

/// An acknowledgement of the counter 1 of each of these replicas, of the document of handle 0.
fn ack(replicas: std::ops::Range<usize>) -> Vec<u8> {
    let count = u16::try_from(replicas.len()).unwrap();
    assert!((128..16_384).contains(&count), "a count of two bytes");
    let mut bytes = vec![ACK, 0, 0, (count & 0x7f) as u8 | 0x80, (count >> 7) as u8];
    for number in replicas {
        bytes.extend(replica(1_000 + number as u128).to_bytes());
        bytes.push(1);
    }
    bytes
}

#[test]
fn claims_of_as_many_replicas_as_there_can_be_are_kept_and_one_more_ends_the_document() {
    let (mut network, wire) = linked();
    network.inject(wire, 0, &ack(0..8_192));
    network.inject(wire, 0, &ack(8_192..REPLICAS_MAX));
    network.inject(wire, 0, &ack(0..8_192));
    network.nodes[0].events.clear();
    let mark = network.sent.len();
    network.inject(wire, 0, &ack(REPLICAS_MAX - 200..REPLICAS_MAX));
    assert_eq!((network.nodes[0].events.len(), network.count_since(mark, REJECT)), (0, 0));

    // The last of them is new.
    network.inject(wire, 0, &ack(REPLICAS_MAX - 199..REPLICAS_MAX + 1));
    let reason = Refusal::TooManyReplicas;
    let refused = Event::Refused { link: network.link(wire, 0), document: id("d"), reason };
    assert_eq!(network.nodes[0].events, [refused]);
    assert_eq!(network.count_since(mark, REJECT), 1);

    // It is said once, the link stays, and other documents go on.
    network.inject(wire, 0, &ack(0..8_192));
    network.insert(0, "other", "x");
    network.run();
    assert_eq!(network.nodes[0].events.iter().filter(|event| matches!(event, Event::Refused { .. })).count(), 1);
    assert_eq!(network.elements(1, "other"), ["x"]);
    assert_eq!(network.nodes[0].closes, []);
}

/// Genuine frames of every kind, as one side has received them.
fn genuine_frames() -> Vec<Vec<u8>> {
    let mut config = Config::default();
    config.log_bytes_max = 2_000;
    config.chunk_bytes_max = 1_024;
    let mut network = Network::with_config(2, || config.clone());
    for number in 0..100 {
        network.insert(1, "d", &number.to_string());
    }
    network.write(1, "d", |tx| tx.map("m").counter("n").add(7).unwrap());
    network.write(1, "small", |tx| tx.register("r").set("x").unwrap());
    network.connect(1, 0);
    network.run();
    for number in 0..20 {
        network.insert(number % 2, "d", &format!("later {number}"));
        network.write(1, "small", |tx| tx.register("r").set(number as i64).unwrap());
        network.write(1, "small", |tx| {
            tx.set("s").remove("x").unwrap();
        });
        network.run();
    }
    network.pass(60_000);
    let towards_0 = network.sent.into_iter().filter(|sent| sent.to == 0);
    let mut frames: Vec<Vec<u8>> = towards_0.map(|sent| sent.bytes).collect();
    frames.push(vec![0x0a, 0, 2]);
    assert!(frames.iter().any(|frame| frame[0] == SNAPSHOT) || frames.iter().any(|frame| frame[0] == 0x05));
    frames
}

fn mutate(frame: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(frame.len().max(1));
        match random.below(5) {
            _ if frame.is_empty() => frame.push(random.next() as u8),
            0 => frame.truncate(at),
            1 => frame.insert(at, random.next() as u8),
            2 => frame[at] = random.next() as u8,
            3 => frame[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            _ => frame[at] ^= 1 << random.below(8),
        }
    }
}

#[test]
fn a_hundred_thousand_mutated_frames_neither_panic_nor_fill_the_memory() {
    let frames = genuine_frames();
    let hello = frames.iter().find(|frame| frame[0] == HELLO).unwrap().clone();
    let mut random = Random::new(20_261_123);
    let mut config = Config::default();
    config.documents_max = 50;
    config.message_bytes_max = 1 << 20;
    let mut endpoint = Endpoint::new(replica(1), 1, config);
    let mut now = Now { monotonic_ms: 0, wall_ms: 1_700_000_000_000 };
    let (mut link, mut open, mut in_a_row) = (0, false, 0);
    let mut sent_bytes = 0_usize;
    for _ in 0..100_000 {
        now.monotonic_ms += 7;
        if !open || in_a_row > 200 {
            endpoint.handle(now, Input::LinkDown { link: LinkId(link) });
            link += 1;
            endpoint.handle(now, Input::LinkUp { link: LinkId(link), nonce: link });
            if random.below(10) > 0 {
                endpoint.handle(now, Input::Received { link: LinkId(link), bytes: &hello });
            }
            (open, in_a_row) = (true, 0);
        }
        in_a_row += 1;
        let mut frame = frames[random.below(frames.len())].clone();
        if random.below(3) > 0 {
            mutate(&mut frame, &mut random);
        }
        endpoint.handle(now, Input::Received { link: LinkId(link), bytes: &frame });
        if endpoint.poll_timeout().is_some_and(|due| due <= now.monotonic_ms) {
            endpoint.handle(now, Input::Timeout);
        }
        while let Some(output) = endpoint.poll_output() {
            match output {
                Output::Persist { ticket, .. } => endpoint.handle(now, Input::Persisted { ticket }),
                Output::Close { .. } => open = false,
                Output::Transmit { bytes, .. } => sent_bytes += bytes.len(),
                Output::Load { .. } | Output::Rested { .. } => panic!("few documents are open"),
                // Whoever is asked to take another id need not: peers go on refusing it.
                Output::Event(_) | Output::Renew | Output::Disputed { .. } | Output::Settled { .. } => {}
            }
        }
    }
    assert!(link > 100, "most mutations must have been noticed");
    assert!(endpoint.documents().count() <= 50);
    assert!(sent_bytes < 500 << 20);
    let wrote = endpoint.transact(now, &id("d"), |tx| tx.set("s").insert("still alive"));
    assert!(wrote.is_ok());
}
