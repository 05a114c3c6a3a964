//! Checksums made right, as an attacker would: without them mutants die at the first check.
//!
//! A snapshot ends with its digest ([`forge::reseal`]); a delta begins where the receiver's chain
//! hashes stand ([`rechain`]); a message in parts is announced with its hash ([`in_parts`]).

use crdt_core::codec::{Encode, Reader};
use crdt_core::{DeltaLead, Frontier, ReplicaId};
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
        DELTA => rechain_frame(&mut body, receiver),
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
    overwrite(delta, receiver, Read::of_delta(delta));
}

/// Does the same in the frame of a delta, behind its handle. Who a number stands for is guessed: anybody who stands
/// there.
fn rechain_frame(delta: &mut [u8], receiver: &Frontier) {
    overwrite(delta, receiver, Read::of_frame(delta));
}

fn overwrite(delta: &mut [u8], receiver: &Frontier, read: Option<Read>) {
    let chains = read.and_then(|read| read.chains(delta, receiver)).unwrap_or_default();
    for (at, chain) in chains {
        delta[at..at + 8].copy_from_slice(&chain.to_le_bytes());
    }
}

/// The beginning of a delta.
struct Read {
    /// Where its chain hash stands; none if it is a coalesced one.
    chain_at: Option<usize>,
    /// Its replicas; none for one that goes by a number.
    table: Vec<Option<ReplicaId>>,
    /// Where its table and all before it ends.
    end: usize,
}

impl Read {
    fn of_delta(delta: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(delta);
        let chain_at = match DeltaLead::read(&mut reader).ok()? {
            DeltaLead::Single { .. } => Some(1),
            DeltaLead::Coalesced => None,
        };
        let count = reader.count(16, "table").ok()?;
        let table = (0..count).map(|_| reader.replica("replica").ok().map(Some)).collect::<Option<_>>()?;
        Some(Self { chain_at, table, end: delta.len() - reader.rest().len() })
    }

    fn of_frame(delta: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(delta);
        let head = reader.varint("form").ok()?;
        let name = |reader: &mut Reader<'_>| match reader.varint("name").ok()? {
            number if number % 2 == 1 => Some(None),
            _ => reader.replica("replica").ok().map(Some),
        };
        let table = (0..head / 8).map(|_| name(&mut reader)).collect::<Option<_>>()?;
        let at = delta.len() - reader.rest().len();
        let (chain_at, lead_bytes) = match head % 8 {
            0 => (Some(at), 8),
            2 => (Some(at), 16),
            4 => (None, 0),
            // It says nothing of chain hashes.
            _ => return None,
        };
        Some(Self { chain_at, table, end: at + lead_bytes })
    }

    /// Where the chain hashes of a delta stand in it, with what they should be.
    fn chains(&self, delta: &[u8], receiver: &Frontier) -> Option<Vec<(usize, u64)>> {
        let mut reader = Reader::new(delta.get(self.end..)?);
        let mut found = Vec::new();
        if let Some(at) = self.chain_at {
            let author = *self.table.get(usize::try_from(reader.varint("author").ok()?).ok()?)?;
            let after = reader.varint("after").ok()?;
            found.extend(chain(receiver, author, after).map(|chain| (at, chain)));
            return Some(found);
        }
        for _ in 0..reader.count(19, "ranges").ok()? {
            let replica = *self.table.get(usize::try_from(reader.varint("replica").ok()?).ok()?)?;
            let after = reader.varint("after").ok()?;
            let through = after.checked_add(reader.varint("count").ok()?)?;
            for counter in [after, through] {
                let at = delta.len() - reader.rest().len();
                reader.u64("chain").ok()?;
                found.extend(chain(receiver, replica, counter).map(|chain| (at, chain)));
            }
        }
        Some(found)
    }
}

/// Returns the chain hash of a replica, or of anybody, who stands at a counter.
fn chain(receiver: &Frontier, replica: Option<ReplicaId>, counter: u64) -> Option<u64> {
    if counter == 0 && replica.is_none_or(|replica| receiver.counter(replica) == 0) {
        return Some(0);
    }
    let mut heads =
        receiver.iter().filter(|(id, at, _)| *at == counter && replica.is_none_or(|replica| replica == *id));
    heads.next().map(|(_, _, chain)| chain)
}
