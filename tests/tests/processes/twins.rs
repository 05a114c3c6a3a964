//! Twins: a store and its copy, opened as if each were the only one, find each other out.
//!
//! The witness notices a copy; here the operator has vouched for both, wrongly.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crdt_tests::process::Process;

use crate::support::{Found, Scratch, copy, look, look_at, start};

/// How much is written at a time.
const WRITES: usize = 500;

/// Opens a folder as if there were no other; returns under which id it goes.
fn open(folder: &Path) -> (Process, String) {
    let replica = start(folder, &["--vouched"]);
    let said = replica.line().expect("it opens");
    let id = said.strip_prefix("open ").and_then(|said| said.strip_suffix(" kept"));
    let id = id.unwrap_or_else(|| panic!("it keeps its id: {said}")).to_owned();
    (replica, id)
}

/// Makes a store with some content, and a copy of it.
fn twins(scratch: &Scratch) -> [PathBuf; 2] {
    let folders = [scratch.join("original"), scratch.join("copy")];
    let (mut replica, _) = open(&folders[0]);
    assert_eq!(replica.ask(&format!("write {WRITES} common")), format!("written {WRITES}"));
    replica.ask("quit");
    drop(replica);
    copy(&folders[0], &folders[1]);
    folders
}

fn id(replica: &mut Process) -> String {
    replica.ask("id").replace("id ", "")
}

fn url(replica: &mut Process) -> String {
    format!("ws://{}", replica.ask("listen").replace("listening ", ""))
}

/// Lets one dial the other.
fn connect(from: &mut Process, to: &mut Process) {
    let url = url(to);
    assert_eq!(from.ask(&format!("connect {url}")), "connected");
}

/// Ends processes that have nothing left to say.
fn quit(replicas: &mut [&mut Process]) {
    for replica in replicas {
        replica.ask("quit");
        assert!(replica.rest().is_empty());
    }
}

/// Waits until all hold so many elements, closes them, and compares what their folders hold then.
fn close_and_compare(replicas: &mut [&mut Process], folders: &[PathBuf], elements: usize) -> Vec<Found> {
    for replica in &mut *replicas {
        assert_eq!(replica.ask(&format!("hold {elements}")), format!("holds {elements}"));
    }
    quit(replicas);
    let found: Vec<Found> = folders.iter().map(|folder| look(folder)).collect();
    for found in &found {
        assert_eq!(found.elements().len(), elements);
        assert_eq!(found.document.root().counter("n"), Some(elements as i128), "each counted once");
    }
    let bytes: BTreeSet<Vec<u8>> = found.iter().map(|found| found.document.encode()).collect();
    assert_eq!(bytes.len(), 1, "all folders hold the same bytes");
    found
}

/// Counts what was written under each of these prefixes.
fn written_by(found: &Found, prefixes: [&str; 3]) -> [usize; 3] {
    prefixes.map(|prefix| (0..WRITES).filter(|number| found.holds(&format!("{prefix}-{number}"))).count())
}

#[test]
fn a_store_and_its_copy_under_one_id_find_out_at_first_contact_and_lose_nothing() {
    for dialler in 0..2 {
        let scratch = Scratch::new(&format!("twins-{dialler}"));
        let folders = twins(&scratch);
        let ((one, id_before), (other, other_id)) = (open(&folders[0]), open(&folders[1]));
        assert_eq!(id_before, other_id);
        let mut replicas = [one, other];
        for (number, replica) in replicas.iter_mut().enumerate() {
            assert_eq!(replica.ask(&format!("write {WRITES} before-{number}")), format!("written {WRITES}"));
        }
        let [one, other] = &mut replicas;
        if dialler == 0 {
            connect(one, other)
        } else {
            connect(other, one)
        }
        // Writes go on while they find out.
        for (number, replica) in replicas.iter_mut().enumerate() {
            replica.tell(&format!("write {WRITES} meanwhile-{number}"));
        }
        for replica in &replicas {
            assert_eq!(replica.line().expect("it writes"), format!("written {WRITES}"));
        }
        let [one, other] = &mut replicas;
        for replica in [&mut *one, &mut *other] {
            assert_eq!(replica.ask(&format!("hold {}", 5 * WRITES)), format!("holds {}", 5 * WRITES));
        }
        let ids = [id(one), id(other)];
        assert_ne!(ids[0], ids[1]);
        close_and_compare(&mut [one, other], &folders, 5 * WRITES);

        // What was settled is settled: both go on under these ids, and meet without another word about it.
        let ((mut one, one_id), (mut other, other_id)) = (open(&folders[0]), open(&folders[1]));
        assert_eq!([&one_id, &other_id], [&ids[0], &ids[1]]);
        one.ask("write 10 after-0");
        other.ask("write 10 after-1");
        connect(&mut other, &mut one);
        close_and_compare(&mut [&mut one, &mut other], &folders, 5 * WRITES + 20);
    }
}

