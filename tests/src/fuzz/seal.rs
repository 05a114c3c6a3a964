//! Checksums made right, as an attacker would: without them mutants die at the first check.
//!
//! A snapshot ends with its digest ([`forge::reseal`]); a delta begins where the receiver's chain
//! hashes stand ([`rechain`]); a message in parts is announced with its hash ([`in_parts`]).

use crdt_core::codec::{Encode, Reader};
use crdt_core::{Frontier, ReplicaId};
use xxhash_rust::xxh3::xxh3_64;

use crate::forge;

/// Frame kinds; see docs/protocol.md.
pub(crate) const DELTA: u8 = 3;
pub(crate) const SNAPSHOT: u8 = 4;
const BEGIN: u8 = 5;
const PART: u8 = 6;

/// Of a piece's flags: make the checksum within it right.
pub(crate) const SEALED: u8 = 1;
/// Of a frame's flags: send it in two parts with the right hash.
pub(crate) const IN_PARTS: u8 = 2;

/// Returns the messages that a piece stands for, sealed for a receiver as its flags say.
pub(crate) fn frames(flags: u8, piece: &[u8], receiver: &Frontier) -> Vec<Vec<u8>> {
    let mut frame = piece.to_vec();
    if flags & SEALED != 0 {
        seal_frame(&mut frame, receiver);
    }
    if flags & IN_PARTS != 0 { in_parts(&frame) } else { vec![frame] }
}

fn seal_frame(frame: &mut Vec<u8>, receiver: &Frontier) {
    let mut reader = Reader::new(frame);
    let (Ok(kind), Ok(_)) = (reader.u8("kind"), reader.varint("handle")) else { return };
    let head = frame.len() - reader.rest().len();
    let mut body = frame.split_off(head);
    match kind {
        SNAPSHOT => forge::reseal(&mut body),
        DELTA => rechain(&mut body, receiver),
        _ => {}
    }
    frame.append(&mut body);
}

/// Wraps a payload into a beginning and a part, with the right length and hash.
pub(crate) fn in_parts(payload: &[u8]) -> Vec<Vec<u8>> {
    let (first, rest) = payload.split_at(payload.len() / 2);
    let mut begin = vec![BEGIN];
    begin.put_varint(payload.len() as u64);
    begin.put_u64(xxh3_64(payload));
    begin.put_bytes(first);
    let mut part = vec![PART];
    part.put_bytes(rest);
    vec![begin, part]
}

/// Overwrites where a delta claims its replicas' chains to stand with where they do stand at the
/// receiver, wherever the counters agree.
pub(crate) fn rechain(delta: &mut [u8], receiver: &Frontier) {
    for (at, chain) in chains(delta, receiver).unwrap_or_default() {
        delta[at..at + 8].copy_from_slice(&chain.to_le_bytes());
    }
}

/// Where the chain hashes of a delta stand in it, with what they should be.
fn chains(delta: &[u8], receiver: &Frontier) -> Option<Vec<(usize, u64)>> {
    let chain_at = |replica: ReplicaId, counter: u64| {
        let head = receiver.iter().find(|(id, _, _)| *id == replica);
        let (at, chain) = head.map_or((0, 0), |(_, at, chain)| (at, chain));
        (at == counter).then_some(chain)
    };
    let mut reader = Reader::new(delta);
    let mut found = Vec::new();
    let format = reader.u8("format").ok()?;
    if matches!(format, 1 | 4) {
        reader.u64("chain").ok()?;
        if format == 4 {
            reader.u64("salt").ok()?;
        }
        let table = table(&mut reader)?;
        let author = *table.get(usize::try_from(reader.varint("author").ok()?).ok()?)?;
        let after = reader.varint("after").ok()?;
        found.extend(chain_at(author, after).map(|chain| (1, chain)));
        return Some(found);
    }
    let table = table(&mut reader)?;
    for _ in 0..reader.count(19, "ranges").ok()? {
        let replica = *table.get(usize::try_from(reader.varint("replica").ok()?).ok()?)?;
        let after = reader.varint("after").ok()?;
        let through = after.checked_add(reader.varint("count").ok()?)?;
        for counter in [after, through] {
            let at = delta.len() - reader.rest().len();
            reader.u64("chain").ok()?;
            found.extend(chain_at(replica, counter).map(|chain| (at, chain)));
        }
    }
    Some(found)
}

fn table(reader: &mut Reader<'_>) -> Option<Vec<ReplicaId>> {
    let count = reader.count(16, "table").ok()?;
    (0..count).map(|_| reader.replica("replica").ok()).collect()
}
