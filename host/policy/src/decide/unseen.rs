//! What the words of a command do not show: texts that are not understood, effects that are hidden, variables and
//! standard input, and files that an answer cannot be bound to.

use lanyard_protocol::approval::RiskLevel;

use super::{
    Denial, DenialReason, Findings,
    exec::{EXEC, sentence},
    scope::Judge,
};
use crate::{
    demand::Exec,
    layer::Grant,
    reading::{ReadCommand, Reading},
    shell::{Opaque, Severity},
};

/// Said where an answer cannot cover all that decides what happens.
const UNBOUND: &str = "Files it runs or reads beyond those shown are not bound to this answer.";

impl Judge<'_> {
    /// A text that is not understood: what it runs is unknown, so no list can be said to cover it or to spare it.
    pub(super) fn opaque(&self, exec: &Exec, why: &Opaque, findings: &mut Findings) -> Result<(), Denial> {
        if why.severity() == Severity::Deny || self.lists_commands() {
            return Err(self.deny(EXEC, DenialReason::NotUnderstood(why.clone())));
        }
        self.only_directories(exec, findings)?;
        self.question_once(RiskLevel::High, format!("The command is not understood: {why}."), findings);
        Ok(())
    }

    pub(super) fn unbound(&self, reading: &Reading, findings: &mut Findings) {
        let commands = reading.commands().iter().map(|command| &command.assessment);
        let worst = commands.filter(|about| about.unbound).map(|about| about.risk.level).max();
        if let Some(level) = worst.or(reading.opaque().map(|_| RiskLevel::High)) {
            self.question_once(level, UNBOUND.to_owned(), findings);
        }
    }

    /// Variables and standard input that decide what happens as much as the words do. Lists judge words only.
    pub(super) fn inputs(&self, reading: &Reading, findings: &mut Findings) -> Result<(), Denial> {
        for input in reading.inputs() {
            if input.decides && self.lists_commands() {
                return Err(self.deny(EXEC, DenialReason::Input(sentence(&input.sentence))));
            }
            self.question_once(RiskLevel::High, sentence(&input.sentence), findings);
        }
        Ok(())
    }

    fn lists_commands(&self) -> bool {
        let listed = |grant: &Grant| grant.allowed_commands.is_some() || !grant.blocked_commands.is_empty();
        self.layer.grants(EXEC).any(listed)
    }

    /// What the words do not show, and what runs the project's own code without an entry that says so.
    pub(super) fn effects(&self, command: &ReadCommand, findings: &mut Findings) {
        let assessment = &command.assessment;
        if let Some(hidden) = &assessment.hidden {
            // A blocked command could hide in it: then even whoever switched questions off is asked.
            let must =
                assessment.opaque && self.layer.grants(EXEC).any(|grant| !grant.blocked_commands.is_empty());
            self.question(assessment.risk.level, must, sentence(hidden), findings);
        }
        let named = |grant: &Grant| grant.allowed_commands.is_some() && grant.covers_command(&command.argv);
        if assessment.project_code && !self.layer.grants(EXEC).any(named) {
            self.question(assessment.risk.level, false, sentence(&assessment.risk.sentence), findings);
        }
    }
}
