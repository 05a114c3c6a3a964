//! A network between two replicas that can be stopped and cut.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Carries every connection that it accepts on to one address.
pub(crate) struct Proxy {
    url: String,
    flows: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    task: AbortHandle,
}

impl Proxy {
    /// Opens a way to the replica that listens at `url`.
    pub(crate) async fn to(url: &str) -> Self {
        let target: SocketAddr = url.trim_start_matches("ws://").parse().expect("a socket address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        let (flows, is_flowing) = watch::channel(true);
        let (cuts, cut) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                connections.spawn(carry(from, target, is_flowing.clone(), cut.clone()));
            }
        });
        Self { url, flows, cuts, task: task.abort_handle() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Keeps every connection open and carries nothing.
    pub(crate) fn stop(&self) {
        self.flows.send_replace(false);
    }

    /// Breaks every connection, in the middle of whatever it carries.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(from: TcpStream, target: SocketAddr, flows: watch::Receiver<bool>, mut cut: watch::Receiver<u64>) {
    let Ok(to) = TcpStream::connect(target).await else { return };
    cut.mark_unchanged();
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    tokio::select! {
        () = copy(from_read, to_write, flows.clone()) => {}
        () = copy(to_read, from_write, flows) => {}
        _ = cut.changed() => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut flows: watch::Receiver<bool>) {
    let mut buffer = [0; 4096];
    while flows.wait_for(|flows| *flows).await.is_ok() {
        match from.read(&mut buffer).await {
            Ok(len) if len > 0 && to.write_all(&buffer[..len]).await.is_ok() => {}
            _ => return,
        }
    }
}
