//! What has gone wrong in other libraries and must be impossible here, one test each.
//!
//! Numbered as in the project's list of failures seen in peers; 11 to 14 and 17 need a network and
//! stand with the protocol's tests.

use std::sync::Arc;

use crdt_core::codec::Encode;
use crdt_core::{
    ABSORB_MS_MAX, ApplyError, COUNTER_MAX, DecodeError, Delta, DeltaLog, Document, Dot, Frontier, Kind, MergeError,
    Snapshot, Stamp, Value, VersionVector,
};
use crdt_tests::scene::{Act, Scene, apply, commit, observer};
use crdt_tests::{Choices, View, WALL_MS, assert_same, assert_unchanged, forge, mutate, replica, through_bytes};

const ADD_X: Act = |t| t.set("s").insert("x");
const REMOVE_X: Act = |t| t.set("s").remove("x").map(drop);

fn has_x(document: &Document) -> bool {
    document.root().set("s").is_some_and(|set| set.contains(&Value::from("x")))
}

fn register<'a>(document: &'a Document, name: &str) -> Option<&'a str> {
    document.root().register(name).and_then(|register| register.get().as_text())
}

// 1. A backup is restored under the same id and written to before it synchronises.

/// Two lives of replica 1 after a common past of one transaction.
struct TwoLives {
    /// What replica 2 has of the first life.
    peer: Document,
    /// The deltas of the first life after the backup.
    first: Vec<Delta>,
    /// Replica 1 as restored from its backup.
    restored: Document,
    /// The deltas of the second life.
    second: Vec<Delta>,
}

fn two_lives(first: usize, second: usize) -> TwoLives {
    let mut original = Document::new(replica(1));
    let _ = commit(&mut original, WALL_MS, |t| t.register("before").set("common"));
    let backup = original.snapshot().encode();
    let mut peer = Document::from_snapshot(replica(2), original.snapshot());
    let first: Vec<Delta> =
        (0..first).map(|_| commit(&mut original, WALL_MS, |t| t.register("first").set("life"))).collect();
    first.iter().for_each(|delta| apply(&mut peer, delta));
    let backup = Snapshot::decode(&backup).expect("the backup is intact");
    let mut restored = Document::from_snapshot(replica(1), backup);
    let second =
        (0..second).map(|_| commit(&mut restored, WALL_MS + 60_000, |t| t.register("second").set("life"))).collect();
    TwoLives { peer, first, restored, second }
}

fn is_identity_error(error: &ApplyError) -> bool {
    matches!(error, ApplyError::IdentityConflict { .. } | ApplyError::OwnDot { .. })
}

#[test]
fn failure_01_two_lives_of_equal_length_are_told_apart() {
    let TwoLives { mut peer, first, mut restored, second } = two_lives(1, 1);
    let dot = Dot::new(replica(1), 2);
    assert_eq!(peer.frontier().conflict_with(&restored.frontier()), Some(dot));
    assert_eq!(restored.frontier().conflict_with(&peer.frontier()), Some(dot));
    let (peer_before, restored_before) = (peer.snapshot(), restored.snapshot());
    assert_eq!(peer.merge(&restored_before), Err(MergeError::IdentityConflict { dot }));
    assert_eq!(restored.merge(&peer_before), Err(MergeError::IdentityConflict { dot }));
    assert!(is_identity_error(&peer.apply(&second[0]).expect_err("the dot was spent on something else")));
    assert!(is_identity_error(&restored.apply(&first[0]).expect_err("the dot was spent on something else")));
    assert_unchanged(&peer, &peer_before);
    assert_unchanged(&restored, &restored_before);
}

#[test]
fn failure_01_a_longer_first_life_is_shown_to_the_restored_replica() {
    for second in 0..3 {
        let TwoLives { peer, first, mut restored, .. } = two_lives(3, second);
        let before = restored.snapshot();
        let next = &first[second];
        assert!(is_identity_error(&restored.apply(next).expect_err("we never spent that dot")));
        let merged = restored.merge(&peer.snapshot());
        assert!(matches!(merged, Err(MergeError::OwnDot { .. } | MergeError::IdentityConflict { .. })));
        assert_unchanged(&restored, &before);
    }
}

