//! Documents from the outside: transactions, deltas, snapshots, and what readers see of them.

use std::num::NonZeroU64;

use crdt_core::{
    ApplyError, Change, Changed, DecodeError, Delta, Document, EditError, Kind, MergeError, ReplicaId, Snapshot, Value,
    limits,
};

const A: ReplicaId = ReplicaId::from_u128(1);
const B: ReplicaId = ReplicaId::from_u128(2);
const NOW: u64 = 1_700_000_000_000;

/// Commits one edit and returns its delta.
fn edit(document: &mut Document, edit: impl FnOnce(&mut crdt_core::Transaction<'_>)) -> Delta {
    let mut tx = document.transact(NOW);
    edit(&mut tx);
    tx.commit().expect("the edit writes something").delta
}

#[test]
fn a_dropped_transaction_changes_nothing_and_spends_no_dot() {
    let mut document = Document::new(A);
    let before = document.snapshot();
    let mut tx = document.transact(NOW);
    tx.set("tags").insert("x").expect("small");
    drop(tx);
    assert_eq!(document.snapshot(), before);
    assert!(document.transact(NOW).commit().is_none());
    let mut tx = document.transact(NOW);
    let _ = tx.map("looked").map("at").counter("only").value();
    assert!(tx.commit().is_none());
    assert_eq!(document.snapshot(), before);
}

#[test]
fn reads_within_a_transaction_see_its_own_edits() {
    let mut document = Document::new(A);
    let _ = edit(&mut document, |tx| {
        tx.set("tags").insert("old").unwrap();
        tx.counter("n").add(7).unwrap();
        tx.register("name").set("before").unwrap();
        tx.map("sub").register("r").set(1).unwrap();
    });
    let mut tx = document.transact(NOW);
    assert!(tx.set("tags").remove("old").unwrap());
    assert!(!tx.set("tags").remove("old").unwrap());
    tx.set("tags").insert("new").unwrap();
    assert!(tx.set("tags").contains(&Value::from("new")) && !tx.set("tags").contains(&Value::from("old")));
    tx.counter("n").add(1).unwrap();
    assert_eq!(tx.counter("n").value(), 8);
    tx.counter("n").reset().unwrap();
    assert_eq!(tx.counter("n").value(), 0);
    tx.counter("n").add(2).unwrap();
    assert_eq!(tx.counter("n").value(), 2);
    tx.register("name").clear().unwrap();
    assert_eq!(tx.register("name").get(), None);
    assert!(tx.root().remove(Kind::Map, "sub").unwrap());
    assert!(!tx.root().remove(Kind::Map, "sub").unwrap());
    let names: Vec<String> = tx.root().keys().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["counter:n", "set:tags"]);
    let _ = tx.commit();
    assert_eq!(document.root().to_json(), serde_json::json!({"n": 2, "tags": ["new"]}));
}

#[test]
fn changes_tell_what_a_user_interface_must_redraw() {
    let (mut a, mut b) = (Document::new(A), Document::new(B));
    let delta = edit(&mut a, |tx| {
        tx.map("cart").counter("apple").add(2).unwrap();
        tx.set("tags").insert("x").unwrap();
        tx.register("name").set("Alice").unwrap();
    });
    let changes: Vec<Change> = b.apply(&delta).unwrap().into_iter().collect();
    let shown: Vec<(String, &Changed)> = changes.iter().map(|change| (change.path.to_string(), &change.what)).collect();
    let name = Changed::Register { value: Some("Alice".into()), values: 1 };
    assert_eq!(
        shown,
        [
            ("/map:cart/counter:apple".to_owned(), &Changed::Counter(Some(2))),
            ("/register:name".to_owned(), &name),
            ("/set:tags".to_owned(), &Changed::Inserted("x".into())),
        ]
    );
    assert!(b.apply(&delta).unwrap().is_empty(), "a delta that is covered changes nothing");
}

