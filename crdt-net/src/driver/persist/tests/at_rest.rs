//! Documents at rest on such a disk: what is read when, and who waits for it.

use crdt_core::Document;
use crdt_sync::{DocumentId, Ticket, Write};

use super::super::{Done, NOTES_MAX, Persist};
use super::*;

fn id(name: &str) -> DocumentId {
    DocumentId::new(name).expect("a valid name")
}

/// Opens a replica that keeps one document in memory, and lets `d` rest, which holds one write.
async fn open_at_rest(set: impl FnOnce(&mut Options)) -> (Scene, DocumentHandle) {
    let scene = open(Sync::Return, |options| {
        options.sync.resident_documents_max = 1;
        set(options);
    })
    .await;
    let other = scene.replica.document("other").await.unwrap();
    let writing = async { tokio::join!(add(&scene.document), scene.replica.flush()) };
    within(writing).await.0.unwrap();
    let writing = async { tokio::join!(add(&other), scene.replica.flush()) };
    within(writing).await.0.unwrap();
    until(async || resident(&scene).await == 1).await;
    assert_eq!(scene.gate.loads(), 0);
    (scene, other)
}

async fn resident(scene: &Scene) -> usize {
    scene.replica.status().await.expect("open").resident_documents
}

/// Starts a transaction that reads the counter and adds to it.
fn start(document: &DocumentHandle) -> tokio::task::JoinHandle<Result<i64, TransactError<EditError>>> {
    let document = document.clone();
    tokio::spawn(async move {
        let edit = document.transact(|edit| {
            let found = edit.counter("n").value();
            edit.counter("n").add(1)?;
            Ok(i64::try_from(found).expect("small"))
        });
        within(edit).await
    })
}

async fn open_persist(durability: Durability) -> (Persist, Arc<Gate>) {
    let gate = Gate::new(Sync::Return);
    let options = Options { durability, ..Options::default() };
    let clock = Clock::start(options.wall_clock.clone());
    let opened = open_gated(&MemoryStore::new(), &gate, &options, &clock).await;
    (opened.persist, gate)
}

fn write_to(document: &mut Document) -> Write {
    let mut edit = document.transact(0);
    edit.counter("n").add(1).expect("far from overflow");
    Write::Delta(Arc::new(edit.commit().expect("a change was made").delta))
}

#[tokio::test]
async fn load_sees_every_write_before_it_and_waits_for_no_sync() {
    let (mut persist, gate) = open_persist(Durability::Immediate).await;
    gate.set(Sync::Wait);
    let mut document = Document::new(ReplicaId::from_u128(1));
    for ticket in 1..=3 {
        persist.write(Ticket(ticket), id("d"), write_to(&mut document)).unwrap();
    }
    assert!(persist.load(&id("d")).unwrap().is_none(), "it comes later");
    persist.write(Ticket(4), id("d"), write_to(&mut document)).unwrap();
    persist.commit().unwrap();
    let Done::Loaded(loaded) = within(persist.done()).await.unwrap() else { panic!("the sync has not returned") };
    assert_eq!(loaded.iter().map(|(id, stored)| (id.as_str(), stored.deltas.len())).collect::<Vec<_>>(), [("d", 3)]);
    gate.set(Sync::Return);
    assert!(matches!(within(persist.done()).await.unwrap(), Done::Durable(Ticket(4))));
    within(persist.shut_down()).await;
}

