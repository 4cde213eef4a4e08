//! The server's clock as the host reckons it. Server time counts; the host's own may be a day off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use lanyard_protocol::{Timestamp, WireError};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// A difference below this changes nothing: a `Date` header has whole seconds, and an answer takes its time.
const NOTICED_MILLIS: u64 = 2_000;

/// The host's clock and how far the server's is ahead of it. Clones share what they learn.
///
/// The difference is to the wall clock: unlike a monotonic one it goes on while a laptop sleeps, and when somebody sets it
/// the next answer says so.
#[derive(Clone)]
pub struct ServerClock {
    local: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    offset: Arc<AtomicI64>,
    learned: Arc<AtomicBool>,
}

impl std::fmt::Debug for ServerClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerClock").field("offset_millis", &self.offset_millis()).finish_non_exhaustive()
    }
}

impl Default for ServerClock {
    fn default() -> Self {
        Self::on(Timestamp::now)
    }
}

impl ServerClock {
    /// Over a clock of the caller's, for tests.
    pub fn on(local: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { local: Arc::new(local), offset: Arc::default(), learned: Arc::default() }
    }

    /// The host's own clock.
    pub fn local(&self) -> Timestamp {
        (self.local)()
    }

    /// The server's clock as reckoned; the host's own before any answer.
    pub fn now(&self) -> Timestamp {
        self.local().plus_millis(self.offset_millis())
    }

    /// Milliseconds the server's clock is ahead of the host's.
    pub fn offset_millis(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// Whether the server's clock is known at all.
    pub fn is_learned(&self) -> bool {
        self.learned.load(Ordering::Relaxed)
    }

    /// Takes what an answer said of the server's clock.
    pub(crate) fn learn(&self, server: Timestamp) {
        if server.as_millis().abs_diff(self.now().as_millis()) >= NOTICED_MILLIS {
            let offset = server.as_millis().saturating_sub(self.local().as_millis());
            self.offset.store(offset, Ordering::Relaxed);
        }
        self.learned.store(true, Ordering::Relaxed);
    }

    /// Takes a `Date` header.
    pub(crate) fn learn_date(&self, date: &str) {
        // RFC 9110 dates are RFC 2822 dates but for the name of the zone.
        let date = date.strip_suffix("GMT").map_or_else(|| date.to_owned(), |date| format!("{date}+0000"));
        if let Ok(date) = OffsetDateTime::parse(&date, &Rfc2822) {
            self.learn(Timestamp::from_millis(date.unix_timestamp().saturating_mul(1_000)));
        }
    }

    /// Takes `details.serverTime` of a refusal, and says whether there was one.
    pub(crate) fn learn_refusal(&self, error: &WireError) -> bool {
        let text = error.details.0.get("serverTime").and_then(serde_json::Value::as_str);
        match text.and_then(|text| text.parse().ok()) {
            Some(server) => {
                self.learn(server);
                true
            }
            None => false,
        }
    }
}

/// TLS asks the same clock.
impl TimeProvider for ServerClock {
    fn current_time(&self) -> Option<UnixTime> {
        let millis = u64::try_from(self.now().as_millis()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(millis)))
    }
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::ErrorCode;

    use super::*;

    fn at(millis: i64) -> ServerClock {
        ServerClock::on(move || Timestamp::from_millis(millis))
    }

    #[test]
    fn a_day_off_is_learned_and_a_second_is_not() {
        let clock = at(1_000_000_000);
        assert_eq!((clock.now().as_millis(), clock.is_learned()), (1_000_000_000, false));
        clock.learn(Timestamp::from_millis(1_000_001_900));
        assert_eq!((clock.offset_millis(), clock.is_learned()), (0, true));
        clock.learn(Timestamp::from_millis(1_086_400_000));
        assert_eq!(clock.now().as_millis(), 1_086_400_000);
        assert_eq!(clock.current_time().unwrap().as_secs(), 1_086_400);
        clock.learn(Timestamp::from_millis(913_600_000));
        assert_eq!(clock.offset_millis(), -86_400_000);
    }

    #[test]
    fn dates_of_http_are_read_and_others_ignored() {
        let clock = at(0);
        clock.learn_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(clock.offset_millis(), 784_111_777_000);
        for date in ["", "yesterday", "Sun, 99 Nov 1994 08:49:37 GMT", "GMT"] {
            clock.learn_date(date);
        }
        assert_eq!(clock.offset_millis(), 784_111_777_000);
    }

    #[test]
    fn a_refusal_tells_the_time() {
        let clock = at(0);
        let error = WireError::new(ErrorCode::InvalidRequest, "late");
        assert!(!clock.learn_refusal(&error));
        assert!(!clock.learn_refusal(&error.clone().with("serverTime", "noon")));
        assert!(clock.learn_refusal(&error.with("serverTime", "1970-01-02T00:00:00Z")));
        assert_eq!(clock.offset_millis(), 86_400_000);
    }
}
