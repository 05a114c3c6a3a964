//! Dialling: one task per address, which keeps a link to it up until it is told to stop.
//!
//! When does it stop? When the driver drops its end of the stop channel: on disconnect, offline
//! and close. Whatever the task is waiting for then ends at once, except a live link, which the
//! driver closes by itself.
//!
//! What if both ends dial each other? One of the two links is refused with a typed reason, and
//! its dialler tries once more soon, then rests for 5 s and more before each new attempt: it is there
//! when the other link dies, and does not flap meanwhile.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crdt_sync::CloseReason;
use rand::RngExt;
use rand::rngs::StdRng;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri, header};
use tracing::debug;

use crate::backoff::Backoff;
use crate::link::{self, Origin, WebSocket};
use crate::net::{HANDSHAKE_TIMEOUT, Net, SUBPROTOCOL};

/// Names one task that dials, also among those that dialled the same address before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DialId(pub(crate) u64);

/// An address that can be dialled: a checked `ws://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    host: String,
    port: u16,
    /// One spelling for all URLs that mean the same.
    url: String,
}

impl Target {
    /// Takes a URL from the application.
    pub(crate) fn parse(url: &str) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::Malformed)?;
        match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("ws") => {}
            Some("wss") => return Err(TargetError::Tls),
            _ => return Err(TargetError::Scheme),
        }
        let authority = uri.authority().ok_or(TargetError::Malformed)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(TargetError::Credentials);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(TargetError::Malformed);
        }
        let path = if uri.path() == "/" { "" } else { uri.path() };
        let url = format!("ws://{}{path}", authority.as_str().to_ascii_lowercase());
        Ok(Self { host, port: authority.port_u16().unwrap_or(80), url })
    }

    /// Returns one spelling for all URLs that mean the same.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Connects and shakes hands.
    async fn open(&self, net: &Net) -> Result<WebSocket, DialError> {
        let connection = net.transport.connect(&self.host, self.port).await?;
        let mut request = self.url.as_str().into_client_request()?;
        let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        // The handshake fails unless the server chose the subprotocol that was asked for.
        let (socket, _response) = client_async_with_config(request, connection, Some(net.socket_config())).await?;
        Ok(socket)
    }
}

/// Why a URL can never be dialled: the caller's fault. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It is no URL with a host.
    #[error("not a URL of the form ws://host:port/path")]
    Malformed,
    /// Its scheme is not that of a WebSocket.
    #[error("the scheme must be ws")]
    Scheme,
    /// TLS is not built in yet; put a proxy that speaks it in front, or use `ws`.
    #[error("wss is not supported yet")]
    Tls,
    /// It carries credentials or a query; both end up in logs, so neither is taken.
    #[error("a URL must not carry credentials or a query")]
    Credentials,
}

/// Why one attempt to dial failed; only ever logged, there will be another.
#[derive(Debug, Error)]
enum DialError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Handshake(Box<tokio_tungstenite::tungstenite::Error>),
}

impl From<tokio_tungstenite::tungstenite::Error> for DialError {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::Handshake(Box::new(error))
    }
}

/// A task that keeps a link to one address up.
#[derive(Debug)]
pub(crate) struct Dialler {
    pub(crate) target: Target,
    pub(crate) dial: DialId,
    pub(crate) backoff: Backoff,
    /// What delays are drawn with.
    pub(crate) random: StdRng,
    pub(crate) net: Arc<Net>,
}

impl Dialler {
    /// Runs until the other end of `stop` is dropped.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let address = self.target.url().to_owned();
        loop {
            let opened = tokio::select! {
                biased;
                _ = &mut stop => return,
                opened = timeout(HANDSHAKE_TIMEOUT, self.target.open(&self.net)) => opened,
            };
            match opened {
                Ok(Ok(socket)) => self.keep(socket, address.clone()).await,
                Ok(Err(error)) => debug!(%address, %error, "dialling failed"),
                Err(_) => debug!(%address, "dialling timed out"),
            }
            let delay = self.backoff.next_delay(self.random.random());
            debug!(%address, delay_ms = delay.as_millis(), "dialling again later");
            if !wait_out(&mut stop, delay).await {
                return;
            }
        }
    }

    /// Runs a link until it ends, and takes note of how it did.
    async fn keep(&mut self, socket: WebSocket, address: String) {
        let started = Instant::now();
        let ended = link::run(socket, Origin::Dialled { dial: self.dial }, address, &self.net).await;
        match ended.code {
            Some(code) if is_unwanted(code) => self.backoff.unwanted(),
            Some(code) if code == CloseReason::Renewed.code() => self.backoff.renewed(),
            _ => self.backoff.link_ended(started.elapsed()),
        }
    }
}

/// Tells whether the code says that this link is one too many, rather than that something failed.
fn is_unwanted(code: u16) -> bool {
    [CloseReason::DuplicateLink, CloseReason::DuplicateIdentity, CloseReason::SelfLink]
        .iter()
        .any(|reason| reason.code() == code)
}

/// Waits for `delay`; false if it was told to stop meanwhile.
async fn wait_out(stop: &mut oneshot::Receiver<()>, delay: Duration) -> bool {
    tokio::select! {
        biased;
        _ = stop => false,
        () = sleep(delay) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_are_one_target() {
        let url = |url| Target::parse(url).expect("valid").url;
        assert_eq!(url("ws://localhost:7000/"), "ws://localhost:7000");
        assert_eq!(url("WS://localhost:7000"), url("ws://localhost:7000/"));
        assert_eq!(url("ws://localhost:7000/a"), "ws://localhost:7000/a");
    }

    #[test]
    fn address_of_version_six_loses_its_brackets() {
        let target = Target::parse("ws://[::1]:7000").expect("valid");
        assert_eq!((target.host.as_str(), target.port), ("::1", 7000));
    }

    #[test]
    fn unusable_urls_say_why() {
        let error = |url| Target::parse(url).expect_err("unusable");
        assert_eq!(error("wss://host"), TargetError::Tls);
        assert_eq!(error("http://host"), TargetError::Scheme);
        assert_eq!(error("host:7000"), TargetError::Scheme);
        assert_eq!(error("ws://"), TargetError::Malformed);
        assert_eq!(error("ws://user:secret@host"), TargetError::Credentials);
        assert_eq!(error("ws://host/?token=secret"), TargetError::Credentials);
    }
}
