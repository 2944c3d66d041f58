//! The steps: one after the other, up to the first demand that is missed.

use std::time::Instant;

use serde_json::json;

use crate::client::failure::{Failure, Result};
use crate::client::url::{Transport, Url};
use crate::demand::{self, Demand, Scope};
use crate::protocol::Protocol;
use crate::report::Report;
use crate::server::Server;
use crate::steps::{STEPS, Step};
use crate::trial::Trial;
use crate::{Cli, find, say, usage};

/// The demands of a step that this protocol has.
fn demands(step: &'static Step, scope: &Scope) -> impl Iterator<Item = &'static Demand> {
    let named = |name: &&str| demand::all().find(|demand| demand.name == *name && demand.applies(scope));
    step.demands.iter().filter_map(named)
}

/// Ends with wrong usage unless all steps can be tried.
fn expect_possible(cli: &Cli, steps: &'static [Step], scope: &Scope, server: &Server) {
    if scope.transport != Transport::Tcp || !Protocol::STREAMS.contains(&scope.protocol) {
        usage("the steps are for sum and uppercase over TCP");
    }
    let of_all = || steps.iter().flat_map(|step| demands(step, scope));
    for name in &cli.only {
        if of_all().all(|demand| demand.name != name) {
            usage(&format!("no demand of these steps is named {name}"));
        }
    }
    for (step, number) in steps.iter().zip(1..) {
        if demands(step, scope).next().is_none() {
            usage(&format!("step {number} needs Linux"));
        }
        let missing = demands(step, scope).find(|demand| !server.allows(demand.need, true));
        if let Some(options) = missing.and_then(|demand| demand.need.options()) {
            usage(&format!("step {number} needs {options}"));
        }
    }
}

/// Tries all steps up to the one with the number `last`, and stops at the first miss.
pub(crate) fn examine(cli: &Cli, scope: &Scope, url: &Url, server: &mut Server, last: usize) -> Result<()> {
    let steps = &STEPS[..last];
    expect_possible(cli, steps, scope, server);
    let is_wanted = |demand: &&Demand| cli.only.is_empty() || cli.only.iter().any(|only| only == demand.name);
    let mut met = Vec::new();
    let mut missed = None;
    for (step, number) in steps.iter().zip(1..) {
        let wanted: Vec<_> = demands(step, scope).filter(is_wanted).collect();
        if !cli.json && !wanted.is_empty() {
            say(format_args!("step {number}: {}", step.title))?;
        }
        if let Some(report) = attempt(cli, scope, url, server, &wanted, &mut met)? {
            missed = Some((number, step, report));
            break;
        }
    }
    let passed = missed.as_ref().map_or(last, |(number, ..)| number - 1);
    if cli.json {
        let miss = missed.as_ref().map(|(number, step, report)| {
            let mut miss = report.json();
            miss["step"] = json!(number);
            miss["page"] = json!(step.page);
            miss
        });
        let (protocol, url) = (scope.protocol.name(), url.to_string());
        say(json!({ "protocol": protocol, "url": url, "steps": last, "passed": passed, "met": met, "missed": miss }))?;
    } else {
        if let Some((_, step, report)) = &missed {
            say(format_args!("{report}\n          step      {}", step.page))?;
        }
        // A choice of the demands proves nothing about a step.
        if cli.only.is_empty() {
            say(format_args!("{passed} of {last} steps passed"))?;
        }
    }
    if missed.is_some() { Failure::because(format!("step {} is not passed", passed + 1)) } else { Ok(()) }
}

/// Tries the demands of a step. Returns the first miss, and adds the names of those that are met before it.
fn attempt(
    cli: &Cli,
    scope: &Scope,
    url: &Url,
    server: &mut Server,
    demands: &[&'static Demand],
    met: &mut Vec<&'static str>,
) -> Result<Option<Report>> {
    for demand in demands {
        let address = find(url, cli.timeout, server, scope)?;
        if let Err(miss) = (demand.run)(&Trial::new(address, scope, Instant::now() + cli.timeout, server)) {
            return Ok(Some(Report::new(demand, miss, server.death(address, scope.transport))));
        }
        met.push(demand.name);
        if !cli.json {
            say(format_args!("ok      {:<14}{}", demand.name, demand.text))?;
        }
    }
    Ok(None)
}
