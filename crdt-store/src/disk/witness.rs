//! The witness: a small file beside the database that remembers which file it was, where, and how far it had come.
//!
//! Was this store copied, or put back from a copy, since it was last open? A copy has another file under it, or lies
//! on another machine; an older state put back into the same file carries an older seal, or fewer commits. Each opening
//! draws a new seal and writes it here, into the database, and here again: first the witness accepts old and new, then
//! the database changes, then the witness accepts the new one only. A kill between any two steps leaves a pair
//! that fits.
//!
//! Layout: two slots of 4096 bytes, written in turn so that one that is torn leaves the other, then the commits. Byte
//! for byte in docs/storage.md.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crdt_core::codec::{Encode, Reader};
use xxhash_rust::xxh3::xxh3_64;

use super::files::{self, FileMark};
use super::row::{NUMBER_MAX, Seal};

const MAGIC: &[u8; 8] = b"crdtwit1";
const SLOT_BYTES: usize = 4096;
const FILE_BYTES: usize = 3 * SLOT_BYTES;
/// Magic, turn, two seals, inode, creation, machine; then the checksum.
const RECORD_BYTES: usize = 72;

/// Where a store lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: FileMark,
    /// A hash of what names the machine; 0 where nothing does.
    pub(super) machine: u64,
}

/// What the witness says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The database carries one of these; equal but for the middle of an opening.
    pub(super) seals: [Seal; 2],
    pub(super) place: Place,
}

/// The open witness.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    turn: u64,
    record: Record,
    commits: u64,
}

impl Witness {
    /// Writes a witness in place of the one there may be.
    pub(super) fn create(path: &Path, record: Record, commits: u64) -> io::Result<Self> {
        let temporary = path.with_extension("tmp");
        files::remove_stale(&temporary)?;
        let mut bytes = vec![0; FILE_BYTES];
        let slot = encode_slot(0, &record);
        bytes[..slot.len()].copy_from_slice(&slot);
        bytes[2 * SLOT_BYTES..][..16].copy_from_slice(&encode_commits(commits));
        let mut file = files::private().create_new(true).open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        files::sync_folder(&files::parent(path))?;
        Ok(Self { file, turn: 0, record, commits })
    }

    /// Opens a witness; `None` if there is none, or none that can be believed.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let mut file = match files::private().open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::with_capacity(FILE_BYTES);
        Read::by_ref(&mut file).take(FILE_BYTES as u64).read_to_end(&mut bytes)?;
        if bytes.len() < FILE_BYTES {
            return Ok(None);
        }
        let slots = [decode_slot(&bytes[..SLOT_BYTES]), decode_slot(&bytes[SLOT_BYTES..2 * SLOT_BYTES])];
        let latest = slots.into_iter().flatten().max_by_key(|(turn, _)| *turn);
        let commits = decode_commits(&bytes[2 * SLOT_BYTES..]);
        Ok(latest.zip(commits).map(|((turn, record), commits)| Self { file, turn, record, commits }))
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    #[cfg(test)]
    pub(super) fn turn(&self) -> u64 {
        self.turn
    }

    /// Returns how many commits of the database were noted.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// Makes another record durable.
    pub(super) fn set_record(&mut self, record: Record) -> io::Result<()> {
        let turn = self.turn + 1;
        self.file.seek(SeekFrom::Start(turn % 2 * SLOT_BYTES as u64))?;
        self.file.write_all(&encode_slot(turn, &record))?;
        self.file.sync_data()?;
        (self.turn, self.record) = (turn, record);
        Ok(())
    }

    /// Notes how many commits the database has. Not synced.
    pub(super) fn note_commits(&mut self, commits: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(2 * SLOT_BYTES as u64))?;
        self.file.write_all(&encode_commits(commits))?;
        self.commits = commits;
        Ok(())
    }
}

fn encode_slot(turn: u64, record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(RECORD_BYTES + 8);
    out.put_bytes(MAGIC);
    out.put_u64(turn);
    record.seals.iter().for_each(|seal| out.put_bytes(seal));
    out.put_u64(record.place.file.inode);
    out.put_u64(record.place.file.created_ns);
    out.put_u64(record.place.machine);
    let checksum = xxh3_64(&out);
    out.put_u64(checksum);
    out
}

fn decode_slot(bytes: &[u8]) -> Option<(u64, Record)> {
    const WHAT: &str = "a witness";
    let mut reader = Reader::new(bytes);
    let content = Reader::new(bytes).bytes(RECORD_BYTES, WHAT).ok()?;
    let magic = reader.bytes(MAGIC.len(), WHAT).ok()?;
    let turn = reader.u64(WHAT).ok()?;
    let seals = [reader.replica(WHAT).ok()?.to_bytes(), reader.replica(WHAT).ok()?.to_bytes()];
    let file = FileMark { inode: reader.u64(WHAT).ok()?, created_ns: reader.u64(WHAT).ok()? };
    let place = Place { file, machine: reader.u64(WHAT).ok()? };
    // A turn must be left for the next record.
    let is_whole = magic == MAGIC && turn <= NUMBER_MAX && reader.u64(WHAT).ok()? == xxh3_64(content);
    is_whole.then_some((turn, Record { seals, place }))
}

fn encode_commits(commits: u64) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&commits.to_le_bytes());
    out[8..].copy_from_slice(&xxh3_64(&commits.to_le_bytes()).to_le_bytes());
    out
}

fn decode_commits(bytes: &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    let commits = u64::from_le_bytes(*number);
    (rest.first_chunk() == Some(&xxh3_64(number).to_le_bytes())).then_some(commits)
}
