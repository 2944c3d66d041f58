//! Files: an upload is saved whole and under its name, or not at all.

use crate::client::url::Transport;
use crate::demand::{Demand, Need};
use crate::files::Existing;
use crate::miss::{Miss, Verdict, excerpt};
use crate::peer::{Client, in_words};
use crate::protocol::{Protocol, file_name};
use crate::trial::Trial;

const BURST_BYTES: usize = 4 * 1024 * 1024;

/// Enough bytes for a server to have begun with the file.
const HALF_BYTES: usize = 100_000;

/// More than any answer here.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub(crate) const DEMANDS: &[Demand] = &[
    both("answers", "each part is answered before the client sends the next, and the file is saved", answers),
    both("together", "all parts may arrive together, and with FIN", together),
    both("split", "all parts may arrive in pieces, down to single bytes", split),
    both("empty", "a file may be empty", empty),
    both("burst", "four megabytes at once are saved whole", burst),
    sized("next", "a file may be followed by another one, in the same write", next),
    both("silent", "a client that stops in the middle of a file delays no other client, and may go on", silent),
    both("refused", "an invalid file name is refused, and not repeated in the answer", refused),
    sized("size", "an invalid size is refused", size),
    both("existing", "a name that exists is treated as --existing says", existing),
    both("race", "two uploads of one name at the same time end as --existing says", race),
    both("half", "half a file whose client reset the connection never appears under its name", half),
    sized("cut", "half a file that ends with FIN gets an error line, and never appears", cut),
    fine(both("nothing", "a FIN before any byte is not a request", |trial| {
        let client = trial.connect()?;
        client.finish()?;
        expect_end(client)
    })),
    fine(bare("pause", "a pause ends a name that has no newline, and then ok has none either", |trial| {
        let name = file_name(trial.number());
        let mut client = trial.connect()?;
        client.send(name.as_bytes())?;
        client.expect(b"ok")?;
        client.send_with_fin(b"contents")?;
        saved(trial, client, &name, b"contents")
    })),
    fine(sized("pause", "a pause ends a name and a size without a newline, and then OK has none either", |trial| {
        let name = file_name(trial.number());
        let mut client = trial.connect()?;
        for bytes in [name.as_bytes(), b"8", b"contents"] {
            client.send(bytes)?;
            client.expect(b"OK")?;
        }
        client.finish()?;
        expect_end(client)?;
        trial.files.has(&name, b"contents")
    })),
    fine(bare("return", "a carriage return before the newline is not part of the name", |trial| {
        let name = file_name(trial.number());
        let mut client = trial.connect()?;
        client.send_with_fin(format!("{name}\r\ncontents").as_bytes())?;
        client.expect(b"ok\n")?;
        saved(trial, client, &name, b"contents")
    })),
];

const fn both(name: &'static str, text: &'static str, run: fn(&Trial) -> Verdict) -> Demand {
    let protocols = Protocol::FILES;
    Demand { name, text, protocols, transport: Transport::Tcp, need: Need::Nothing, is_fine: false, run }
}

/// For the protocol in which FIN ends a file.
const fn bare(name: &'static str, text: &'static str, run: fn(&Trial) -> Verdict) -> Demand {
    Demand { protocols: &[Protocol::File], ..both(name, text, run) }
}

/// For the protocol that sends the size first.
const fn sized(name: &'static str, text: &'static str, run: fn(&Trial) -> Verdict) -> Demand {
    Demand { protocols: &[Protocol::FileSized], ..both(name, text, run) }
}

const fn fine(demand: Demand) -> Demand {
    Demand { is_fine: true, ..demand }
}

fn answers(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    upload(trial, &name, b"contents\n")
}

fn together(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    // A newline in the contents is data.
    let contents = b"one\ntwo\n";
    let mut client = trial.connect()?;
    client.send_with_fin(&[&head(trial, &name, contents.len()), &contents[..]].concat())?;
    client.expect(begun(trial))?;
    saved(trial, client, &name, contents)
}

fn split(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let contents: Vec<u8> = (0..=255).collect();
    let mut client = trial.connect()?;
    let all = [head(trial, &name, contents.len()), contents.clone()].concat();
    all.iter().try_for_each(|byte| client.send(&[*byte]))?;
    client.finish()?;
    client.expect(begun(trial))?;
    saved(trial, client, &name, &contents)
}

fn empty(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    upload(trial, &name, b"")
}

fn burst(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    // No two buffers of the contents are equal, so a lost or repeated one shows.
    let contents: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(BURST_BYTES).collect();
    upload(trial, &name, &contents)
}

fn next(trial: &Trial) -> Verdict {
    let [first, second] = [(); 2].map(|()| file_name(trial.number()));
    let mut client = trial.connect()?;
    let one = [head(trial, &first, 3), b"one".to_vec()].concat();
    let two = [head(trial, &second, 3), b"two".to_vec()].concat();
    client.send_with_fin(&[one, two].concat())?;
    client.expect(&b"OK\n".repeat(6))?;
    expect_end(client)?;
    trial.files.has(&first, b"one")?;
    trial.files.has(&second, b"two")
}

fn silent(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let contents = b"one half, and the other";
    let (half, other) = contents.split_at(contents.len() / 2);
    let mut client = begin(trial, &name, contents.len())?;
    client.send(half)?;
    trial.others_are_served("one client is in the middle of a file, and another one comes")?;
    client.send_with_fin(other)?;
    saved(trial, client, &name, contents)
}

