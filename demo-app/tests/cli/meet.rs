//! Folders that meet: serve and sync, who holds what, copies that both went on.

use serde_json::{Value, json};

use crate::live::{Live, Server};
use crate::run::{Run, cart, cart_in, command, copy, folder};
use crate::sales::sales;

fn items(folder: &std::path::Path) -> Value {
    cart_in(folder, "show --json").ended(0).json()["items"].clone()
}

/// Digest and version of every document, which must not depend on where it is read.
fn content(folder: &std::path::Path) -> Vec<(Value, Value, Value)> {
    let found = cart_in(folder, "inspect --json").ended(0).json();
    let documents = found["documents"].as_array().expect("a list").iter();
    documents
        .map(|document| (document["cart"].clone(), document["version"].clone(), document["digest"].clone()))
        .collect()
}

#[test]
fn two_folders_that_changed_offline_meet_through_a_server() {
    let folder = folder("meet");
    let (phone, tablet, till) = (folder.join("phone"), folder.join("tablet"), folder.join("till"));
    cart_in(&phone, "add apple 2").ended(0);
    cart_in(&phone, "name Alice").ended(0);
    cart_in(&tablet, "add apple 3").ended(0);
    cart_in(&tablet, "--cart party add lemonade 12").ended(0);
    cart_in(&tablet, "name Bob").ended(0);

    let server = Server::start(&till, "");
    let met = cart_in(&phone, &format!("sync {} --json", server.url)).ended(0).json();
    assert_eq!(met["peers"], json!([{"url": server.url, "replica": server.replica}]));
    assert_eq!((&met["carts"], &met["received"]), (&json!(1), &json!(0)));
    server.live.event(|event| event["event"] == "cart" && event["items"]["apple"] == 2);
    let told = cart_in(&tablet, &format!("sync {}", server.url)).ended(0).stdout;
    assert!(told.contains("2 carts are equal here and at ws://"), "{told}");
    server.live.event(|event| event["event"] == "item" && event["item"] == "apple" && event["quantity"] == 5);
    cart_in(&phone, &format!("sync {}", server.url)).ended(0);
    assert_eq!(server.live.terminate(), Some(0));

    for data in [&phone, &tablet, &till] {
        assert_eq!(items(data), json!({"apple": 5}));
        assert_eq!(content(data), content(&phone));
    }
    assert_eq!(content(&phone).len(), 2);

    // Both names are there until somebody settles it.
    let shown = cart_in(&phone, "show").ended(0).stdout;
    assert!(shown.contains("conflict: Alice was written at the same time"), "{shown}");
    let named = cart_in(&phone, "name Alice --json").ended(0).json();
    assert_eq!(named["settled"], json!(["Bob", "Alice"]));
    assert_eq!(cart_in(&phone, "show --json").ended(0).json()["conflicts"], json!([]));
}

#[test]
fn who_holds_a_folder_is_named_with_the_way_to_reach_it() {
    let folder = folder("held");
    let (till, other, file) = (folder.join("till"), folder.join("other"), folder.join("file"));
    cart_in(&till, "add apple").ended(0);
    let server = Server::start(&till, "");
    let backup = format!("backup {}", file.display());
    let restore = format!("restore {}", file.display());
    let sync = format!("sync {}", server.url);
    let commands =
        ["add apple", "take apple", "remove apple", "name A", "show", "log", "inspect", "verify", "moved", &backup];
    for arguments in commands.into_iter().chain([restore.as_str(), sync.as_str(), "serve --listen 127.0.0.1:0"]) {
        let refused = cart_in(&till, arguments).refused(&format!("is open in process {}", server.live.pid()));
        let advice = format!("cart --data OTHER sync {}", server.url);
        assert!(refused.stderr.contains(&advice), "{arguments}: {advice} is missing in {refused:#?}");
    }
    // The advice works.
    cart_in(&other, &sync).ended(0);
    assert_eq!(items(&other), json!({"apple": 1}));
    server.live.kill();
    cart_in(&till, "add apple").ended(0);
}

#[test]
fn a_copied_folder_goes_on_as_another_replica_and_both_meet() {
    let folder = folder("twins");
    let (one, two) = (folder.join("one"), folder.join("two"));
    cart_in(&one, "add apple 1").ended(0);
    copy(&one, &two);
    cart_in(&one, "add apple 10").ended(0);
    let noticed = cart_in(&two, "add apple 100").ended(0);
    assert!(noticed.stderr.contains("this replica goes on as "), "{noticed:#?}");
    let server = Server::start(&one, "");
    cart_in(&two, &format!("sync {}", server.url)).ended(0);
    assert_eq!(server.live.terminate(), Some(0));
    assert_eq!((items(&one), items(&two)), (json!({"apple": 111}), json!({"apple": 111})));
    assert_eq!(content(&one), content(&two));
}

