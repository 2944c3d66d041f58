//! Running a lab: typing its steps on its own machine, and reading the output.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::difference;
use crate::lab::{Input, Lab, Step};
use crate::terminal::{LOOK, Terminal};
use crate::tools;
use crate::watch::{SETTLED, Watch};

/// Time limit of a lab. Labs take a second or two; only one that waits for ever reaches it.
pub(crate) const LAB_TIME_MAX: Duration = Duration::from_secs(60);

/// The time limit while an author waits for a transcript.
pub(crate) const REFRESH_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a read-only command is repeated until its output is as printed.
const LOOKING_TIME_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// Stop at the first output that is not as printed.
    Compare,
    /// Go on, and keep the output.
    Refresh,
}

/// A machine with the terminals of one lab.
struct Machine {
    directory: PathBuf,
    terminals: Vec<Terminal>,
    deadline: Instant,
}

impl Machine {
    /// The machine has not been started: it has no terminal yet.
    fn new(title: &str, deadline: Instant) -> Self {
        let name = format!("lab-{}-{}", std::process::id(), title.replace("::", "-").replace('/', "-"));
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        Self { directory, terminals: Vec::new(), deadline }
    }

    /// Returns a terminal by its number, opened at its first use. Terminal 1 must be used first, since it starts the
    /// machine.
    fn terminal(&mut self, number: usize) -> Result<&mut Terminal, String> {
        while self.terminals.len() < number {
            self.terminals.push(Terminal::open(&self.directory, self.deadline)?);
        }
        Ok(&mut self.terminals[number - 1])
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The end of the first terminal ends the machine and everything on it.
        for terminal in self.terminals.drain(..) {
            terminal.close();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Runs a lab. Returns the lines that each step has printed.
pub(crate) fn play(lab: &Lab, mode: Mode, time: Duration) -> Result<Vec<Vec<String>>, String> {
    let deadline = Instant::now() + time;
    let mut machine = Machine::new(&lab.title(), deadline);
    let spare = lab.terminals() + 1;
    let mut all = Vec::new();
    for (index, step) in lab.steps.iter().enumerate() {
        let at = |problem: String| format!("docs/{}.md:{}: {problem}", lab.chapter, step.line);
        for condition in &step.until {
            let terminal = machine.terminal(spare).map_err(at)?;
            await_condition(condition, terminal, deadline)
                .map_err(|_| at(format!("this condition never became true: {condition}")))?;
        }
        let terminal = machine.terminal(step.terminal).map_err(at)?;
        let seen = take(lab, index, terminal, mode, deadline).map_err(at)?;
        all.push(seen);
    }
    Ok(all)
}

/// Tries a command until it succeeds, on a hidden terminal.
fn await_condition(condition: &str, terminal: &mut Terminal, deadline: Instant) -> Result<(), String> {
    terminal.command(&[format!("until {condition}; do sleep 0.02; done >/dev/null 2>&1")], deadline)?;
    terminal.wait(deadline, |terminal| terminal.pending().prompt.then_some(()))?;
    terminal.skip_prompt();
    Ok(())
}

/// Runs one step.
fn take(
    lab: &Lab,
    index: usize,
    terminal: &mut Terminal,
    mode: Mode,
    deadline: Instant,
) -> Result<Vec<String>, String> {
    let step = &lab.steps[index];
    let patience = if mode == Mode::Compare { LOOKING_TIME_MAX } else { SETTLED };
    let looking = deadline.min(Instant::now() + patience);
    loop {
        type_in(step, terminal, deadline)?;
        let mut watch = Watch::new(lab, index, mode);
        let seen = terminal.wait(deadline, |terminal| watch.look(terminal)).map_err(|problem| {
            let (reason, _) = problem.split_once('\n').unwrap_or((&problem, ""));
            format!("{reason}\n\n{}", shown(lab, step, &terminal.pending().lines))
        })?;
        if lab.varies.agrees(&step.seen, &seen.lines) {
            return Ok(seen.lines);
        }
        let again = seen.prompt && only_looks(&step.input) && Instant::now() < looking;
        match mode {
            // No event reports that the state behind the command's output has changed.
            _ if again => std::thread::sleep(LOOK),
            Mode::Refresh => return Ok(seen.lines),
            Mode::Compare => return Err(format!("the output is instead:\n\n{}", shown(lab, step, &seen.lines))),
        }
    }
}

fn type_in(step: &Step, terminal: &mut Terminal, deadline: Instant) -> Result<(), String> {
    match &step.input {
        Input::Command(lines) => terminal.command(lines, deadline)?,
        Input::Line(line) => terminal.line(line, deadline)?,
        Input::Key(key) => terminal.key(*key),
        Input::Nothing => {}
    }
    Ok(())
}

/// A step with the seen lines beside the printed ones.
fn shown(lab: &Lab, step: &Step, seen: &[String]) -> String {
    let typed: String = step.typed.iter().map(|line| format!("  {line}\n")).collect();
    format!("{typed}{}", difference::show(&lab.varies, &step.seen, seen))
}

/// Whether a command changes nothing, so that it can be repeated until its output is as printed.
fn only_looks(input: &Input) -> bool {
    let Input::Command(lines) = input else { return false };
    let [line] = &lines[..] else { return false };
    // Text in quotes belongs to a program, not to the shell.
    let outside: Vec<_> = line.split('\'').step_by(2).collect();
    let outside = outside.join(" ");
    let looks = |stage: &str| stage.split_whitespace().next().is_some_and(|word| tools::LOOKING.contains(&word));
    !outside.contains(['>', ';', '&', '`', '(']) && outside.split('|').all(looks)
}
