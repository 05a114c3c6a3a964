//! The log on standard error: off unless asked for, and without what is in a cart.

use crate::run::{cart_in, command, folder};

#[test]
fn the_log_is_off_unless_the_environment_asks_for_it_and_tells_no_values() {
    let data = folder("trace").join("data");
    assert_eq!(cart_in(&data, "add mulberries 2").ended(0).stderr, "");
    for variable in ["CART_LOG", "RUST_LOG"] {
        let mut show = command("show --data", &[&data]);
        let output = show.env(variable, "trace").output().expect("the binary runs");
        let log = String::from_utf8(output.stderr).expect("the program prints UTF-8");
        assert!(log.contains("opened the store"), "{variable}: {log}");
        assert!(!log.contains("mulberries"), "{variable}: {log}");
    }
    let mut quiet = command("show --data", &[&data]);
    let output = quiet.env("CART_LOG", "off").env("RUST_LOG", "trace").output().expect("the binary runs");
    assert!(output.stderr.is_empty(), "CART_LOG comes first");
}

#[test]
fn a_filter_that_makes_no_sense_is_refused() {
    let output = command("show --data none", &[]).env("CART_LOG", "crdt_net=loud").output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("CART_LOG: "), "{output:?}");
}