#[test]
fn a_restored_folder_gets_back_what_was_written_after_the_backup() {
    let folder = folder("restored");
    let (phone, till, file) = (folder.join("phone"), folder.join("till"), folder.join("file"));
    cart_in(&phone, "add apple 1").ended(0);
    cart_in(&phone, &format!("backup {}", file.display())).ended(0);
    cart_in(&phone, "add apple 10").ended(0);
    let server = Server::start(&till, "");
    let sync = format!("sync {}", server.url);
    cart_in(&phone, &sync).ended(0);
    std::fs::remove_dir_all(&phone).expect("the phone is lost");
    cart_in(&phone, &format!("restore {}", file.display())).ended(0);
    cart_in(&phone, "add apple 100").ended(0);
    cart_in(&phone, &sync).ended(0);
    assert_eq!(server.live.terminate(), Some(0));
    assert_eq!((items(&phone), items(&till)), (json!({"apple": 111}), json!({"apple": 111})));
}

#[test]
fn servers_that_are_peers_pass_on_what_comes_and_say_so() {
    let folder = folder("peers");
    let (hub, till, phone) = (folder.join("hub"), folder.join("till"), folder.join("phone"));
    let hub = Server::start(&hub, "");
    let till = Server::start(&till, &format!("--peer {}", hub.url));
    hub.live.event(|event| event["event"] == "peer_up" && event["replica"] == till.replica.as_str());
    cart_in(&phone, "add apple 2").ended(0);
    // To both at once: equal means equal at each of them.
    let met = cart_in(&phone, &format!("sync {} {} --json", hub.url, till.url)).ended(0).json();
    assert_eq!(met["peers"].as_array().map(Vec::len), Some(2));
    till.live.event(|event| event["event"] == "cart" && event["items"]["apple"] == 2);
    cart_in(&phone, "remove apple").ended(0);
    cart_in(&phone, "name Alice").ended(0);
    cart_in(&phone, &format!("sync {}", hub.url)).ended(0);
    // What came while the cart was read for the first time is told twice.
    let gone = till.live.event(|event| event["event"] == "item" && event["quantity"] != 2);
    assert_eq!((&gone["item"], &gone["quantity"], &gone["cart"]), (&json!("apple"), &json!(null), &json!("cart")));
    let named = till.live.event(|event| event["event"] == "name");
    assert_eq!((&named["name"], &named["names"]), (&json!("Alice"), &json!(1)));
    assert!(named["from"].is_string());
    let hub_replica = hub.replica.clone();
    hub.live.kill();
    till.live.event(|event| event["event"] == "peer_down" && event["replica"] == hub_replica.as_str());
    assert_eq!(till.live.terminate(), Some(0));
}

#[test]
fn without_json_a_server_speaks_in_sentences() {
    let folder = folder("sentences");
    let (till, phone) = (folder.join("till"), folder.join("phone"));
    let mut serve = command("serve --listen 127.0.0.1:0 --data", &[&till]);
    let live = Live::stdout_of(&mut serve);
    let listening = live.line_with("listening on ws://127.0.0.1:");
    let url = listening.split([' ', ',']).find(|word| word.starts_with("ws://")).expect("an address").to_owned();
    cart_in(&phone, "add apple 2").ended(0);
    cart_in(&phone, &format!("sync {url}")).ended(0);
    live.line_with("cart of nobody yet: apple: 2");
    cart_in(&phone, "add apple").ended(0);
    cart_in(&phone, &format!("sync {url}")).ended(0);
    live.line_with("cart: apple: 3  (from ");
    assert_eq!(live.terminate(), Some(0));
}

#[test]
fn many_carts_arrive_whole_every_time() {
    let folder = folder("many");
    let (file, shops) = (folder.join("sales.csv"), folder.join("shops"));
    std::fs::write(&file, sales(600).text).expect("the folder can be written");
    cart("replay --peers 2 --data", &[&shops, &file]).ended(0);
    let shop = shops.join("replica-0");
    let server = Server::start(&shop, "");
    let phones: Vec<_> = (0..4).map(|phone| folder.join(format!("phone-{phone}"))).collect();
    for phone in &phones {
        let met = cart_in(phone, &format!("sync {} --json", server.url)).ended(0).json();
        assert_eq!(met["carts"], sales(600).carts.len());
    }
    assert_eq!(server.live.terminate(), Some(0));
    for phone in &phones {
        assert_eq!(content(phone), content(&shop));
    }
}

/// Everything that is wrong with whom one wants to meet.
#[test]
fn nobody_there_and_addresses_that_are_none_are_named() {
    let phone = folder("nobody").join("phone");
    cart_in(&phone, "add apple").ended(0);
    // A port that was free a moment ago.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback works");
        listener.local_addr().expect("it is bound").port()
    };
    let url = format!("ws://127.0.0.1:{port}");
    let refused: Run = cart_in(&phone, &format!("sync {url} --deadline 0.5 --json"));
    refused.refused(&format!("not done within 0.5 s: no replica answers at {url}"));
    cart_in(&phone, "sync http://127.0.0.1:1").refused("http://127.0.0.1:1 cannot be dialled");
    cart_in(&phone, "serve --listen 127.0.0.1:0 --peer wss://a").refused("wss://a cannot be dialled");
    cart_in(&phone, "serve --listen nowhere").refused("cannot listen on nowhere");
    assert_eq!(items(&phone), json!({"apple": 1}));
}
