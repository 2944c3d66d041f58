//! Doing a lab: typing its steps on a machine of its own, and seeing what it prints.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::difference;
use crate::lab::{Input, Lab, Step};
use crate::terminal::{LOOK, Pending, Rest, Terminal};
use crate::tools;
use crate::varies::{Agreement, UNENDED};

/// How long a lab may take. Labs take a second or two; only one that waits for what never comes gets there.
pub(crate) const LAB_TIME_MAX: Duration = Duration::from_secs(60);

/// The same while an author waits for a transcript.
pub(crate) const REFRESH_TIME_MAX: Duration = Duration::from_secs(20);

/// How long a command that only looks is repeated until it sees what is printed.
const LOOKING_TIME_MAX: Duration = Duration::from_secs(10);

/// For a transcript that is written anew nobody can say when a program has printed all: when it was silent for so long.
const SETTLED: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// Stop at the first thing that is not as printed.
    Compare,
    /// Go on, and take what is seen.
    Refresh,
}

/// A machine with the terminals of one lab.
struct Machine {
    directory: PathBuf,
    terminals: Vec<Terminal>,
    deadline: Instant,
}

impl Machine {
    fn start(title: &str, deadline: Instant) -> Result<Self, String> {
        let name = format!("lab-{}-{}", std::process::id(), title.replace("::", "-"));
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        Ok(Self { directory, terminals: Vec::new(), deadline })
    }

