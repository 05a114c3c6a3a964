//! Every row of the design's table of concurrent cases, smallest data, replicas 1, 2 and 3.
//!
//! `Scene::play` takes each case through deltas in every order, coalesced deltas and merged states
//! in every order, and insists on one document to the byte; the tests say what it must hold.

use crdt_core::{Document, EditError, Kind, Stamp, Transaction, Value};
use crdt_tests::scene::{Act, Scene, apply, commit};
use crdt_tests::{View, WALL_MS, assert_same, coalesce_all, replica};

const NOTHING: &[Act] = &[];

fn write_a(t: &mut Transaction<'_>) -> Result<(), EditError> {
    t.register("r").set("a")
}

fn write_b(t: &mut Transaction<'_>) -> Result<(), EditError> {
    t.register("r").set("b")
}

/// The values of the register "r", winner first.
fn values_of_r(view: &View) -> Vec<&str> {
    let values = view.registers.get("r").into_iter().flatten();
    values.filter_map(|written| written.value.as_text()).collect()
}

fn elements_of_s(view: &View) -> Vec<&Value> {
    view.sets.get("s").into_iter().flatten().collect()
}

// Two writes to one register.

#[test]
fn concurrent_writes_are_both_kept_and_the_later_wins() {
    let view = View::of(Scene::on(NOTHING).writer_at(WALL_MS + 1, &[write_a]).writer(&[write_b]).play().root());
    assert_eq!(values_of_r(&view), ["a", "b"]);
    let view = View::of(Scene::on(NOTHING).writer(&[write_a]).writer_at(WALL_MS + 1, &[write_b]).play().root());
    assert_eq!(values_of_r(&view), ["b", "a"]);
}

#[test]
fn three_concurrent_writes_are_all_kept() {
    let scene = Scene::on(NOTHING)
        .writer(&[write_a])
        .writer(&[write_b])
        .writer_at(WALL_MS + 1, &[|t| t.register("r").set("c")]);
    assert_eq!(values_of_r(&View::of(scene.play().root())), ["c", "b", "a"]);
}

#[test]
fn the_next_write_that_saw_conflicting_values_replaces_all_of_them() {
    let mut document = Scene::on(NOTHING).writer(&[write_a]).writer(&[write_b]).play();
    let conflicted = document.snapshot();
    let resolved = commit(&mut document, 0, |t| t.register("r").set("c"));
    assert_eq!(values_of_r(&View::of(document.root())), ["c"]);
    let mut other = Document::from_snapshot(replica(3), conflicted);
    apply(&mut other, &resolved);
    assert_same(&other, &document);
}

#[test]
fn a_cleared_register_keeps_the_concurrent_write_alone() {
    let scene = Scene::on(&[write_a]).writer(&[|t| t.register("r").clear()]).writer(&[write_b]);
    assert_eq!(values_of_r(&View::of(scene.play().root())), ["b"]);
}

// A write that has seen another.

#[test]
fn a_write_that_has_seen_another_wins_whatever_the_clocks_say() {
    let far = Scene::on(NOTHING).writer_at(WALL_MS + 3_600_000, &[write_a]).play();
    let mut slow = Document::from_snapshot(replica(2), far.snapshot());
    let _ = commit(&mut slow, 0, write_b);
    assert_eq!(values_of_r(&View::of(slow.root())), ["b"]);
}

#[test]
fn a_far_future_stamp_wins_only_against_truly_concurrent_writes() {
    let far_ms = WALL_MS + 3_600_000;
    let scene = Scene::on(NOTHING).writer_at(far_ms, &[write_a]).writer(&[write_b]);
    let mut document = scene.play();
    assert_eq!(values_of_r(&View::of(document.root())), ["a", "b"]);
    let _ = commit(&mut document, WALL_MS, |t| t.register("r").set("c"));
    let view = View::of(document.root());
    assert_eq!(values_of_r(&view), ["c"]);
    assert!(view.registers["r"][0].stamp < Stamp::from_wall_ms(far_ms), "nobody follows an hour");
}

// Add and remove of one element.

