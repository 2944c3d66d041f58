//! The servers of a run, and which of them each connection leads to.

use std::rc::Rc;

use mio::Token;

use crate::client::connect::connect;
use crate::client::failure::Result;
use crate::client::url::Address;
use crate::datagram;
use crate::engine::Engine;
use crate::options::Cli;
use crate::tape::Tape;

/// One server of a run.
#[derive(Clone)]
pub(crate) struct Target {
    /// Its place among the URLs of the command line: results are counted by it.
    pub(crate) number: usize,
    /// Where it may be reached, at least one.
    addresses: Rc<[Address]>,
}

impl Target {
    /// Returns the address to try, if the attempts before have failed.
    pub(crate) fn address(&self, attempt: usize) -> &Address {
        &self.addresses[attempt % self.addresses.len()]
    }
}

/// All servers of a run, at least one. They take turns: of two the first has the connections 0, 2, 4 and so on.
pub(crate) struct Targets(Vec<Target>);

impl Targets {
    /// Finds out which address of each server accepts, by a connection without data. With `--reconnect` a server of which none does
    /// may come later, at any of them.
    pub(crate) fn that_accept(cli: &Cli, engine: &mut Engine) -> Result<Self> {
        let probes = cli.urls.iter().enumerate().map(|(number, url)| {
            let addresses = match connect(engine.poll(), Token(0), url, cli.timeout()) {
                Ok((_, address)) => [address].into(),
                Err(_) if cli.reconnect => url.addresses()?.into(),
                Err(failure) => return Err(failure),
            };
            Ok(Target { number, addresses })
        });
        Ok(Self(probes.collect::<Result<_>>()?))
    }

    /// Finds out which address of each server answers a datagram.
    pub(crate) fn that_answer(cli: &Cli, tape: &Tape) -> Result<Self> {
        let question = tape.bytes(tape.range(0, 1));
        let probes = cli.urls.iter().enumerate().map(|(number, url)| {
            let address = datagram::find(url, question, cli.timeout())?;
            Ok(Target { number, addresses: [address].into() })
        });
        Ok(Self(probes.collect::<Result<_>>()?))
    }

    /// Returns where a connection leads.
    pub(crate) fn of(&self, index: usize) -> &Target {
        &self.0[index % self.0.len()]
    }
}
