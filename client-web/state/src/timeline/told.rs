//! What an event says about an item, with its number: of two tellings the later one counts, whichever comes first.

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told<T>(Option<(u64, T)>);

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Told<T> {
    /// Takes what event `seq` says, unless a later one has said otherwise.
    pub(super) fn tell(&mut self, seq: u64, value: T) {
        if self.0.as_ref().is_none_or(|(known, _)| *known <= seq) {
            self.0 = Some((seq, value));
        }
    }

    pub(super) fn get(&self) -> Option<&T> {
        self.0.as_ref().map(|(_, value)| value)
    }

    /// The number of the event; 0 when there was none.
    pub(super) fn seq(&self) -> u64 {
        self.0.as_ref().map_or(0, |(seq, _)| *seq)
    }
}
