//! Breaks bytes, the way networks, disks and attackers do.
//!
//! Systematic: every prefix, every single bit. Random: flips, forged lengths (a varint replaced or
//! inserted: huge, one more, one less), pieces of other messages spliced in, pieces taken out,
//! doubled or swapped; several of these at once.

use crdt_core::codec::Encode;

use crate::choices::Choices;

/// Numbers that break readers: limits and their neighbours.
const INTERESTING: [u64; 14] =
    [0, 1, 2, 63, 64, 65, 127, 128, (1 << 14) - 1, 1 << 20, u32::MAX as u64, (1 << 48) - 1, 1 << 48, u64::MAX];

/// Yields every proper prefix of `sample`.
pub fn prefixes(sample: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..sample.len()).map(|len| sample[..len].to_vec())
}

/// Yields `sample` with every single bit flipped.
pub fn flips(sample: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..sample.len() * 8).map(|bit| {
        let mut mutant = sample.to_vec();
        mutant[bit / 8] ^= 1 << (bit % 8);
        mutant
    })
}

/// Returns `sample` with one to four random wounds; `donors` are other messages to take pieces of.
///
/// The mutant is at most a few kilobytes longer than the sample.
#[must_use]
pub fn wound(sample: &[u8], donors: &[&[u8]], choices: &mut Choices) -> Vec<u8> {
    let mut mutant = sample.to_vec();
    for _ in 0..=choices.below(4) {
        let donor = if donors.is_empty() { sample } else { donors[choices.below(donors.len())] };
        once(&mut mutant, donor, choices);
    }
    mutant
}

fn once(mutant: &mut Vec<u8>, donor: &[u8], choices: &mut Choices) {
    let at = choices.below(mutant.len());
    let until = at + choices.below((mutant.len() - at).min(64) + 1);
    match choices.below(10) {
        0 if !mutant.is_empty() => mutant[at] ^= 1 << choices.below(8),
        1 if !mutant.is_empty() => mutant[at] = choices.bits() as u8,
        2 if !mutant.is_empty() => mutant[at] = mutant[at].wrapping_add(if choices.coin() { 1 } else { 255 }),
        3 => replace_varint(mutant, at, choices),
        4 => splice(mutant, at..at, &varint(INTERESTING[choices.below(INTERESTING.len())])),
        5 => splice(mutant, at..until, piece(donor, choices)),
        6 => splice(mutant, at..at, piece(donor, choices)),
        7 => drop(mutant.drain(at..until)),
        8 => {
            let doubled = mutant[at..until].to_vec();
            splice(mutant, at..at, &doubled);
        }
        _ => mutant.truncate(at),
    }
}

/// Overwrites the varint that begins at `at`, if one does, with an interesting number or a neighbour.
fn replace_varint(mutant: &mut Vec<u8>, at: usize, choices: &mut Choices) {
    let len = mutant[at..].iter().take(10).take_while(|byte| **byte >= 0x80).count() + 1;
    let end = (at + len).min(mutant.len());
    let number = mutant[at..end].iter().rev().fold(0_u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
    let forged = match choices.below(4) {
        0 => number.wrapping_add(1),
        1 => number.wrapping_sub(1),
        _ => INTERESTING[choices.below(INTERESTING.len())],
    };
    splice(mutant, at..end, &varint(forged));
}

fn varint(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_varint(number);
    bytes
}

fn piece<'a>(donor: &'a [u8], choices: &mut Choices) -> &'a [u8] {
    let start = choices.below(donor.len());
    let len = choices.below((donor.len() - start).min(64) + 1);
    &donor[start..start + len]
}

fn splice(bytes: &mut Vec<u8>, range: std::ops::Range<usize>, with: &[u8]) {
    bytes.splice(range, with.iter().copied());
}
