//! Bare tokio-tungstenite: carries the messages of a takeover, made beforehand, and throws them away on arrival.

use std::time::{Duration, Instant};

use crdt_benches::pair::Pair;
use crdt_benches::{Failed, ensure};
use crdt_core::Snapshot;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};

/// As crdt-net has them, whose constants are its own: 4 KiB, so that an idle connection costs 7 KiB instead of 135.
const OUR_BUFFER_BYTES: usize = 4 * 1024;

/// How much a socket reads and writes at a time.
#[derive(Clone, Copy)]
pub(crate) enum Buffers {
    /// As in crdt-net.
    Ours,
    /// tungstenite's default: 128 KiB each.
    Default,
}

impl Buffers {
    fn config(self) -> WebSocketConfig {
        match self {
            Self::Ours => {
                WebSocketConfig::default().read_buffer_size(OUR_BUFFER_BYTES).write_buffer_size(OUR_BUFFER_BYTES)
            }
            Self::Default => WebSocketConfig::default(),
        }
    }
}

/// Every message of a takeover, by who sends it.
pub(crate) struct Script {
    provider: Vec<Bytes>,
    fresh: Vec<Bytes>,
}

impl Script {
    /// Lets two endpoints talk in memory, and takes down what they say.
    pub(crate) fn of(snapshot: &Snapshot) -> Result<Self, Failed> {
        let mut pair = Pair::apart(snapshot.clone());
        let mut sent = [Vec::new(), Vec::new()];
        pair.link();
        pair.exchange(|from, bytes| sent[from].push(Bytes::copy_from_slice(bytes)));
        ensure(pair.is_level(), || "the endpoints hold different documents".to_owned())?;
        let [provider, fresh] = sent;
        Ok(Self { provider, fresh })
    }

    pub(crate) fn messages(&self) -> usize {
        self.provider.len() + self.fresh.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.provider.iter().chain(&self.fresh).map(Bytes::len).sum()
    }

    /// Connects, carries all messages over, and returns how long that took. The provider is the one that accepts, as it
    /// is among the replicas: so what matters is not masked in either.
    pub(crate) async fn play(&self, buffers: Buffers) -> Result<Duration, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (messages, expected) = (self.provider.clone(), length(&self.fresh));
        let begin = Instant::now();
        let provider = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let mut socket = accept_async_with_config(stream, Some(buffers.config())).await?;
            say(&mut socket, messages).await?;
            hear(&mut socket, expected).await
        });
        let (messages, expected) = (self.fresh.clone(), length(&self.provider));
        // A task as well: what runs where the runtime blocks would have a thread of its own.
        let fresh = tokio::spawn(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let url = format!("ws://{address}");
            let (mut socket, _) = client_async_with_config(url, stream, Some(buffers.config())).await?;
            say(&mut socket, messages).await?;
            hear(&mut socket, expected).await
        });
        fresh.await??;
        let took = begin.elapsed();
        provider.await??;
        Ok(took)
    }
}

fn length(messages: &[Bytes]) -> usize {
    messages.iter().map(Bytes::len).sum()
}

async fn say(socket: &mut WebSocketStream<TcpStream>, messages: Vec<Bytes>) -> Result<(), Failed> {
    for bytes in messages {
        socket.feed(Message::Binary(bytes)).await?;
    }
    Ok(socket.flush().await?)
}

async fn hear(socket: &mut WebSocketStream<TcpStream>, mut bytes: usize) -> Result<(), Failed> {
    while bytes > 0 {
        let message = socket.next().await.ok_or("the socket was closed too early")??;
        bytes = bytes.checked_sub(message.len()).ok_or("more came than was sent")?;
    }
    Ok(())
}