    /// A terminal by its number, opened when it is first used. The first one has to be, since it is the machine's.
    fn terminal(&mut self, number: usize) -> Result<&mut Terminal, String> {
        while self.terminals.len() < number {
            self.terminals.push(Terminal::open(&self.directory, self.deadline)?);
        }
        Ok(&mut self.terminals[number - 1])
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The first terminal's end is the machine's, and so that of everything on it.
        for terminal in self.terminals.drain(..) {
            terminal.close();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Does a lab. Gives the lines that each step has shown.
pub(crate) fn play(lab: &Lab, mode: Mode, time: Duration) -> Result<Vec<Vec<String>>, String> {
    let deadline = Instant::now() + time;
    let mut machine = Machine::start(&lab.title(), deadline)?;
    let spare = lab.terminals() + 1;
    let mut all = Vec::new();
    for (index, step) in lab.steps.iter().enumerate() {
        let at = |problem: String| format!("docs/{}.md:{}: {problem}", lab.chapter, step.line);
        for condition in &step.until {
            let line = format!("until {condition}; do sleep 0.02; done >/dev/null 2>&1");
            let terminal = machine.terminal(spare)?;
            terminal.command(&[line], deadline)?;
            terminal
                .wait(deadline, |terminal| terminal.pending().prompt.then_some(()))
                .map_err(|_| at(format!("this never came true: {condition}")))?;
            terminal.skip_prompt();
        }
        let terminal = machine.terminal(step.terminal).map_err(at)?;
        let seen = take(lab, index, step, terminal, mode, deadline).map_err(at)?;
        all.push(seen);
    }
    Ok(all)
}

/// Does one step.
fn take(
    lab: &Lab,
    index: usize,
    step: &Step,
    terminal: &mut Terminal,
    mode: Mode,
    deadline: Instant,
) -> Result<Vec<String>, String> {
    let end = match (lab.next_in_terminal(index), lab.steps.get(index + 1)) {
        (Some(Step { input: Input::Command(_), .. }), Some(next)) if next.terminal == step.terminal => End::Prompt,
        (Some(Step { input: Input::Command(_), .. }) | None, _) => End::Either,
        (Some(_), _) => End::GoesOn,
    };
    let looking = Instant::now() + if mode == Mode::Compare { LOOKING_TIME_MAX } else { SETTLED };
    loop {
        type_in(step, terminal, deadline)?;
        let seen = see(lab, index, terminal, end, mode, deadline)?;
        if mode == Mode::Refresh || lab.varies.agreement(&step.seen, &seen.lines) == Agreement::Whole {
            return Ok(seen.lines);
        }
        let again = seen.prompt && only_looks(&step.input) && Instant::now() < looking.min(deadline);
        if !again {
            return Err(format!("this is seen instead:\n\n{}", shown(lab, step, &seen.lines)));
        }
        std::thread::sleep(LOOK);
    }
}

/// What becomes of the command at the end of a step.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// It ends: the next thing typed is another command there.
    Prompt,
    /// It goes on: later something is typed to it, or more is seen of it.
    GoesOn,
    /// It has ended, or it waits for something that is done elsewhere, or for nothing any more.
    Either,
}

fn type_in(step: &Step, terminal: &mut Terminal, deadline: Instant) -> Result<(), String> {
    match &step.input {
        Input::Command(lines) => terminal.command(lines, deadline),
        Input::Line(line) => terminal.line(line, deadline),
        Input::Key(key) => {
            terminal.key(*key);
            Ok(())
        }
        Input::Nothing => Ok(()),
    }
}

/// Waits until a step has shown what is printed, or cannot any more.
fn see(
    lab: &Lab,
    index: usize,
    terminal: &mut Terminal,
    end: End,
    mode: Mode,
    deadline: Instant,
) -> Result<Pending, String> {
    let step = &lab.steps[index];
    let key_follows = lab
        .steps
        .get(index + 1)
        .is_some_and(|next| next.terminal == step.terminal && matches!(next.input, Input::Key(_)));
    // What was seen last, and since when.
    let mut last: Option<(Vec<String>, Instant)> = None;
    let result = terminal.wait(deadline, |terminal| {
        let mut pending = terminal.pending();
        if matches!(step.input, Input::Key(_)) && pending.prompt {
            // The shell ends the line on which a program was interrupted, even if it is empty.
            pending.lines.pop_if(|line| line.is_empty());
        }
        // The fewest lines that are what is printed; what comes after them belongs to a later step.
        let whole = |count: &usize| lab.varies.agreement(&step.seen, &pending.lines[..*count]) == Agreement::Whole;
        let enough = (0..=pending.lines.len()).find(whole);
        if pending.prompt {
            let later = end == End::GoesOn && enough.is_some_and(|count| count < pending.lines.len());
            if !later {
                terminal.skip_prompt();
                return Some(pending);
            }
        }
        let rest = terminal.rest();
        if let Some(count) = enough {
            let stays = match end {
                End::Prompt => false,
                End::GoesOn => count > 0 || rest == Rest::Asleep,
                End::Either => rest == Rest::Asleep || (count > 0 && rest == Rest::Idle),
            };
            if stays {
                terminal.skip_lines(count);
                return Some(Pending { lines: pending.lines[..count].to_vec(), prompt: false });
            }
        }
        let hopeless = enough.is_none() && {
            let ended = pending.lines.iter().take_while(|line| !line.ends_with(UNENDED));
            let ended: Vec<_> = ended.cloned().collect();
            lab.varies.agreement(&step.seen, &ended) == Agreement::None
        };
        if last.as_ref().is_none_or(|(lines, _)| *lines != pending.lines) {
            last = Some((pending.lines.clone(), Instant::now()));
        }
        let settled = last.as_ref().is_some_and(|(_, since)| since.elapsed() >= SETTLED);
        let give_up = match mode {
            Mode::Compare => hopeless && end != End::Prompt,
            Mode::Refresh => settled && end != End::Prompt,
        };
        give_up.then(|| {
            let is_ended = |lines: &[String]| lines.last().is_none_or(|line| !line.ends_with(UNENDED));
            // A line that has only begun is for the step that sees its end, unless a key is pressed behind it.
            if mode == Mode::Refresh && !key_follows && !is_ended(&pending.lines) {
                pending.lines.pop();
            }
            terminal.skip_lines(pending.lines.len());
            Pending { prompt: false, ..pending }
        })
    });
    result.map_err(|problem| {
        let seen = terminal.pending().lines;
        let (reason, _) = problem.split_once('\n').unwrap_or((&problem, ""));
        format!("{reason}\n\n{}", shown(lab, step, &seen))
    })
}

/// A step with what was seen beside what is printed.
fn shown(lab: &Lab, step: &Step, seen: &[String]) -> String {
    let typed: String = step.typed.iter().map(|line| format!("  {line}\n")).collect();
    format!("{typed}{}", difference::show(&lab.varies, &step.seen, seen))
}

/// Whether a command changes nothing, so that it can be asked again until it sees what is printed.
fn only_looks(input: &Input) -> bool {
    let Input::Command(lines) = input else { return false };
    let [line] = &lines[..] else { return false };
    let looks = |stage: &str| stage.split_whitespace().next().is_some_and(|word| tools::LOOKING.contains(&word));
    !line.contains(['>', ';', '&', '`', '(']) && line.split('|').all(looks)
}
