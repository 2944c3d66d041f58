//! A terminal: a pseudo-terminal with a shell on it, as a reader sees it (`pty(7)`).

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::unistd::tcgetpgrp;

use crate::processes::{self, Glance};

/// The first input of the shell: the size of the terminal, for which some programs format, and prompts that no program
/// prints.
const PREPARATION: &str = "stty rows 24 cols 80; PS1=$'\\036$ ' PS2=$'\\035> '\n";

/// The most bytes that one terminal may print; more fail the lab.
const PRINTED_BYTES_MAX: usize = 1 << 20;

/// The interval of polling a state whose changes no event reports.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// The marks before the prompt for a command, and before the prompt for more of a command.
const PROMPT: &str = "\u{1e}$ ";
const MORE: &str = "\u{1d}> ";

pub(crate) struct Terminal {
    keyboard: File,
    screen: Arc<Screen>,
    reader: Option<JoinHandle<()>>,
    child: Child,
    /// The process group of the shell.
    shell: i32,
    /// How much of the output is consumed.
    done: usize,
    /// The shell has printed its prompt, and no command was typed since.
    is_at_prompt: bool,
    /// A key that the terminal echoes first, as `^C`.
    key: Option<u8>,
    /// The last look at what runs here.
    glance: Option<Glance>,
}

#[derive(Default)]
struct Screen {
    printed: Mutex<Printed>,
    changed: Condvar,
}

#[derive(Default)]
struct Printed {
    bytes: Vec<u8>,
    is_over: bool,
}

/// The output since the end of the last step.
pub(crate) struct Pending {
    /// Whole lines; a last one without a newline has [`UNENDED`](crate::varies::UNENDED).
    pub(crate) lines: Vec<String>,
    /// The shell prompts for the next command, or has ended.
    pub(crate) prompt: bool,
}

/// The state of a running command.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Rest {
    /// It is busy, or there is none.
    None,
    /// It waits, if only for a moment.
    Idle,
    /// It has waited for a while.
    Asleep,
}

impl Screen {
    fn lock(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Collects the output until no process has the terminal open.
    fn collect(&self, mut master: File) {
        let mut buffer = [0; 4096];
        loop {
            let count = match master.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // Once no process has the other side open, Linux returns EIO.
                Err(_) | Ok(0) => break,
                Ok(count) => count,
            };
            let mut printed = self.lock();
            if printed.bytes.len() < PRINTED_BYTES_MAX {
                printed.bytes.extend_from_slice(&buffer[..count]);
            }
            self.changed.notify_all();
        }
        self.lock().is_over = true;
        self.changed.notify_all();
    }
}

impl Terminal {
    /// Opens a terminal with `docs/lab` on it, typed as a reader does, and waits for its first prompt.
    pub(crate) fn open(machine: &Path, deadline: Instant) -> Result<Self, String> {
        let (master, slave) = pair().map_err(|error| format!("no pseudo-terminal: {error}"))?;
        let duplicate = |file: &File| file.try_clone().map_err(|error| error.to_string());
        let child = Command::new("setsid")
            .args(["--ctty", "docs/lab"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("LAB", machine)
            .env("PROGRAMS", crate::tools::programs())
            .env("TERM", "dumb")
            .stdin(duplicate(&slave)?)
            .stdout(duplicate(&slave)?)
            .stderr(slave)
            .spawn()
            .map_err(|error| format!("setsid(1): {error}"))?;
        let screen = Arc::new(Screen::default());
        let (reader, collector) = (duplicate(&master)?, Arc::clone(&screen));
        let reader = Some(thread::spawn(move || collector.collect(reader)));
        let mut terminal = Self {
            keyboard: master,
            screen,
            reader,
            child,
            shell: 0,
            done: 0,
            is_at_prompt: false,
            key: None,
            glance: None,
        };
        terminal.wait(deadline, |terminal| terminal.text().ends_with("$ ").then_some(()))?;
        terminal.press(PREPARATION.as_bytes());
        terminal.wait(deadline, |terminal| terminal.text().ends_with(PROMPT).then_some(()))?;
        terminal.skip_prompt();
        terminal.shell = tcgetpgrp(&terminal.keyboard).map_err(|error| error.to_string())?.as_raw();
        Ok(terminal)
    }

    /// Waits until `look` succeeds, trying again after each output, and now and then.
    pub(crate) fn wait<T>(
        &mut self,
        deadline: Instant,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, String> {
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            let screen = Arc::clone(&self.screen);
            let printed = screen.lock();
            if printed.is_over {
                drop(printed);
                return look(self).ok_or_else(|| format!("the terminal was closed:\n{}", self.text()));
            }
            if printed.bytes.len() >= PRINTED_BYTES_MAX {
                return Err(format!("more than {PRINTED_BYTES_MAX} bytes were printed"));
            }
            if Instant::now() >= deadline {
                drop(printed);
                return Err(format!("it took too long; the output:\n{}", self.text()));
            }
            drop(screen.changed.wait_timeout(printed, LOOK));
        }
    }

    /// Types a command, line by line, as the shell asks for them. The program before must end, and print nothing more.
    pub(crate) fn command(&mut self, lines: &[String], deadline: Instant) -> Result<(), String> {
        if !self.is_at_prompt {
            let ended = self.wait(deadline, |terminal| Some(terminal.pending()).filter(|pending| pending.prompt))?;
            if !ended.lines.is_empty() {
                return Err(format!("there was more output before this:\n{}", ended.lines.join("\n")));
            }
            self.skip_prompt();
        }
        self.is_at_prompt = false;
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                self.wait(deadline, |terminal| terminal.text().ends_with(MORE).then_some(()))?;
                self.done = self.length();
            }
            self.line(line, deadline)?;
        }
        Ok(())
    }

