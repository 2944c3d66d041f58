//! `docs/lab --panes`, as a reader sees it: in a window that is a terminal of another tmux.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use libtest_mimic::{Failed, Trial};

use crate::play::LAB_TIME_MAX;
use crate::terminal::LOOK;
use crate::{own, tools, tried};

pub(crate) fn trials() -> Vec<Trial> {
    let missing = own::no_machine().or_else(|| (!tools::is_here("tmux")).then(|| "tmux".to_owned()));
    let numbered = "runner::panes_are_terminals_of_one_machine_with_their_numbers";
    vec![
        tried(numbered.to_owned(), missing, panes),
        tried("runner::panes_are_two_to_nine".to_owned(), None, two_to_nine),
    ]
}

/// A window with a program in it.
struct Window {
    directory: PathBuf,
    deadline: Instant,
}

impl Window {
    fn open(command: &[&str]) -> Result<Self, Failed> {
        // Not below the target directory: the path of a socket has 108 bytes at most (unix(7)).
        let directory = std::env::temp_dir().join(format!("panes-{}", std::process::id()));
        fs::create_dir(&directory)?;
        let window = Self { directory, deadline: Instant::now() + LAB_TIME_MAX };
        window.tmux(&[&["new-session", "-d", "-x", "170", "-y", "30"], command].concat())?;
        Ok(window)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<Output, Failed> {
        let mut tmux = Command::new("tmux");
        tmux.args(["-u", "-f", "/dev/null", "-L", "window"]).args(arguments).env_remove("TMUX");
        let tmux =
            tmux.env("TMUX_TMPDIR", &self.directory).env("LAB", self.machine()).env("PROGRAMS", tools::programs());
        Ok(tmux.current_dir(env!("CARGO_MANIFEST_DIR")).output()?)
    }

    fn machine(&self) -> PathBuf {
        self.directory.join("machine")
    }

    fn press(&self, keys: &[&str]) -> Result<(), Failed> {
        self.tmux(&[&["send-keys"], keys].concat())?;
        Ok(())
    }

    /// Waits until the window shows all of these.
    fn shows(&self, texts: &[&str]) -> Result<(), Failed> {
        self.until(|| {
            let screen = String::from_utf8(self.tmux(&["capture-pane", "-p"])?.stdout)?;
            let missing = texts.iter().find(|text| !screen.contains(**text));
            Ok(missing.map(|text| format!("no {text:?} in:\n{screen}")))
        })
    }

    /// Waits until `look` finds no problem. No event reports that what a window shows has changed.
    fn until(&self, look: impl Fn() -> Result<Option<String>, Failed>) -> Result<(), Failed> {
        while let Some(problem) = look()? {
            if Instant::now() >= self.deadline {
                return Err(problem.into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // The window's own server, and the one that docs/lab has started.
        for directory in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            for socket in fs::read_dir(directory.path()).into_iter().flatten().flatten() {
                end_server(&socket.path());
            }
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn end_server(socket: &Path) {
    // It may have ended by itself.
    let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
}

fn panes() -> Result<(), Failed> {
    let window = Window::open(&["docs/lab", "--panes", "3"])?;
    window.shows(&["▶ terminal 1", "- terminal 2", "- terminal 3", "1$", "2$", "3$"])?;
    window.press(&["echo $((6 * 7)) > answer", "Enter"])?;
    let answer = window.machine().join("here/answer");
    window.until(|| Ok((fs::read(&answer).ok().as_deref() != Some(b"42\n")).then(|| "no answer".to_owned())))?;
    window.press(&["C-b", "3"])?;
    window.shows(&["- terminal 1", "▶ terminal 3"])?;
    window.press(&["sed s/4/the./ answer", "Enter"])?;
    window.shows(&["1$ echo $((6 * 7)) > answer", "3$ sed s/4/the./ answer", "the.2"])?;
    window.press(&["C-b", "1"])?;
    window.shows(&["▶ terminal 1", "- terminal 3"])?;
    window.press(&["exit", "Enter"])?;
    window.until(|| {
        let is_there = window.tmux(&["has-session"])?.status.success();
        Ok(is_there.then(|| "the window is still there after exit in terminal 1".to_owned()))
    })
}

fn two_to_nine() -> Result<(), Failed> {
    for number in ["", "1", "10", "two"] {
        let output =
            Command::new("docs/lab").args(["--panes", number]).current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
        if output.status.code() != Some(2) || !String::from_utf8(output.stderr)?.contains("from 2 to 9") {
            return Err(format!("{number:?}: {}", output.status).into());
        }
    }
    Ok(())
}
