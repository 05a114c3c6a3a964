//! Goes on with a replay that was ended: which rows have been made already?
//!
//! How can a row and the note that it is made be durable in one moment? The row is the note. The seed says
//! which replica writes which row; a replica writes the rows of one cart in the order of the file, each as
//! one transaction; and transactions are counted: the version of the cart's document says how many of each
//! replica there are, without a gap. So if it says that a replica has made five, those are the first five
//! of its rows in that cart. Whatever a kill has left, it is one such state.
//!
//! A store that was copied or set back has a new id; its rows are then those under all of its ids. And what
//! it has forgotten others may still have, and will bring it: so the highest counter of all replicas counts.
//!
//! Rows can only be counted so if the same rows go to the same replicas: a file beside the stores says of
//! which file, seed and number of replicas they are, and another replay is refused there.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use crdt_core::ReplicaId;
use crdt_net::{Closed, DocumentId};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use crate::cluster::{Cluster, ClusterError};
use crate::convergence::Versions;
use crate::replay::{Options, ReplayError};

/// What a folder is the replay of.
const CLAIM_FILE: &str = "replay.json";

/// The claim before it has its name.
const TEMPORARY_FILE: &str = "replay.json.tmp";

/// No claim is longer.
const CLAIM_BYTES_MAX: u64 = 4_096;

/// Why a replay cannot go on in a folder. Nothing in it has changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// It holds a replay with other arguments, or of another file. Repeat those, or choose another folder.
    #[error("{} holds the replay of {holds}, not of {asked}", folder.display())]
    Other {
        /// The folder.
        folder: PathBuf,
        /// What it is the replay of.
        holds: Claim,
        /// What was asked for.
        asked: Claim,
    },
    /// It holds something, and no replay. Choose another folder.
    #[error("{} is not empty and holds no replay", folder.display())]
    NotOurs {
        /// The folder.
        folder: PathBuf,
    },
    /// Rows were made by a replica that none of the folders is, or two are: folders were taken away, or
    /// copied over each other. Begin in another folder.
    #[error("{document} holds rows of {writer}, which {}", if *twice { "two of the replicas have been" } else { "none of the replicas has ever been" })]
    Stranger {
        /// In which document.
        document: DocumentId,
        /// Whose rows.
        writer: ReplicaId,
        /// Whether two replicas claim the id, not none.
        twice: bool,
    },
    /// The folder or the file cannot be read or written.
    #[error("{} cannot be used", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a folder is the replay of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The hash of the file, as it lies on disk.
    file: String,
    bytes: u64,
    seed: u64,
    peers: usize,
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, bytes, seed, peers } = self;
        let start = file.get(..8).unwrap_or(file);
        write!(f, "a file of {bytes} bytes ({start}…) with --seed {seed} --peers {peers}")
    }
}

impl Claim {
    fn of(options: &Options) -> io::Result<Self> {
        let mut reader = BufReader::new(File::open(&options.file)?);
        let (mut hash, mut bytes, mut buffer) = (Xxh3::new(), 0, vec![0; 64 * 1024]);
        loop {
            let read = reader.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            bytes += read as u64;
        }
        Ok(Self { file: format!("{:032x}", hash.digest128()), bytes, seed: options.seed, peers: options.peers })
    }
}

/// Makes the folder that of this replay, or finds that it is. Durable on return.
pub(super) fn claim(folder: &Path, options: &Options) -> Result<(), ResumeError> {
    let asked = Claim::of(options).map_err(|source| ResumeError::Io { path: options.file.clone(), source })?;
    let failed = |source| ResumeError::Io { path: folder.to_owned(), source };
    match held(folder).map_err(failed)? {
        Some(holds) if holds == asked => Ok(()),
        Some(holds) => Err(ResumeError::Other { folder: folder.to_owned(), holds, asked }),
        None if is_empty(folder).map_err(failed)? => write(folder, &asked).map_err(failed),
        None => Err(ResumeError::NotOurs { folder: folder.to_owned() }),
    }
}

