//! A replica to write a client against: listens, and prints documents whenever they change.
//!
//! `cargo run -p crdt-net --example peer -- 127.0.0.1:9000 cart/1 cart/2`. It prints the documents that are named
//! and `input`, in which it counts the lines that it reads; it ends when its input does.

use std::error::Error;

use crdt_net::{Closed, DocumentHandle, Options, Replica};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let replica = Replica::open(Options::default()).await?;
    let input = replica.document("input").await?;
    tokio::spawn(show(input.clone()));
    for name in arguments {
        tokio::spawn(show(replica.document(&name).await?));
    }
    let address = replica.listen(&address).await?;
    eprintln!("replica {} listens on ws://{address}", replica.id());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        input.transact(|tx| tx.counter("lines").add(1)).await?;
    }
    replica.close().await;
    Ok(())
}

/// Prints a document now and after every change, until the replica is closed.
async fn show(document: DocumentHandle) -> Result<(), Closed> {
    let mut changes = document.watch().await?;
    loop {
        let content = document.snapshot().await?.root().to_json();
        eprintln!("{} {content}", document.id());
        if changes.next().await.is_none() {
            return Ok(());
        }
    }
}
