//! Files: what is sent is saved whole and under its name, or nothing is.

use crate::client::url::Transport;
use crate::demand::Demand;
use crate::files::Existing;
use crate::miss::{Miss, Verdict, excerpt};
use crate::peer::{Client, told};
use crate::protocol::{Protocol, file_name};
use crate::trial::Trial;

const BURST_BYTES: usize = 4 * 1024 * 1024;

/// Enough of a file for a server to have begun with it.
const HALF_BYTES: usize = 100_000;

/// No answer here is longer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub(crate) const DEMANDS: &[Demand] = &[
    demand("answers", "a name is answered with ok, and at FIN it is told what is saved", answers),
    demand("together", "name, contents and FIN may arrive together", together),
    demand("split", "name and contents may come in pieces, down to single bytes", split),
    demand("empty", "a name and nothing else saves an empty file", empty),
    demand("burst", "four megabytes at once are saved whole", burst),
    demand("silent", "a client that stops in the middle of a file holds up nobody, and may go on", silent),
    demand("refused", "what is no name of a file is refused, and not repeated", refused),
    demand("existing", "a name that exists is treated as --existing says", existing),
    demand("race", "the same for two that upload one name at the same time", race),
    demand("half", "half a file, whose client was reset, is never seen under its name", half),
    Demand {
        is_fine: true,
        ..demand("nothing", "FIN before any byte is no request", |trial| {
            let client = trial.connect()?;
            client.finish()?;
            expect_end(client)
        })
    },
    Demand {
        is_fine: true,
        ..demand("pause", "a pause ends a name that has no newline, and then ok has none either", |trial| {
            let name = file_name(trial.number());
            let mut client = trial.connect()?;
            client.send(name.as_bytes())?;
            client.expect(b"ok")?;
            client.send_with_fin(b"contents")?;
            saved(trial, client, &name, b"contents")
        })
    },
    Demand {
        is_fine: true,
        ..demand("return", "a carriage return before the newline is no part of the name", |trial| {
            let name = file_name(trial.number());
            let mut client = trial.connect()?;
            client.send_with_fin(format!("{name}\r\ncontents").as_bytes())?;
            client.expect(b"ok\n")?;
            saved(trial, client, &name, b"contents")
        })
    },
];

const fn demand(name: &'static str, text: &'static str, run: fn(&Trial) -> Verdict) -> Demand {
    let protocols = &[Protocol::File];
    Demand { name, text, protocols, transport: Transport::Tcp, needs_process: false, is_fine: false, run }
}

fn answers(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let mut client = named(trial, &name)?;
    client.send_with_fin(b"contents\n")?;
    saved(trial, client, &name, b"contents\n")
}

fn together(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let mut client = trial.connect()?;
    // A newline in the contents ends nothing.
    client.send_with_fin(format!("{name}\none\ntwo\n").as_bytes())?;
    client.expect(b"ok\n")?;
    saved(trial, client, &name, b"one\ntwo\n")
}

fn split(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let contents: Vec<u8> = (0..=255).collect();
    let mut client = trial.connect()?;
    let both = [name.as_bytes(), b"\n", &contents].concat();
    both.iter().try_for_each(|byte| client.send(&[*byte]))?;
    client.finish()?;
    client.expect(b"ok\n")?;
    saved(trial, client, &name, &contents)
}

fn empty(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let client = named(trial, &name)?;
    client.finish()?;
    saved(trial, client, &name, b"")
}

fn burst(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    // No two places look the same for as long as a buffer may be.
    let contents: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(BURST_BYTES).collect();
    let mut client = named(trial, &name)?;
    client.send_with_fin(&contents)?;
    saved(trial, client, &name, &contents)
}

