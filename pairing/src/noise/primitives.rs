//! What the Noise library computes with: our X25519 and ChaCha20-Poly1305, its BLAKE2s.
//!
//! The library's own X25519 accepts keys of small order, and neither its keys nor its ciphers' are wiped. These are and
//! do; and the one random value of a handshake is drawn by the caller.

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{BoxedCryptoResolver, CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a Poly1305 tag.
pub(super) const TAG: usize = 16;

/// The primitives, and the ephemeral secret of this handshake.
pub(super) struct Primitives {
    pub(super) ephemeral: Zeroizing<[u8; 32]>,
}

impl Primitives {
    pub(super) fn boxed(self) -> BoxedCryptoResolver {
        Box::new(self)
    }
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Drawn(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519::default()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        // By its name, so that the library's other hashes are not in the program.
        if matches!(choice, HashChoice::Blake2s) {
            DefaultResolver.resolve_hash(&HashChoice::Blake2s)
        } else {
            None
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly).then(|| Box::new(ChaChaPoly::default()) as Box<dyn Cipher>)
    }
}

/// Gives the drawn bytes once. Our patterns draw once; a second draw would repeat an ephemeral key.
struct Drawn(Option<Zeroizing<[u8; 32]>>);

impl Random for Drawn {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        match self.0.take() {
            Some(bytes) if bytes.len() == dest.len() => {
                dest.copy_from_slice(&*bytes);
                Ok(())
            }
            _ => Err(snow::Error::Rng),
        }
    }
}

/// X25519 (RFC 7748) that refuses results to which the peer contributed nothing (section 6.1).
struct X25519 {
    secret: StaticSecret,
    public: PublicKey,
}

impl Default for X25519 {
    /// Switched off until `set` or `generate`; the library asks for it that way.
    fn default() -> Self {
        Self { secret: StaticSecret::from([0; 32]), public: PublicKey::from([0; 32]) }
    }
}

impl X25519 {
    fn hold(&mut self, bytes: [u8; 32]) {
        self.secret = StaticSecret::from(bytes);
        self.public = PublicKey::from(&self.secret);
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        // Always 32 bytes: our own constructors take nothing else.
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.iter_mut().zip(privkey).for_each(|(to, from)| *to = *from);
        self.hold(*bytes);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(&mut *bytes)?;
        self.hold(*bytes);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn privkey(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let (Some(public), Some(out)) = (pubkey.first_chunk::<32>(), out.first_chunk_mut::<32>()) else {
            return Err(snow::Error::Dh);
        };
        let shared = self.secret.diffie_hellman(&PublicKey::from(*public));
        if !shared.was_contributory() {
            return Err(snow::Error::Dh);
        }
        *out = *shared.as_bytes();
        Ok(())
    }
}

/// ChaCha20-Poly1305 (RFC 8439) with Noise's nonces.
#[derive(Default)]
struct ChaChaPoly {
    key: Zeroizing<[u8; 32]>,
}

impl ChaChaPoly {
    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.key).into())
    }
}

/// Four zero bytes, then the counter, little-endian (Noise, section 12.3).
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    bytes.into()
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.key.zeroize();
        self.key.copy_from_slice(key);
    }

    fn encrypt(&self, counter: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let length = plaintext.len();
        // The library hands out room for text and tag, and no message is near ChaCha20's 256 GiB. Were it otherwise,
        // nothing would be sealed, and the caller takes a length that is not the expected one for a failure.
        let Some((text, rest)) = out.split_at_mut_checked(length) else { return 0 };
        let Some(room) = rest.first_chunk_mut::<TAG>() else { return 0 };
        text.copy_from_slice(plaintext);
        match self.cipher().encrypt_in_place_detached(&nonce(counter), authtext, text) {
            Ok(tag) => {
                *room = tag.into();
                length + TAG
            }
            Err(_) => {
                text.zeroize();
                0
            }
        }
    }

    fn decrypt(
        &self,
        counter: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (sealed, tag) = ciphertext.split_last_chunk::<TAG>().ok_or(snow::Error::Decrypt)?;
        let text = out.get_mut(..sealed.len()).ok_or(snow::Error::Decrypt)?;
        text.copy_from_slice(sealed);
        self.cipher()
            .decrypt_in_place_detached(&nonce(counter), authtext, text, Tag::from_slice(tag))
            .map_err(|_| snow::Error::Decrypt)?;
        Ok(sealed.len())
    }
}
