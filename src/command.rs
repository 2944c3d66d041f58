//! The `reactor` command: arguments, configuration, run, exit code.

mod arguments;
mod hang_up;
mod keyboard;
mod log_format;
mod logging;
mod notifier;
mod output;
mod program;
mod protocols;
mod service;
mod threads;
mod xray;

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use log::{error, warn};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::arguments::{Action, Arguments, Run, Source};
use self::hang_up::HangUp;
use self::notifier::Notifier;
use self::output::write_whole;
use self::program::Identity;
pub use self::program::Program;
use self::xray::Xray;
use crate::bind::BindError;
use crate::config::{Config, ReadError, schema};
use crate::kernel::{Mio, PassedSockets};
use crate::panics::{catch, remember_places};
use crate::reactor::{Reactor, Stopped};
use crate::registry::Registry;

/// The exit codes of the command (`sysexits.h` from 65 on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Clean = 0,
    /// A failure while running, or a stop by a second signal.
    Failure = 1,
    Usage = 2,
    /// The configuration is wrong.
    Configuration = 65,
    /// The configuration file cannot be read.
    Unreadable = 66,
    /// An address cannot be bound.
    Address = 69,
    /// A directory cannot be used, or the log file cannot be opened.
    Directory = 73,
}

/// Why the command ends without having done its work.
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

/// Runs the whole `reactor` command with the protocols of `registry`, and returns its exit code when the command has ended.
///
/// `--help` and `--version` show the name of the file that was started and the version of this package; [`Program`] is for a
/// program with a name and version of its own.
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
    run_as(None, registry)
}

fn run_as(program: Option<&Program>, registry: Registry) -> ExitCode {
    let registry = Arc::new(registry);
    let line: Vec<_> = env::args_os().collect();
    let identity = Identity::of(program, line.first().map(OsString::as_os_str));
    let ended = match arguments::parse(line, &identity) {
        Ok(arguments) => execute(arguments, &identity, &registry),
        Err(error) if error.use_stderr() => Err(Failure::new(Exit::Usage, styled(&error, &io::stderr()).trim_end())),
        Err(help) => print(&styled(&help, &io::stdout())).map(|()| Exit::Clean),
    };
    let exit = ended.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            // If stderr is closed, only the exit code reports the failure.
            let _ = write_whole(io::stderr(), &(failure.message + "\n"));
        }
        failure.exit
    });
    ExitCode::from(exit as u8)
}

/// Renders help or an error in the arguments, with emphasis on a terminal (<https://no-color.org>).
fn styled(error: &clap::Error, output: &impl IsTerminal) -> String {
    let text = error.render();
    let is_plain = !output.is_terminal() || env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    if is_plain { text.to_string() } else { text.ansi().to_string() }
}

fn execute(arguments: Arguments, identity: &Identity, registry: &Arc<Registry>) -> Result<Exit, Failure> {
    match arguments.action.unwrap_or(Action::Run(arguments.run)) {
        Action::Run(arguments) => return run(&arguments, identity, registry),
        Action::Check(source) => check(&source, registry)?,
        Action::Init => print(Config::EMBEDDED)?,
        Action::Protocols => print(&protocols::list(registry))?,
        Action::Schema => print(&format!("{:#}", schema(registry)))?,
    }
    Ok(Exit::Clean)
}

fn run(arguments: &Run, identity: &Identity, registry: &Arc<Registry>) -> Result<Exit, Failure> {
    let unwatched = |error| Failure::new(Exit::Failure, format!("cannot watch signals: {error}"));
    let hang_up = HangUp::watch().map_err(unwatched)?;
    let filter = logging::filter(arguments.log, env::var_os(logging::VARIABLE).as_deref(), &identity.name)
        .map_err(|message| Failure::new(Exit::Usage, message))?;
    let mut config = configuration(&arguments.source, registry)?;
    config.log.format = arguments.log_format.unwrap_or(config.log.format);

    let mut log = logging::start(&filter, &config.log).map_err(|message| Failure::new(Exit::Directory, message))?;
    remember_places();
    raise_descriptor_limit();
    threads::warn_if_there_are_none();
    config.warnings().iter().for_each(|warning| warn!("{warning}"));
    let mut xray = Xray::start(arguments.xray.as_ref(), arguments.step);
    let notifier = Notifier::connect(|name| env::var_os(name), arguments.step);
    let serving = catch(|| serve(&config, arguments, registry, &hang_up, &mut xray, notifier));
    let ended = serving.unwrap_or_else(|panicked| {
        error!("a bug ends the server: {panicked}{}", panicked.detail());
        Ok(Exit::Failure)
    });
    ended.map_err(|Failure { exit, message }| Failure { exit, message: log.failed(message) })
}