#[test]
fn bytes_come_back_as_the_same_delta_and_the_same_document() {
    let mut a = Document::new(A);
    let mut deltas = vec![edit(&mut a, |tx| {
        tx.map("m").set("s").insert(1.5).unwrap();
        tx.map("m").set("s").create().unwrap();
        tx.map("m").create().unwrap();
        tx.register("r").set(vec![0_u8, 255]).unwrap();
        tx.counter("c").add(-3).unwrap();
    })];
    deltas.push(edit(&mut a, |tx| {
        tx.root().remove(Kind::Map, "m").unwrap();
        tx.counter("c").reset().unwrap();
        tx.register("r").set(Value::Null).unwrap();
    }));
    let mut coalesced = deltas[0].clone();
    coalesced.coalesce(&deltas[1]).unwrap();
    deltas.push(coalesced);
    for delta in &deltas {
        assert_eq!(&Delta::decode(&delta.to_bytes()).unwrap(), delta);
    }
    let bytes = a.snapshot().encode();
    let back = Snapshot::decode(&bytes).unwrap();
    assert_eq!(back, a.snapshot());
    assert_eq!(back.encode(), bytes);
    let mut b = Document::new(B);
    b.apply(&deltas[2]).unwrap();
    assert_eq!(b, a);
    assert_eq!(b.snapshot().encode(), bytes);
}

#[test]
fn an_empty_container_exists_only_if_it_was_created() {
    let mut document = Document::new(A);
    let _ = edit(&mut document, |tx| {
        tx.map("made").create().unwrap();
        tx.set("filled").insert(1).unwrap();
    });
    let _ = edit(&mut document, |tx| {
        tx.set("filled").remove(1).unwrap();
    });
    assert!(document.root().map("made").is_some());
    assert!(document.root().set("filled").is_none());
    let _ = edit(&mut document, |tx| {
        tx.root().clear().unwrap();
    });
    assert!(document.root().is_empty());
    assert_eq!(document.snapshot().encode().len(), 1 + 1 + 25 + 2 + 16, "nothing is left but the version");
}

#[test]
fn a_reset_counter_leaves_nothing_once_its_owners_have_written_again() {
    let (mut a, mut b) = (Document::new(A), Document::new(B));
    b.apply(&edit(&mut a, |tx| tx.counter("n").add(100).unwrap())).unwrap();
    let reset = edit(&mut b, |tx| tx.counter("n").reset().unwrap());
    a.apply(&reset).unwrap();
    assert_eq!(a.root().counter("n"), None);
    let empty = a.snapshot().encode().len();
    b.apply(&edit(&mut a, |tx| tx.register("r").set(1).unwrap())).unwrap();
    b.apply(&edit(&mut a, |tx| tx.register("r").clear().unwrap())).unwrap();
    assert_eq!(a, b);
    assert!(a.snapshot().encode().len() < empty);
    assert_eq!(a.digest(), crdt_core::Digest::default(), "no entry is left");
}

#[test]
fn an_increment_concurrent_with_a_reset_stays_alone_by_deltas_and_by_merge() {
    let (mut a, mut b) = (Document::new(A), Document::new(B));
    let hundred = edit(&mut a, |tx| tx.counter("n").add(100).unwrap());
    b.apply(&hundred).unwrap();
    let reset = edit(&mut b, |tx| tx.counter("n").reset().unwrap());
    let five = edit(&mut a, |tx| tx.counter("n").add(5).unwrap());
    let (before_a, before_b) = (a.snapshot(), b.snapshot());
    a.apply(&reset).unwrap();
    b.apply(&five).unwrap();
    let mut c = Document::new(ReplicaId::from_u128(3));
    c.merge(&before_a).unwrap();
    c.merge(&before_b).unwrap();
    for document in [&a, &b, &c] {
        assert_eq!(document.root().counter("n"), Some(5));
        assert_eq!(document, &a);
    }
}

#[test]
fn a_coalesced_delta_takes_out_what_a_receiver_got_in_between() {
    let (mut a, mut b) = (Document::new(A), Document::new(B));
    let added = edit(&mut a, |tx| tx.set("s").insert("x").unwrap());
    let removed = edit(&mut a, |tx| assert!(tx.set("s").remove("x").unwrap()));
    b.apply(&added).unwrap();
    let mut both = added;
    both.coalesce(&removed).unwrap();
    b.apply(&both).unwrap();
    assert!(b.root().set("s").is_none());
    assert_eq!(a, b);
}

/// Of an element of 12 bytes: kind and length 1, how many dots 1, which one 2 (1 for the first 128).
#[test]
fn many_elements_at_once_take_four_bytes_each_beside_their_content() {
    const ELEMENTS: usize = 1_000;
    let mut document = Document::new(A);
    let _ = edit(&mut document, |tx| tx.set("s").insert("first").unwrap());
    let mut insert = |number| edit(&mut document, |tx| tx.set("s").insert(format!("k{number:011}")).unwrap());
    let mut batch = insert(0);
    (1..ELEMENTS).for_each(|number| batch.coalesce(&insert(number)).unwrap());
    let bytes = batch.to_bytes();
    assert!(bytes.len() <= 16 * ELEMENTS, "{}", bytes.len());
    assert_eq!(Delta::decode(&bytes), Ok(batch));
}

