//! `agent`: the answer to HAProxy's `agent-check`: one line that says whether new connections should come to this server.

use crate::protocol::{Context, Reply, Step, StreamProtocol, Within};
use crate::snapshot::{Question, Readiness};

/// Sends one line to a client that connects, then closes.
#[derive(Debug)]
pub struct Agent;

impl StreamProtocol for Agent {
    fn on_open(&mut self, _: &mut Context<'_>) -> Reply {
        Ok(Step::inquire(Question::Readiness, |snapshot| snapshot.readiness, Self::tell))
    }

    /// What `agent-send` of HAProxy says is discarded.
    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

impl Agent {
    fn tell(&mut self, readiness: Readiness, _: &[u8], cx: &mut Context<'_>) -> Reply {
        cx.out.extend_from_slice(line(&readiness).as_bytes());
        Ok(Step::finish())
    }
}

/// Returns the line for a state, in the words of HAProxy's configuration manual (`agent-check`).
///
/// Only `ready` undoes a `drain`, and only `up` a `stopped`, so the first line has both. A percentage would round to a weight of
/// zero where the weight is one.
fn line(readiness: &Readiness) -> &'static str {
    match readiness {
        Readiness::Ready => "up ready\n",
        Readiness::Paused(_) | Readiness::Leaving => "drain\n",
        Readiness::Stopping => "stopped #stopping\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::CloseReason;
    use crate::testing::{Script, converse, every_fault, same_for_every_split};

    #[test]
    fn a_client_gets_one_line_and_the_fin_whatever_it_sends() {
        let silent = converse(Agent, &Script::new());
        assert_eq!((&silent.sent[..], silent.reason), (&b"up ready\n"[..], CloseReason::Finished));
        assert_eq!(same_for_every_split(|| Agent, b"up?\n").sent, b"up ready\n");
        every_fault(|| Agent, &Script::new().send("up?\n").window(1));
    }

    #[test]
    fn each_state_has_its_word() {
        let paused = Readiness::Paused("door: accepting is paused".to_owned());
        let lines = [Readiness::Ready, paused, Readiness::Stopping].map(|readiness| line(&readiness));
        assert_eq!(lines, ["up ready\n", "drain\n", "stopped #stopping\n"]);
    }
}
