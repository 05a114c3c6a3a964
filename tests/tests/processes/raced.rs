//! A hundred processes at a time open one folder: one has it, the others are told who.

use crdt_tests::law::from_env;

use crate::support::{Scratch, start};

const RACERS: usize = 100;

#[test]
fn of_a_hundred_processes_exactly_one_opens_the_store() {
    let rounds = from_env("CRDT_RACES").unwrap_or(100);
    let scratch = Scratch::new("raced");
    let folder = scratch.join("store");
    for round in 0..rounds {
        let mut racers: Vec<_> = (0..RACERS).map(|_| start(&folder, &[])).collect();
        let lines: Vec<String> = racers.iter().map(|racer| racer.line().expect("each says how it went")).collect();
        let winners: Vec<usize> = (0..RACERS).filter(|racer| lines[*racer].starts_with("open ")).collect();
        let [winner] = winners[..] else { panic!("round {round}: {winners:?} have won: {lines:?}") };
        let held = format!("held {}", racers[winner].id());
        for (racer, line) in lines.iter().enumerate() {
            assert!(racer == winner || *line == held, "round {round}: {line}, not {held}");
        }
        assert!(lines[winner].ends_with(" kept"), "round {round}: {}", lines[winner]);
        racers[winner].ask("quit");
    }
}