#[test]
fn an_element_added_while_another_removes_it_stays() {
    let scene = Scene::on(&[|t| t.set("s").insert("x")])
        .writer(&[|t| t.set("s").insert("x")])
        .writer(&[|t| t.set("s").remove("x").map(drop)]);
    assert_eq!(elements_of_s(&View::of(scene.play().root())), [&Value::from("x")]);
}

#[test]
fn an_add_that_the_remove_has_seen_goes() {
    let scene = Scene::on(&[|t| t.set("s").insert("x")])
        .writer(&[|t| t.set("s").insert("y")])
        .writer(&[|t| t.set("s").remove("x").map(drop)]);
    assert_eq!(elements_of_s(&View::of(scene.play().root())), [&Value::from("y")]);
}

#[test]
fn an_element_removed_by_two_is_gone() {
    let remove: Act = |t| t.set("s").remove("x").map(drop);
    let document = Scene::on(&[|t| t.set("s").insert("x")]).writer(&[remove]).writer(&[remove]).play();
    assert!(View::of(document.root()).is_empty(), "an empty set that nobody created does not exist");
}

#[test]
fn clearing_a_set_leaves_what_was_added_concurrently() {
    let scene = Scene::on(&[|t| t.set("s").insert("x")])
        .writer(&[|t| t.set("s").clear()])
        .writer(&[|t| t.set("s").insert("y")]);
    assert_eq!(elements_of_s(&View::of(scene.play().root())), [&Value::from("y")]);
}

// Remove of a map key, update beneath it.

#[test]
fn an_update_beneath_a_removed_key_survives_alone() {
    let fill: Act = |t| {
        let mut map = t.map("m");
        map.register("r").set("old")?;
        map.counter("c").add(100)?;
        map.set("s").insert("x")?;
        map.map("deep").register("r").set("old")
    };
    let scene = Scene::on(&[fill])
        .writer(&[|t| t.root().remove(Kind::Map, "m").map(drop)])
        .writer(&[|t| t.map("m").set("s").insert("y")]);
    let view = View::of(scene.play().root());
    let map = &view.maps["m"];
    assert_eq!(elements_of_s(map), [&Value::from("y")]);
    assert!(map.registers.is_empty() && map.counters.is_empty() && map.maps.is_empty(), "{map:?}");
}

#[test]
fn a_removed_key_without_concurrent_updates_is_gone() {
    let scene = Scene::on(&[|t| t.map("m").create(), |t| t.map("m").map("n").register("r").set(1)])
        .writer(&[|t| t.root().remove(Kind::Map, "m").map(drop)])
        .writer(&[write_b]);
    let view = View::of(scene.play().root());
    assert!(view.maps.is_empty(), "{view:?}");
}

#[test]
fn clearing_the_root_leaves_what_was_written_concurrently() {
    let scene = Scene::on(&[write_a, |t| t.map("m").counter("c").add(1)])
        .writer(&[|t| t.root().clear()])
        .writer(&[|t| t.map("m").counter("c").add(2)]);
    let view = View::of(scene.play().root());
    assert!(view.registers.is_empty());
    assert_eq!(view.maps["m"].counters["c"], 2);
}

// Counter +5 while another device removes or resets it after seeing 100.

const ADD_100: Act = |t| t.map("m").counter("c").add(100);
const ADD_5: Act = |t| t.map("m").counter("c").add(5);

fn counter_of(scene: &Scene) -> Option<i128> {
    let view = View::of(scene.play().root());
    view.maps.get("m").and_then(|map| map.counters.get("c").copied())
}

const WAYS_TO_TAKE_OUT: [Act; 5] = [
    |t| t.map("m").counter("c").reset(),
    |t| t.map("m").remove(Kind::Counter, "c").map(drop),
    |t| t.root().remove(Kind::Map, "m").map(drop),
    |t| t.map("m").clear(),
    |t| t.root().clear(),
];

#[test]
fn five_added_by_the_owner_while_the_100_are_taken_out_gives_five() {
    for take_out in WAYS_TO_TAKE_OUT {
        assert_eq!(counter_of(&Scene::on(&[ADD_100]).writer(&[ADD_5]).writer(&[take_out])), Some(5));
    }
}

