use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A key whose hash it shares with two others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(u32);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0 / 3).hash(state);
    }
}

/// The union; the greater value wins, odd keys that one side lacks go, keys ending in 7 never come.
struct Greater;

impl Fuse<Key, u32> for Greater {
    fn mine(&mut self, Key(key): &Key, mine: &u32, theirs: Option<&u32>) -> Outcome<u32> {
        match theirs {
            Some(theirs) if theirs > mine => Outcome::Put(*theirs),
            None if !key.is_multiple_of(2) => Outcome::Drop,
            _ => Outcome::Keep,
        }
    }

    fn theirs(&mut self, Key(key): &Key, theirs: &u32) -> Option<u32> {
        (key % 10 != 7).then_some(*theirs)
    }
}

/// Nothing of the other is taken, nothing of mine goes.
struct Nothing;

impl Fuse<Key, u32> for Nothing {
    fn mine(&mut self, _: &Key, _: &u32, _: Option<&u32>) -> Outcome<u32> {
        Outcome::Keep
    }

    fn theirs(&mut self, _: &Key, _: &u32) -> Option<u32> {
        None
    }
}

fn merge_model(mine: &BTreeMap<u32, u32>, theirs: &BTreeMap<u32, u32>) -> BTreeMap<u32, u32> {
    let kept = mine.iter().filter(|(key, _)| key.is_multiple_of(2) || theirs.contains_key(key));
    let mut merged: BTreeMap<u32, u32> = kept.map(|(key, value)| (*key, *value)).collect();
    for (key, theirs) in theirs {
        match mine.get(key) {
            Some(mine) => drop(merged.insert(*key, *mine.max(theirs))),
            None if key % 10 != 7 => drop(merged.insert(*key, *theirs)),
            None => {}
        }
    }
    merged
}

fn table(keys: impl IntoIterator<Item = u32>) -> Table<Key, u32> {
    let mut table = Table::new();
    for key in keys {
        table.insert(Key(key), key);
    }
    table
}

/// Returns for how many entries memory is held.
fn room(table: &Table<Key, u32>) -> usize {
    match &table.shards {
        Shards::Empty => 0,
        Shards::One(shard) => shard.capacity(),
        Shards::Many(directory) => directory.shards.iter().map(|shard| shard.capacity()).sum(),
    }
}

