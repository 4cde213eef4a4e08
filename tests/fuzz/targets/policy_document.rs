//! What an administrator writes, and what a host reports: the JSON of central's API.
//!
//! What is understood is written and read again the same, and unknown members are refused wherever they stand.
#![no_main]

use lanyard_governance_api::audit::ChainedEvent;
use lanyard_governance_api::policy::PolicyDocument;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn round<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) -> Option<T> {
    let value: T = serde_json::from_str(text).ok()?;
    let written = serde_json::to_string(&value).expect("what was understood can be written");
    assert_eq!(serde_json::from_str::<T>(&written).expect("what was written is understood"), value);
    Some(value)
}

fuzz_target!(|text: &str| {
    if let Some(document) = round::<PolicyDocument>(text) {
        let mut wider = serde_json::to_value(&document).expect("a document is an object");
        wider["someRestriction"] = true.into();
        assert!(serde_json::from_value::<PolicyDocument>(wider).is_err(), "an unknown member was skipped");
    }
    round::<ChainedEvent>(text);
});