#[test]
fn five_added_by_a_third_while_the_100_are_taken_out_gives_five() {
    for take_out in WAYS_TO_TAKE_OUT {
        let scene = Scene::on(&[ADD_100]).writer(&[write_a]).writer(&[take_out]).writer(&[ADD_5]);
        assert_eq!(counter_of(&scene), Some(5));
    }
}

#[test]
fn two_resets_of_one_total_take_it_out_once() {
    let reset = WAYS_TO_TAKE_OUT[0];
    let scene = Scene::on(&[ADD_100]).writer(&[ADD_5]).writer(&[reset]).writer(&[reset]);
    assert_eq!(counter_of(&scene), Some(5));
}

#[test]
fn resets_that_have_seen_more_and_less_take_out_what_either_has_seen() {
    let reset = WAYS_TO_TAKE_OUT[0];
    let scene = Scene::on(&[ADD_100]).writer(&[ADD_5, reset, |t| t.map("m").counter("c").add(7)]).writer(&[reset]);
    assert_eq!(counter_of(&scene), Some(7));
}

#[test]
fn a_second_reset_takes_out_what_was_added_since_the_first() {
    let mut owner = Document::new(replica(1));
    let first = commit(&mut owner, WALL_MS, ADD_100);
    let second = commit(&mut owner, WALL_MS, ADD_5);
    let mut resetter = Document::new(replica(2));
    let mut deltas = Vec::new();
    for add in [first, second] {
        apply(&mut resetter, &add);
        deltas.push(add.into());
        deltas.push(commit(&mut resetter, WALL_MS, WAYS_TO_TAKE_OUT[0]).into());
    }
    let mut reader = Document::new(replica(3));
    coalesce_all(deltas.iter()).iter().for_each(|delta| apply(&mut reader, delta));
    assert_same(&reader, &resetter);
    assert_eq!(View::of(reader.root()), View::default());
}

#[test]
fn a_counter_reset_by_all_is_gone() {
    let reset = WAYS_TO_TAKE_OUT[0];
    assert_eq!(counter_of(&Scene::on(&[ADD_100]).writer(&[reset]).writer(&[reset])), None);
}

#[test]
fn increments_after_a_reset_count_from_nothing() {
    let reset = WAYS_TO_TAKE_OUT[0];
    assert_eq!(counter_of(&Scene::on(&[ADD_100]).writer(&[reset, ADD_5]).writer(&[ADD_5])), Some(10));
}

#[test]
fn an_increment_by_nothing_makes_a_counter_exist() {
    assert_eq!(counter_of(&Scene::on(NOTHING).writer(&[|t| t.map("m").counter("c").add(0)])), Some(0));
}

// Both create the same map, set or counter offline.

#[test]
fn containers_created_by_both_have_united_contents() {
    let scene = Scene::on(NOTHING)
        .writer(&[|t| {
            t.map("m").create()?;
            t.set("s").create()?;
            t.map("m").register("left").set(1)?;
            t.set("s").insert("x")?;
            t.counter("c").add(1)
        }])
        .writer(&[|t| {
            t.map("m").create()?;
            t.set("s").create()?;
            t.map("m").register("right").set(2)?;
            t.set("s").insert("y")?;
            t.counter("c").add(2)
        }]);
    let view = View::of(scene.play().root());
    assert_eq!(view.maps["m"].registers.keys().collect::<Vec<_>>(), ["left", "right"]);
    assert_eq!(elements_of_s(&view), [&Value::from("x"), &Value::from("y")]);
    assert_eq!(view.counters["c"], 3);
}

#[test]
fn the_same_name_with_different_kinds_is_two_entries() {
    let scene = Scene::on(NOTHING).writer(&[|t| t.counter("n").add(1)]).writer(&[|t| t.set("n").insert("x")]);
    let view = View::of(scene.play().root());
    assert_eq!(view.counters["n"], 1);
    assert!(view.sets["n"].contains(&Value::from("x")));
}

