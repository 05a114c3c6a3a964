//! Making a failing run small: the same promise broken, with fewer steps, replicas and documents.
//!
//! Every attempt is a whole run of a smaller plan. An attempt counts if the same check fails, so a
//! failure does not turn into another on the way.
//!
//! Source: Zeller, Hildebrandt, "Simplifying and isolating failure-inducing input" (2002): halves,
//! then quarters and so on, down to single steps.

use super::oracle::Check;
use super::plan::{Plan, Topology};
use super::simulate;

/// Runs at most, so that a failure is shown within seconds.
const ATTEMPTS_MAX: usize = 1_500;

/// Returns the smallest plan found in which `check` fails as it does in `plan`.
#[must_use]
pub fn shrink(plan: &Plan, check: Check) -> Plan {
    let mut search = Search { best: plan.clone(), check, attempts: 0 };
    search.simplify();
    search.drop_steps();
    search.simplify();
    search.drop_steps();
    search.best
}

struct Search {
    best: Plan,
    check: Check,
    attempts: usize,
}

impl Search {
    fn attempt(&mut self, plan: Plan) -> bool {
        if self.attempts == ATTEMPTS_MAX {
            return false;
        }
        self.attempts += 1;
        let fails = simulate(&plan).violation.is_some_and(|violation| violation.check == self.check);
        if fails {
            self.best = plan;
        }
        fails
    }

    /// Tries fewer replicas, documents and specialities.
    fn simplify(&mut self) {
        while self.best.hosts > 2 {
            let hosts = self.best.hosts - 1;
            if !self.attempt(Plan { hosts, ..self.best.clone() }) {
                break;
            }
        }
        self.attempt(Plan { documents: 1, ..self.best.clone() });
        self.attempt(Plan { both_dial: false, ..self.best.clone() });
        self.attempt(Plan { topology: Topology::Line, ..self.best.clone() });
        self.attempt(Plan { latency_ms: 1, ..self.best.clone() });
        let mut roomy = self.best.clone();
        for limits in &mut roomy.limits {
            (limits.residents, limits.load_ms) = (usize::MAX, 0);
        }
        self.attempt(roomy);
    }

    /// Takes out runs of steps, long ones first.
    fn drop_steps(&mut self) {
        let mut length = self.best.steps.len().div_ceil(2);
        while length > 0 {
            let mut at = 0;
            while at < self.best.steps.len() {
                let mut plan = self.best.clone();
                plan.steps.drain(at..(at + length).min(plan.steps.len()));
                if !self.attempt(plan) {
                    at += length;
                }
            }
            length = if length == 1 { 0 } else { length.div_ceil(2) };
        }
    }
}
