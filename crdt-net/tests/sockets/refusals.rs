//! Peers that are none: other origins, other protocols, other bytes. The replica outlives them all.

use crdt_net::Replica;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{add, converge, listen, open, open_listening, open_with, within};

pub(crate) type Client = WebSocketStream<TcpStream>;

const SUBPROTOCOL: &str = "crdt-sync.v1";

/// Connects as a program of our own making would.
async fn dial(url: &str, headers: &[(&'static str, &'static str)]) -> Result<Client, Error> {
    let stream = TcpStream::connect(url.trim_start_matches("ws://")).await.expect("listening");
    let mut request = url.into_client_request().expect("valid");
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    within(client_async(request, stream)).await.map(|(client, _)| client)
}

pub(crate) async fn dial_as_peer(url: &str) -> Client {
    dial(url, &[("Sec-WebSocket-Protocol", SUBPROTOCOL)]).await.expect("let in")
}

fn status(refused: Result<Client, Error>) -> StatusCode {
    match refused {
        Err(Error::Http(response)) => response.status(),
        other => panic!("not refused: {other:?}"),
    }
}

/// Reads until the other end says why it closes.
pub(crate) async fn close_frame(client: &mut Client) -> CloseFrame {
    within(async {
        loop {
            match client.next().await {
                Some(Ok(Message::Close(frame))) => return frame.expect("with a code"),
                Some(Ok(_)) => {}
                other => panic!("closed without a word: {other:?}"),
            }
        }
    })
    .await
}

/// Checks that the replica behind `url` still serves a real peer.
async fn lives_on(server: &Replica, url: &str) {
    let phone = open().await;
    phone.connect(url).await.expect("open");
    let (here, there) = (phone.document("d").await.expect("open"), server.document("d").await.expect("open"));
    add(&here, "n", 1).await;
    converge(&[&here, &there]).await;
    phone.close().await;
}

#[tokio::test]
async fn page_of_another_origin_is_refused() {
    let server = open_with(|options| options.allowed_origins = vec!["https://app.example".to_owned()]).await;
    let url = listen(&server).await;
    let protocol = ("Sec-WebSocket-Protocol", SUBPROTOCOL);
    let evil = dial(&url, &[protocol, ("Origin", "https://evil.example")]).await;
    assert_eq!(status(evil), StatusCode::FORBIDDEN);
    let both = dial(&url, &[protocol, ("Origin", "https://app.example"), ("Origin", "https://evil.example")]).await;
    assert_eq!(status(both), StatusCode::FORBIDDEN);
    assert!(dial(&url, &[protocol, ("Origin", "https://app.example")]).await.is_ok());
    lives_on(&server, &url).await;
}

#[tokio::test]
async fn by_default_no_web_page_is_let_in() {
    let (_server, url) = open_listening().await;
    let page = dial(&url, &[("Sec-WebSocket-Protocol", SUBPROTOCOL), ("Origin", "http://localhost")]).await;
    assert_eq!(status(page), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn client_without_the_subprotocol_is_refused() {
    let (server, url) = open_listening().await;
    assert_eq!(status(dial(&url, &[]).await), StatusCode::BAD_REQUEST);
    assert_eq!(status(dial(&url, &[("Sec-WebSocket-Protocol", "crdt-sync.v2")]).await), StatusCode::BAD_REQUEST);
    assert!(dial(&url, &[("Sec-WebSocket-Protocol", "chat, crdt-sync.v1")]).await.is_ok());
    lives_on(&server, &url).await;
}

#[tokio::test]
async fn text_is_refused_with_1003() {
    let (server, url) = open_listening().await;
    let mut client = dial_as_peer(&url).await;
    client.send(Message::text("hello")).await.unwrap();
    assert_eq!(u16::from(close_frame(&mut client).await.code), 1003);
    lives_on(&server, &url).await;
}

#[tokio::test]
async fn message_above_the_limit_is_refused_with_1009() {
    const LIMIT: usize = 256 * 1024;
    let (server, url) = open_listening().await;
    let too_large = "the message is too large";
    let mut client = dial_as_peer(&url).await;
    // At the limit it reaches the protocol, which has its own opinion of it.
    client.send(Message::binary(vec![0; LIMIT])).await.unwrap();
    assert_ne!(close_frame(&mut client).await.reason.as_str(), too_large);

    let mut client = dial_as_peer(&url).await;
    client.send(Message::binary(vec![0; LIMIT + 1])).await.unwrap();
    let frame = close_frame(&mut client).await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1009, too_large));

    // One that is still being sent when it is refused: the sender gets to hear why all the same.
    let mut client = dial_as_peer(&url).await;
    within(client.send(Message::binary(vec![0; 100 * LIMIT]))).await.unwrap();
    assert_eq!(u16::from(close_frame(&mut client).await.code), 1009);
    lives_on(&server, &url).await;
}

#[tokio::test]
async fn message_above_the_limit_in_fragments_is_refused_with_1009() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    let (server, url) = open_listening().await;
    let mut client = dial_as_peer(&url).await;
    let part = Bytes::from(vec![0; 100 * 1024]);
    for opcode in [Data::Binary, Data::Continue, Data::Continue] {
        client.send(Message::Frame(Frame::message(part.clone(), OpCode::Data(opcode), false))).await.unwrap();
    }
    assert_eq!(u16::from(close_frame(&mut client).await.code), 1009);
    lives_on(&server, &url).await;
}

#[tokio::test]
async fn garbage_in_messages_closes_the_link_and_nothing_else() {
    let (server, url) = open_listening().await;
    for seed in 0..32_u8 {
        let mut client = dial_as_peer(&url).await;
        let garbage: Vec<u8> = (0..200_u8).map(|byte| byte.wrapping_mul(seed | 1).wrapping_add(seed)).collect();
        client.send(Message::binary(garbage)).await.unwrap();
        let code = u16::from(close_frame(&mut client).await.code);
        assert!([1002, 1007, 1009].contains(&code) || (4000..5000).contains(&code), "seed {seed}: {code}");
    }
    lives_on(&server, &url).await;
}

#[tokio::test]
async fn garbage_instead_of_frames_closes_the_link_with_1002() {
    let (server, url) = open_listening().await;
    let mut client = dial_as_peer(&url).await;
    // A frame with reserved bits and an opcode that there is not.
    client.get_mut().write_all(&[0xff, 0x80, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(u16::from(close_frame(&mut client).await.code), 1002);
    lives_on(&server, &url).await;
}

#[tokio::test]
async fn garbage_instead_of_a_handshake_closes_the_connection() {
    let (server, url) = open_listening().await;
    let mut stream = TcpStream::connect(url.trim_start_matches("ws://")).await.unwrap();
    stream.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // Reset or ended, either will do.
    let _ = within(stream.read_to_end(&mut answer)).await;
    lives_on(&server, &url).await;
}
