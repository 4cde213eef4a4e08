//! What a failed attempt leads to: another one, when, or an error in words. Pure: no clock, no randomness.

use std::time::{Duration, SystemTime};

use lanyard_ports::model::ModelError;

use crate::openai::complaint::{Complaint, Subject};

/// Attempts in all: one and three retries (4-host).
pub(crate) const MAX_ATTEMPTS: u32 = 4;

/// Wait before the first retry; it doubles with each further one.
const BASE: Duration = Duration::from_secs(1);

/// Longest wait that is our own idea.
const CAP: Duration = Duration::from_secs(10);

/// Longest wait a gateway may ask for. Beyond it the person is better told than kept waiting.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Why an attempt brought no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing can be sent from this process at all; another attempt changes nothing.
    Setup(String),
    /// No connection, or it broke before the answer began.
    Unreachable(String),
    /// Connected, then silence for this long.
    Silent(Duration),
    /// The answer was cut or is not one.
    Broken(String),
    /// The answer is larger than anything a model sends. The next one would be too.
    TooLarge(String),
    /// The gateway answered with an error, or sent one inside the stream.
    Complaint {
        /// What it said.
        complaint: Complaint,
        /// Its `Retry-After` header as written.
        retry_after: Option<String>,
    },
}

/// Where the call went; used in words only.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// Base address.
    pub(crate) endpoint: String,
    /// Model asked for.
    pub(crate) model: String,
    /// Whether a token was sent.
    pub(crate) token_sent: bool,
    /// Found on this machine rather than configured.
    pub(crate) found: bool,
}

/// The decision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Try again after `delay`; `because` is told meanwhile.
    Again {
        /// How long to wait.
        delay: Duration,
        /// The error had this attempt been the last.
        because: ModelError,
    },
    /// Give up.
    Fail(ModelError),
}

/// Decides about attempt number `attempt` (from 1), which failed. `random` spreads the wait; `now` is needed where
/// the gateway names a date.
pub(crate) fn decide(fault: &Fault, attempt: u32, random: u64, now: SystemTime, site: &Site) -> Verdict {
    let (passes, asked) = match fault {
        Fault::Setup(_) | Fault::TooLarge(_) => (false, None),
        Fault::Unreachable(_) | Fault::Silent(_) | Fault::Broken(_) => (true, None),
        Fault::Complaint { complaint, retry_after } => (
            matches!(complaint.subject, Subject::Throttle | Subject::Fault),
            retry_after.as_deref().and_then(|text| retry_after_delay(text, now)),
        ),
    };
    if passes && attempt < MAX_ATTEMPTS {
        let because = error(fault, attempt, site);
        return match asked {
            Some(wait) if wait > MAX_RETRY_AFTER => Verdict::Fail(too_long(wait, because)),
            _ => Verdict::Again { delay: backoff(attempt, random).max(asked.unwrap_or_default()), because },
        };
    }
    Verdict::Fail(error(fault, attempt, site))
}

