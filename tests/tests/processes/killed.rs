//! `kill -9` at random moments, while a process writes and syncs with another, which writes as well.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use crdt_core::EditError;
use crdt_net::{Options, Replica, TransactError};
use crdt_tests::Choices;
use crdt_tests::law::from_env;
use crdt_tests::process::{DOCUMENT, ELEMENTS, Process};

use crate::support::{Scratch, acked, look, start};

#[test]
fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    let kills = from_env("CRDT_KILLS").unwrap_or(500);
    let scratch = Scratch::new("killed");
    let folder = scratch.join("victim");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let (peer, url) = runtime.block_on(async {
        let peer = Replica::open(Options::default()).await.expect("in memory");
        let address = peer.listen("127.0.0.1:0").await.expect("a free port");
        (peer, format!("ws://{address}"))
    });
    let mut choices = Choices::new(9);
    let (mut replica, mut all, mut while_opening) = (None, BTreeSet::new(), 0);
    let (mut of_peer, mut told_to_peer) = (BTreeSet::new(), 0);
    for kill in 0..kills {
        of_peer.insert(runtime.block_on(write_one(&peer, kill)));
        let victim = start(&folder, &["--write", &kill.to_string(), "--connect", &url]);
        // One in four is killed before it has said anything: while it is made, or opened.
        let mut said = Vec::new();
        if choices.below(4) > 0 {
            said.extend(victim.line());
            thread::sleep(Duration::from_millis(choices.below(40) as u64));
        } else {
            thread::sleep(Duration::from_micros(choices.below(15_000) as u64));
        }
        let has_told_peer = runtime.block_on(is_level(&peer));
        said.extend(victim.kill());
        assert!(!said.iter().any(|line| line.starts_with("failed")), "kill {kill}: {said:?}");
        let found = look(&folder);
        assert!(!found.is_renewed, "kill {kill}: the store has lost its id");
        assert_eq!(*replica.get_or_insert(found.replica), found.replica, "kill {kill}");
        while_opening += u64::from(said.is_empty());
        if has_told_peer {
            told_to_peer += 1;
            assert!(of_peer.iter().all(|element| found.holds(element)), "kill {kill}: the peer was told it is durable");
        }
        for element in acked(&said) {
            assert!(found.holds(element), "kill {kill}: {element} was acknowledged");
            all.insert(element.to_owned());
        }
    }
    println!(
        "{kills} kills, {while_opening} of them while opening, {} acknowledged writes; \
         {told_to_peer} times the peer had an acknowledgement of all of its own",
        all.len()
    );
    assert!(all.len() as u64 > kills && while_opening > kills / 20 && told_to_peer > kills / 20);

    // In the end both hold the same, and everything: no dot ever had two contents.
    let mut last = start(&folder, &["--connect", &url]);
    last.line().expect("it opens");
    let state = settle(&runtime, &peer, &mut last);
    last.ask("quit");
    assert_eq!(last.rest(), [""; 0]);
    let found = look(&folder);
    assert!(all.union(&of_peer).all(|element| found.holds(element)));
    assert_eq!(found.document.digest().to_string(), state);
    runtime.block_on(peer.close());
}

/// Writes an element at the peer, and returns it.
async fn write_one(peer: &Replica, kill: u64) -> String {
    let element = format!("peer-{kill}");
    let written = element.clone();
    let document = peer.document(DOCUMENT).await.expect("open");
    let edit = document.transact(move |edit| edit.set(ELEMENTS).insert(written));
    edit.await.map_err(|error: TransactError<EditError>| error).expect("a valid edit");
    element
}

/// Tells whether the other end has acknowledged, as durable, all that the peer holds.
async fn is_level(peer: &Replica) -> bool {
    let links = peer.status().await.expect("open").links;
    links.iter().any(|link| link.documents == 1 && link.in_sync == 1)
}

/// Waits until both hold the same; returns the digest.
fn settle(runtime: &tokio::runtime::Runtime, peer: &Replica, process: &mut Process) -> String {
    // What a replica writes last comes last: who has it has all that was there before.
    assert_eq!(process.ask("write 1 last"), "written 1");
    let here = runtime.block_on(async {
        let document = peer.document(DOCUMENT).await.expect("open");
        let mut watch = document.watch().await.expect("open");
        loop {
            let snapshot = document.snapshot().await.expect("open");
            if snapshot.root().set(ELEMENTS).is_some_and(|set| set.contains(&"last-0".into())) {
                return snapshot;
            }
            watch.next().await.expect("open");
        }
    });
    let elements = here.root().set(ELEMENTS).map_or(0, |set| set.len());
    assert_eq!(process.ask(&format!("hold {elements}")), format!("holds {elements}"));
    let state = process.ask("state");
    assert!(state.ends_with(&format!(" {:016x} {}", here.frontier().hash(), here.digest())), "{state}");
    here.digest().to_string()
}
