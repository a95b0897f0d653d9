//! The circuit breaker of a plugin: a plugin that fails again and again is left alone for a while.
//!
//! Pure: the moment is given, the state is kept by the caller from one command to the next. A plugin that is left alone
//! was not consulted: what that means is for the policy of its hooks, never for this module.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Seconds since the epoch.
pub type Seconds = u64;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// So many failures in a row open it.
    pub failures: u32,
    /// How long it stays open the first time; each time in a row twice as long.
    pub pause: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// How long a trial may take before another command may try.
    pub trial: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_secs(10),
            longest: Duration::from_secs(600),
            trial: Duration::from_secs(30),
        }
    }
}

/// What is known of a plugin's recent calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Failures since the last success.
    failures: u32,
    /// How many times in a row it has opened.
    opened: u32,
    /// Until when nobody calls the plugin; zero while it is closed.
    until: Seconds,
}

/// Whether a plugin may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Allowed,
    /// It may, once, to see whether it is well again.
    Trial,
    /// Not before this moment.
    Refused {
        /// The end of the pause.
        until: Seconds,
    },
}

impl Breaker {
    /// Asks for a call.
    ///
    /// A trial is given to one command at a time: whoever gets it stores the changed breaker before the call.
    pub fn admit(&mut self, now: Seconds, policy: &Policy) -> Admission {
        if self.until == 0 {
            return Admission::Allowed;
        }
        // A clock that was set back must not keep a plugin out for longer than any pause lasts.
        let until = self.until.min(now.saturating_add(policy.longest.as_secs()));
        if until > now {
            return Admission::Refused { until };
        }
        self.until = now.saturating_add(policy.trial.as_secs()).max(1);
        Admission::Trial
    }

    /// The call succeeded: the plugin is well.
    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    /// The call failed.
    ///
    /// Returns whether the breaker opened by it: that is worth a line of log, once.
    pub fn fail(&mut self, now: Seconds, policy: &Policy) -> bool {
        self.failures = self.failures.saturating_add(1);
        let is_trial = self.until > 0;
        if self.failures < policy.failures && !is_trial {
            return false;
        }
        let doubled = policy
            .pause
            .saturating_mul(1_u32.checked_shl(self.opened).unwrap_or(u32::MAX));
        let pause = doubled.min(policy.longest).as_secs();
        self.opened = self.opened.saturating_add(1);
        self.until = now.saturating_add(pause).max(1);
        true
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether nobody calls the plugin now.
    #[must_use]
    pub fn is_open(&self, now: Seconds) -> bool {
        self.until > now
    }
}
