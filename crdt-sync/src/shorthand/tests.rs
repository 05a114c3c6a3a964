//! What one end means is what the other hears; and how few bytes it takes.

use crdt_core::codec::Encode;
use crdt_core::{ApplyError, DecodeError, Delta, Document, Dot, ReplicaId, Transaction};

use super::*;
use crate::frame::Frame;

const A: ReplicaId = ReplicaId::from_u128(1);
const B: ReplicaId = ReplicaId::from_u128(2);
const C: ReplicaId = ReplicaId::from_u128(3);

fn write(document: &mut Document, act: impl FnOnce(&mut Transaction<'_>)) -> Delta {
    let mut transaction = document.transact(1_700_000_000_000);
    act(&mut transaction);
    transaction.commit().unwrap().delta
}

/// A write of each of these replicas to one register, each over the one before.
fn writes(replicas: &[ReplicaId]) -> Vec<Delta> {
    let mut documents: Vec<Document> = replicas.iter().map(|replica| Document::new(*replica)).collect();
    let mut deltas = Vec::new();
    for at in 0..documents.len() {
        let delta = write(&mut documents[at], |tx| tx.register("r").set(at as i64).unwrap());
        for document in documents.iter_mut().filter(|document| document.replica() != replicas[at]) {
            document.apply(&delta).unwrap();
        }
        deltas.push(delta);
    }
    deltas
}

fn greeted(sender: ReplicaId) -> Heard {
    let mut heard = Heard::default();
    heard.greeted(sender);
    heard
}

/// Hears what the bytes of a frame say.
fn hear(heard: &mut Heard, bytes: &[u8]) -> Result<Delta, CloseReason> {
    match Frame::decode(bytes).map_err(CloseReason::Malformed)? {
        Frame::Delta { handle, delta } => heard.delta(handle, &delta),
        other => panic!("not a delta: {other:?}"),
    }
}

/// Says a delta; returns the bytes of its frame.
fn say(spoken: &mut Spoken, delta: &Delta) -> Vec<u8> {
    say_of(spoken, 0, delta)
}

fn say_of(spoken: &mut Spoken, handle: u32, delta: &Delta) -> Vec<u8> {
    let (bytes, news) = spoken.delta(handle, delta, &delta.to_bytes(), usize::MAX);
    spoken.said(handle, news);
    bytes
}

/// Makes the frame of a delta that goes in parts.
fn in_parts(spoken: &Spoken, delta: &Delta) -> (Vec<u8>, News) {
    spoken.delta(0, delta, &delta.to_bytes(), 0)
}

/// A number stands in for an id of sixteen bytes.
#[test]
fn a_replica_is_named_in_full_once_on_a_link() {
    let deltas = writes(&[A, B, C]);
    let (mut spoken, mut heard) = (Spoken::new(A), greeted(A));
    let mut lengths = Vec::new();
    for delta in deltas.iter().chain(&deltas) {
        let bytes = say(&mut spoken, delta);
        assert_eq!(hear(&mut heard, &bytes).as_ref(), Ok(delta));
        lengths.push(bytes.len());
    }
    assert_eq!(lengths[0], lengths[3], "the hello has named its sender");
    assert_eq!(lengths[1], lengths[4] + 16);
    assert_eq!((spoken.numbered(), heard.numbered()), (3, 3));

    let (mut relays, mut heard) = (Spoken::new(ReplicaId::from_u128(9)), greeted(ReplicaId::from_u128(9)));
    assert_eq!(hear(&mut heard, &say(&mut relays, &deltas[2])).as_ref(), Ok(&deltas[2]), "two at once");
    assert_eq!((relays.numbered(), heard.numbered()), (3, 3));
}

#[test]
fn the_bytes_are_those_of_the_book() {
    let deltas = writes(&[A, B]);
    let encoded = deltas[1].to_bytes();
    let Ok(Apart { lead: DeltaLead::Single { chain_after: 0, salt: None }, rest, .. }) = Apart::read(&encoded) else {
        panic!("a first transaction")
    };
    // Two names, and no hash before a first transaction: the sender of the hello, and number 1 from now on.
    let mut expected = vec![0x03, 5, 2 << 3 | 1, 1, 4];
    expected.extend(B.to_bytes());
    expected.extend(rest);
    let mut spoken = Spoken::new(A);
    assert_eq!(say_of(&mut spoken, 5, &deltas[1]), expected);
    let mut expected = vec![0x03, 5, 2 << 3 | 1, 1, 3];
    expected.extend(rest);
    assert_eq!(say_of(&mut spoken, 5, &deltas[1]), expected);
}

#[test]
fn deltas_of_every_form_come_back() {
    let mut document = Document::new(B);
    let mut salted = document.transact(0).salted(7.try_into().unwrap());
    salted.set("s").insert("x").unwrap();
    let salted = salted.commit().unwrap().delta;
    let single = write(&mut document, |tx| tx.set("s").insert("y").unwrap());
    let mut several = single.clone();
    several.coalesce(&write(&mut document, |tx| tx.set("s").insert("z").unwrap())).unwrap();
    let (mut spoken, mut heard) = (Spoken::new(A), greeted(A));
    for delta in [salted, single, several] {
        let bytes = say(&mut spoken, &delta);
        assert_eq!(hear(&mut heard, &bytes), Ok(delta.clone()));
        for len in 0..bytes.len() {
            assert!(hear(&mut heard, &bytes[..len]).is_err(), "cut to {len}");
        }
        let mut longer = bytes.clone();
        longer.push(0x80);
        assert!(hear(&mut heard, &longer).is_err());
        let (in_parts, _) = in_parts(&spoken, &delta);
        assert_eq!(hear(&mut heard, &in_parts), Ok(delta));
    }
}

/// Frames that overtake a message in parts would use numbers that its receiver has not heard yet.
#[test]
fn what_goes_in_parts_gives_no_numbers() {
    let deltas = writes(&[A, B]);
    let (mut spoken, mut heard) = (Spoken::new(A), greeted(A));
    let (bytes, news) = in_parts(&spoken, &deltas[1]);
    spoken.said(0, news);
    assert_eq!(hear(&mut heard, &bytes).as_ref(), Ok(&deltas[1]));
    assert_eq!((spoken.numbered(), spoken.ends(), heard.numbered()), (1, 0, 1));
}

/// Eight bytes less, and the same delta.
#[test]
fn a_transaction_that_follows_the_last_of_its_document_says_no_chain_hash() {
    let mut document = Document::new(A);
    let deltas: Vec<Delta> = (0..4).map(|_| write(&mut document, |tx| tx.counter("c").add(1).unwrap())).collect();
    let another = writes(&[B]).remove(0);
    let mut both = another.clone();
    both.coalesce(&deltas[0]).unwrap();
    let mut merged = deltas[1].clone();
    merged.coalesce(&deltas[2]).unwrap();
    let says_it = |before: &[(u32, &Delta)], delta: &Delta| {
        let (mut spoken, mut heard) = (Spoken::new(A), greeted(A));
        let mut frame_of = |handle, delta: &Delta| {
            let frame = say_of(&mut spoken, handle, delta);
            assert_eq!(hear(&mut heard, &frame).as_ref(), Ok(delta));
            frame
        };
        before.iter().for_each(|(handle, delta)| drop(frame_of(*handle, delta)));
        let frame = frame_of(0, delta);
        let says_it = frame[2] % 8 == 0;
        assert_eq!(frame.len() + if says_it { 0 } else { 8 }, say(&mut Spoken::new(A), delta).len());
        says_it
    };
    assert!(!says_it(&[(0, &deltas[0])], &deltas[1]));
    assert!(!says_it(&[(0, &merged)], &deltas[3]));
    assert!(!says_it(&[(0, &deltas[0]), (1, &another)], &deltas[1]), "another document");
    assert!(says_it(&[], &deltas[1]), "sent on another link, or known by an offer");
    assert!(says_it(&[(0, &deltas[0])], &deltas[2]));
    assert!(says_it(&[(0, &deltas[0]), (0, &another)], &deltas[1]), "the last was another's");
    assert!(says_it(&[(0, &both)], &deltas[1]), "the last was of two");
}

/// Else an id that was used twice would not be noticed.
#[test]
fn a_chain_hash_that_was_left_out_is_that_of_the_sender_whatever_the_receiver_holds() {
    let mut document = Document::new(A);
    let deltas: Vec<Delta> = (0..2).map(|at| write(&mut document, |tx| tx.register("r").set(at).unwrap())).collect();
    let mut other_life = Document::new(C);
    other_life.apply(&write(&mut Document::new(A), |tx| tx.register("r").set("another").unwrap())).unwrap();

    let (mut spoken, mut heard) = (Spoken::new(A), greeted(A));
    let frames: Vec<Vec<u8>> = deltas.iter().map(|delta| say(&mut spoken, delta)).collect();
    assert_eq!(frames[1][2] % 8, 1, "left out");
    for frame in frames {
        let delta = hear(&mut heard, &frame).unwrap();
        let conflict = ApplyError::IdentityConflict { dot: Dot::new(A, 1) };
        assert_eq!(other_life.apply(&delta), Err(conflict));
    }
}

#[test]
fn a_transaction_that_does_not_follow_is_a_violation() {
    let mut document = Document::new(A);
    let deltas: Vec<Delta> = (0..3).map(|_| write(&mut document, |tx| tx.counter("c").add(1).unwrap())).collect();
    let mut spoken = Spoken::new(A);
    let frames: Vec<Vec<u8>> = deltas.iter().map(|delta| say(&mut spoken, delta)).collect();
    let violation = Err(CloseReason::ProtocolViolation("a delta that does not follow"));
    let mut lost = greeted(A);
    assert_eq!(hear(&mut lost, &frames[0]).as_ref(), Ok(&deltas[0]));
    assert_eq!(hear(&mut lost, &frames[2]), violation);
    let mut doubled = greeted(A);
    for frame in &frames[..2] {
        assert!(hear(&mut doubled, frame).is_ok());
    }
    assert_eq!(hear(&mut doubled, &frames[1]), violation);
    let mut of_another_document = greeted(A);
    assert!(hear(&mut of_another_document, &frames[0]).is_ok());
    let mut elsewhere = frames[1].clone();
    elsewhere[1] = 7;
    assert_eq!(hear(&mut of_another_document, &elsewhere), violation);
    let mut of_another_replica = greeted(B);
    assert!(hear(&mut of_another_replica, &say(&mut Spoken::new(B), &writes(&[B])[0])).is_ok());
    assert!(hear(&mut of_another_replica, &named(&given(1, A))).is_ok());
    assert_eq!(hear(&mut of_another_replica, &frames[1]), violation, "the last was of A");
    assert_eq!((lost.ends(), doubled.ends(), of_another_document.ends()), (1, 1, 1));
}

/// As on no sound link.
#[test]
fn whatever_is_lost_or_doubled_no_number_stands_for_another_replica() {
    let deltas = writes(&[A, B, C]);
    let mut spoken = Spoken::new(A);
    let frames: Vec<Vec<u8>> = deltas.iter().map(|delta| say(&mut spoken, delta)).collect();
    let mut doubled = greeted(A);
    for (frame, delta) in frames.iter().zip(&deltas) {
        assert_eq!(hear(&mut doubled, frame).as_ref(), Ok(delta));
        assert_eq!(hear(&mut doubled, frame).as_ref(), Ok(delta));
    }
    let mut lost = greeted(A);
    let never_given = CloseReason::ProtocolViolation("a number of a replica that was never given");
    assert_eq!(hear(&mut lost, &frames[2]), Err(never_given));
    assert_eq!(lost.numbered(), 1);
}

/// The frame of a first transaction of C, with these bytes for its one name.
fn named(name: &[u8]) -> Vec<u8> {
    let encoded = writes(&[C])[0].to_bytes();
    let mut bytes = vec![0x03, 0, 1 << 3];
    bytes.extend(name);
    bytes.extend([0; 8]);
    bytes.extend(Apart::read(&encoded).unwrap().rest);
    bytes
}

fn given(number: usize, replica: ReplicaId) -> Vec<u8> {
    let mut name = Vec::new();
    name.put_varint(2 * number as u64 + 2);
    name.put_replica(replica);
    name
}

#[test]
fn numbers_are_given_in_turn_and_stay_with_their_replica() {
    let mut heard = greeted(A);
    assert!(hear(&mut heard, &named(&[1])).is_ok(), "the sender itself");
    let never_given = Err(CloseReason::ProtocolViolation("a number of a replica that was never given"));
    assert_eq!(hear(&mut heard, &named(&[3])), never_given);
    let out_of_turn = Err(CloseReason::ProtocolViolation("a number of a replica that is not the next"));
    assert_eq!(hear(&mut heard, &named(&given(2, C))), out_of_turn);
    assert_eq!(hear(&mut heard, &named(&given(0, C))), out_of_turn, "the sender's own");
    assert_eq!(heard.numbered(), 1);
    assert!(hear(&mut heard, &named(&given(1, C))).is_ok());
    assert!(hear(&mut heard, &named(&given(1, C))).is_ok(), "again for the same");
    assert_eq!(hear(&mut heard, &named(&given(1, B))), out_of_turn);
    assert_eq!(hear(&mut greeted(A), &named(&[1])), hear(&mut greeted(A), &named(&given(0, A))));
    let nobody = Err(CloseReason::ProtocolViolation("a number of a replica that was never given"));
    assert_eq!(hear(&mut Heard::default(), &named(&[1])), nobody, "before the hello");
}

#[test]
fn as_many_replicas_as_a_document_can_have_get_numbers_and_no_more() {
    let id = |number: usize| ReplicaId::from_u128(1_000 + number as u128);
    let (mut spoken, mut heard) = (Spoken::new(id(0)), greeted(id(0)));
    for number in 1..REPLICAS_MAX + 2 {
        let delta = write(&mut Document::new(id(number)), |tx| tx.counter("c").add(1).unwrap());
        let bytes = say(&mut spoken, &delta);
        assert_eq!(hear(&mut heard, &bytes), Ok(delta));
        assert_eq!(
            (spoken.numbered(), heard.numbered()),
            ((number + 1).min(REPLICAS_MAX), (number + 1).min(REPLICAS_MAX))
        );
    }
    assert!(hear(&mut heard, &named(&given(REPLICAS_MAX - 1, id(REPLICAS_MAX - 1)))).is_ok());
    let limit = Err(CloseReason::Malformed(DecodeError::Limit("a name")));
    assert_eq!(hear(&mut heard, &named(&given(REPLICAS_MAX, id(REPLICAS_MAX)))), limit);
    assert_eq!(heard.numbered(), REPLICAS_MAX);
}

/// Else a frame of a few bytes for each name would make memory of sixteen.
#[test]
fn names_ascend_by_what_they_stand_for_and_have_a_limit() {
    let mut bytes = vec![0x03, 0, 2 << 3, 1, 1];
    bytes.extend([0; 40]);
    let not_canonical = Err(CloseReason::Malformed(DecodeError::NotCanonical("a replica table")));
    assert_eq!(hear(&mut greeted(A), &bytes), not_canonical);
    let mut bytes = vec![0x03, 0];
    bytes.put_varint((REPLICAS_MAX as u64 + 1) << 3);
    bytes.extend(vec![1; 3 * REPLICAS_MAX]);
    assert_eq!(hear(&mut greeted(A), &bytes), Err(CloseReason::Malformed(DecodeError::Limit("names"))));
    for form in [5, 6, 7] {
        let mut unknown = named(&[1]);
        unknown[2] |= form;
        let tag = form;
        let refused = DecodeError::Unknown { what: "form of a delta", tag };
        assert_eq!(hear(&mut greeted(A), &unknown), Err(CloseReason::Malformed(refused)));
    }
}

/// How long the frame of one small write is, of a replica that has made some hundred transactions and sends each. What
/// takes it up, for the set: kind and handle 2, form 1, name 1, index and counter 1 + 2, root map 1, key 3, set 1,
/// element 1 + 12, its dots 1. Fewer are welcome; more need a reason.
#[test]
fn a_write_of_one_entry_is_a_frame_of_some_thirty_bytes() {
    let frame_bytes = |write: &dyn Fn(&mut Transaction<'_>, usize)| {
        let mut document = Document::new(ReplicaId::from_u128(u128::MAX / 3));
        let (mut spoken, mut bytes) = (Spoken::new(document.replica()), 0);
        for number in 0..300 {
            let mut tx = document.transact(1_700_000_000_000);
            write(&mut tx, number);
            bytes = say(&mut spoken, &tx.commit().unwrap().delta).len();
        }
        bytes
    };
    let insert = frame_bytes(&|tx, number| tx.set("s").insert(format!("k{number:011}")).unwrap());
    assert!(insert <= 26, "an element of 12 bytes: {insert}");
    let again = frame_bytes(&|tx, _| tx.set("s").insert("k00000000001").unwrap());
    assert!(again <= 29, "an element of 12 bytes that was there: {again}");
    let add = frame_bytes(&|tx, _| tx.counter("c").add(1).unwrap());
    assert!(add <= 16, "a counter: {add}");
    let number = frame_bytes(&|tx, _| tx.register("r").set(7).unwrap());
    assert!(number <= 25, "a register of a small number: {number}");
    let text = frame_bytes(&|tx, _| tx.register("r").set("k00000000001").unwrap());
    assert!(text <= 36, "a register of 12 bytes: {text}");
    let put = frame_bytes(&|tx, number| tx.map("m").register(&format!("k{number:011}")).set(7).unwrap());
    assert!(put <= 37, "a small number under a key of 12 bytes in a map: {put}");
    let over = frame_bytes(&|tx, _| tx.map("m").register("k00000000001").set(7).unwrap());
    assert!(over <= 40, "the same over another: {over}");
}

/// The first transaction of a process in a document has a salt of 8 bytes, and no chain hash before it.
#[test]
fn the_first_write_to_a_document_is_a_frame_of_some_thirty_bytes() {
    let mut document = Document::new(A);
    let mut transaction = document.transact(1_700_000_000_000).salted(u64::MAX.try_into().unwrap());
    transaction.set("s").insert("k00000000001").unwrap();
    let bytes = say(&mut Spoken::new(A), &transaction.commit().unwrap().delta).len();
    assert!(bytes <= 33, "{bytes}");
}