    /// Types a line. The terminal echoes it; that is not output.
    pub(crate) fn line(&mut self, line: &str, deadline: Instant) -> Result<(), String> {
        let echo = format!("{line}\n");
        self.press(echo.as_bytes());
        self.wait(deadline, |terminal| {
            let shown = terminal.text().starts_with(&echo);
            shown.then(|| terminal.advance_text(&echo))
        })
        .map_err(|error| format!("{line:?} was typed, but {error}"))
    }

    /// Presses a key, which the terminal may echo as `^C`.
    pub(crate) fn key(&mut self, key: u8) {
        self.press(&[key]);
        self.key = Some(key);
    }

    fn press(&mut self, bytes: &[u8]) {
        // A closed terminal takes no input; waiting for the echo reports that.
        let _ = self.keyboard.write_all(bytes);
        self.glance = None;
    }

    fn length(&self) -> usize {
        self.screen.lock().bytes.len()
    }

    /// The output that is not consumed, with one byte for the end of a line.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.screen.lock().bytes[self.done..]).replace("\r\n", "\n");
        text[self.shown_key(&text).len()..].to_owned()
    }

    /// The echo of a key at the beginning of a text, with the newline that the shell or a program prints after it.
    fn shown_key<'a>(&self, text: &'a str) -> &'a str {
        let Some(key) = self.key else { return "" };
        let shown = format!("^{}", char::from(key | 0x40));
        match text.strip_prefix(&shown) {
            Some(rest) if rest.starts_with('\n') => &text[..=shown.len()],
            Some(_) => &text[..shown.len()],
            None => "",
        }
    }

    /// Consumes text at the beginning of the pending output, and the key before it.
    fn advance_text(&mut self, text: &str) {
        let printed = self.screen.lock();
        let all = String::from_utf8_lossy(&printed.bytes[self.done..]).replace("\r\n", "\n");
        let text = format!("{}{text}", self.shown_key(&all));
        self.key = None;
        let mut rest = &printed.bytes[self.done..];
        for byte in text.bytes() {
            rest = if byte == b'\n' { rest.strip_prefix(b"\r").unwrap_or(rest) } else { rest };
            rest = rest.get(1..).unwrap_or_default();
        }
        self.done = printed.bytes.len() - rest.len();
    }

    pub(crate) fn pending(&self) -> Pending {
        let text = self.text();
        let (output, prompt) = match text.split_once(PROMPT) {
            Some((output, _)) => (output, true),
            None => (text.as_str(), self.screen.lock().is_over),
        };
        Pending { lines: lines(output), prompt }
    }

    /// Consumes `count` lines.
    pub(crate) fn skip_lines(&mut self, count: usize) {
        let text: String = self.text().split_inclusive('\n').take(count).collect();
        let text = text.split(PROMPT).next().unwrap_or_default().to_owned();
        self.advance_text(&text);
    }

    /// Consumes everything up to the prompt.
    pub(crate) fn skip_prompt(&mut self) {
        let text = self.text();
        let end = text.find(PROMPT).map_or(text.len(), |start| start + PROMPT.len());
        self.advance_text(&text[..end]);
        self.is_at_prompt = true;
    }

    /// Reads the state of the running command. A command that waits is idle; it sleeps if it has done nothing since the
    /// last look.
    pub(crate) fn rest(&mut self) -> Rest {
        let group = tcgetpgrp(&self.keyboard).map_or(0, |group| group.as_raw());
        let glance = (group != self.shell).then(|| processes::glance(group, self.shell));
        let rest = match &glance {
            Some(now) if now.is_asleep() && glance == self.glance => Rest::Asleep,
            Some(now) if now.is_asleep() => Rest::Idle,
            _ => Rest::None,
        };
        self.glance = glance;
        rest
    }

    /// Ends the processes of this terminal.
    pub(crate) fn close(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.keyboard);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// The two sides of a new pseudo-terminal. Child processes inherit neither.
fn pair() -> std::io::Result<(File, File)> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave =
        OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(ptsname_r(&master)?)?;
    Ok((File::from(OwnedFd::from(master)), slave))
}

/// Lines as a page prints them: without blanks at the end, and with a mark if the last one has no end.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(|line| line.trim_end().to_owned()).collect();
    if let Some(last) = lines.last_mut().filter(|_| !text.ends_with('\n')) {
        last.push(crate::varies::UNENDED);
    }
    lines
}