#[test]
fn failure_01_a_longer_second_life_is_refused_by_the_peer() {
    for second in 2..4 {
        let TwoLives { mut peer, second, .. } = two_lives(1, second);
        let before = peer.snapshot();
        let refused = peer.apply(&second[1]).expect_err("the chain does not continue");
        assert!(matches!(refused, ApplyError::IdentityConflict { .. }), "{refused}");
        assert_unchanged(&peer, &before);
    }
}

/// Coalesced or as a snapshot, a second life that has outgrown the first cannot be told from a
/// continuation by its receiver. Its sender can: the receiver says where it stands.
#[test]
fn failure_01_a_longer_second_life_is_seen_in_the_log_before_it_is_sent() {
    for length in 2..4 {
        let TwoLives { peer, second, restored, .. } = two_lives(1, length);
        let dot = Dot::new(replica(1), 2);
        assert_eq!(peer.frontier().conflict_with(&restored.frontier()), None, "they do not stand level");
        let mut log = DeltaLog::new(VersionVector::from_iter([(replica(1), 1)]));
        for delta in &second {
            log.push(Arc::new(delta.clone())).expect("in order");
        }
        assert_eq!(log.conflict_with(&peer.frontier()), Some(dot));
        assert_eq!(log.conflict_with(&restored.frontier()), None);
    }
}

// 2. Delete-only catch-up by version.

#[test]
fn failure_02_a_version_delta_carries_deletions_and_only_the_new_ones() {
    let mut writer = Document::new(replica(1));
    let mut log = DeltaLog::default();
    for _ in 0..50 {
        for act in [ADD_X, REMOVE_X] {
            log.push(Arc::new(commit(&mut writer, WALL_MS, act))).expect("in order");
        }
    }
    log.push(Arc::new(commit(&mut writer, WALL_MS, ADD_X))).expect("in order");
    let mut reader = observer(&writer.snapshot());
    log.push(Arc::new(commit(&mut writer, WALL_MS, REMOVE_X))).expect("in order");
    let version = reader.version();
    let missing: Vec<_> = log.since(&version).expect("the log is complete").collect();
    assert_eq!(missing.len(), 1, "not every deletion ever");
    apply(&mut reader, missing[0].1);
    assert!(!has_x(&reader));
    assert_same(&reader, &writer);
}

// 3. Deltas of one replica delivered 2 then 1.

#[test]
fn failure_03_deltas_delivered_in_the_wrong_order_are_refused_and_lose_nothing() {
    let mut writer = Document::new(replica(1));
    let first = commit(&mut writer, WALL_MS, |t| t.register("r1").set("a"));
    let second = commit(&mut writer, WALL_MS, |t| t.register("r2").set("b"));
    let mut reader = Document::new(replica(2));
    assert_eq!(reader.apply(&second), Err(ApplyError::Gap { replica: replica(1), have: 0, after: 1 }));
    assert_unchanged(&reader, &Snapshot::empty());
    apply(&mut reader, &first);
    apply(&mut reader, &second);
    assert_same(&reader, &writer);
}

// 4. Element present on both, removed on both in turn, merged in every order.

#[test]
fn failure_04_an_element_removed_on_both_in_turn_is_absent_after_every_merge() {
    let ground = |id| {
        let mut document = Document::new(replica(1));
        let add = commit(&mut document, WALL_MS, ADD_X);
        let mut document = Document::new(replica(id));
        apply(&mut document, &add);
        document
    };
    // 0: replica 2 removes; 1: replica 3 removes; 2: 2 into 3; 3: 3 into 2. Every order of six steps.
    for plan in 0..4_usize.pow(6) {
        let mut two = ground(2);
        let mut three = ground(3);
        for step in (0..6).map(|digit| plan / 4_usize.pow(digit) % 4) {
            match step {
                0 if has_x(&two) => drop(commit(&mut two, WALL_MS, REMOVE_X)),
                1 if has_x(&three) => drop(commit(&mut three, WALL_MS, REMOVE_X)),
                2 => drop(three.merge(&two.snapshot()).expect("honest states merge")),
                3 => drop(two.merge(&three.snapshot()).expect("honest states merge")),
                _ => {}
            }
        }
        let removed = !has_x(&two) || !has_x(&three);
        let _ = two.merge(&three.snapshot()).expect("honest states merge");
        let _ = three.merge(&two.snapshot()).expect("honest states merge");
        assert_same(&two, &three);
        assert_eq!(has_x(&two), !removed, "plan {plan}");
    }
}

