//! Every kind comes back from its bytes, and nothing else is taken for it.

use crdt_core::{DecodeError, Digest, Document, Dot, Frontier, ReplicaId};

use super::{Authorship, Frame, Hello, Offer, Rejection};
use crate::document_id::DocumentId;
use crate::event::Refusal;

const A: ReplicaId = ReplicaId::from_u128(1);
const B: ReplicaId = ReplicaId::from_u128(2);

fn written() -> Document {
    let mut document = Document::new(A);
    let mut tx = document.transact(1_700_000_000_000);
    tx.set("s").insert("x").unwrap();
    assert!(tx.commit().is_some());
    document
}

fn hello() -> Hello {
    Hello {
        replica: A,
        incarnation: u64::MAX,
        ordinal: 300,
        nonce: 7,
        frame_bytes_max: 262_144,
        in_flight_bytes_max: 1_048_576,
        message_bytes_max: 1 << 28,
        former: Vec::new(),
    }
}

fn name() -> DocumentId {
    DocumentId::new("carts/42").unwrap()
}

/// One frame of every kind, and its bytes; but for deltas, of which `shorthand` has the tests.
fn every_kind() -> Vec<(Frame<'static>, Vec<u8>)> {
    let document = written();
    let (snapshot, frontier) = (document.snapshot(), document.frontier());
    let offer = Offer { handle: 300, again: true, name: name(), frontier: frontier.clone() };
    let counters = vec![(A, 1), (B, 1 << 40)];
    let digest = Digest(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    let conflict = Rejection::IdentityConflict(Dot::new(B, 9));
    let authorship = Some(Authorship { opened: 4, spread: 5 });
    let mut all = vec![
        (Frame::Hello(hello()), super::hello(&hello())),
        (Frame::Offer(offer), super::offer(300, true, &name(), &frontier)),
        (Frame::Snapshot { handle: 0, snapshot: snapshot.clone() }, super::snapshot(0, &snapshot)),
        (Frame::Begin { length: 1 << 33, hash: 1, bytes: &[1, 2] }, super::begin(1 << 33, 1, &[1, 2])),
        (Frame::Part { bytes: &[3] }, super::part(&[3])),
        (Frame::Ack { handle: 1, credit: 500, counters: counters.clone() }, super::ack(1, 500, &counters)),
        (Frame::Credit { bytes: 128 }, super::credit(128)),
        (Frame::Digest { handle: 2, frontier: 3, digest }, super::digest(2, 3, digest)),
        (Frame::Reject { handle: 3, rejection: conflict }, super::reject(3, conflict)),
        (
            Frame::Trail { handle: 4, replica: B, authorship, marks: vec![(0, 0), (300, 7)] },
            super::trail(4, B, authorship, &[(0, 0), (300, 7)]),
        ),
        (Frame::Twin { replica: B, incarnation: 6 }, super::twin(B, 6)),
        (Frame::Ping, super::ping()),
        (Frame::Pong, super::pong()),
    ];
    for reason in [Refusal::TooManyDocuments, Refusal::TooManyReplicas, Refusal::TooLarge] {
        let rejection = Rejection::Refused(reason);
        all.push((Frame::Reject { handle: 3, rejection }, super::reject(3, rejection)));
    }
    all
}

#[test]
fn every_kind_comes_back_from_its_bytes() {
    for (frame, bytes) in every_kind() {
        assert_eq!(Frame::decode(&bytes), Ok(frame));
    }
}

#[test]
fn a_frame_cut_short_or_with_a_byte_too_many_is_no_frame() {
    for (frame, bytes) in every_kind() {
        let open_ended = matches!(frame, Frame::Begin { .. } | Frame::Part { .. });
        for len in 0..bytes.len() {
            let cut = Frame::decode(&bytes[..len]);
            assert!(cut.is_err() || open_ended, "{frame:?} cut to {len}");
        }
        let mut longer = bytes.clone();
        longer.push(0x80);
        assert!(Frame::decode(&longer).is_err() || open_ended, "{frame:?}");
    }
}

#[test]
fn the_bytes_are_those_of_the_table() {
    let mut expected = vec![0x01];
    expected.extend(b"crdt");
    expected.extend([1, 1]);
    expected.extend(A.to_bytes());
    expected.extend([0xff; 8]);
    expected.extend([0xac, 0x02]);
    expected.extend(7_u64.to_le_bytes());
    expected.extend([0x80, 0x80, 0x10, 0x80, 0x80, 0x40, 0x80, 0x80, 0x80, 0x80, 0x01]);
    assert_eq!(super::hello(&hello()), expected);
    let empty = super::offer(5, false, &DocumentId::new("d").unwrap(), &Frontier::default());
    assert_eq!(empty, [0x02, 5, 0, 1, b'd', 0]);
    assert_eq!(super::credit(300), [0x08, 0xac, 0x02]);
    assert_eq!(super::reject(1, Rejection::Refused(Refusal::TooLarge)), [0x0a, 1, 4]);
}

#[test]
fn fields_of_a_later_hello_are_skipped_and_kinds_without_the_bit_are_not() {
    let mut bytes = super::hello(&hello());
    bytes.extend([99, 2, 0, 0, 100, 0]);
    assert_eq!(Frame::decode(&bytes), Ok(Frame::Hello(hello())));
    assert_eq!(Frame::decode(&[0x8d, 1]), Ok(Frame::Skipped));
    let unknown = Err(DecodeError::Unknown { what: "frame kind", tag: 0x0f });
    assert_eq!(Frame::decode(&[0x0f, 1]), unknown);
}

#[test]
fn acknowledgements_ascend_and_a_counter_above_the_range_is_refused() {
    assert!(Frame::decode(&super::ack(0, 0, &[(B, 1), (A, 1)])).is_err());
    assert!(Frame::decode(&super::ack(0, 0, &[(A, 1), (A, 2)])).is_err());
    assert!(Frame::decode(&super::ack(0, 0, &[(A, 0)])).is_err());
    assert!(Frame::decode(&super::ack(0, 0, &[(A, crdt_core::COUNTER_MAX)])).is_ok());
    assert!(Frame::decode(&super::ack(0, 0, &[(A, crdt_core::COUNTER_MAX + 1)])).is_err());
}

#[test]
fn a_frame_limit_below_four_kibibytes_is_refused() {
    let mut small = hello();
    small.frame_bytes_max = 4_096;
    assert!(Frame::decode(&super::hello(&small)).is_ok());
    small.frame_bytes_max = 4_095;
    assert_eq!(Frame::decode(&super::hello(&small)), Err(DecodeError::Limit("frame_bytes_max")));
}

#[test]
fn former_ids_are_a_field_of_the_hello_with_a_limit() {
    let mut hello = hello();
    hello.former = vec![B, A];
    assert_eq!(Frame::decode(&super::hello(&hello)), Ok(Frame::Hello(hello.clone())));
    hello.former = (0..64).map(ReplicaId::from_u128).collect();
    assert_eq!(Frame::decode(&super::hello(&hello)), Ok(Frame::Hello(hello.clone())));
    hello.former.push(A);
    assert_eq!(Frame::decode(&super::hello(&hello)), Err(DecodeError::Limit("former ids")));
}

#[test]
fn a_trail_ascends_and_has_a_limit() {
    let marks: Vec<(u64, u64)> = (0..256).map(|counter| (counter, 7)).collect();
    let bytes = super::trail(1, B, None, &marks);
    assert!(bytes.len() <= super::FRAME_BYTES_MIN);
    assert_eq!(
        Frame::decode(&bytes),
        Ok(Frame::Trail { handle: 1, replica: B, authorship: None, marks: marks.clone() })
    );
    let more: Vec<(u64, u64)> = marks.into_iter().chain([(256, 7)]).collect();
    assert_eq!(Frame::decode(&super::trail(1, B, None, &more)), Err(DecodeError::Limit("a trail")));
    let level = super::trail(1, B, None, &[(3, 1), (3, 2)]);
    assert_eq!(Frame::decode(&level), Err(DecodeError::NotCanonical("a trail")));
}
