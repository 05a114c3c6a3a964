//! Accepting: who may connect, and how many at a time.
//!
//! Why is `Origin` checked? A browser lets any web page open a WebSocket to localhost or to the
//! local network, and says in that header which page it was (compare CVE-2025-24010 of Vite). A
//! request that has the header must come from an origin that was allowed; programs that are not
//! browsers do not send it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tracing::{debug, warn};

use crate::link::{self, Arrival, Origin, WebSocket};
use crate::net::{HANDSHAKE_TIMEOUT, Net, SUBPROTOCOL};
use crate::transport::{Connection, Listener};

/// How long to wait after an error of `accept`: most often there are no file descriptors left,
/// and trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Hands connections to the driver until that ends. Each one holds a slot while it lives; without
/// a free slot, connections wait in the queue of the operating system.
pub(crate) async fn accept(mut listener: Box<dyn Listener>, slots: Arc<Semaphore>, net: Arc<Net>) {
    let mut online = net.online.clone();
    tokio::select! {
        biased;
        () = async { while online.changed().await.is_ok() {} } => {}
        () = accept_all(&mut *listener, &slots, &net) => {}
    }
}

async fn accept_all(listener: &mut dyn Listener, slots: &Arc<Semaphore>, net: &Net) {
    loop {
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok(_) if !*net.online.borrow() => debug!("turned a connection away: offline"),
            Ok((connection, address)) => {
                if net.arrivals.send(Arrival::Accepted { connection, address, slot }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                warn!(%error, "accepting failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Shakes hands on an accepted connection and runs the link on it. The slot is free again after.
pub(crate) async fn serve(
    connection: Box<dyn Connection>,
    address: SocketAddr,
    slot: OwnedSemaphorePermit,
    net: Arc<Net>,
) {
    let mut online = net.online.clone();
    let handshake = tokio::select! {
        biased;
        // Offline or closed: either way nobody waits for this connection.
        _ = online.wait_for(|online| !online) => return,
        handshake = timeout(HANDSHAKE_TIMEOUT, shake_hands(connection, &net)) => handshake,
    };
    match handshake {
        Ok(Ok(socket)) => {
            link::run(socket, Origin::Accepted, address.to_string(), &net).await;
        }
        Ok(Err(error)) => debug!(%address, %error, "handshake failed"),
        Err(_) => debug!(%address, "handshake timed out"),
    }
    drop(slot);
}

async fn shake_hands(connection: Box<dyn Connection>, net: &Net) -> Result<WebSocket, Error> {
    let gate = Gate { allowed_origins: &net.allowed_origins };
    accept_hdr_async_with_config(connection, gate, Some(net.socket_config())).await
}

/// Decides on a request before the connection becomes a WebSocket.
struct Gate<'a> {
    allowed_origins: &'a [String],
}

impl Gate<'_> {
    fn allows_origin(&self, request: &Request) -> bool {
        request
            .headers()
            .get_all(header::ORIGIN)
            .iter()
            .all(|origin| self.allowed_origins.iter().any(|allowed| origin == allowed.as_str()))
    }

    fn names_subprotocol(request: &Request) -> bool {
        request
            .headers()
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|names| names.to_str().ok())
            .any(|names| names.split(',').any(|name| name.trim() == SUBPROTOCOL))
    }
}

impl Callback for Gate<'_> {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        if !self.allows_origin(request) {
            return Err(refusal(StatusCode::FORBIDDEN, "this origin is not allowed"));
        }
        if !Self::names_subprotocol(request) {
            return Err(refusal(StatusCode::BAD_REQUEST, "the subprotocol must be crdt-sync.v1"));
        }
        let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        Ok(response)
    }
}

fn refusal(status: StatusCode, reason: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(reason.to_owned()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(header::HeaderName, &'static str)]) -> Request {
        let mut request = Request::new(());
        for (name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn only_allowed_origins_pass_and_no_origin_is_no_browser() {
        let allowed_origins = ["https://app.example".to_owned()];
        let gate = Gate { allowed_origins: &allowed_origins };
        let (good, bad) = ((header::ORIGIN, "https://app.example"), (header::ORIGIN, "https://evil.example"));
        assert!(gate.allows_origin(&request(&[])));
        assert!(gate.allows_origin(&request(std::slice::from_ref(&good))));
        assert!(!gate.allows_origin(&request(std::slice::from_ref(&bad))));
        assert!(!gate.allows_origin(&request(&[good, bad])));
    }

    #[test]
    fn subprotocol_is_found_among_several() {
        let named = (header::SEC_WEBSOCKET_PROTOCOL, "chat, crdt-sync.v1");
        assert!(Gate::names_subprotocol(&request(&[named])));
        assert!(!Gate::names_subprotocol(&request(&[(header::SEC_WEBSOCKET_PROTOCOL, "crdt-sync.v10")])));
        assert!(!Gate::names_subprotocol(&request(&[])));
    }
}
