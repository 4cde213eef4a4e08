//! Nothing that is printed for a log holds a secret.

use super::*;
use crate::device::PendingJoin;
use crate::host::Provisional;
use crate::message::{ToDevice, ToHost};

/// A secret, in the ways that Rust prints bytes.
fn spellings(secret: &[u8]) -> Vec<String> {
    let decimal = format!("{secret:?}");
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut all = vec![decimal.trim_matches(['[', ']']).to_owned(), hex.to_uppercase(), hex];
    all.extend(String::from_utf8(secret.to_vec()));
    all
}

fn assert_hides(shown: &str, secrets: &[Vec<u8>]) {
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ").replace(", ]", "]");
    for secret in secrets {
        for spelling in spellings(secret) {
            assert!(!shown.contains(&spelling) && !flat.contains(&spelling), "{spelling} in {shown}");
        }
    }
}

#[test]
fn no_state_no_record_and_no_window_shows_a_secret() {
    for (carrier, method) in ways() {
        let mut lab = Lab::new(95).over(carrier);
        let mut secrets = vec![
            lab.hosts[0].entrance.window.code(lab.now).unwrap().as_bytes().to_vec(),
            lab.hosts[0].entrance.window.code(lab.now).unwrap().reveal().into_bytes(),
            lab.hosts[0].entrance.window.link(lab.now).unwrap().0.to_vec(),
        ];
        let now = lab.now;
        let (_, pass) = lab.hosts[0].issue(now).unwrap();
        secrets.push(pass.0.to_vec());
        for keys in [lab.hosts[0].keys(), lab.devices[0].keys()] {
            secrets.push(keys.signing_seed().to_vec());
            secrets.push(keys.agreement_secret().to_vec());
        }
        let line = lab.connect(0, 0);
        join(&mut lab, line, method);
        // The lab holds every state there is, one after the other, and prints them as they print themselves.
        let mut shown = vec![both(&lab.devices[0]), both(&lab.hosts[0])];
        while lab.step() {
            shown.extend([both(&lab.devices[0]), both(&lab.hosts[0])]);
        }
        let pending: PendingJoin = lab.devices[0].pending.clone().unwrap();
        let record = crate::message::to_bytes(&pending);
        secrets.push(pending.digits().to_string().into_bytes());
        // The record ends with the resume key and the grant key.
        secrets.extend(record[record.len() - 64..].chunks(32).map(<[u8]>::to_vec));
        let asks = lab.hosts[0].waiting().next().unwrap();
        shown.push(both(asks));
        let grant = crate::Grant {
            scopes: Vec::new(),
            device_name: "Pixel".to_owned(),
            granted_at: lanyard_protocol::Timestamp::from_millis(0),
        };
        let provisional: Provisional = asks.approve(&grant, &mut SeededRng::new(1));
        shown.extend([both(&pending), both(&provisional), both(&provisional.grant())]);
        let code = lab.hosts[0].entrance.window.code(lab.now).cloned();
        shown.push(both(&code));
        for text in shown {
            assert_hides(&text, &secrets);
        }
    }
}

fn both(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}\n{value:#?}")
}

/// The test above would pass if it looked for the wrong thing.
#[test]
fn a_secret_that_is_printed_is_found() {
    for shown in ["key: [1, 2, 3]", "key: [\n    1,\n    2,\n    3,\n]", "010203"] {
        let found = std::panic::catch_unwind(|| assert_hides(shown, &[vec![1, 2, 3]]));
        assert!(found.is_err(), "{shown}");
    }
}

/// What is said before the exchange does not depend on the secret, so it tells nothing about it.
#[test]
fn nothing_said_before_the_proofs_tells_a_guess_from_the_code() {
    let said = |secret: fn(&Lab) -> Secret| {
        let mut lab = Lab::new(96);
        let line = lab.connect(0, 0);
        let secret = secret(&lab);
        lab.join(line, secret);
        let mut said = Vec::new();
        loop {
            let Some(message) = lab.in_flight().next().cloned() else { break };
            said.push((message.to_host(), message.to_device(), message.frame.len()));
            lab.step();
        }
        said
    };
    let right = said(|lab| Secret::Code(lab.hosts[0].entrance.window.code(lab.now).cloned().unwrap()));
    let wrong = said(|lab| wrong_code(lab, 1));
    // Hello and offer are the same to the byte; share and proofs have the same form.
    assert!(matches!(right[0].0, Some(ToHost::Hello(_))) && matches!(right[1].1, Some(ToDevice::Offer(_))));
    assert_eq!(right[..2], wrong[..2]);
    let lengths = |said: &[(Option<ToHost>, Option<ToDevice>, usize)]| {
        said.iter().take(5).map(|(_, _, length)| *length).collect::<Vec<_>>()
    };
    assert_eq!(lengths(&right), lengths(&wrong));
}
