//! One source of chance for keys of calls, waits and handshakes.

use lanyard_client::RandomSource;
use rand_core::CryptoRngCore;

/// A generator, as `lanyard-client` wants it.
#[derive(Debug)]
pub(crate) struct Chance<R>(pub(crate) R);

impl<R: CryptoRngCore + Send> RandomSource for Chance<R> {
    fn next_u128(&mut self) -> u128 {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        u128::from_ne_bytes(bytes)
    }
}