#[test]
fn a_created_container_survives_the_removal_of_another_creation() {
    let scene = Scene::on(NOTHING)
        .writer(&[|t| t.map("m").create(), |t| t.root().remove(Kind::Map, "m").map(drop)])
        .writer(&[|t| t.map("m").create()]);
    assert!(View::of(scene.play().root()).maps["m"].is_empty());
}

// Remove, then re-create.

#[test]
fn a_key_created_again_holds_only_what_was_added_after() {
    let scene = Scene::on(&[ADD_100, |t| t.map("m").set("s").insert("x")])
        .writer(&[|t| t.root().remove(Kind::Map, "m").map(drop), |t| t.map("m").counter("c").add(1)])
        .writer(&[write_b]);
    let view = View::of(scene.play().root());
    assert_eq!(view.maps["m"].counters["c"], 1);
    assert!(view.maps["m"].sets.is_empty());
}

#[test]
fn removing_and_creating_within_one_transaction_is_the_same() {
    let scene = Scene::on(&[ADD_100])
        .writer(&[|t| {
            t.root().remove(Kind::Map, "m")?;
            t.map("m").counter("c").add(1)
        }])
        .writer(&[ADD_5]);
    assert_eq!(counter_of(&scene), Some(6));
}

// Equal timestamps.

#[test]
fn equal_stamps_are_decided_by_the_replica_id_everywhere() {
    let view = View::of(Scene::on(NOTHING).writer(&[write_a]).writer(&[write_b]).play().root());
    let values = &view.registers["r"];
    assert_eq!(values[0].stamp, values[1].stamp);
    assert_eq!(values_of_r(&view), ["b", "a"]);
}

#[test]
fn a_stamp_is_above_every_stamp_seen_within_a_minute() {
    let mut document = Scene::on(NOTHING).writer_at(WALL_MS + 59_000, &[write_a]).play();
    let _ = commit(&mut document, WALL_MS, |t| t.register("q").set(1));
    let view = View::of(document.root());
    assert!(view.registers["q"][0].stamp > view.registers["r"][0].stamp);
}

// Counter overflow.

#[test]
fn an_increment_out_of_range_is_refused_and_changes_nothing() {
    let mut document = Scene::on(NOTHING).writer(&[|t| t.counter("c").add(i64::MAX)]).play();
    let mut own = Document::from_snapshot(replica(1), document.snapshot());
    let mut transaction = own.transact(WALL_MS);
    assert_eq!(transaction.counter("c").add(1), Err(EditError::CounterOverflow));
    drop(transaction);
    assert_same(&own, &document);
    let _ = commit(&mut document, WALL_MS, |t| t.counter("c").add(i64::MAX));
    assert_eq!(document.root().counter("c"), Some(2 * i128::from(i64::MAX)));
}

#[test]
fn running_totals_at_both_ends_of_the_range_are_summed_without_wrapping() {
    let scene = Scene::on(NOTHING)
        .writer(&[|t| t.counter("c").add(i64::MIN)])
        .writer(&[|t| t.counter("c").add(i64::MIN)])
        .writer(&[|t| t.counter("c").add(i64::MAX), |t| t.counter("c").add(-1)]);
    let expected = 2 * i128::from(i64::MIN) + i128::from(i64::MAX) - 1;
    assert_eq!(View::of(scene.play().root()).counters["c"], expected);
}

#[test]
fn a_total_at_the_end_of_its_range_begins_anew_once_others_have_reset_it() {
    let mut owner = Document::new(replica(1));
    let add = commit(&mut owner, WALL_MS, |t| t.counter("c").add(i64::MAX));
    let mut other = Document::new(replica(2));
    apply(&mut other, &add);
    apply(&mut owner, &commit(&mut other, WALL_MS, |t| t.counter("c").reset()));
    apply(&mut other, &commit(&mut owner, WALL_MS, |t| t.counter("c").add(i64::MAX)));
    assert_eq!(other.root().counter("c"), Some(i128::from(i64::MAX)));
    assert_same(&other, &owner);
}