// 5. Counter +100 seen and removed, concurrent +5 elsewhere, unrelated writes before.

#[test]
fn failure_05_a_removed_counter_keeps_exactly_the_concurrent_increment() {
    let noise: Act = |t| t.register("noise").set(1);
    let add_100: Act = |t| t.map("m").counter("c").add(100);
    let add_5: Act = |t| t.map("m").counter("c").add(5);
    let remove: Act = |t| t.root().remove(Kind::Map, "m").map(drop);
    for before in 0..4 {
        for between in 0..4 {
            let mut ground = vec![noise; before];
            ground.push(add_100);
            let mut five = vec![noise; between];
            five.push(add_5);
            let mut removal = vec![noise; 3 - between];
            removal.push(remove);
            for scene in
                [Scene::on(&ground).writer(&five).writer(&removal), Scene::on(&ground).writer(&removal).writer(&five)]
            {
                let document = scene.play();
                let map = document.root().map("m").expect("the map holds a live counter");
                assert_eq!(map.counter("c"), Some(5));
            }
        }
    }
}

// 6. The log is truncated, then a stale peer returns.

#[test]
fn failure_06_a_stale_peer_returns_through_a_snapshot_and_brings_nothing_back() {
    let mut writer = Document::new(replica(1));
    let mut log = DeltaLog::default();
    log.push(Arc::new(commit(&mut writer, WALL_MS, ADD_X))).expect("in order");
    let mut stale = Document::from_snapshot(replica(2), writer.snapshot());
    let offline = commit(&mut stale, WALL_MS, |t| t.register("offline").set("work"));
    log.push(Arc::new(commit(&mut writer, WALL_MS, REMOVE_X))).expect("in order");
    log.push(Arc::new(commit(&mut writer, WALL_MS, |t| t.register("r").set("a")))).expect("in order");
    log.truncate_to_bytes(0);
    assert!(!log.serves(&stale.version()));
    assert!(log.since(&stale.version()).is_err());
    let _ = stale.merge(&through_bytes(&writer.snapshot())).expect("honest states merge");
    apply(&mut writer, &offline);
    assert!(!has_x(&stale) && !has_x(&writer));
    assert_eq!(register(&writer, "offline"), Some("work"));
    assert_same(&stale, &writer);
}

#[test]
fn failure_06_a_log_drops_only_whole_prefixes_and_serves_exactly_above_its_floor() {
    let mut writer = Document::new(replica(1));
    let mut log = DeltaLog::default();
    for _ in 0..5 {
        log.push(Arc::new(commit(&mut writer, WALL_MS, |t| t.counter("c").add(1)))).expect("in order");
    }
    let at = |counter| VersionVector::from_iter([(replica(1), counter)]);
    log.truncate_held(0, |delta| delta.is_covered_by(&at(2)));
    assert_eq!(*log.floor(), at(2));
    assert_eq!((log.start(), log.end(), log.len()), (2, 5, 3));
    assert!(log.serves(&at(2)) && !log.serves(&at(1)));
    let version = at(3);
    let counters: Vec<u64> = log
        .since(&version)
        .expect("above the floor")
        .flat_map(|(_, delta)| delta.ranges().map(|range| range.through).collect::<Vec<_>>())
        .collect();
    assert_eq!(counters, [4, 5]);
    assert!(log.at(1).is_none() && log.at(2).is_some() && log.at(5).is_none());
    assert_eq!(*log.version(), writer.version());
}

