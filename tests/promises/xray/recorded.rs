//! A recording of a server that serves all kinds of clients, and its views.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;

use reactor::xray::{self, Recording, View};
use reactor::{Config, Reactor, Registry};
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Scratch, every_protocol};

/// A recording of a loop that served all kinds of clients, a slow reader among them.
#[track_caller]
pub(crate) fn record() -> Recording {
    let directory = Scratch::new();
    let config = json!({ "listeners": every_protocol(&directory) }).to_string();
    let (ready, started) = mpsc::channel();
    let server = thread::spawn(move || {
        xray::start();
        let registry = Registry::built_in();
        let config = Config::parse("test.json", &config, &registry).unwrap();
        let mut reactor = Reactor::bind(&config, &registry).unwrap();
        let named =
            reactor.endpoints().iter().map(|endpoint| (endpoint.name().to_owned(), endpoint.address().unwrap()));
        ready.send((named.collect::<HashMap<String, SocketAddr>>(), reactor.handle())).unwrap();
        reactor.run().unwrap();
        reactor.recording().unwrap()
    });
    let (addresses, handle) = started.recv().unwrap();

    let mut sum = Client::connect(addresses["sum-tcp"]);
    sum.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
    let mut gone = Client::connect(addresses["sum-tcp"]);
    gone.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
    gone.reset();
    let mut slow = Client::connect_with_little_room(addresses["uppercase-tcp"]);
    let sent = slow.send_until_stuck(&[b'a'; 64 * 1024]);
    let mut upload = Client::connect(addresses["file-sized-tcp"]);
    upload.ask("upload.bin\n", "OK\n");
    upload.ask("600000\n", "OK\n");
    upload.ask([b'u'; 600_000], "OK\n");
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.set_read_timeout(Some(PATIENCE)).unwrap();
    datagrams.send_to(br#"{"A":7,"B":4}"#, addresses["sum-udp"]).unwrap();
    assert_eq!(datagrams.recv(&mut [0; 100]).unwrap(), 11);
    assert_eq!(slow.try_rest_of(sent).unwrap().len(), sent);
    for mut client in [sum, slow, upload] {
        client.finish();
        assert_eq!(client.rest(), b"");
    }
    handle.stop();
    server.join().unwrap()
}

pub(crate) fn view(recording: &Recording, view: View) -> String {
    let mut text = Vec::new();
    view.write(recording, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// The data in a page: the kind and the text of each record.
pub(crate) fn data(page: &str) -> (Value, Vec<(String, String)>) {
    let (_, rest) = page.split_once("type=\"application/json\">").unwrap();
    let data: Value = serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
    let place = |number: &Value| usize::try_from(number.as_u64().unwrap()).unwrap();
    let name = |list: &str, number: &Value| data[list][place(number)].as_str().unwrap().to_owned();
    let columns = data["kind"].as_array().unwrap().iter().zip(data["text"].as_array().unwrap());
    let records = columns.map(|(kind, text)| (name("kinds", kind), name("texts", text))).collect();
    (data, records)
}