fn held(folder: &Path) -> io::Result<Option<Claim>> {
    let file = match File::open(folder.join(CLAIM_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    file.take(CLAIM_BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(serde_json::from_str(&text)?))
}

/// Tells whether nothing is in a folder but what a kill in `write` may have left.
fn is_empty(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
        Ok(entries) => {
            for entry in entries {
                if entry?.file_name() != TEMPORARY_FILE {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

fn write(folder: &Path, claim: &Claim) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let temporary = folder.join(TEMPORARY_FILE);
    let mut file = File::create(&temporary)?;
    file.write_all(serde_json::to_string(claim)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(CLAIM_FILE))?;
    // A name is data of the folder. Elsewhere it cannot be opened as a file.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// How many rows of each cart each replica has made and that were not come across yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// By number of the replica.
    left: Vec<HashMap<DocumentId, u64>>,
    taken: u64,
}

impl Done {
    /// Nobody has made anything.
    pub(super) fn nothing(peers: usize) -> Self {
        Self { left: vec![HashMap::new(); peers], taken: 0 }
    }

    /// Reads what the stores hold, before anybody writes.
    ///
    /// # Errors
    /// [`ReplayError`] if a replica has stopped, or rows are of none of them.
    pub(super) async fn read(cluster: &Cluster) -> Result<Self, ReplayError> {
        let mut ids = Vec::with_capacity(cluster.peers());
        for replica in cluster.replicas() {
            let former = replica.identity().map_or(&[][..], |identity| &identity.former);
            ids.push(former.iter().copied().chain([replica.id()]).collect());
        }
        let versions = cluster.versions().await.map_err(|closed: Closed| ClusterError::from(closed))?;
        Ok(Self::count(&ids, &versions)?)
    }

    /// Counts the transactions of each replica under all of its ids.
    fn count(ids: &[Vec<ReplicaId>], versions: &[Versions]) -> Result<Self, ResumeError> {
        let mut newest = Versions::new();
        for (document, version) in versions.iter().flatten() {
            newest.entry(document.clone()).or_default().merge(version);
        }
        let mut owners: BTreeMap<ReplicaId, Vec<usize>> = BTreeMap::new();
        for (replica, ids) in ids.iter().enumerate() {
            ids.iter().for_each(|id| owners.entry(*id).or_default().push(replica));
        }
        let mut done = Self::nothing(ids.len());
        for (document, version) in &newest {
            for (writer, counter) in version.iter() {
                let owner = match owners.get(&writer).map(Vec::as_slice) {
                    Some(&[owner]) => owner,
                    other => {
                        let twice = other.is_some();
                        return Err(ResumeError::Stranger { document: document.clone(), writer, twice });
                    }
                };
                *done.left[owner].entry(document.clone()).or_default() += counter;
            }
        }
        Ok(done)
    }

    /// Tells whether the next row of a replica in a cart has been made already.
    pub(super) fn take(&mut self, replica: usize, cart: &DocumentId) -> bool {
        let Some(left) = self.left[replica].get_mut(cart).filter(|left| **left > 0) else { return false };
        *left -= 1;
        self.taken += 1;
        true
    }

    /// Returns how many rows were found made.
    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use crdt_core::VersionVector;

    use super::*;

    const A: ReplicaId = ReplicaId::from_u128(1);
    const B: ReplicaId = ReplicaId::from_u128(2);
    const A_AGAIN: ReplicaId = ReplicaId::from_u128(3);

    fn cart(name: &str) -> DocumentId {
        DocumentId::new(name).expect("a short name")
    }

    fn versions(carts: &[(&str, &[(ReplicaId, u64)])]) -> Versions {
        carts.iter().map(|(name, version)| (cart(name), VersionVector::from_iter(version.iter().copied()))).collect()
    }

    #[test]
    fn each_row_made_is_passed_over_once() {
        let held = versions(&[("a", &[(A, 2), (B, 1)])]);
        let mut done = Done::count(&[vec![A], vec![B]], &[held]).expect("both are known");
        let taken: Vec<bool> = (0..3).map(|_| done.take(0, &cart("a"))).collect();
        assert_eq!(taken, [true, true, false]);
        assert!(done.take(1, &cart("a")));
        assert!(!done.take(1, &cart("a")));
        assert!(!done.take(1, &cart("b")));
        assert_eq!(done.taken(), 3);
    }

    #[test]
    fn rows_under_a_former_id_and_rows_that_only_others_kept_count() {
        // Replica 0 was set back to its first row, went on under another id, and made one more.
        let own = versions(&[("a", &[(A, 1), (A_AGAIN, 1)])]);
        let others = versions(&[("a", &[(A, 4)])]);
        let mut done = Done::count(&[vec![A, A_AGAIN], vec![B]], &[own, others]).expect("both are known");
        assert_eq!((0..9).filter(|_| done.take(0, &cart("a"))).count(), 5);
    }

    #[test]
    fn rows_of_nobody_and_of_two_are_refused() {
        let held = versions(&[("a", &[(A, 1)])]);
        let nobody = Done::count(&[vec![B]], std::slice::from_ref(&held)).expect_err("nobody is A");
        assert!(nobody.to_string().ends_with("none of the replicas has ever been"), "{nobody}");
        let two = Done::count(&[vec![A, B], vec![A]], &[held]).expect_err("two are A");
        assert!(two.to_string().ends_with("two of the replicas have been"), "{two}");
    }
}
