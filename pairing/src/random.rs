//! Randomness that repeats, for tests and the lab. Never for keys that matter.

use rand_core::{CryptoRng, RngCore};
use sha2::{Digest, Sha256};

/// SHA-256 over seed and counter: any seed gives its own stream, the same on every machine.
#[derive(Debug, Clone)]
pub struct SeededRng {
    seed: u64,
    blocks: u64,
    left: Vec<u8>,
}

impl SeededRng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, blocks: 0, left: Vec::new() }
    }
}

impl RngCore for SeededRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.left.is_empty() {
                let block = Sha256::new_with_prefix(self.seed.to_le_bytes());
                self.left = block.chain_update(self.blocks.to_le_bytes()).finalize().to_vec();
                self.blocks += 1;
            }
            *byte = self.left.pop().unwrap_or_default();
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for SeededRng {}
