//! The bare disk: how often a second it can be told to keep a page.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crdt_benches::Failed;

/// A page, as the store writes them.
const PAGE_BYTES: usize = 4096;

/// The length of the file that is overwritten.
const FILE_BYTES: usize = 16 * 1024 * 1024;

/// Which of the two ways to write and sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A page of a file that has its length, and `fdatasync`: nothing but the data has to be written.
    Overwrite,
    /// A page behind the end, and `fsync`: the file system has to write what it knows of the file, too.
    Append,
}

/// A file that is written and synced a page at a time.
pub(crate) struct BareDisk {
    file: File,
    way: Way,
    pages: usize,
}

impl BareDisk {
    pub(crate) fn create(path: &Path, way: Way) -> Result<Self, Failed> {
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        if way == Way::Overwrite {
            // Written, not only reserved: the first write to a reserved block is no overwrite to the file system.
            file.write_all(&vec![1; FILE_BYTES])?;
        }
        file.sync_all()?;
        Ok(Self { file, way, pages: 0 })
    }

    /// Writes and syncs for so long; returns the syncs a second.
    pub(crate) fn run(&mut self, window: Duration) -> Result<f64, Failed> {
        let (begin, mut syncs) = (Instant::now(), 0_u32);
        while begin.elapsed() < window {
            let page = [syncs as u8; PAGE_BYTES];
            match self.way {
                Way::Overwrite => {
                    self.file.seek(SeekFrom::Start((self.pages * PAGE_BYTES % FILE_BYTES) as u64))?;
                    self.file.write_all(&page)?;
                    self.file.sync_data()?;
                }
                Way::Append => {
                    self.file.write_all(&page)?;
                    self.file.sync_all()?;
                }
            }
            self.pages += 1;
            syncs += 1;
        }
        Ok(f64::from(syncs) / begin.elapsed().as_secs_f64())
    }
}