#[test]
fn a_gap_is_refused_and_changes_nothing() {
    let (mut a, mut b) = (Document::new(A), Document::new(B));
    let _ = edit(&mut a, |tx| tx.set("s").insert(1).unwrap());
    let second = edit(&mut a, |tx| tx.set("s").insert(2).unwrap());
    let before = b.snapshot();
    assert_eq!(b.apply(&second), Err(ApplyError::Gap { replica: A, have: 0, after: 1 }));
    assert_eq!(b.snapshot(), before);
}

#[test]
fn every_limit_holds_at_itself_and_fails_one_above() {
    let mut document = Document::new(A);
    let mut tx = document.transact(NOW);
    let key = "k".repeat(limits::KEY_BYTES_MAX);
    assert_eq!(tx.register(&key).set(1), Ok(()));
    assert_eq!(tx.register(&(key + "k")).set(1), Err(EditError::KeyTooLong { bytes: limits::KEY_BYTES_MAX + 1 }));
    let value = "v".repeat(limits::VALUE_BYTES_MAX);
    assert_eq!(tx.register("v").set(value.as_str()), Ok(()));
    let bytes = limits::VALUE_BYTES_MAX + 1;
    assert_eq!(tx.set("s").insert(value + "v"), Err(EditError::ValueTooLarge { bytes }));
    assert_eq!(nest(&mut tx.root(), limits::NESTING_MAX), Ok(()));
    assert_eq!(nest(&mut tx.root(), limits::NESTING_MAX + 1), Err(EditError::TooDeep));
    assert_eq!(tx.counter("n").add(i64::MAX), Ok(()));
    assert_eq!(tx.counter("n").add(1), Err(EditError::CounterOverflow));
    let delta = tx.commit().unwrap().delta;
    assert_eq!(Delta::decode(&delta.to_bytes()).unwrap(), delta);
    let bytes = document.snapshot().encode();
    assert_eq!(Snapshot::decode(&bytes).unwrap(), document.snapshot());
}

/// Writes a register at a depth of so many keys.
fn nest(map: &mut crdt_core::MapMut<'_>, depth: usize) -> Result<(), EditError> {
    if depth == 1 { map.register("leaf").set(1) } else { nest(&mut map.map("deeper"), depth - 1) }
}

#[test]
fn json_comes_back_as_the_same_json() {
    let json = serde_json::json!({
        "name": "Alice", "tags": ["a", "b"], "none": null, "price$$": 1.5, "empty": {}, "nothing": [],
        "raw": {"$bytes": "00ff"}, "odd": {"$float": "NaN"}, "deep": {"er": {"yes": true}},
    });
    let mut document = Document::new(A);
    let mut tx = document.transact(NOW);
    tx.root().put_json(&json).unwrap();
    tx.root().put_json(&serde_json::json!({"n": {"$counter": 5}, "name$counter": 2})).unwrap();
    let _ = tx.commit();
    let mut expected = json;
    expected["n"] = 5.into();
    expected["name$counter"] = 2.into();
    assert_eq!(document.root().to_json(), expected);
}

/// A snapshot whose version lists so many other replicas, and nothing else.
fn crowd(replicas: usize) -> Snapshot {
    let mut bytes = vec![3];
    let heads = (0..replicas as u128).map(|n| (ReplicaId::from_u128(1_000 + n), 1, 7));
    heads.collect::<crdt_core::Frontier>().encode(&mut bytes);
    bytes.extend([0; 2 + 16]);
    Snapshot::decode(&bytes).expect("an empty root")
}

#[test]
fn one_replica_too_many_can_read_and_not_write() {
    let mut last = Document::from_snapshot(A, crowd(limits::REPLICAS_MAX - 1));
    let _ = edit(&mut last, |tx| tx.counter("n").add(1).unwrap());
    let mut surplus = Document::from_snapshot(B, crowd(limits::REPLICAS_MAX));
    let mut tx = surplus.transact(NOW);
    assert_eq!(tx.counter("n").add(1), Err(EditError::TooManyReplicas(crdt_core::TooManyReplicas)));
    assert!(tx.commit().is_none());
    assert!(last.merge(&surplus.snapshot()).is_err());
}

