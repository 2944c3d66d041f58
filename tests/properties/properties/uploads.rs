//! Properties of received files, and of their names.

use std::path::{Component, Path};
use std::time::Duration;

use reactor::config::units::Size;
use reactor::protocol::StreamProtocol;
use reactor::protocol::file::{File, FileOptions, FileSized, OnExisting};
use reactor::testing::{MemoryDisk, Operation, Script, converse};

use super::models::{self, FILE_BYTES_MAX, Received};
use super::play::Play;
use super::streams::{DEADLINE, Open, a_peer_is_served, files_of, open};

/// The silence that ends a name without a newline, as it is configured by default.
const NAME_QUIET: Duration = Duration::from_millis(50);

fn options() -> FileOptions {
    let mut options = FileOptions::default();
    options.max_size = Size::bytes(FILE_BYTES_MAX);
    options
}

pub(crate) fn file(text: &[u8]) {
    files_are_received(&|disk| open::<File>(options(), disk), models::file, text);
}

pub(crate) fn file_sized(text: &[u8]) {
    files_are_received(&|disk| open::<FileSized>(options(), disk), models::file_sized, text);
}

/// The stored files are those of the model, if nothing disturbs the peer. Otherwise they are at least harmless: plain
/// names, and contents that were sent, in one piece.
fn files_are_received(service: &Open, model: fn(&[u8]) -> Received, text: &[u8]) {
    let play = Play::parse(text);
    // Once the first name has ended with a newline, no pause ends a line any more.
    let before_pause = &play.stream[..play.first_pause.unwrap_or(play.stream.len())];
    let by_newline = before_pause.contains(&b'\n');
    let (whole, played) = a_peer_is_served(service, &play, if by_newline { DEADLINE } else { NAME_QUIET });
    let expected = model(&play.stream);
    assert_eq!(whole.files, expected.files);
    let sent = String::from_utf8_lossy(&whole.sent);
    match sent.strip_prefix(&expected.answers) {
        Some("") if !expected.refused => {}
        Some(error) if expected.refused && is_error_line(error) => {}
        _ => panic!("{sent:?} instead of {expected:?}"),
    }
    for (name, contents) in &played.files {
        assert!(models::name(name.as_bytes()).is_some() && is_one_component(name), "{name:?}");
        assert!(contents.len() as u64 <= FILE_BYTES_MAX);
        assert!(
            contents.is_empty() || play.stream.windows(contents.len()).any(|window| window == contents),
            "{name:?}"
        );
    }
    if by_newline || play.silence < NAME_QUIET {
        assert!(whole.sent.starts_with(&played.sent), "{played:?} is not the beginning of {whole:?}");
        assert!(played.files.iter().all(|(name, contents)| whole.files.get(name) == Some(contents)), "{played:?}");
        assert!(played.files.len() >= confirmations(&played.sent), "what was confirmed is there: {played:?}");
    }
}

/// The number of files that these answers confirm: `file` by its last line, `file-sized` by a third answer for each.
fn confirmations(sent: &[u8]) -> usize {
    let sent = String::from_utf8_lossy(sent);
    sent.matches("\nsaved ").count() + sent.matches("OK\n").count() / 3
}

/// An error is one line, and repeats no byte that could harm a terminal or a log.
fn is_error_line(error: &str) -> bool {
    let Some(text) = error.strip_prefix("error: ").and_then(|error| error.strip_suffix('\n')) else { return false };
    !text.is_empty() && !text.contains(char::is_control)
}

fn is_one_component(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == name)
}

/// Whatever name a client sends, and however the name ends: a file of that name is stored if the name is plain,
/// otherwise nothing is created, not even without a name; and no other file is created, removed or changed.
pub(crate) fn names(text: &[u8]) {
    let text = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = text.strip_suffix(b"\r").unwrap_or(text);
    let newline = |rest: &[u8]| Script::new().send_fin([text, b"\n", rest].concat());
    let pause = Script::new().send(text).pause(2 * NAME_QUIET).send_fin("x");
    let sized_pause = Script::new().send(text).pause(2 * NAME_QUIET).send("1").pause(2 * NAME_QUIET).send_fin("x");
    for existing in [OnExisting::Refuse, OnExisting::Replace, OnExisting::Number] {
        let mut options = options();
        options.existing = existing;
        let file = |disk: &MemoryDisk| open::<File>(options.clone(), disk);
        let sized = |disk: &MemoryDisk| open::<FileSized>(options.clone(), disk);
        only_a_plain_name_is_stored(&file, line, existing, &newline(b"x"));
        only_a_plain_name_is_stored(&sized, line, existing, &newline(b"1\nx"));
        if !text.is_empty() {
            only_a_plain_name_is_stored(&file, text, existing, &pause);
            only_a_plain_name_is_stored(&sized, text, existing, &sized_pause);
        }
    }
}

fn only_a_plain_name_is_stored(
    service: &dyn Fn(&MemoryDisk) -> Box<dyn StreamProtocol>,
    name: &[u8],
    existing: OnExisting,
    script: &Script,
) {
    let disk = MemoryDisk::new();
    disk.insert("bystander", b"unchanged");
    let mut expected = files_of(&disk);
    let sent = converse(service(&disk), script).sent;
    let sent = String::from_utf8_lossy(&sent);
    let accepted = models::name(name);
    let Some(name) = accepted.filter(|name| *name != "bystander") else {
        if accepted.is_none() {
            assert!(is_error_line(&sent), "{sent:?}");
            assert_eq!(disk.log(), [Operation::Open], "{} is refused before anything is created", name.escape_ascii());
        }
        return;
    };
    assert!(is_one_component(name), "{name:?}");
    expected.insert(name.to_owned(), b"x".to_vec());
    assert_eq!(files_of(&disk), expected, "{sent:?}");

    // Once more, when the name exists.
    disk.insert(name, b"old");
    expected.insert(name.to_owned(), if existing == OnExisting::Replace { b"x".to_vec() } else { b"old".to_vec() });
    let sent = converse(service(&disk), script).sent;
    let mut files = files_of(&disk);
    if existing == OnExisting::Number {
        files.retain(|numbered, contents| {
            let is_new = !expected.contains_key(numbered);
            assert!(!is_new || (contents == b"x" && models::name(numbered.as_bytes()).is_some()), "{numbered:?}");
            !is_new
        });
        assert_eq!(disk.names().len(), expected.len() + 1, "{:?}", disk.names());
    }
    assert_eq!(files, expected);
    if existing == OnExisting::Refuse {
        assert_eq!(String::from_utf8_lossy(&sent), format!("error: {name} exists already\n"));
    }
}