fn silent(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let mut client = named(trial, &name)?;
    client.send(b"one half, ")?;
    trial.others_are_served("one client is in the middle of a file, and another one comes")?;
    client.send_with_fin(b"and the other")?;
    saved(trial, client, &name, b"one half, and the other")
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
        let sent = [name, b"\n"].concat();
        client.send(&sent)?;
        let (came, end) = client.rest(ANSWER_BYTES_MAX);
        let repeats = name.len() > 2 && came.windows(name.len()).any(|window| window == name);
        if !is_error(&came) || repeats || end.is_some() {
            let then = end.map_or_else(|| "the end".to_owned(), |error| told(&error));
            let expected = "a line that begins with \"error: \" and does not repeat the name, then the end";
            return Err(Miss::new(excerpt(&sent), format!("{}, then {then}", excerpt(&came)), expected));
        }
    }
    Ok(())
}

fn existing(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    upload(trial, &name, b"first")?;
    let when = "a file with this name has been saved";
    let second = || match trial.files.existing {
        Existing::Refuse => {
            let mut client = trial.connect()?;
            client.send(format!("{name}\n").as_bytes())?;
            expect_error(client, &name)?;
            trial.files.has(&name, b"first")
        }
        Existing::Replace => upload(trial, &name, b"second"),
        Existing::Number => {
            let mut client = named(trial, &name)?;
            client.send_with_fin(b"second")?;
            saved(trial, client, &numbered(&name), b"second")?;
            trial.files.has(&name, b"first")
        }
    };
    second().map_err(|miss| miss.when(when))
}

fn race(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let mut slow = named(trial, &name)?;
    slow.send(b"slow")?;
    upload(trial, &name, b"fast")?;
    let finished = || {
        slow.finish()?;
        match trial.files.existing {
            Existing::Refuse => {
                expect_error(slow, &name)?;
                trial.files.has(&name, b"fast")
            }
            Existing::Replace => saved(trial, slow, &name, b"slow"),
            Existing::Number => saved(trial, slow, &numbered(&name), b"slow"),
        }
    };
    finished().map_err(|miss| miss.when("somebody else has finished a file with the same name meanwhile"))
}

fn half(trial: &Trial) -> Verdict {
    let name = file_name(trial.number());
    let mut client = named(trial, &name)?;
    client.send(&[b'x'; HALF_BYTES])?;
    trial.others_are_served("one client is in the middle of a file, and another one comes")?;
    trial.files.lacks(&name)?;
    client.reset();
    trial.others_are_served("one client was reset in the middle of a file, and another one comes")?;
    trial.files.lacks(&name)?;
    // The name is still free.
    upload(trial, &name, b"whole").map_err(|miss| miss.when("the client that had begun with this name was reset"))
}

/// A client that has sent a name, and was told to go on.
fn named(trial: &Trial, name: &str) -> Result<Client, Miss> {
    let mut client = trial.connect()?;
    client.send(format!("{name}\n").as_bytes())?;
    client.expect(b"ok\n")?;
    Ok(client)
}

fn upload(trial: &Trial, name: &str, contents: &[u8]) -> Verdict {
    let mut client = named(trial, name)?;
    client.send_with_fin(contents)?;
    saved(trial, client, name, contents)
}

/// It is told what was saved, and that is so.
fn saved(trial: &Trial, mut client: Client, name: &str, contents: &[u8]) -> Verdict {
    client.expect(format!("saved {name} {}\n", contents.len()).as_bytes())?;
    expect_end(client)?;
    trial.files.has(name, contents)
}

fn expect_end(mut client: Client) -> Verdict {
    client.expect_end()
}

/// Some error line comes, and the end.
fn expect_error(mut client: Client, name: &str) -> Verdict {
    let (came, end) = client.rest(ANSWER_BYTES_MAX);
    if is_error(&came) && end.is_none() {
        return Ok(());
    }
    let then = end.map_or_else(|| "the end".to_owned(), |error| told(&error));
    let came = format!("{}, then {then}", excerpt(&came));
    Err(Miss::new(name, came, "a line that begins with \"error: \", then the end"))
}

fn is_error(line: &[u8]) -> bool {
    line.starts_with(b"error: ") && line.iter().position(|byte| *byte == b'\n') == Some(line.len() - 1)
}

/// The name for the second file of this name.
fn numbered(name: &str) -> String {
    name.replace(".txt", " (2).txt")
}
