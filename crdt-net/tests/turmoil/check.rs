//! What must be true once the storm is over.

use std::collections::BTreeSet;
use std::sync::Arc;

use crdt_core::{Snapshot, VersionVector};
use crdt_net::Status;

use crate::host::Host;
use crate::scene::Scene;
use crate::trace::Trace;
use crate::write::{DOCUMENTS, Mirror};

/// Tells whether all replicas are equal and every link is at rest, as far as the last looks show.
pub(crate) fn settled(scene: &Scene, hosts: &[Arc<Host>]) -> Result<(), String> {
    let first: Vec<Snapshot> = hosts[0].notes().snapshots.values().cloned().collect();
    for host in hosts {
        let notes = host.notes();
        let equal = |(here, there): (&Snapshot, &Snapshot)| {
            here.version() == there.version() && here.digest() == there.digest()
        };
        if notes.snapshots.len() != DOCUMENTS.len() || !notes.snapshots.values().zip(&first).all(equal) {
            return Err(format!("{} differs from {}", host.name, hosts[0].name));
        }
        let status = notes.status.as_ref().ok_or("no status")?;
        links_are_at_rest(scene, host, status)?;
        // A reader is behind if it thinks about each change; it must get there.
        if DOCUMENTS.iter().any(|name| notes.mirrors.get(name) != Some(&Mirror::of(&notes.snapshots[name]))) {
            return Err(format!("a reader on {} has not seen all: {:?}", host.name, behind(host.number, &notes)));
        }
        // An answer may still be on its way to the task that asked.
        if notes.acknowledged.values().any(BTreeSet::is_empty) {
            return Err(format!("{} has not written", host.name));
        }
    }
    Ok(())
}

/// Shows by how much readers are behind.
fn behind(host: usize, notes: &crate::host::Notes) -> Vec<String> {
    let show = |name: &&'static str| {
        let (read, held) = (notes.mirrors.get(*name), Mirror::of(&notes.snapshots[*name]));
        let read = read.cloned().unwrap_or_default();
        let missing = held.tags.difference(&read.tags).count();
        format!("host {host}, {name}: {missing} writes missing, sum {:?} of {:?}", read.sum, held.sum)
    };
    DOCUMENTS.iter().map(show).collect()
}

/// One live link to each neighbour, all of them in sync, nothing under way.
fn links_are_at_rest(scene: &Scene, host: &Host, status: &Status) -> Result<(), String> {
    let linked: Vec<_> = status.links.iter().filter(|link| link.peer.is_some()).collect();
    let mut peers: Vec<_> = linked.iter().filter_map(|link| link.peer).collect();
    peers.sort_unstable();
    let expected: Vec<_> = scene.neighbours(host.number).into_iter().map(crate::host::replica_of).collect();
    if peers != expected {
        return Err(format!("{} is linked with {peers:?} instead of {expected:?}", host.name));
    }
    match linked.iter().find(|link| link.in_sync != DOCUMENTS.len() || link.in_flight_bytes > 0) {
        Some(link) => Err(format!("a link of {} is not at rest: {link:?}", host.name)),
        None => Ok(()),
    }
}

/// Checks everything about a network at rest; returns how many writes were answered in all.
pub(crate) fn all(scene: &Scene, hosts: &[Arc<Host>], trace: &Trace) -> usize {
    for name in DOCUMENTS {
        let first = hosts[0].notes().snapshots[name].clone();
        document(name, &first, hosts);
        for host in hosts {
            let here = host.notes().snapshots[name].clone();
            assert!(here == first, "{name} on {} has the version but not the content", host.name);
            assert_eq!(here.encode(), first.encode(), "{name} on {} has other bytes", host.name);
            stored(name, &here, host);
        }
    }
    for host in hosts {
        let notes = host.notes();
        let status = notes.status.as_ref().expect("looked at");
        assert_eq!((status.replica, status.online), (host.replica(), true));
        assert_eq!(status.dialling, host.urls());
        assert_eq!(status.listening.len(), 1, "{:?}", status.listening);
        let links = scene.neighbours(host.number).len() as u64;
        assert!(status.totals.links_up >= links, "{:?}", status.totals);
        assert!(status.totals.deltas_duplicate <= status.totals.deltas_received, "{:?}", status.totals);
    }
    for never in ["ERROR", "equal versions with different content", "two writers have used", "does not sync"] {
        assert_eq!(trace.count(never), 0, "{}", trace.last_with(3, &[never]));
    }
    hosts.iter().map(|host| host.notes().acknowledged.values().map(BTreeSet::len).sum::<usize>()).sum()
}

/// Every answered write is in the document, none that nobody made, and none in part.
fn document(name: &'static str, snapshot: &Snapshot, hosts: &[Arc<Host>]) {
    let held = Mirror::of(snapshot);
    let mut attempted = BTreeSet::new();
    for host in hosts {
        let notes = host.notes();
        let acknowledged = notes.acknowledged.get(name).cloned().unwrap_or_default();
        let lost: Vec<_> = acknowledged.difference(&held.tags).collect();
        assert!(lost.is_empty(), "lost writes to {name}: {lost:?}");
        attempted.extend(notes.attempted.get(name).cloned().unwrap_or_default());
    }
    let invented: Vec<_> = held.tags.difference(&attempted).collect();
    assert!(invented.is_empty(), "nobody wrote these to {name}: {invented:?}");
    assert_eq!(held.sum, held.sum_of_tags(), "a write to {name} is there in part, or twice");
    let counted: u128 = snapshot.version().total();
    assert_eq!(counted, held.tags.len() as u128, "each transaction on {name} spends one dot");
}

/// The store holds what the replica shows.
fn stored(name: &str, here: &Snapshot, host: &Host) {
    let stored = host.store.load(name).expect("written to");
    let mut found = stored.snapshot;
    for delta in &stored.deltas {
        found.apply(delta).expect("deltas are stored in order");
    }
    assert_eq!(found.version(), stored.version, "{name} in the store of {}", host.name);
    let is_covered = |version: &VersionVector| version.covers_all(&here.version());
    assert!(is_covered(&stored.version) && found == *here, "{name} in the store of {}", host.name);
}