// 7. A replica with a fast clock, overwritten by one that saw it.

#[test]
fn failure_07_an_overwrite_beats_the_fast_clock_it_has_seen() {
    let mut fast = Document::new(replica(1));
    let first = commit(&mut fast, WALL_MS + 24 * 3_600_000, |t| t.register("r").set("fast"));
    let mut slow = Document::new(replica(2));
    apply(&mut slow, &first);
    let second = commit(&mut slow, WALL_MS, |t| t.register("r").set("slow"));
    apply(&mut fast, &second);
    assert_eq!(register(&fast, "r"), Some("slow"));
    let values = fast.root().register("r").expect("it was written").conflicts().len();
    assert_eq!(values, 1, "no conflict: the one had seen the other");
    assert_same(&fast, &slow);
}

// 8. Two writes with one timestamp; 70,000 within one millisecond.

#[test]
fn failure_08_equal_stamps_have_the_same_winner_whoever_merges() {
    let scene = Scene::on(&[])
        .writer(&[|t| t.register("r").set("one")])
        .writer(&[|t| t.register("r").set("two")])
        .writer(&[|t| t.register("r").set("three")]);
    let document = scene.play();
    let values = &View::of(document.root()).registers["r"];
    assert!(values.iter().all(|written| written.stamp == values[0].stamp));
    assert_eq!(register(&document, "r"), Some("three"), "the greatest replica id");
}

#[test]
fn failure_08_seventy_thousand_writes_within_one_millisecond_have_increasing_stamps() {
    let mut document = Document::new(replica(1));
    let mut last = Stamp::default();
    for _ in 0..70_000 {
        let _ = commit(&mut document, WALL_MS, |t| t.register("r").set(1));
        let stamp = document.root().register("r").expect("it was written").conflicts()[0].stamp;
        assert!(stamp > last);
        last = stamp;
    }
    assert!(last.wall_ms() <= WALL_MS + ABSORB_MS_MAX);
}

// 9. A delta rejected half-way.

#[test]
fn failure_09_a_delta_rejected_for_its_last_entry_leaves_no_trace() {
    let mut far = Document::new(replica(3));
    let unknown = commit(&mut far, WALL_MS, |t| t.set("s").insert("zzz"));
    let mut writer = Document::new(replica(1));
    apply(&mut writer, &unknown);
    let delta = commit(&mut writer, WALL_MS, |t| {
        t.register("a").set(1)?;
        t.counter("b").add(1)?;
        t.map("m").create()?;
        t.set("s").insert("aaa")?;
        t.set("s").remove("zzz").map(drop)
    });
    let mut reader = Document::new(replica(2));
    let _ = commit(&mut reader, WALL_MS, |t| t.register("a").set("own"));
    let before = reader.snapshot();
    let dot = Dot::new(replica(3), 1);
    assert_eq!(reader.apply(&delta), Err(ApplyError::Uncovered { dot }));
    assert_unchanged(&reader, &before);
    apply(&mut reader, &unknown);
    let changes = reader.apply(&delta).expect("now all it needs is there");
    assert_eq!(changes.iter().count(), 5, "register, counter, map and two elements: {changes:?}");
}

#[test]
fn failure_09_a_coalesced_delta_with_one_gap_leaves_no_trace() {
    let mut one = Document::new(replica(1));
    let mut two = Document::new(replica(2));
    let _skipped = commit(&mut two, WALL_MS, |t| t.register("r2").set(1));
    let mut delta = commit(&mut one, WALL_MS, |t| t.register("r1").set(1));
    delta.coalesce(&commit(&mut two, WALL_MS, |t| t.register("r2").set(2))).expect("unrelated replicas");
    let mut reader = Document::new(replica(3));
    let _ = commit(&mut reader, WALL_MS, ADD_X);
    let before = reader.snapshot();
    assert_eq!(reader.apply(&delta), Err(ApplyError::Gap { replica: replica(2), have: 0, after: 1 }));
    assert_unchanged(&reader, &before);
}

// 10. The same map and counter created offline on two devices.

