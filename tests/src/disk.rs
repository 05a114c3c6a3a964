//! A disk in memory that loses power, fails, fills up and rots, all on demand.
//!
//! What may a loss of power leave of the writes since the last sync? Anything: each sector of each of them
//! is there or not, whatever the order in which they were made, and the file may have its old length or
//! its new one. What was synced stays. That is harsher than most disks, and within what the interface
//! of a file promises.
//!
//! Source of the model: Pillai et al., "All file systems are not created equal" (2014); TigerBeetle's simulator
//! tears 80 to 100 % of the writes under way, as do we.

use std::io;
use std::panic;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::choices::Choices;

mod ledger;
mod workload;

pub use ledger::{Ledger, Unfaithful};
pub use workload::{Ended, Workload, options};

/// What a disk writes as one.
const SECTOR_BYTES: usize = 512;

/// A disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    shared: Arc<Mutex<Shared>>,
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// At this operation, counted from 0, the power goes: it does not happen, and nothing happens after it.
    PowerLoss {
        /// Which one.
        at: u64,
    },
    /// This operation fails, and only this one.
    FailsOnce {
        /// Which one.
        at: u64,
        /// How.
        error: io::ErrorKind,
    },
    /// Every operation from this one on fails, if it writes.
    FailsFrom {
        /// The first.
        at: u64,
        /// How.
        error: io::ErrorKind,
    },
}

#[derive(Debug)]
struct Shared {
    /// What is read.
    content: Vec<u8>,
    /// What surely survives.
    synced: Vec<u8>,
    /// What was written since.
    unsynced: Vec<(u64, Vec<u8>)>,
    /// Writes, changes of length and syncs so far.
    operations: u64,
    trouble: Trouble,
    /// The power is gone.
    is_off: bool,
}

impl SimDisk {
    /// Makes a disk with this content, all of it synced.
    #[must_use]
    pub fn new(content: Vec<u8>) -> Self {
        let shared = Shared {
            synced: content.clone(),
            content,
            unsynced: Vec::new(),
            operations: 0,
            trouble: Trouble::None,
            is_off: false,
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Says what will go wrong. Operations are counted from now on.
    pub fn set_trouble(&self, trouble: Trouble) {
        let mut shared = self.lock();
        shared.trouble = trouble;
        shared.operations = 0;
    }

    /// Returns how many operations there were since the trouble was set.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Returns what is read from the disk as it is.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        self.lock().content.clone()
    }

    /// Returns the disk as it may be found when power is back.
    #[must_use]
    pub fn after_power_loss(&self, choices: &mut Choices) -> Self {
        let shared = self.lock();
        let mut left = shared.synced.clone();
        if choices.coin() {
            left.resize(shared.content.len(), 0);
        }
        // All kinds of losses: nothing arrived, everything, nearly everything, some of it.
        let kept_of_16 = [0, 16, 15, 8, 2][choices.below(5)];
        for (offset, bytes) in &shared.unsynced {
            for (start, sector) in sectors(*offset, bytes) {
                let is_kept = choices.below(16) < kept_of_16;
                if let Some(place) = left.get_mut(start..start + sector.len()).filter(|_| is_kept) {
                    place.copy_from_slice(sector);
                }
            }
        }
        Self::new(left)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a write where sectors of the disk begin.
fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = offset as usize;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let room = SECTOR_BYTES - start % SECTOR_BYTES;
        let (sector, after) = rest.split_at(room.min(rest.len()));
        let at = start;
        start += sector.len();
        rest = after;
        Some((at, sector))
    })
}

impl Shared {
    /// Counts an operation, which fails if it is its turn.
    fn begin(&mut self) -> io::Result<()> {
        self.is_on()?;
        let operation = self.operations;
        self.operations += 1;
        let error = match self.trouble {
            Trouble::PowerLoss { at } if operation == at => {
                self.is_off = true;
                return self.is_on();
            }
            Trouble::FailsOnce { at, error } if operation == at => error,
            Trouble::FailsFrom { at, error } if operation >= at => error,
            _ => return Ok(()),
        };
        Err(error.into())
    }

    fn is_on(&self) -> io::Result<()> {
        if self.is_off { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> io::Result<u64> {
        let shared = self.lock();
        shared.is_on()?;
        Ok(shared.content.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let shared = self.lock();
        shared.is_on()?;
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let bytes = shared.content.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut shared = self.lock();
        shared.begin()?;
        shared.content.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut guard = self.lock();
        let shared = &mut *guard;
        shared.begin()?;
        shared.synced.resize(shared.content.len(), 0);
        for (offset, bytes) in shared.unsynced.drain(..) {
            let start = (offset as usize).min(shared.synced.len());
            let end = (start + bytes.len()).min(shared.synced.len());
            shared.synced[start..end].copy_from_slice(&bytes[..end - start]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut shared = self.lock();
        shared.begin()?;
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::StorageFull)?;
        let end = start + data.len();
        if shared.content.len() < end {
            shared.content.resize(end, 0);
        }
        shared.content[start..end].copy_from_slice(data);
        shared.unsynced.push((offset, data.to_vec()));
        Ok(())
    }
}

/// redb panics on some damage; the store catches that, and neither a reader nor a fuzzer needs to hear of it.
pub fn silence_redb() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.location().is_some_and(|at| at.file().contains("redb-")) {
            before(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_survives_and_what_was_not_is_torn_by_sectors() {
        let disk = SimDisk::new(vec![0; 2_048]);
        disk.write(0, &[1; 1_024]).expect("no trouble");
        disk.sync_data().expect("no trouble");
        disk.write(512, &[2; 1_024]).expect("no trouble");
        let mut seen = [[false; 2]; 2];
        for seed in 0..100 {
            let left = disk.after_power_loss(&mut Choices::new(seed)).content();
            assert!(left[..512].iter().all(|byte| *byte == 1));
            assert!(left[512..1_024].iter().all(|byte| *byte == left[512]));
            assert!(left[1_024..1_536].iter().all(|byte| *byte == left[1_024]));
            seen[usize::from(left[512] == 2)][usize::from(left[1_024] == 2)] = true;
        }
        assert_eq!(seen, [[true; 2]; 2]);
    }

    #[test]
    fn after_the_power_is_gone_nothing_happens() {
        let disk = SimDisk::new(vec![0; 4]);
        disk.set_trouble(Trouble::PowerLoss { at: 1 });
        disk.write(0, &[1]).expect("the first goes well");
        assert!(disk.write(1, &[1]).is_err());
        assert!(disk.sync_data().is_err() && disk.len().is_err());
        assert_eq!(disk.content(), [1, 0, 0, 0]);
    }
}