/// Checks everything that can be read, and what only the inside shows.
fn check(table: &Table<Key, u32>, model: &BTreeMap<u32, u32>) {
    assert_eq!(table.len(), model.len());
    assert_eq!(table.iter().map(|(key, value)| (key.0, *value)).collect::<BTreeMap<_, _>>(), *model);
    assert!(model.iter().all(|(key, value)| table.get(&Key(*key)) == Some(value)));
    assert!(room(table) <= table.len() * 4 + 3 * table.shard_count());
    match &table.shards {
        Shards::Empty => assert!(model.is_empty()),
        Shards::One(shard) => assert!((1..=SINGLE_MAX * 2).contains(&shard.len())),
        Shards::Many(directory) => {
            assert_eq!(directory.len, directory.shards.iter().map(|shard| shard.len()).sum::<usize>());
            assert!(directory.shards.len() >= 2);
            assert!(directory.len <= directory.shards.len() * LOAD * 2);
            assert!(directory.len > directory.shards.len() * LOAD / 2);
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Fill(u32, u32),
    Clear(u32, u32),
    Set(u32, u32),
    GetOrSet(u32, u32),
    Alter(u32, Option<u32>),
    Remove(u32),
    Snapshot,
    MergeSnapshot(usize),
    MergeIntoSnapshot(usize),
    Restore(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..600_u32;
    prop_oneof![
        2 => (key.clone(), 1..200_u32).prop_map(|(from, count)| Op::Fill(from, count)),
        1 => (key.clone(), 1..300_u32).prop_map(|(from, count)| Op::Clear(from, count)),
        2 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Op::Set(key, value)),
        1 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Op::GetOrSet(key, value)),
        1 => (key.clone(), any::<Option<u32>>()).prop_map(|(key, value)| Op::Alter(key, value)),
        2 => key.prop_map(Op::Remove),
        2 => Just(Op::Snapshot),
        1 => (0..4_usize).prop_map(Op::MergeSnapshot),
        1 => (0..4_usize).prop_map(Op::MergeIntoSnapshot),
        1 => (0..4_usize).prop_map(Op::Restore),
    ]
}

type Pair = (Table<Key, u32>, BTreeMap<u32, u32>);

fn run((table, model): &mut Pair, snapshots: &mut Vec<Pair>, op: Op) {
    match op {
        Op::Fill(from, count) => {
            for key in from..from + count {
                assert_eq!(table.insert(Key(key), count), model.insert(key, count));
            }
        }
        Op::Clear(from, count) => {
            for key in from..from + count {
                assert_eq!(table.remove(&Key(key)), model.remove(&key));
            }
        }
        Op::Set(key, value) => assert_eq!(table.insert(Key(key), value), model.insert(key, value)),
        Op::GetOrSet(key, value) => {
            let (mine, expected) = (table.get_or_insert_with(&Key(key), || value), model.entry(key).or_insert(value));
            assert_eq!(mine, expected);
            (*mine, *expected) = (value / 2, value / 2);
        }
        Op::Alter(key, value) => {
            table.alter(&Key(key), |before| {
                assert_eq!(before, model.get(&key));
                value.map_or(Outcome::Drop, Outcome::Put)
            });
            match value {
                Some(value) => drop(model.insert(key, value)),
                None => drop(model.remove(&key)),
            }
        }
        Op::Remove(key) => assert_eq!(table.remove(&Key(key)), model.remove(&key)),
        Op::Snapshot => {
            if snapshots.len() < 4 {
                snapshots.push((table.clone(), model.clone()));
            }
        }
        Op::MergeSnapshot(index) => {
            if let Some((theirs, their_model)) = snapshots.get(index) {
                table.merge(theirs, &mut Greater);
                // Shards that both share are not asked: a law of `Fuse` that `Greater` keeps.
                *model = merge_model(model, their_model);
            }
        }
        Op::MergeIntoSnapshot(index) => {
            if let Some((mine, my_model)) = snapshots.get_mut(index) {
                mine.merge(table, &mut Greater);
                *my_model = merge_model(my_model, model);
            }
        }
        Op::Restore(index) => {
            if let Some((snapshot, its_model)) = snapshots.get(index) {
                (*table, *model) = (snapshot.clone(), its_model.clone());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn agrees_with_a_plain_map_whatever_clones_are_alive(ops in prop::collection::vec(op(), 1..25)) {
        let mut pair = (Table::new(), BTreeMap::new());
        let mut snapshots = Vec::new();
        for op in ops {
            run(&mut pair, &mut snapshots, op);
        }
        check(&pair.0, &pair.1);
        for (table, model) in &snapshots {
            check(table, model);
        }
    }

    #[test]
    fn tables_of_all_sizes_merge(
        mine in (0..3_000_u32, 0..3_000_u32),
        theirs in (0..3_000_u32, 0..3_000_u32),
    ) {
        let fill = |(from, count): (u32, u32)| -> Pair {
            let keys = || from..from + count * count / 3_000;
            (table(keys()), keys().map(|key| (key, key)).collect())
        };
        let ((mut mine, my_model), (theirs, their_model)) = (fill(mine), fill(theirs));
        mine.merge(&theirs, &mut Greater);
        check(&mine, &merge_model(&my_model, &their_model));
    }
}

#[test]
fn an_empty_table_allocates_nothing_and_an_emptied_one_gives_all_back() {
    let mut table = table(0..1_000);
    for key in 0..1_000 {
        table.remove(&Key(key));
    }
    assert!(matches!(table.shards, Shards::Empty));
    assert_eq!(size_of::<Table<Key, u32>>(), 16);
}

#[test]
fn a_merge_that_takes_out_most_entries_gives_memory_back() {
    /// Keeps what the other has.
    struct Theirs;

    impl Fuse<Key, u32> for Theirs {
        fn mine(&mut self, _: &Key, _: &u32, theirs: Option<&u32>) -> Outcome<u32> {
            if theirs.is_some() { Outcome::Keep } else { Outcome::Drop }
        }

        fn theirs(&mut self, _: &Key, _: &u32) -> Option<u32> {
            None
        }
    }

    for count in [SINGLE_MAX as u32, 5_000] {
        let mut mine = table(0..count);
        mine.merge(&table(0..1), &mut Theirs);
        assert_eq!(mine.len(), 1);
        assert!(room(&mine) <= 4, "{}", room(&mine));
    }
}

#[test]
fn up_to_the_single_maximum_there_is_no_directory() {
    let at = table(0..SINGLE_MAX as u32);
    assert!(matches!(at.shards, Shards::One(_)));
    let above = table(0..=SINGLE_MAX as u32);
    assert!(matches!(above.shards, Shards::Many(_)));
}

#[test]
fn a_table_built_of_its_entries_is_like_any_other() {
    for len in [0, 1, 3, 4, SINGLE_MAX, SINGLE_MAX + 1, 1_000, 4_096, 5_000] {
        let keys = 0..len as u32;
        let mut builder = Builder::with_capacity(len);
        for key in keys.clone() {
            builder.push(Key(key), key);
        }
        let mut built = builder.finish();
        let shards = built.shard_count();
        // Some shards get more than their share, and grow by eight; doubling would hold half as much again.
        assert!(room(&built) <= len + 16 * shards, "{} for {len}", room(&built));
        check(&built, &keys.clone().map(|key| (key, key)).collect());
        let grown = table(keys.clone());
        assert!(built.shard_count() <= grown.shard_count());
        built.merge(&grown, &mut Nothing);
        for key in keys {
            assert_eq!(built.insert(Key(key), key + 1), Some(key));
        }
        assert_eq!(built.len(), len);
    }
}

/// Returns how many shards of the two are not one and the same.
fn shards_apart(left: &Table<Key, u32>, right: &Table<Key, u32>) -> usize {
    match (&left.shards, &right.shards) {
        (Shards::Many(left), Shards::Many(right)) => {
            left.shards.iter().zip(&right.shards).filter(|(left, right)| !Arc::ptr_eq(left, right)).count()
        }
        _ => panic!("meant for tables with a directory"),
    }
}

#[test]
fn a_write_under_a_live_clone_copies_one_shard() {
    let mut table = table(0..5_000);
    let snapshot = table.clone();
    table.insert(Key(17), 0);
    table.remove(&Key(5_001));
    table.alter(&Key(18), |_| Outcome::Keep);
    assert_eq!(shards_apart(&table, &snapshot), 1);
    assert_eq!(snapshot.get(&Key(17)), Some(&17));
}

#[test]
fn a_merge_that_changes_nothing_copies_nothing() {
    let mut mine = table(0..5_000);
    let snapshot = mine.clone();
    // Fewer shards, as many, more; all with entries that mine lacks.
    for count in [100, 5_000, 9_000] {
        mine.merge(&table(2_000..2_000 + count), &mut Nothing);
        assert_eq!(shards_apart(&mine, &snapshot), 0);
    }
}

#[test]
fn a_merge_copies_only_the_shards_that_change() {
    let mut mine = table(0..5_000);
    let snapshot = mine.clone();
    let mut theirs = mine.clone();
    theirs.insert(Key(17), 1_000_000);
    theirs.insert(Key(18), 1_000_000);
    mine.merge(&theirs, &mut Greater);
    assert!((1..=2).contains(&shards_apart(&mine, &snapshot)));
    assert_eq!(mine.get(&Key(18)), Some(&1_000_000));
}

#[test]
fn keys_spread_evenly_over_the_shards() {
    for step in [1, 64, 1 << 16] {
        let mut table = Table::new();
        for key in 0..50_000_u32 {
            table.insert(key.wrapping_mul(step), ());
        }
        let Shards::Many(directory) = &table.shards else { panic!("50,000 entries have a directory") };
        // Unsplit shards hold at most twice the load on average; five standard deviations more.
        let fullest = directory.shards.iter().map(|shard| shard.len()).max();
        assert!(fullest < Some(2 * LOAD + 5 * 8), "{fullest:?}");
    }
}

#[test]
fn prints_as_a_map() {
    assert_eq!(format!("{:?}", table([3])), "{Key(3): 3}");
}