#[test]
fn failure_10_a_map_and_counter_created_on_two_devices_unite_and_add() {
    let act: Act = |t| {
        t.map("m").create()?;
        t.map("m").counter("c").add(1)
    };
    let document = Scene::on(&[]).writer(&[act]).writer(&[act]).play();
    assert_eq!(document.root().map("m").expect("it was created").counter("c"), Some(2));
}

// 15. Malformed bytes.

#[test]
fn failure_15_twenty_thousand_malformed_messages_are_refused_or_read_without_panic() {
    let scene = Scene::on(&[ADD_X, |t| t.map("m").counter("c").add(1)]).writer(&[REMOVE_X]);
    let sample = scene.play().snapshot().encode();
    let mut choices = Choices::new(15);
    for _ in 0..20_000 {
        let mut mutant = mutate::wound(&sample, &[], &mut choices);
        forge::reseal(&mut mutant);
        if let Ok(snapshot) = Snapshot::decode(&mutant) {
            let _ = View::of(observer(&snapshot).root());
        }
        let _ = Delta::decode(&mutant);
    }
}

// 16. A version that claims the end of the range for somebody else.

/// A snapshot without content that claims that replica 1 has reached `counter`.
fn claim(counter: u64) -> Vec<u8> {
    forge::claim([(replica(1), counter)])
}

/// A delta without content that covers all of replica 1 after what `frontier` has of it.
fn covering(frontier: &Frontier, through: u64) -> Vec<u8> {
    let mut head = Vec::new();
    frontier.encode(&mut head);
    let after = frontier.version().counter(replica(1));
    let mut bytes = vec![2, 1];
    bytes.put_replica(replica(1));
    bytes.put_bytes(&[1, 0]);
    bytes.put_varint(after);
    bytes.put_varint(through - after);
    bytes.put_bytes(&head[head.len() - 8..]);
    bytes.put_u64(0);
    bytes.put_u8(0);
    bytes
}

#[test]
fn failure_16_counters_beyond_the_limit_are_refused_as_bytes() {
    assert!(Snapshot::decode(&claim(COUNTER_MAX)).is_ok(), "the forgery has the right form");
    assert_eq!(Snapshot::decode(&claim(COUNTER_MAX + 1)), Err(DecodeError::Limit("a counter")));
    assert_eq!(Snapshot::decode(&claim(u64::MAX)), Err(DecodeError::Limit("a counter")));
    let frontier = Scene::on(&[ADD_X]).writer(&[]).play().frontier();
    assert!(Delta::decode(&covering(&frontier, COUNTER_MAX)).is_ok(), "the forgery has the right form");
    assert!(Delta::decode(&covering(&frontier, COUNTER_MAX + 1)).is_err());
    assert!(Delta::decode(&covering(&frontier, u64::MAX)).is_err());
}

#[test]
fn failure_16_the_owner_refuses_who_claims_more_of_it_than_it_made() {
    let mut owner = Document::new(replica(1));
    let _ = commit(&mut owner, WALL_MS, ADD_X);
    let before = owner.snapshot();
    let forged = Snapshot::decode(&claim(COUNTER_MAX)).expect("the right form");
    assert_eq!(owner.merge(&forged), Err(MergeError::OwnDot { dot: Dot::new(replica(1), COUNTER_MAX) }));
    let forged = Delta::decode(&covering(&owner.frontier(), COUNTER_MAX)).expect("the right form");
    assert_eq!(owner.apply(&forged), Err(ApplyError::OwnDot { dot: Dot::new(replica(1), COUNTER_MAX) }));
    assert_unchanged(&owner, &before);
}

#[test]
fn failure_16_an_empty_delta_that_claims_the_end_of_the_range_deletes_nothing() {
    let document = Scene::on(&[ADD_X, |t| t.counter("c").add(7)]).writer(&[]).play();
    let mut victim = observer(&document.snapshot());
    let forged = Delta::decode(&covering(&victim.frontier(), COUNTER_MAX)).expect("the right form");
    let _ = victim.apply(&forged);
    assert_eq!(View::of(victim.root()), View::of(document.root()));
}