fn refused(trial: &Trial) -> Verdict {
    let long = "x".repeat(256);
    let names: [&[u8]; 10] = [
        b"",
        b".",
        b"..",
        b".hidden",
        b"../outside",
        b"inner/file",
        b"back\\slash",
        b"bell\x07ringer",
        b"no-utf-8-\xff",
        long.as_bytes(),
    ];
    for name in names {
        let mut client = trial.connect()?;
        client.send(&[name, b"\n"].concat())?;
        let line = expect_error(client, &excerpt(&[name, b"\n"].concat()))?;
        if name.len() > 2 && line.windows(name.len()).any(|window| window == name) {
            return Err(Miss::new(excerpt(name), excerpt(&line), "an error line without the name"));
        }
    }
    Ok(())
}

fn size(trial: &Trial) -> Verdict {
    for size in ["", "x", "-1", "+1", "1.0", " 1", "0x10", "99999999999999999999"] {
        let mut client = trial.connect()?;
        client.send(format!("{}\n", file_name(trial.number())).as_bytes())?;
        client.expect(b"OK\n")?;
        client.send(format!("{size}\n").as_bytes())?;
        expect_error(client, &format!("a name, then {size}\\n"))?;
    }
    Ok(())
}

fn existing(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    upload(trial, &name, b"first")?;
    let second = || match trial.files.existing {
        Existing::Refuse => {
            let mut client = trial.connect()?;
            client.send(format!("{name}\n").as_bytes())?;
            expect_error(client, &name)?;
            trial.files.has(&name, b"first")
        }
        Existing::Replace => upload(trial, &name, b"second"),
        Existing::Number => {
            let mut client = begin(trial, &name, 6)?;
            client.send_with_fin(b"second")?;
            saved(trial, client, &numbered(&name), b"second")?;
            trial.files.has(&name, b"first")
        }
    };
    second().map_err(|miss| miss.when("a file with this name has been saved"))
}

fn race(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let mut slow = begin(trial, &name, 4)?;
    slow.send(b"slo")?;
    upload(trial, &name, b"fast")?;
    let finished = || {
        slow.send_with_fin(b"w")?;
        match trial.files.existing {
            Existing::Refuse => {
                expect_error(slow, &name)?;
                trial.files.has(&name, b"fast")
            }
            Existing::Replace => saved(trial, slow, &name, b"slow"),
            Existing::Number => saved(trial, slow, &numbered(&name), b"slow"),
        }
    };
    finished().map_err(|miss| miss.when("another client has saved a file with the same name meanwhile"))
}

fn half(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let mut client = begin(trial, &name, 2 * HALF_BYTES)?;
    client.send(&[b'x'; HALF_BYTES])?;
    trial.others_are_served("one client is in the middle of a file, and another one comes")?;
    trial.files.has_no(&name)?;
    client.reset();
    trial.others_are_served("one client was reset in the middle of a file, and another one comes")?;
    trial.files.has_no(&name)?;
    // The name is still free.
    upload(trial, &name, b"whole").map_err(|miss| miss.when("the client that had begun with this name was reset"))
}

fn cut(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let mut client = begin(trial, &name, 2 * HALF_BYTES)?;
    client.send_with_fin(&[b'x'; HALF_BYTES])?;
    expect_error(client, "a name, a size, half a file, and FIN")?;
    trial.files.has_no(&name)?;
    upload(trial, &name, b"whole").map_err(|miss| miss.when("the client that had begun with this name left too early"))
}

/// The bytes before the contents.
fn head(trial: &Trial, name: &str, length: usize) -> Vec<u8> {
    let size = if trial.protocol == Protocol::FileSized { format!("{length}\n") } else { String::new() };
    format!("{name}\n{size}").into_bytes()
}

/// The answer to the bytes before the contents.
fn begun(trial: &Trial) -> &'static [u8] {
    if trial.protocol == Protocol::FileSized { b"OK\nOK\n" } else { b"ok\n" }
}

/// Connects a client that has sent the name (and `length` as the size), and waited for each answer.
fn begin(trial: &Trial, name: &str, length: usize) -> Result<Client, Miss> {
    let mut client = trial.connect()?;
    let answer = trial.protocol.answer(0);
    for line in head(trial, name, length).split_inclusive(|byte| *byte == b'\n') {
        client.send(line)?;
        client.expect(&answer)?;
    }
    Ok(client)
}

fn upload(trial: &Trial, name: &str, contents: &[u8]) -> Verdict {
    let mut client = begin(trial, name, contents.len())?;
    client.send_with_fin(contents)?;
    saved(trial, client, name, contents)
}

/// Expects the server to report the file as saved, and the file to be there.
fn saved(trial: &Trial, mut client: Client, name: &str, contents: &[u8]) -> Verdict {
    if trial.protocol == Protocol::FileSized {
        client.expect(b"OK\n")?;
    } else {
        client.expect(format!("saved {name} {}\n", contents.len()).as_bytes())?;
    }
    expect_end(client)?;
    trial.files.has(name, contents)
}

fn expect_end(mut client: Client) -> Verdict {
    client.expect_end()
}

/// Expects an error line, then the end. Returns the line.
fn expect_error(mut client: Client, sent: &str) -> Result<Vec<u8>, Miss> {
    let (got, end) = client.rest(ANSWER_BYTES_MAX);
    let is_line = got.iter().position(|byte| *byte == b'\n').is_some_and(|end| end + 1 == got.len());
    if is_line && got.starts_with(b"error: ") && end.is_none() {
        return Ok(got);
    }
    let then = end.map_or_else(|| "the end".to_owned(), |error| in_words(&error));
    let got = format!("{}, then {then}", excerpt(&got));
    Err(Miss::new(sent, got, "a line that begins with \"error: \", then the end"))
}

/// The name under which the second file of this name is saved.
fn numbered(name: &str) -> String {
    name.replace(".txt", " (2).txt")
}