/// Half of the step is fixed, half is chance, so that hosts that failed together do not return together.
fn backoff(attempt: u32, random: u64) -> Duration {
    let step = BASE.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(CAP);
    let half = u64::try_from(step.as_millis() / 2).unwrap_or(u64::MAX);
    Duration::from_millis(half + random % (half + 1))
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date. Dates in the past mean now; anything else is ignored.
fn retry_after_delay(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    // Some gateways send fractions.
    if let Some(seconds) = text.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0) {
        return Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn too_long(wait: Duration, because: ModelError) -> ModelError {
    let longer = format!(
        "{because}; it asks to wait {} seconds, and a host waits at most {} by itself: start the task again later",
        wait.as_secs(),
        MAX_RETRY_AFTER.as_secs()
    );
    match because {
        ModelError::RateLimited(_) => ModelError::RateLimited(longer),
        _ => ModelError::Unavailable(longer),
    }
}

/// The error in words that name the thing and the way out.
fn error(fault: &Fault, attempts: u32, site: &Site) -> ModelError {
    let Site { endpoint, .. } = site;
    let tried = if attempts == 1 { String::new() } else { format!(" ({attempts} attempts)") };
    match fault {
        Fault::Setup(problem) => ModelError::Unavailable(format!("the model cannot be called: {problem}")),
        Fault::Unreachable(problem) => ModelError::Unavailable(format!(
            "the model at {endpoint} is not reached{tried}: {problem}; {}",
            if site.found {
                "is its server still running?"
            } else {
                "check that the gateway runs and that LANYARD_GATEWAY_URL or model.endpoint is right"
            }
        )),
        Fault::Silent(waited) => ModelError::Unavailable(format!(
            "the model at {endpoint} was silent for {} seconds{tried}",
            waited.as_secs_f32()
        )),
        Fault::Broken(problem) => ModelError::Unavailable(format!(
            "the model at {endpoint} gave no usable answer{tried}: {problem}"
        )),
        Fault::TooLarge(problem) => {
            ModelError::Unavailable(format!("the answer of the model at {endpoint} was given up: {problem}"))
        }
        Fault::Complaint { complaint, .. } => of_complaint(complaint, &tried, site),
    }
}

fn of_complaint(complaint: &Complaint, tried: &str, site: &Site) -> ModelError {
    let Site { endpoint, model, .. } = site;
    let Complaint { message, status, .. } = complaint;
    match complaint.subject {
        Subject::Guardrail => ModelError::GuardrailBlocked(match &complaint.guardrail {
            Some(name) => format!("the guardrail {name:?} of the gateway {endpoint} refused: {message}"),
            None => format!("a guardrail of the gateway {endpoint} refused: {message}"),
        }),
        Subject::Budget => {
            ModelError::BudgetExceeded(format!("the budget at the gateway {endpoint} is used up: {message}"))
        }
        Subject::Throttle => ModelError::RateLimited(format!(
            "the gateway {endpoint} takes no more requests now{tried}: {message}"
        )),
        Subject::Fault => {
            let status = if *status == 0 { String::new() } else { format!(" ({status})") };
            ModelError::Unavailable(format!("the gateway {endpoint} has a fault{status}{tried}: {message}"))
        }
        Subject::Request => ModelError::Refused(match *status {
            401 | 403 if site.token_sent => format!(
                "the gateway {endpoint} does not accept the token ({status}): {message}; check \
                 LANYARD_GATEWAY_TOKEN (or model.token) and what it may use"
            ),
            401 | 403 => format!(
                "the gateway {endpoint} wants a token ({status}): {message}; set LANYARD_GATEWAY_TOKEN or model.token"
            ),
            404 => format!(
                "the gateway {endpoint} knows no such address or model ({status}): {message}; check \
                 LANYARD_GATEWAY_URL (or model.endpoint) and LANYARD_MODEL (or model.name), which is {model:?}"
            ),
            300..=399 => format!(
                "the gateway {endpoint} sends elsewhere ({status}): {message}; redirects are not followed, so that \
                 the token goes nowhere else: put the final address into LANYARD_GATEWAY_URL or model.endpoint"
            ),
            _ => format!(
                "the gateway {endpoint} refused the request for the model {model:?}{}: {message}",
                if *status == 0 { String::new() } else { format!(" ({status})") },
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use lanyard_ports::model::ModelError;
    use proptest::prelude::*;

    use super::{Fault, MAX_ATTEMPTS, Site, Verdict, decide};
    use crate::openai::complaint::Complaint;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn site() -> Site {
        Site { endpoint: "http://gw/v1".into(), model: "m1".into(), token_sent: true, found: false }
    }

    fn status(status: u16, retry_after: Option<&str>) -> Fault {
        let complaint = Complaint::plain(status, "said the gateway");
        Fault::Complaint { complaint, retry_after: retry_after.map(str::to_owned) }
    }

    fn delay(fault: &Fault, attempt: u32, random: u64) -> Duration {
        match decide(fault, attempt, random, NOW, &site()) {
            Verdict::Again { delay, .. } => delay,
            Verdict::Fail(error) => panic!("{error}"),
        }
    }

    fn failure(fault: &Fault, attempt: u32) -> ModelError {
        match decide(fault, attempt, 0, NOW, &site()) {
            Verdict::Fail(error) => error,
            Verdict::Again { because, .. } => panic!("again after {because}"),
        }
    }

    #[test]
    fn what_may_pass_is_tried_three_times_more() {
        for fault in [
            Fault::Unreachable("refused".into()),
            Fault::Silent(Duration::from_secs(1)),
            Fault::Broken("cut".into()),
            status(429, None),
            status(408, None),
            status(500, None),
            status(529, None),
        ] {
            for attempt in 1..MAX_ATTEMPTS {
                delay(&fault, attempt, 0);
            }
            failure(&fault, MAX_ATTEMPTS);
        }
    }

    #[test]
    fn what_does_not_pass_is_not_repeated() {
        for fault in [
            Fault::Setup("no TLS".into()),
            Fault::TooLarge("big".into()),
            status(400, None),
            status(401, None),
            status(402, None),
            status(403, None),
            status(404, None),
            status(422, Some("1")),
            status(307, None),
        ] {
            failure(&fault, 1);
        }
    }

    #[test]
    fn waits_double_from_half_a_step_up_and_stay_below_the_cap() {
        let fault = status(500, None);
        let range = |attempt| {
            (delay(&fault, attempt, 0).as_millis(), {
                let longest = (0..20_000).map(|r| delay(&fault, attempt, r)).max().unwrap();
                longest.as_millis()
            })
        };
        assert_eq!(range(1), (500, 1_000));
        assert_eq!(range(2), (1_000, 2_000));
        assert_eq!(range(3), (2_000, 4_000));
    }

    #[test]
    fn the_gateway_may_ask_for_a_longer_wait() {
        for (text, seconds) in [
            ("7", 7),
            (" 60 ", 60),
            ("1.5", 1),
            ("Thu, 01 Jan 1970 00:00:30 GMT", 30),
            ("Thursday, 01-Jan-70 00:00:20 GMT", 20),
        ] {
            assert_eq!(delay(&status(429, Some(text)), 1, 0).as_secs(), seconds, "{text}");
        }
        // Nonsense, the past and less than our own wait leave our own wait.
        for text in ["", "soon", "-5", "NaN", "0", "0.1", "Wed, 31 Dec 1969 23:59:00 GMT"] {
            assert_eq!(delay(&status(503, Some(text)), 1, 0).as_millis(), 500, "{text}");
        }
    }

    #[test]
    fn nobody_is_kept_waiting_for_minutes() {
        for text in ["61", "99999999999999999999999", "1e300", "Thu, 01 Jan 1970 01:00:00 GMT"] {
            let error = failure(&status(429, Some(text)), 1);
            assert!(matches!(&error, ModelError::RateLimited(t) if t.contains("at most 60")), "{error}");
        }
        assert!(
            matches!(failure(&status(503, Some("3600")), 1), ModelError::Unavailable(t) if t.contains("3600"))
        );
    }

    #[test]
    fn errors_name_the_place_and_the_way_out() {
        let text = |fault: &Fault, attempt| failure(fault, attempt).to_string();
        assert!(text(&status(401, None), 1).contains("LANYARD_GATEWAY_TOKEN"));
        assert!(text(&status(404, None), 1).contains("LANYARD_MODEL"));
        assert!(text(&status(307, None), 1).contains("redirects are not followed"));
        assert!(text(&status(500, None), 4).contains("(4 attempts)"));
        for fault in
            [Fault::Unreachable("x".into()), Fault::Broken("x".into()), status(429, None), status(400, None)]
        {
            let text = text(&fault, MAX_ATTEMPTS);
            assert!(text.contains("http://gw/v1"), "{text}");
        }
        let without = Site { token_sent: false, ..site() };
        let Verdict::Fail(error) = decide(&status(401, None), 1, 0, NOW, &without) else { panic!() };
        assert!(error.to_string().contains("wants a token"));
        let found = Site { found: true, ..site() };
        let Verdict::Fail(error) = decide(&Fault::Unreachable("x".into()), 4, 0, NOW, &found) else {
            panic!()
        };
        assert!(error.to_string().contains("still running"));
    }

    #[test]
    fn kinds_of_error() {
        assert!(matches!(failure(&status(429, None), 4), ModelError::RateLimited(_)));
        assert!(matches!(failure(&status(500, None), 4), ModelError::Unavailable(_)));
        assert!(matches!(failure(&status(402, None), 1), ModelError::BudgetExceeded(_)));
        assert!(matches!(failure(&status(403, None), 1), ModelError::Refused(_)));
        let filtered = Fault::Complaint { complaint: Complaint::filtered_answer(), retry_after: None };
        assert!(matches!(failure(&filtered, 1), ModelError::GuardrailBlocked(_)));
    }

    proptest! {
        #[test]
        fn waits_are_bounded(
            code in 100u16..700,
            attempt in 0u32..10_000,
            random in any::<u64>(),
            header in prop::option::of("[0-9.eE+-]{0,24}|\\PC{0,40}"),
        ) {
            if let Verdict::Again { delay, .. } = decide(&status(code, header.as_deref()), attempt, random, NOW, &site()) {
                prop_assert!(attempt < MAX_ATTEMPTS);
                prop_assert!(delay >= Duration::from_millis(500) && delay <= Duration::from_secs(60));
            }
        }
    }
}
