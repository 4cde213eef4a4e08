//! AES-256-GCM by the browser, under a key that its WebCrypto keeps to itself.

use js_sys::{Array, Object, Reflect, Uint8Array};
use rand_core::{OsRng, RngCore};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AesGcmParams, AesKeyGenParams, CryptoKey, SubtleCrypto};

use super::{damaged, refused};
use crate::browser::window;
use crate::profile::ProfileError;

const ALGORITHM: &str = "AES-GCM";
const BITS: u16 = 256;

/// Random for each sealing; a handful in the life of a key.
const NONCE: usize = 12;

/// See the module.
#[derive(Debug)]
pub(super) struct Seal {
    subtle: SubtleCrypto,
    key: CryptoKey,
}

/// A key that cannot be read out, to be kept.
pub(super) async fn fresh(subtle: &SubtleCrypto) -> Result<JsValue, ProfileError> {
    let parameters = AesKeyGenParams::new(ALGORITHM, BITS);
    let uses = Array::of2(&"encrypt".into(), &"decrypt".into());
    let made = subtle.generate_key_with_object(&parameters, false, &uses).map_err(|error| refused(&error))?;
    JsFuture::from(made).await.map_err(|error| refused(&error))
}

impl Seal {
    /// The browser's cryptography; pages that did not come over TLS, nor from this machine, have none.
    pub(super) fn subtle() -> Option<SubtleCrypto> {
        let crypto = window().ok()?.crypto().ok()?;
        // The binding takes for granted what is missing in some contexts.
        let subtle = Reflect::get(&crypto, &"subtle".into()).ok()?;
        subtle.dyn_into().ok()
    }

    pub(super) fn new(subtle: SubtleCrypto, key: CryptoKey) -> Self {
        Self { subtle, key }
    }

    /// Seals a record for its name.
    pub(super) async fn close(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<(Uint8Array, [u8; NONCE]), ProfileError> {
        let mut nonce = [0; NONCE];
        OsRng.fill_bytes(&mut nonce);
        let sealed = self
            .subtle
            .encrypt_with_object_and_js_u8_array(
                &parameters(name, &nonce),
                &self.key,
                &Uint8Array::from(bytes),
            )
            .map_err(|error| refused(&error))?;
        let sealed = JsFuture::from(sealed).await.map_err(|error| refused(&error))?;
        Ok((Uint8Array::new(&sealed), nonce))
    }

    /// Opens it.
    pub(super) async fn open(
        &self,
        name: &str,
        sealed: &[u8],
        nonce: &[u8],
    ) -> Result<Vec<u8>, ProfileError> {
        let opened = self
            .subtle
            .decrypt_with_object_and_js_u8_array(
                &parameters(name, nonce),
                &self.key,
                &Uint8Array::from(sealed),
            )
            .map_err(|error| refused(&error))?;
        let opened = JsFuture::from(opened).await.map_err(|_| damaged("its seal is broken"))?;
        Ok(Uint8Array::new(&opened).to_vec())
    }
}

/// The name is bound to what is sealed, so that records cannot be exchanged.
fn parameters(name: &str, nonce: &[u8]) -> Object {
    let parameters = AesGcmParams::new(ALGORITHM, &Uint8Array::from(nonce));
    parameters.set_additional_data(&Uint8Array::from(name.as_bytes()));
    parameters.into()
}