#[tokio::test]
async fn only_so_many_documents_are_on_their_way_and_each_comes_once() {
    let (mut persist, gate) = open_persist(HOUR).await;
    let names: Vec<String> = (0..500).map(|number| format!("{number:03}")).collect();
    for (ticket, name) in (1..).zip(&names) {
        let write = write_to(&mut Document::new(ReplicaId::from_u128(1)));
        persist.write(Ticket(ticket), id(name), write).unwrap();
    }
    for name in &names {
        assert!(persist.load(&id(name)).unwrap().is_none());
    }
    persist.commit().unwrap();
    persist.hurry();
    within(async {
        while gate.loads() < 64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    settle().await;
    assert_eq!(gate.loads(), 64, "nobody has taken one yet");
    let mut found = Vec::new();
    while found.len() < names.len() {
        if let Done::Loaded(loaded) = within(persist.done()).await.unwrap() {
            found.extend(loaded.into_iter().map(|(id, _)| id.as_str().to_owned()));
            assert!(gate.loads() <= found.len() + 64);
        }
    }
    assert_eq!(found, names);
    within(persist.shut_down()).await;
}

/// A close dropped the callers who waited, and then waited for every document that they had asked for.
#[tokio::test]
async fn nothing_is_read_after_the_end_but_what_is_on_its_way() {
    let (mut persist, gate) = open_persist(HOUR).await;
    let names: Vec<String> = (0..500).map(|number| format!("{number:03}")).collect();
    for (ticket, name) in (1..).zip(&names) {
        let write = write_to(&mut Document::new(ReplicaId::from_u128(1)));
        persist.write(Ticket(ticket), id(name), write).unwrap();
        assert!(persist.load(&id(name)).unwrap().is_none());
    }
    gate.set(Sync::Wait);
    persist.commit().unwrap();
    persist.finish();
    until(async || gate.syncs() == 1).await;
    // The thread is still there when these are taken, and room is made for more.
    assert!(matches!(within(persist.done()).await.unwrap(), Done::Loaded(loaded) if loaded.len() == 64));
    gate.set(Sync::Return);
    let mut durable = None;
    loop {
        match within(persist.done()).await.unwrap() {
            Done::Durable(ticket) => durable = Some(ticket),
            Done::All => break,
            _ => {}
        }
    }
    assert_eq!((durable, gate.loads()), (Some(Ticket(500)), 64));
    within(persist.shut_down()).await;
}

/// Waits until everything committed before is carried out.
async fn pass_through(persist: &mut Persist) {
    // The second load is in a group of its own.
    for _ in 0..2 {
        assert!(persist.load(&id("e")).unwrap().is_none());
        persist.commit().unwrap();
        assert!(matches!(within(persist.done()).await.unwrap(), Done::Loaded(_)));
    }
}

#[tokio::test]
async fn notes_alone_are_synced_when_there_are_many_or_the_store_is_closed() {
    let (mut persist, gate) = open_persist(Durability::Immediate).await;
    let mut document = Document::new(ReplicaId::from_u128(1));
    persist.write(Ticket(1), id("e"), write_to(&mut document)).unwrap();
    persist.commit().unwrap();
    assert!(matches!(within(persist.done()).await.unwrap(), Done::Durable(Ticket(1))));
    for (notes, syncs) in [(NOTES_MAX - 1, 1), (1, 2), (10, 2)] {
        for _ in 0..notes {
            persist.note_head(id("e"), document.head()).unwrap();
        }
        pass_through(&mut persist).await;
        assert_eq!(gate.syncs(), syncs);
    }
    persist.finish();
    assert!(matches!(within(persist.done()).await.unwrap(), Done::All));
    assert_eq!(gate.syncs(), 3);
}

#[tokio::test]
async fn calls_wait_in_order_for_a_document_at_rest_and_others_go_on() {
    let (scene, other) = open_at_rest(|_| {}).await;
    scene.gate.set_load(Load::Wait);
    let writes: Vec<_> = (0..8).map(|_| start(&scene.document)).collect();
    let document = scene.document.clone();
    let reading = tokio::spawn(async move { document.snapshot().await });
    until(async || scene.gate.loads() == 1).await;
    assert_eq!(sum(&other).await, 1);
    assert_eq!(scene.replica.versions().await.unwrap()[&id("d")].total(), 1, "known without its content");
    let version = scene.replica.versions().await.unwrap()[&id("d")].clone();
    within(scene.document.wait_for(&version)).await.unwrap();
    settle().await;
    assert!(!reading.is_finished() && writes.iter().all(|write| !write.is_finished()));

    scene.gate.set_load(Load::Return);
    for (number, write) in (1..).zip(writes) {
        assert_eq!(within(write).await.unwrap(), Ok(number));
    }
    let read = within(reading).await.unwrap().unwrap();
    assert_eq!(read.root().counter("n"), Some(9), "behind the writes that came before it");
    assert_eq!(scene.gate.loads(), 1, "one load for all");
    assert_eq!(scene.replica.status().await.unwrap().storage.loads, 1);
}

#[tokio::test]
async fn load_does_not_wait_for_company() {
    let (scene, _) = open_at_rest(|options| options.durability = HOUR).await;
    assert_eq!(within(scene.document.snapshot()).await.unwrap().root().counter("n"), Some(1));
}

#[tokio::test]
async fn caller_that_gave_up_while_its_document_was_read_writes_nothing() {
    let (scene, _) = open_at_rest(|_| {}).await;
    scene.gate.set_load(Load::Wait);
    let (given_up, kept) = (start(&scene.document), start(&scene.document));
    until(async || scene.gate.loads() == 1).await;
    settle().await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    scene.gate.set_load(Load::Return);
    assert_eq!(within(kept).await.unwrap(), Ok(1));
    assert_eq!(sum(&scene.document).await, 2);
}

#[tokio::test]
async fn flush_waits_for_the_calls_before_it_and_for_none_after() {
    let (scene, other) = open_at_rest(|options| options.durability = HOUR).await;
    scene.gate.set_load(Load::Wait);
    let before = start(&scene.document);
    until(async || scene.gate.loads() == 1).await;
    let replica = scene.replica.clone();
    let flush = tokio::spawn(async move { replica.flush().await });
    settle().await;
    assert!(!flush.is_finished());
    let after = start(&other);
    settle().await;
    scene.gate.set_load(Load::Return);
    within(flush).await.unwrap().unwrap();
    assert_eq!(within(before).await.unwrap(), Ok(1));
    within(after).await.unwrap().unwrap();
}

#[tokio::test]
async fn document_that_cannot_be_read_closes_the_replica_with_the_reason() {
    for load in [Load::Fail, Load::Miss, Load::Other] {
        let (scene, other) = open_at_rest(|_| {}).await;
        scene.gate.set_load(Load::Wait);
        let write = start(&scene.document);
        until(async || scene.gate.loads() == 1).await;
        scene.gate.set_load(load);
        assert_eq!(within(write).await.unwrap(), Err(TransactError::Closed(Closed)));
        let reason = within(scene.replica.closed()).await;
        match load {
            Load::Fail => assert!(matches!(reason, Some(StoreError::Io(_))), "{reason:?}"),
            _ => {
                assert!(matches!(&reason, Some(StoreError::Damaged(what)) if what.contains("document d")), "{reason:?}")
            }
        }
        assert_eq!(add(&other).await, Err(TransactError::Closed(Closed)));
        assert_eq!(scene.store.load("d").unwrap().version.total(), 1, "never taken for an empty one");
    }
}

#[tokio::test]
async fn close_drops_calls_that_wait_and_what_was_taken_in_is_saved() {
    let (scene, other) = open_at_rest(|_| {}).await;
    scene.gate.set_load(Load::Wait);
    let waiting = start(&scene.document);
    until(async || scene.gate.loads() == 1).await;
    let taken_in = start(&other);
    until(async || sum(&other).await == 2).await;
    let closing = tokio::spawn(scene.replica.clone().close());
    settle().await;
    scene.gate.set_load(Load::Return);
    within(closing).await.unwrap();
    assert_eq!(within(waiting).await.unwrap(), Err(TransactError::Closed(Closed)));
    assert_eq!(within(taken_in).await.unwrap(), Ok(1));
    assert!(scene.replica.failure().is_none());
    assert_eq!(scene.store.load("other").unwrap().version.total(), 2);
}

#[tokio::test]
async fn only_so_many_callers_wait_for_documents() {
    let (scene, other) = open_at_rest(|_| {}).await;
    scene.gate.set_load(Load::Wait);
    let mut callers = JoinSet::new();
    for _ in 0..ANSWERS_MAX {
        let document = scene.document.clone();
        callers.spawn(async move { document.snapshot().await });
    }
    until(async || scene.gate.loads() == 1).await;
    for _ in 0..100 {
        settle().await;
    }
    let more = tokio::spawn({
        let other = other.clone();
        async move { other.snapshot().await }
    });
    for _ in 0..10 {
        settle().await;
    }
    assert!(!more.is_finished(), "no more commands are taken in");
    scene.gate.set_load(Load::Return);
    for read in within(callers.join_all()).await {
        assert_eq!(read.unwrap().root().counter("n"), Some(1));
    }
    within(more).await.unwrap().unwrap();
}

#[tokio::test]
async fn checkpoints_are_made_of_documents_that_leave_memory_at_once() {
    let store = MemoryStore::with_delta_bytes_max(500);
    // Slow enough that all four documents become durable, and may leave memory, at once.
    let sync = Sync::Take(Duration::from_millis(2));
    let scene = open_on(&store, sync, |options| options.sync.resident_documents_max = 1).await;
    let mut documents = vec![scene.document.clone()];
    for name in ["e", "f", "g"] {
        documents.push(scene.replica.document(name).await.unwrap());
    }
    for _ in 0..100 {
        let mut writers = JoinSet::new();
        for document in &documents {
            let document = document.clone();
            writers.spawn(async move { add(&document).await.unwrap() });
        }
        within(writers.join_all()).await;
    }
    let storage = scene.replica.status().await.unwrap().storage;
    assert!(storage.loads >= 100, "{storage:?}");
    within(scene.replica.close()).await;
    for document in &documents {
        let deltas = store.load(document.id().as_str()).unwrap().deltas.len();
        assert!(deltas <= 40, "{deltas} of 100 writes to {} were not folded: {storage:?}", document.id());
    }
    let again = open_on(&store, Sync::Return, |_| {}).await;
    assert_eq!(again.gate.loads(), 0, "every head was noted");
    for document in documents {
        let document = again.replica.document(document.id().as_str()).await.unwrap();
        assert_eq!(sum(&document).await, 100);
    }
}

#[tokio::test]
async fn peers_write_to_documents_at_rest_and_are_acknowledged_when_that_is_durable() {
    let (scene, _) = open_at_rest(|_| {}).await;
    let phone = open_in_memory().await;
    let address = scene.replica.listen("127.0.0.1:0").await.unwrap();
    phone.connect(&format!("ws://{address}")).await.unwrap();
    let there = phone.document("d").await.unwrap();
    until(async || sum(&there).await == 1).await;
    let loads = scene.gate.loads();
    let mut watch = scene.document.watch().await.unwrap();
    within(scene.replica.document("other").await.unwrap().snapshot()).await.unwrap();
    scene.gate.set(Sync::Wait);
    add(&there).await.unwrap();
    assert!(matches!(within(watch.next()).await, Some(WatchEvent::Changed { .. })));
    settle().await;
    assert!(scene.gate.loads() > loads);
    let is_in_sync = async || {
        let status = phone.status().await.unwrap();
        status.links.iter().all(|link| link.in_sync == link.documents)
    };
    assert!(!is_in_sync().await);
    scene.gate.set(Sync::Return);
    until(is_in_sync).await;
}
