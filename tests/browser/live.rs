//! The live page of `admin`.

use serde_json::json;

use crate::chromium::open_at;
use crate::support::{Client, listener, server};

#[test]
fn a_recording_that_has_no_origin_still_works() {
    let server = server(&json!({ "listeners": [listener("admin", "tcp")] }));
    let shown = open_at(&format!("http://{}/xray?seconds=1&format=page", server.address("admin-tcp")));
    assert_eq!(shown.complaints, [""; 0]);
    assert!(shown.text("summary").contains(" turns ("), "{}", shown.text("summary"));
}

#[test]
fn the_live_page_shows_the_server_and_nothing_goes_wrong() {
    let server =
        server(&json!({ "listeners": [listener("sum", "tcp"), listener("sum", "udp"), listener("admin", "tcp")] }));
    let mut client = Client::connect(server.address("sum-tcp"));
    client.send("{\"A\":");
    // A violation of the policy would be a complaint.
    let shown = open_at(&format!("http://{}/", server.address("admin-tcp")));
    assert_eq!(shown.complaints, [""; 0]);
    assert!(shown.text("status").starts_with("at "), "{}", shown.text("status"));
    assert_eq!((shown.text("readiness"), shown.text("pending")), ("ready".to_owned(), "0 B of 256 MiB".to_owned()));
    assert!(shown.text("busy").ends_with(" %"), "{}", shown.text("busy"));
    assert!(
        shown.text("all").contains("listening 3") && shown.text("all").contains("request 1"),
        "{}",
        shown.text("all")
    );
}