#[test]
fn a_latecomer_is_refused_also_where_the_earlier_delta_has_a_range_of_its_replica() {
    let (mut a, mut c) = (Document::new(A), Document::new(B));
    let first = edit(&mut a, |tx| tx.register("k").set(1).unwrap());
    let second = edit(&mut a, |tx| tx.set("s").insert("x").unwrap());
    let third = edit(&mut a, |tx| tx.register("k").set(2).unwrap());
    c.apply(&first).unwrap();
    c.apply(&second).unwrap();
    let removal = edit(&mut c, |tx| assert!(tx.set("s").remove("x").unwrap()));
    let mut latecomer = second;
    latecomer.coalesce(&third).unwrap();
    let mut merged = first;
    merged.coalesce(&removal).unwrap();
    assert_eq!(Delta::decode(&merged.to_bytes()).as_ref(), Ok(&merged));
    assert!(merged.coalesce(&latecomer).is_err());
}

#[test]
fn stamps_do_not_go_back_when_a_document_is_opened_again() {
    let mut document = Document::new(A);
    let _ = edit(&mut document, |tx| tx.register("r").set("first").unwrap());
    let before = document.root().register("r").unwrap().conflicts()[0].stamp;
    let mut again = Document::from_snapshot(A, document.snapshot());
    let mut tx = again.transact(NOW - 120_000);
    tx.register("r").set("second").unwrap();
    let _ = tx.commit();
    assert!(again.root().register("r").unwrap().conflicts()[0].stamp > before);
}

#[test]
fn a_stolen_identity_is_told_from_a_gap() {
    let mut original = Document::new(A);
    let mut deltas = Vec::new();
    for n in 0..3 {
        deltas.push(edit(&mut original, |tx| tx.register("r").set(n).unwrap()));
    }
    let mut again = Document::new(A);
    let dot = crdt_core::Dot::new(A, 3);
    assert_eq!(again.apply(&deltas[2]), Err(ApplyError::OwnDot { dot }));
}

/// Counts one, in a transaction with or without a salt.
fn count(document: &mut Document, salt: u64) -> Delta {
    let mut tx = document.transact(NOW);
    if let Some(salt) = NonZeroU64::new(salt) {
        tx = tx.salted(salt);
    }
    tx.counter("n").add(1).expect("small");
    tx.commit().expect("the edit writes something").delta
}

#[test]
fn two_writers_with_one_id_who_do_the_same_are_told_apart_by_their_salts_and_only_by_them() {
    for (ours, theirs) in [(0, 0), (1, 1), (0, 1), (1, 0), (1, 2)] {
        let (mut one, mut other) = (Document::new(A), Document::new(A));
        for _ in 0..2 {
            let (salted_ours, salted_theirs) = (count(&mut one, ours), count(&mut other, theirs));
            assert_eq!(salted_ours == salted_theirs, ours == theirs);
            // What follows needs none.
            let (next_ours, next_theirs) = (count(&mut one, 0), count(&mut other, 0));
            assert_eq!(next_ours == next_theirs, ours == theirs);
        }
        let conflict = one.frontier().conflict_with(&other.frontier());
        assert_eq!(conflict.is_some(), ours != theirs);
        let mut third = Document::new(B);
        let _ = third.merge(&one.snapshot()).unwrap();
        let merged = third.merge(&other.snapshot());
        assert_eq!(matches!(merged, Err(MergeError::IdentityConflict { .. })), ours != theirs);
    }
}

