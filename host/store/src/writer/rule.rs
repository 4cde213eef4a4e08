//! Rows of remembered answers: one for each thing and scope, none longer than what it holds in.

use lanyard_ports::journal::{Checkpoint, MAX_RULES};
use lanyard_protocol::approval::RememberedRule;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::policy::Remember;

use super::stage::Stage;
use crate::error::Rejection;
use crate::table::TableId;

impl Stage<'_, '_> {
    /// Keeps a rule in place of those it repeats. One that cannot be kept is left out rather than refused: the answer
    /// in the same batch counts, and the next call asks again.
    pub(super) fn rule(&mut self, rule: &RememberedRule) -> Result<(), Rejection> {
        if !self.may_hold(rule)? {
            tracing::info!(rule = %rule.rule_id, "an answer is not remembered: what it was to hold in is over");
            return Ok(());
        }
        let (mut others, mut replaces) = (0, false);
        for key in self.keys_under(TableId::Rules, &[])? {
            let same = key == rule.rule_id.as_str().as_bytes();
            if same || self.get(&key)?.is_some_and(|other| repeats(&other, rule)) {
                self.remove(TableId::Rules, key);
                replaces = true;
            } else {
                others += 1;
            }
        }
        if others >= MAX_RULES && !replaces {
            tracing::warn!(
                rule = %rule.rule_id,
                "an answer is not remembered: {MAX_RULES} are already; `lanyard rules` lists them, revoke some"
            );
            return Ok(());
        }
        self.put(rule.rule_id.as_str().as_bytes().to_vec(), rule)
    }

    /// Whether what a rule holds in is still under way.
    fn may_hold(&mut self, rule: &RememberedRule) -> Result<bool, Rejection> {
        let Some(id) = &rule.session_id else { return Ok(true) };
        if self.session(id)?.summary.state.is_final() {
            return Ok(false);
        }
        if rule.remember != Remember::Task {
            return Ok(true);
        }
        let task = self.get::<Checkpoint>(id.as_str().as_bytes())?.map(|mark| mark.task_id);
        Ok(task.is_some() && task == rule.task_id)
    }

    /// A task is over: its checkpoint goes, and what was remembered for it.
    pub(super) fn clear_checkpoint(&mut self, id: &SessionId) -> Result<(), Rejection> {
        let key = id.as_str().as_bytes().to_vec();
        let Some(mark) = self.get::<Checkpoint>(&key)? else { return Ok(()) };
        self.remove(TableId::Checkpoints, key);
        self.forget_rules(|rule| {
            rule.remember == Remember::Task
                && rule.session_id.as_ref() == Some(id)
                && rule.task_id.as_ref() == Some(&mark.task_id)
        })
    }

    /// Forgets everything remembered for a session or its tasks.
    pub(super) fn forget_session_rules(&mut self, id: &SessionId) -> Result<(), Rejection> {
        self.forget_rules(|rule| rule.session_id.as_ref() == Some(id))
    }

    pub(super) fn forget_rules(&mut self, over: impl Fn(&RememberedRule) -> bool) -> Result<(), Rejection> {
        for key in self.keys_under(TableId::Rules, &[])? {
            if self.get(&key)?.is_some_and(|rule| over(&rule)) {
                self.remove(TableId::Rules, key);
            }
        }
        Ok(())
    }
}

/// Whether two rules remember the same thing in the same scope, whoever answered and when.
fn repeats(one: &RememberedRule, other: &RememberedRule) -> bool {
    let scope = |rule: &RememberedRule| {
        (rule.remember, rule.session_id.clone(), rule.task_id.clone(), rule.workspace_id.clone())
    };
    one.fingerprint == other.fingerprint && one.tool_name == other.tool_name && scope(one) == scope(other)
}