fn serve(
    config: &Config,
    arguments: &Run,
    registry: &Arc<Registry>,
    hang_up: &HangUp,
    xray: &mut Xray,
    notifier: Option<Notifier>,
) -> Result<Exit, Failure> {
    let mut reactor = bind(config, registry)?;
    let unwatched = |error| Failure::new(Exit::Failure, format!("cannot watch signals: {error}"));
    reactor.watch_signals().map_err(unwatched)?;
    unblock_signals().map_err(unwatched)?;
    xray.watch_signals();
    if arguments.source.config.is_some() {
        let (source, format, protocols) = (arguments.source.clone(), arguments.log_format, Arc::clone(registry));
        let read = move || {
            let mut config = configuration(&source, &protocols).map_err(|failure| failure.message)?;
            config.log.format = format.unwrap_or(config.log.format);
            Ok::<_, String>(config)
        };
        reactor.reload_with(Arc::clone(registry), read);
    }
    hang_up.pass_on(&reactor.handle(), io::stderr().is_terminal());

    let mut ready = String::new();
    for endpoint in reactor.endpoints() {
        ready += &format!("listening {} {} {}\n", endpoint.name(), endpoint.protocol(), endpoint.url());
    }
    if let Err(failure) = print(&(ready + "ready")) {
        warn!("{}", failure.message);
    }

    let ended = service::run(&mut reactor, notifier);
    reactor.save_last_xray();
    match ended {
        Ok(Stopped::Gracefully) => Ok(Exit::Clean),
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

/// Binds every listener: to its address, or to a socket that the service manager has passed.
fn bind(config: &Config, registry: &Registry) -> Result<Reactor, Failure> {
    let passed = PassedSockets::from_environment().map_err(|error| Failure::new(Exit::Configuration, error))?;
    let bound = Mio::new().map_err(BindError::Poll).and_then(|kernel| {
        Reactor::with_kernel(kernel.with_workers(config.workers).with_passed(passed), config, registry)
    });
    bound.map_err(|error| {
        let exit = match error {
            BindError::Address { .. } => Exit::Address,
            BindError::Directory { .. } => Exit::Directory,
            BindError::Passed { .. } | BindError::PassedAndLeft(_) => Exit::Configuration,
            _ => Exit::Failure,
        };
        Failure::new(exit, error)
    })
}

/// Prints the checked configuration. On stderr, names what only the start can check.
fn check(source: &Source, registry: &Registry) -> Result<(), Failure> {
    let config = configuration(source, registry)?;
    let warnings: String = config.warnings().iter().map(|warning| format!("warning: {warning}\n")).collect();
    // If stderr is closed, the configuration is right all the same.
    let _ = write_whole(io::stderr(), &warnings);
    print(&config.to_json())?;
    let passed = config.listeners.iter().filter(|listener| listener.listen.passed.is_some());
    let notes: String = passed
        .map(|listener| format!("{}: the start checks the passed socket {}\n", listener.name, listener.listen))
        .collect();
    // If stderr is closed, the notes have no reader.
    let _ = write_whole(io::stderr(), &notes);
    Ok(())
}

/// Returns the configuration of the file, or the embedded one, or with `--listen` alone an empty one; with the listeners of
/// `--listen` added.
fn configuration(source: &Source, registry: &Registry) -> Result<Config, Failure> {
    let wrong = |problems| Failure::new(Exit::Configuration, problems);
    let mut config = match &source.config {
        Some(file) => read(file, registry)?,
        None if source.listen.is_empty() => Config::embedded(registry).map_err(wrong)?,
        None => Config::without_listeners(),
    };
    for listen in &source.listen {
        config
            .add_listener(listen, registry)
            .map_err(|reason| Failure::new(Exit::Usage, format!("--listen {}: {reason}", listen.escape_debug())))?;
    }
    Ok(config)
}

fn read(file: &Path, registry: &Registry) -> Result<Config, Failure> {
    Config::read(file, registry).map_err(|error| match error {
        ReadError::Unreadable { .. } => Failure::new(Exit::Unreadable, error),
        ReadError::Wrong(problems) => Failure::new(Exit::Configuration, problems),
    })
}

/// Prints `text`, and a newline unless `text` ends with one. A reader that has closed the pipe, such as `head`, is not an error.
fn print(text: &str) -> Result<(), Failure> {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    match write_whole(io::stdout().as_fd(), &format!("{text}{newline}")) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failure, format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Unblocks the signals that the loop watches: a process inherits the mask of its parent, which may have blocked them
/// (`sigprocmask(2)`). Only the command does this: a program that embeds the loop decides about its own mask.
fn unblock_signals() -> io::Result<()> {
    let watched = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGXFSZ];
    Ok(SigSet::from_iter(watched).thread_unblock()?)
}

/// Raises the soft limit of file descriptors to the hard one (`setrlimit(2)`); the soft limit is low only because of `select(2)`.
fn raise_descriptor_limit() {
    let hard = getrlimit(Resource::Nofile).maximum;
    // macOS reports no limit, but takes at most `OPEN_MAX`.
    let soft = if cfg!(target_vendor = "apple") { Some(hard.map_or(10_240, |hard| hard.min(10_240))) } else { hard };
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: soft, maximum: hard }) {
        warn!("cannot raise the limit of file descriptors: {error}");
    }
}
