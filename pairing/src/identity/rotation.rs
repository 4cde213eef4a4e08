//! How a new key follows from an old one.

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use lanyard_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::{IdentityKeys, PublicIdentity};

/// Most records kept and followed: a device away for longer than that many rotations is paired again.
pub const MAX_LINEAGE: usize = 8;

const LABEL: &[u8] = b"lanyard-rotation-v1";

/// Why records do not lead from one key to another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// A signature is wrong.
    #[error("a record of a key change is not signed by the key it names")]
    Signature,
    /// The chain does not start at the known key or does not end at the new one.
    #[error("the records of key changes do not lead from the known key to the one presented")]
    NotLinked,
    /// More records than are followed.
    #[error("there are more than {MAX_LINEAGE} records of key changes")]
    TooMany,
}

/// Signed by the old key (consent) and by the new one (possession).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationRecord {
    /// Before.
    pub old: PublicIdentity,
    /// After.
    pub new: PublicIdentity,
    /// When.
    pub at: Timestamp,
    signed_by_old: Vec<u8>,
    signed_by_new: Vec<u8>,
}

impl RotationRecord {
    /// Links new keys to old ones.
    pub fn sign(old: &IdentityKeys, new: &IdentityKeys, at: Timestamp) -> Self {
        let statement = statement(&old.public(), &new.public(), at);
        Self {
            old: old.public(),
            new: new.public(),
            at,
            signed_by_old: old.signing.sign(&statement).to_vec(),
            signed_by_new: new.signing.sign(&statement).to_vec(),
        }
    }

    fn is_signed(&self) -> bool {
        let statement = statement(&self.old, &self.new, self.at);
        verifies(&self.old.signing, &statement, &self.signed_by_old)
            && verifies(&self.new.signing, &statement, &self.signed_by_new)
    }
}

/// Every part has a fixed length, so the parts cannot be shifted against each other.
fn statement(old: &PublicIdentity, new: &PublicIdentity, at: Timestamp) -> Vec<u8> {
    [LABEL, &old.signing, &old.agreement, &new.signing, &new.agreement, &at.as_millis().to_be_bytes()]
        .concat()
}

/// Strict: refuses keys of small order, under which anybody can sign anything.
pub(crate) fn verifies(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(key), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}

/// Records, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lineage(pub Vec<RotationRecord>);

impl Lineage {
    /// Adds the newest record, dropping the oldest beyond [`MAX_LINEAGE`].
    pub fn push(&mut self, record: RotationRecord) {
        self.0.push(record);
        let surplus = self.0.len().saturating_sub(MAX_LINEAGE);
        self.0.drain(..surplus);
    }

    /// Follows the records from a known identity to a signing key somebody presents; gives the identity it belongs to.
    /// A key that the known identity holds already needs no record.
    ///
    /// # Errors
    /// See [`RotationError`]. Only the records on the way are looked at.
    pub fn follow(
        &self,
        known: &PublicIdentity,
        presented: &[u8; 32],
    ) -> Result<PublicIdentity, RotationError> {
        if self.0.len() > MAX_LINEAGE {
            return Err(RotationError::TooMany);
        }
        let mut reached = *known;
        for record in self.0.iter().skip_while(|record| record.old != *known) {
            if reached.signing == *presented {
                break;
            }
            if record.old != reached {
                return Err(RotationError::NotLinked);
            }
            if !record.is_signed() {
                return Err(RotationError::Signature);
            }
            reached = record.new;
        }
        if reached.signing == *presented { Ok(reached) } else { Err(RotationError::NotLinked) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{MAX_MESSAGE_BYTES, ToDevice};
    use crate::random::SeededRng;

    fn chain(length: usize) -> (Vec<IdentityKeys>, Lineage) {
        let mut rng = SeededRng::new(7);
        let keys: Vec<_> = (0..=length).map(|_| IdentityKeys::generate(&mut rng)).collect();
        let mut lineage = Lineage::default();
        for (at, pair) in (0..).zip(keys.windows(2)) {
            lineage.push(RotationRecord::sign(&pair[0], &pair[1], Timestamp::from_millis(at)));
        }
        (keys, lineage)
    }

    #[test]
    fn records_lead_from_any_known_key_to_any_later_one() {
        let (keys, lineage) = chain(5);
        for from in 0..keys.len() {
            for to in 0..keys.len() {
                let reached = lineage.follow(&keys[from].public(), &keys[to].public().signing);
                let expected = if from <= to { Ok(keys[to].public()) } else { Err(RotationError::NotLinked) };
                assert_eq!(reached, expected, "{from} to {to}");
            }
        }
    }

    #[test]
    fn only_the_newest_records_are_kept_and_they_fit_a_message() {
        let (keys, lineage) = chain(MAX_LINEAGE + 2);
        let last = keys[MAX_LINEAGE + 2].public();
        assert_eq!(lineage.0.len(), MAX_LINEAGE);
        assert_eq!(lineage.follow(&keys[1].public(), &last.signing), Err(RotationError::NotLinked));
        assert_eq!(lineage.follow(&keys[2].public(), &last.signing), Ok(last));
        assert!(ToDevice::Lineage(lineage).encode().len() < MAX_MESSAGE_BYTES);
    }

    #[test]
    fn more_records_than_are_followed_are_refused() {
        let (keys, mut lineage) = chain(MAX_LINEAGE);
        lineage.0.push(lineage.0[0].clone());
        let last = keys[MAX_LINEAGE].public().signing;
        assert_eq!(lineage.follow(&keys[0].public(), &last), Err(RotationError::TooMany));
    }

    #[test]
    fn each_signature_and_each_word_of_a_record_counts() {
        let (keys, lineage) = chain(1);
        let stranger = IdentityKeys::generate(&mut SeededRng::new(8));
        let honest = &lineage.0[0];
        let statement = statement(&honest.old, &honest.new, honest.at);
        let forged = stranger.signing.sign(&statement).to_vec();
        let wrong = [
            RotationRecord { signed_by_old: forged.clone(), ..honest.clone() },
            RotationRecord { signed_by_new: forged, ..honest.clone() },
            RotationRecord { signed_by_old: Vec::new(), ..honest.clone() },
            RotationRecord { at: honest.at.plus_millis(1), ..honest.clone() },
            RotationRecord { new: PublicIdentity { agreement: [7; 32], ..honest.new }, ..honest.clone() },
        ];
        for record in wrong {
            let followed = Lineage(vec![record]).follow(&keys[0].public(), &keys[1].public().signing);
            assert_eq!(followed, Err(RotationError::Signature));
        }
    }

    #[test]
    fn a_gap_between_records_is_not_jumped() {
        let (keys, mut lineage) = chain(3);
        lineage.0.remove(1);
        let followed = lineage.follow(&keys[0].public(), &keys[3].public().signing);
        assert_eq!(followed, Err(RotationError::NotLinked));
    }

    /// Anybody can make a signature that holds under a key of small order, so such a key proves nothing.
    #[test]
    fn a_key_of_small_order_signs_nothing() {
        let identity_point = {
            let mut bytes = [0; 32];
            bytes[0] = 1;
            bytes
        };
        // R = identity, s = 0 satisfies the equation without the strict check.
        let signature = [identity_point, [0; 32]].concat();
        let key = VerifyingKey::from_bytes(&identity_point).unwrap();
        assert!(
            ed25519_dalek::Verifier::verify(&key, b"x", &Signature::from_slice(&signature).unwrap()).is_ok()
        );
        assert!(!verifies(&identity_point, b"x", &signature));
    }
}
