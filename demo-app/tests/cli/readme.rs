//! The session in the README, run as it stands there.

use std::path::Path;
use std::process::Command;

use crate::run::folder;

const README: &str = include_str!("../../../README.md");

/// The commands under a heading.
fn session(heading: &str) -> &'static str {
    let section = README.split_once(heading).expect("the section is there").1;
    let block = section.split_once("```sh\n").expect("a block of commands").1;
    block.split_once("```").expect("the block ends").0
}

#[test]
fn the_session_in_the_readme_ends_as_it_says() {
    let session = session("## The cart, offline");
    let (install, session) = session.split_once('\n').expect("several lines");
    assert!(install.starts_with("cargo install"), "{install}");
    // Another test, or another program, may have the port of the README.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback works").local_addr().expect("bound").port();
    let session = session.replace(":4000", &format!(":{port}"));

    let folder = folder("readme");
    let binary = Path::new(env!("CARGO_BIN_EXE_cart")).parent().expect("it lies in a folder");
    let path = std::env::join_paths([binary, Path::new("/usr/bin"), Path::new("/bin")]).expect("paths without colons");
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &format!("{session}wait $!\n")]).current_dir(&folder).env("PATH", path);
    let output = shell.env_remove("CART_LOG").env_remove("RUST_LOG").output().expect("there is a shell");
    let (told, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}{complaints}");
    assert_eq!(complaints, "");
    let shown = told.split("carts are equal").last().expect("a last part");
    assert!(shown.contains("cart, of Alice") && shown.contains("apple"), "{told}");
    assert!(shown.lines().any(|line| line.contains("apple") && line.contains('4')), "{told}");
}