#[test]
fn a_salt_takes_eight_bytes_and_is_part_of_the_history_wherever_it_is_read() {
    let (mut plain, mut salted) = (Document::new(A), Document::new(A));
    let salt = 0x0807_0605_0403_0201;
    let (without, with) = (count(&mut plain, 0).to_bytes(), count(&mut salted, salt).to_bytes());
    // A kind, the chain hash before, the salt, the content.
    assert_eq!((without[0], with[0]), (1, 4));
    assert_eq!(with[1..9], without[1..9]);
    assert_eq!(with[9..17], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(with[17..], without[9..]);

    let decoded = Delta::decode(&with).unwrap();
    assert_eq!(decoded.to_bytes(), with);
    assert_eq!(decoded.size_hint(), Delta::decode(&without).unwrap().size_hint() + 8);
    let mut reader = Document::new(B);
    let _ = reader.apply(&decoded).unwrap();
    assert_eq!(reader.frontier(), salted.frontier());
    assert_eq!(reader.snapshot().encode(), salted.snapshot().encode());
    assert_eq!(reader.snapshot().encode().len(), plain.snapshot().encode().len(), "snapshots have none");

    let mut none = with.clone();
    none[9..17].fill(0);
    assert_eq!(Delta::decode(&none), Err(DecodeError::NotCanonical("a salt")));
    assert!(matches!(Delta::decode(&with[..16]), Err(DecodeError::Truncated(_))));
}

#[test]
fn a_coalesced_delta_has_no_salt_and_leads_to_the_same_history() {
    for salts in [[1, 0], [0, 1], [1, 2]] {
        let mut writer = Document::new(A);
        let [first, second] = salts.map(|salt| count(&mut writer, salt));
        let mut both = first.clone();
        both.coalesce(&second).unwrap();
        let mut plain = Document::new(A);
        let mut plain_both = count(&mut plain, 0);
        plain_both.coalesce(&count(&mut plain, 0)).unwrap();
        assert_eq!(both.to_bytes().len(), plain_both.to_bytes().len());
        assert_eq!(Delta::decode(&both.to_bytes()).as_ref(), Ok(&both));

        for start in [vec![], vec![&first]] {
            let mut reader = Document::new(B);
            for delta in start.into_iter().chain([&both, &second]) {
                let _ = reader.apply(delta).unwrap();
            }
            assert_eq!((reader.frontier(), reader.digest()), (writer.frontier(), writer.digest()));
        }
        let mut other = Document::new(B);
        let _ = other.apply(&Delta::decode(&plain_both.to_bytes()).unwrap()).unwrap();
        assert!(matches!(other.apply(&both), Err(ApplyError::IdentityConflict { .. })));
    }
}

#[test]
fn a_name_that_says_another_kind_than_its_content_is_refused() {
    let mut document = Document::new(A);
    let mut tx = document.transact(NOW);
    assert!(tx.root().put_json(&serde_json::json!({"x$set": 5})).is_err());
    assert!(tx.root().put_json(&serde_json::json!({"x$counter": [5]})).is_err());
    assert!(tx.root().put_json(&serde_json::json!({"x$set": [5], "y$register": 1, "z$map": {"a": 1}})).is_ok());
}

/// The first state that comes is taken as it is, any other entry by entry.
#[test]
fn the_first_state_that_comes_shows_what_any_other_would() {
    let mut source = Document::new(A);
    drop(edit(&mut source, |tx| {
        tx.register("r").set("text").unwrap();
        tx.counter("n").add(2).unwrap();
        tx.set("empty").create().unwrap();
        let mut map = tx.map("m");
        map.create().unwrap();
        map.set("s").insert(1).unwrap();
        map.set("s").insert(2).unwrap();
        map.map("deeper").register("r").set(5).unwrap();
    }));
    let mut concurrent = Document::new(B);
    let mut tx = concurrent.transact(NOW + 1_000);
    tx.register("r").set("other").unwrap();
    source.apply(&tx.commit().unwrap().delta).unwrap();

    let seen = |changes: crdt_core::Changes| {
        let mut seen: Vec<String> = changes.iter().map(|change| format!("{change:?}")).collect();
        seen.sort();
        seen
    };
    let mut empty = Document::new(ReplicaId::from_u128(3));
    let mut written = Document::new(ReplicaId::from_u128(3));
    drop(edit(&mut written, |tx| tx.register("own").set(1).unwrap()));
    let first = seen(empty.merge(&source.snapshot()).unwrap());
    assert_eq!(first, seen(written.merge(&source.snapshot()).unwrap()));
    assert_eq!(first.len(), 7);
    assert!(empty == source);

    // It has learnt of the latest stamp, though its own clock is behind.
    drop(edit(&mut empty, |tx| tx.register("late").set("here").unwrap()));
    let mut stranger = Document::new(ReplicaId::from_u128(4));
    let mut tx = stranger.transact(NOW + 500);
    tx.register("late").set("elsewhere").unwrap();
    drop(tx.commit());
    empty.merge(&stranger.snapshot()).unwrap();
    assert_eq!(empty.root().register("late").unwrap().get(), &Value::from("here"));
}
