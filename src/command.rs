//! The `reactor` command: arguments, configuration, run, exit code.

mod protocols;
mod threads;
mod xray;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use log::{error, warn};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use self::xray::{Target, Xray};
use crate::bind::BindError;
use crate::config::{Config, ReadError, schema};
use crate::log_writer::LogWriter;
use crate::panics::{catch, remember_places};
use crate::reactor::{Reactor, Stopped};
use crate::registry::Registry;

/// A server for TCP and UDP: one event loop, protocols as plug-ins.
#[derive(Debug, Parser)]
#[command(name = "reactor", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start the server; the same as no subcommand
    Run(Run),
    /// Validate without binding, and print the configuration with all defaults
    Check {
        /// The configuration; the embedded one if left out
        #[arg(short, long = "config", value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the embedded default configuration, a good start for one's own
    Init,
    /// List the protocols: options, defaults, and one line to try each
    Protocols,
    /// Print the JSON Schema of the configuration
    Schema,
}

#[derive(Debug, Args)]
struct Run {
    /// The configuration; without it and without --listen, the embedded one
    #[arg(short, long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here, with default options, besides what FILE says; may be repeated
    #[arg(long, value_name = "PROTOCOL=URL")]
    listen: Vec<String>,
    /// Record what the loop does, and write it to FILE when the server stops and on SIGUSR1. The ending of FILE chooses
    /// how it is shown: .txt as text, .json for Perfetto, .html as a page. With - it is text on stderr, as it happens
    #[arg(long, value_name = "FILE")]
    xray: Option<Target>,
    /// Stop the loop after each turn, show it on stderr, and go on when Enter is pressed: for classrooms, because nobody is
    /// served meanwhile. At the end of stdin it goes on without stopping
    #[arg(long)]
    step: bool,
}

/// What the exit code tells (`sysexits.h` from 65 on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Clean = 0,
    /// A failure while running, or the end by a second signal.
    Failure = 1,
    Usage = 2,
    /// The configuration is wrong.
    Configuration = 65,
    /// The configuration file cannot be read.
    Unreadable = 66,
    /// An address cannot be bound.
    Address = 69,
    /// A directory cannot be used.
    Directory = 73,
}

/// Why the command ends before it has done its work.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

/// Runs the whole `reactor` command with the protocols of `registry`, and returns when it is over.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     reactor::command(reactor::Registry::built_in())
/// }
/// ```
#[must_use]
pub fn command(registry: Registry) -> ExitCode {
    let exit = match Arguments::try_parse() {
        Ok(arguments) => execute(arguments, &registry).unwrap_or_else(|failure| {
            // A closed stderr leaves only the exit code to tell.
            let _ = writeln!(io::stderr(), "{}", failure.message);
            failure.exit
        }),
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Clean }
        }
    };
    ExitCode::from(exit as u8)
}

fn execute(arguments: Arguments, registry: &Registry) -> Result<Exit, Failure> {
    match arguments.action.unwrap_or(Action::Run(arguments.run)) {
        Action::Run(arguments) => return run(&arguments, registry),
        Action::Check { config } => print(&configuration(config.as_deref(), registry)?.to_json())?,
        Action::Init => print(Config::EMBEDDED)?,
        Action::Protocols => print(&protocols::list(registry))?,
        Action::Schema => print(&format!("{:#}", schema(registry)))?,
    }
    Ok(Exit::Clean)
}

fn run(arguments: &Run, registry: &Registry) -> Result<Exit, Failure> {
    let mut config = match &arguments.config {
        None if !arguments.listen.is_empty() => Config::without_listeners(),
        file => configuration(file.as_deref(), registry)?,
    };
    for listen in &arguments.listen {
        config
            .add_listener(listen, registry)
            .map_err(|reason| Failure::new(Exit::Usage, format!("--listen {}: {reason}", listen.escape_debug())))?;
    }

    let log = LogWriter::to_stderr();
    log_to(log.clone());
    let _last = Drained(log);
    remember_places();
    raise_descriptor_limit();
    threads::warn_if_there_are_none();
    let _xray =
        Xray::start(arguments.xray.as_ref(), arguments.step).map_err(|message| Failure::new(Exit::Failure, message))?;
    catch(|| serve(&config, registry)).unwrap_or_else(|panicked| {
        error!("a bug ends the server: {panicked}{}", panicked.detail());
        Ok(Exit::Failure)
    })
}

/// Waits, at the end, for what has been logged to reach stderr.
struct Drained(LogWriter);

impl Drop for Drained {
    fn drop(&mut self) {
        self.0.drain();
    }
}

fn serve(config: &Config, registry: &Registry) -> Result<Exit, Failure> {
    let mut reactor = Reactor::bind(config, registry).map_err(|error| {
        let exit = match error {
            BindError::Address { .. } => Exit::Address,
            BindError::Directory { .. } => Exit::Directory,
            _ => Exit::Failure,
        };
        Failure::new(exit, error)
    })?;
    reactor.watch_signals().map_err(|error| Failure::new(Exit::Failure, format!("cannot watch signals: {error}")))?;

    let mut ready = String::new();
    for endpoint in reactor.endpoints() {
        ready += &format!("listening {} {} {}\n", endpoint.name(), endpoint.protocol(), endpoint.url());
    }
    if let Err(failure) = print(&(ready + "ready")) {
        warn!("{}", failure.message);
    }

    let ended = reactor.run();
    reactor.save_last_xray();
    match ended {
        Ok(Stopped::InOrder) => Ok(Exit::Clean),
        Ok(Stopped::AtOnce) => {
            warn!("stopped at once by a second signal");
            Ok(Exit::Failure)
        }
        Err(error) => {
            error!("the loop failed: {error}");
            Ok(Exit::Failure)
        }
    }
}

/// The configuration in `file`, or the embedded one.
fn configuration(file: Option<&Path>, registry: &Registry) -> Result<Config, Failure> {
    let Some(file) = file else {
        return Config::embedded(registry).map_err(|problems| Failure::new(Exit::Configuration, problems));
    };
    Config::read(file, registry).map_err(|error| match error {
        ReadError::Unreadable { .. } => Failure::new(Exit::Unreadable, error),
        ReadError::Wrong(problems) => Failure::new(Exit::Configuration, problems),
    })
}

/// Prints `text` and a newline if it does not end with one. A reader that has left, such as `head`, has what it wanted.
fn print(text: &str) -> Result<(), Failure> {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}{newline}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failure, format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Sends what is logged to `writer`, unless the program has a logger already. `RUST_LOG` chooses what is logged.
fn log_to(writer: LogWriter) {
    let environment = env_logger::Env::default().default_filter_or("info");
    let _ = env_logger::Builder::from_env(environment).target(env_logger::Target::Pipe(Box::new(writer))).try_init();
}

/// As many descriptors as the administrator allows (`setrlimit(2)`); the soft limit is low for the sake of `select(2)`.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        // macOS says that there is no limit, and takes no more than `OPEN_MAX`.
        let soft = if cfg!(target_vendor = "apple") { hard.min(10_240) } else { hard };
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard)
    });
    if let Err(error) = raised {
        warn!("cannot raise the limit of descriptors: {error}");
    }
}
