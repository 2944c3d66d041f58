//! The steps of a lab: input and expected output, in the blocks of a page that carry its name.

use crate::markdown::{self, Block};
use crate::varies::{UNENDED, Varies};

/// The blocks of one page with the same `lab=NAME`.
pub(crate) struct Lab {
    /// The name of the page without `.md`.
    pub(crate) chapter: String,
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) varies: Varies,
}

/// One input, and all output before the next input.
pub(crate) struct Step {
    /// Which of the blocks with this name it is in.
    pub(crate) block: usize,
    /// Its line in the page.
    pub(crate) line: usize,
    /// Commands that must succeed before the input is typed.
    pub(crate) until: Vec<String>,
    pub(crate) terminal: usize,
    pub(crate) input: Input,
    /// Lines that only choose its place, such as `# terminal 2`.
    pub(crate) lead: Vec<String>,
    /// The lines of the input as they are printed.
    pub(crate) typed: Vec<String>,
    /// The lines of output after the input.
    pub(crate) seen: Vec<String>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Input {
    /// `$ COMMAND`, with more lines after `> `.
    Command(Vec<String>),
    /// `TEXT⏎`, for a program that runs.
    Line(String),
    /// `^C`, `^D`, `^Z` or `^\`.
    Key(u8),
    /// No input: more output of a running program.
    Nothing,
}

/// Every lab of a page, in the order in which they begin.
pub(crate) fn labs(chapter: &str, page: &str) -> Result<Vec<Lab>, String> {
    let mut labs: Vec<Lab> = Vec::new();
    for block in markdown::blocks(page) {
        let at = |what: &str| format!("{chapter}.md:{}: {what}", block.line);
        let Some(name) = lab_name(&block.info) else { continue };
        let index = labs.iter().position(|lab| lab.name == name).unwrap_or_else(|| {
            let (chapter, name, varies) = (chapter.to_owned(), name.to_owned(), Varies::default());
            labs.push(Lab { chapter, name, steps: Vec::new(), varies });
            labs.len() - 1
        });
        let lab = &mut labs[index];
        let mut until = Vec::new();
        for (keyword, rest) in &block.comments {
            match keyword.as_str() {
                "until" => until.push(rest.clone()),
                "varies" => lab.varies.add(rest).map_err(|problem| at(&problem))?,
                _ => {}
            }
        }
        let number = lab.steps.last().map_or(0, |step| step.block + 1);
        let mut steps = steps(&block, number).map_err(|problem| at(&problem))?;
        steps[0].until = until;
        lab.steps.append(&mut steps);
    }
    Ok(labs)
}

/// The name in `console lab=NAME`.
pub(crate) fn lab_name(info: &str) -> Option<&str> {
    info.strip_prefix("console ")?.split(' ').find_map(|word| word.strip_prefix("lab="))
}

fn steps(block: &Block, number: usize) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut terminal, mut lead) = (1, Vec::new());
    let lines: Vec<_> = block.body.lines().enumerate().flat_map(|(offset, line)| apart(offset, line)).collect();
    let mut lines = lines.iter().map(|(offset, line)| (*offset, line.as_str())).peekable();
    while let Some((offset, line)) = lines.next() {
        let before_header = line.is_empty() && lines.peek().is_some_and(|(_, next)| header(next).is_some());
        if let Some(named) = header(line) {
            terminal = named;
        }
        if before_header || header(line).is_some() {
            lead.push(line.to_owned());
            continue;
        }
        let mut typed = vec![line.to_owned()];
        let input = if let Some(command) = line.strip_prefix("$ ") {
            let mut command = vec![command.to_owned()];
            while let Some((_, more)) = lines.next_if(|(_, next)| next.starts_with("> ") || *next == ">") {
                command.push(more[1..].strip_prefix(' ').unwrap_or("").to_owned());
                typed.push(more.to_owned());
            }
            Input::Command(command)
        } else if let Some(text) = line.strip_suffix('⏎') {
            Input::Line(text.to_owned())
        } else if let Some(key) = key(line) {
            Input::Key(key)
        } else if let (true, Some(last)) = (lead.is_empty(), steps.last_mut()) {
            last.seen.push(line.to_owned());
            continue;
        } else {
            typed.clear();
            Input::Nothing
        };
        let seen = if input == Input::Nothing { vec![line.to_owned()] } else { Vec::new() };
        let lead = std::mem::take(&mut lead);
        let line = block.line + offset;
        steps.push(Step { block: number, line, until: Vec::new(), terminal, input, lead, typed, seen });
    }
    if !lead.is_empty() || steps.is_empty() {
        return Err("a lab needs something to type, or to see, in each terminal that it names".to_owned());
    }
    Ok(steps)
}

/// The number in `# terminal NUMBER`, to which words may be added.
fn header(line: &str) -> Option<usize> {
    let rest = line.strip_prefix("# terminal ")?;
    let number: usize = rest.split([' ', ':', ',']).next()?.parse().ok()?;
    (1..=9).contains(&number).then_some(number)
}

/// The byte that a terminal makes of a key with Ctrl (`termios(3)`).
fn key(line: &str) -> Option<u8> {
    let letter = line.strip_prefix('^')?.as_bytes();
    matches!(letter, b"C" | b"D" | b"Z" | b"\\").then(|| letter[0] & 0x1f)
}

/// The beginning of a line of output and the key shown behind it, as in `read(0, ^C`, are two steps.
fn apart(offset: usize, line: &str) -> Vec<(usize, String)> {
    let split = line.len().checked_sub(2).and_then(|at| line.split_at_checked(at));
    match split {
        Some((begun, shown)) if !begun.is_empty() && !begun.starts_with("$ ") && key(shown).is_some() => {
            vec![(offset, format!("{}{UNENDED}", begun.trim_end())), (offset, shown.to_owned())]
        }
        _ => vec![(offset, line.to_owned())],
    }
}

impl Lab {
    /// The test's name.
    pub(crate) fn title(&self) -> String {
        format!("{}::{}", self.chapter, self.name)
    }

    /// How many terminals it uses.
    pub(crate) fn terminals(&self) -> usize {
        self.steps.iter().map(|step| step.terminal).max().unwrap_or(1)
    }

    /// The next step in the same terminal.
    pub(crate) fn next_in_terminal(&self, index: usize) -> Option<&Step> {
        self.steps[index + 1..].iter().find(|step| step.terminal == self.steps[index].terminal)
    }

    /// The text of its blocks, with other lines seen.
    pub(crate) fn bodies(&self, seen: &[Vec<String>]) -> Vec<String> {
        let count = self.steps.last().map_or(0, |step| step.block + 1);
        let mut bodies = vec![String::new(); count];
        for (step, seen) in self.steps.iter().zip(seen) {
            let body = &mut bodies[step.block];
            if matches!(step.input, Input::Key(_)) && step.lead.is_empty() && body.ends_with("⊣\n") {
                body.truncate(body.len() - "⊣\n".len());
                body.push(' ');
            }
            for line in step.lead.iter().chain(&step.typed).chain(seen) {
                body.push_str(line);
                body.push('\n');
            }
        }
        bodies
    }
}
