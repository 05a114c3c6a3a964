//! The file of a store, damaged in any way.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crdt_store::{DiskStore, Store};

use super::input::Input;
use crate::disk::{Ended, Ledger, SimDisk, Unfaithful, Workload, options, silence_redb};

/// Changes in the file: documents with snapshots, layers and tails.
const CHANGES: usize = 200;
/// The first page, in which redb keeps which of two commits counts: set back to the one before, the file is whole, and
/// only the witness beside it can tell (docs/storage.md).
const HEADER_BYTES: usize = 4_096;
const SECTOR_BYTES: usize = 512;

/// What is done to the file.
const KINDS: usize = 4;

/// A list of damages: bytes changed, sectors wiped or put in the place of others, the end cut off.
///
/// Opening it and reading all of it is an error, or shows exactly what was acknowledged.
///
/// # Panics
/// If it shows anything else.
pub fn store_file(bytes: &[u8]) {
    static WHOLE: OnceLock<(Vec<u8>, Ledger)> = OnceLock::new();
    let (whole, ledger) = WHOLE.get_or_init(whole);
    let mut content = whole.clone();
    let mut input = Input::new(bytes);
    while !input.is_empty() && content.len() > HEADER_BYTES + SECTOR_BYTES {
        damage(&mut content, &mut input);
    }
    let Ok(store) = DiskStore::open_on(SimDisk::new(content), options()) else { return };
    match ledger.clone().check(&store) {
        Ok(_) | Err(Unfaithful::Unreadable(_)) => {}
        Err(wrong) => panic!("{wrong}"),
    }
}

/// Inputs of each kind of damage.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let one = |kind: u8| vec![kind, 0x10, 0x27, 0, 0x55, 0x20, 0x4e];
    let mut seeds: Vec<Vec<u8>> = (0..KINDS as u8).map(one).collect();
    seeds.push(Vec::new());
    seeds.push((0..KINDS as u8).flat_map(one).collect());
    seeds
}

fn damage(content: &mut Vec<u8>, input: &mut Input<'_>) {
    let kind = input.below(KINDS);
    let at = place(input, content.len());
    match kind {
        0 => content[at] ^= input.u8(),
        1 => content[at..at + SECTOR_BYTES].fill(0),
        2 => {
            let from = place(input, content.len());
            content.copy_within(from..from + SECTOR_BYTES, at);
        }
        _ => content.truncate(at),
    }
}

/// Reads where a sector begins behind the header.
fn place(input: &mut Input<'_>, len: usize) -> usize {
    let number = usize::from(input.u16()) | usize::from(input.u8()) << 16;
    HEADER_BYTES + number % (len - HEADER_BYTES - SECTOR_BYTES + 1)
}

/// Makes a file and what must be in it.
fn whole() -> (Vec<u8>, Ledger) {
    silence_redb();
    let (disk, mut ledger) = (SimDisk::new(Vec::new()), Ledger::default());
    let mut store = DiskStore::open_on(disk.clone(), options()).expect("nothing is wrong");
    let ended = Workload::new(BTreeMap::new(), 1).run(&mut store, &mut ledger, CHANGES);
    assert!(matches!(ended, Ended::Done), "{ended:?}");
    store.sync().expect("nothing is wrong");
    ledger.acknowledged();
    drop(store);
    (disk.content(), ledger)
}