#[test]
fn a_third_replica_that_knows_one_of_them_meets_both_and_loses_nothing() {
    let scratch = Scratch::new("twins-and-a-third");
    let [original, copied] = twins(&scratch);
    let third = scratch.join("third");
    let (mut server, _) = open(&third);
    let server_url = url(&mut server);
    let (mut one, _) = open(&original);
    one.ask(&format!("connect {server_url}"));
    one.ask(&format!("write {WRITES} one"));
    server.ask(&format!("hold {}", 2 * WRITES));

    let (mut other, _) = open(&copied);
    other.ask(&format!("write {WRITES} other"));
    connect(&mut other, &mut one);
    other.ask(&format!("connect {server_url}"));
    let all = 3 * WRITES;
    for replica in [&mut one, &mut other, &mut server] {
        assert_eq!(replica.ask(&format!("hold {all}")), format!("holds {all}"));
    }
    let ids: BTreeSet<String> = [&mut one, &mut other, &mut server].map(id).into();
    assert_eq!(ids.len(), 3);
    for (number, replica) in [&mut one, &mut other, &mut server].into_iter().enumerate() {
        replica.ask(&format!("write 10 after-{number}"));
    }
    close_and_compare(&mut [&mut one, &mut other, &mut server], &[original, copied, third], all + 30);
}

/// What they do first is the same to the byte: nothing but the processes that did it tells the two apart.
#[test]
fn a_store_and_its_copy_that_begin_with_the_same_have_both_counted() {
    let scratch = Scratch::new("twins-alike");
    let folders = twins(&scratch);
    let ((mut one, _), (mut other, _)) = (open(&folders[0]), open(&folders[1]));
    for replica in [&mut one, &mut other] {
        assert_eq!(replica.ask("add"), "added");
    }
    connect(&mut other, &mut one);
    let all = WRITES + 2;
    for replica in [&mut one, &mut other] {
        assert_eq!(replica.ask(&format!("sum {all}")), format!("counts {all}"));
    }
    quit(&mut [&mut one, &mut other]);
    let found = folders.map(|folder| look(&folder).document);
    assert_eq!(found[0].encode(), found[1].encode());
    assert_eq!(found[0].root().counter("n"), Some(all as i128));
}

/// Both have told somebody else before they are gone: nobody can give either another name.
#[test]
fn two_that_heard_of_one_twin_each_go_on_together_once_one_of_them_sets_that_aside() {
    let scratch = Scratch::new("twins-spread");
    let folders = twins(&scratch);
    let servers = [scratch.join("server-0"), scratch.join("server-1")];
    for (number, folder) in folders.iter().enumerate() {
        let ((mut twin, _), (mut server, _)) = (open(folder), open(&servers[number]));
        connect(&mut twin, &mut server);
        twin.ask(&format!("write {WRITES} life-{number}"));
        let all = format!("hold {}", 2 * WRITES);
        server.ask(&all);
        server.ask(&format!("write {WRITES} server-{number}"));
        quit(&mut [&mut twin, &mut server]);
    }
    let ((mut one, _), (mut other, _)) = (open(&servers[0]), open(&servers[1]));
    let other_url = url(&mut other);
    assert_eq!(one.ask(&format!("dispute {other_url}")), "disputed");
    assert_eq!(one.ask("aside before"), format!("aside {}", 3 * WRITES));
    for (number, replica) in [&mut one, &mut other].into_iter().enumerate() {
        replica.ask(&format!("hold {}", 3 * WRITES));
        replica.ask(&format!("write 10 after-{number}"));
    }
    assert_eq!(other.ask(&format!("hold {} before", 3 * WRITES)), format!("holds {}", 3 * WRITES));
    let found = close_and_compare(&mut [&mut one, &mut other], &servers, 3 * WRITES + 20);
    assert_eq!(written_by(&found[0], ["common", "life-1", "server-1"]), [WRITES; 3]);

    // What was set aside is on both disks, with all of the other history.
    let aside = servers.map(|folder| look_at(&folder, "before"));
    assert_eq!(aside[0].document.encode(), aside[1].document.encode());
    assert_eq!(written_by(&aside[0], ["common", "life-0", "server-0"]), [WRITES; 3]);
}
