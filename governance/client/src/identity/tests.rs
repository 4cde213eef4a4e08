//! The identity on disk.

use std::path::Path;

use super::*;
use crate::testing::{DAY, Fake, identity, store};

fn names(store: &IdentityStore) -> Vec<String> {
    let entries = std::fs::read_dir(store.directory()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn edit(store: &IdentityStore, change: impl Fn(&mut serde_json::Value)) {
    let path = store.directory().join("identity.json");
    let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(&path, serde_json::to_vec(&value).unwrap()).unwrap();
}

fn enrolled() -> (tempfile::TempDir, IdentityStore, Identity) {
    let (dir, store) = store();
    let identity = identity(&Fake::new(), "https://127.0.0.1:1", DAY);
    store.save(&identity).unwrap();
    (dir, store, identity)
}

#[test]
fn what_was_kept_is_loaded_and_nothing_else_is_left() {
    let (_dir, store, identity) = enrolled();
    let loaded = store.load().unwrap().unwrap();
    assert_eq!(
        (&loaded.agent_id, &loaded.tenant_id, &loaded.user_id, &loaded.central),
        (&identity.agent_id, &identity.tenant_id, &identity.user_id, &identity.central)
    );
    assert_eq!((loaded.issued_at, loaded.not_after), (identity.issued_at, identity.not_after));
    assert_eq!(
        (&loaded.service_token, loaded.key.to_text()),
        (&identity.service_token, identity.key.to_text())
    );
    store.save(&identity).unwrap();
    assert_eq!(names(&store), ["identity.json"]);
    store.remove().unwrap();
    store.remove().unwrap();
    assert!(names(&store).is_empty() && store.load().unwrap().is_none());
    assert!(IdentityStore::new("/nowhere/at/all").load().unwrap().is_none());
}

#[test]
fn a_begun_enrolment_that_cannot_be_removed_does_not_undo_a_complete_one() {
    let (_dir, store) = store();
    std::fs::create_dir_all(store.directory().join("enrolment-pending.json")).unwrap();
    let identity = identity(&Fake::new(), "https://127.0.0.1:1", DAY);
    store.save(&identity).unwrap();
    assert!(store.load().unwrap().is_some());
}

#[test]
fn secrets_are_not_shown() {
    let (_dir, store, identity) = enrolled();
    let shown = format!("{identity:?} {store:?}");
    for secret in [identity.key.to_text().reveal(), identity.service_token.reveal()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn what_does_not_belong_together_is_not_used() {
    let other = identity(&Fake::new(), "https://127.0.0.1:1", DAY);
    let changes: [(&str, serde_json::Value); 8] = [
        ("key", other.key.to_text().reveal().into()),
        ("certificatePem", other.certificate_pem.clone().into()),
        ("caChainPem", other.ca_chain_pem.clone().into()),
        ("central", "http://central.example".into()),
        ("central", "https://central.example/x".into()),
        ("version", 2.into()),
        ("key", "AAAA".into()),
        ("somethingElse", 1.into()),
    ];
    for (name, value) in changes {
        let (_dir, store, _) = enrolled();
        edit(&store, |stored| stored[name] = value.clone());
        let error = store.load().unwrap_err();
        assert!(!error.to_string().contains(other.key.to_text().reveal()), "{error}");
    }
    let (_dir, store, _) = enrolled();
    std::fs::write(store.directory().join("identity.json"), b"{\"version\":1,").unwrap();
    assert!(matches!(store.load(), Err(IdentityError::Unreadable { .. })));
}

#[test]
fn a_renewal_that_was_killed_leaves_the_old_identity_and_no_copy_for_long() {
    let (_dir, store, identity) = enrolled();
    let left = store.directory().join("identity.0123456789abcdef.new");
    std::fs::write(&left, b"half of a secr").unwrap();
    assert!(store.load().unwrap().is_some());
    store.save(&identity).unwrap();
    assert!(!left.exists());
    std::fs::write(&left, b"half of a secr").unwrap();
    store.remove().unwrap();
    assert!(names(&store).is_empty());
}

#[test]
fn half_of_its_life_is_when_it_is_renewed() {
    let (_dir, _store, mut identity) = enrolled();
    identity.issued_at = Timestamp::from_millis(1_000);
    identity.not_after = Timestamp::from_millis(5_000);
    assert_eq!(identity.renew_after(), Timestamp::from_millis(3_000));
    identity.not_after = Timestamp::from_millis(0);
    assert_eq!(identity.renew_after(), identity.issued_at);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_the_owner_may() {
        let (_dir, store, identity) = enrolled();
        let path = store.directory().join("identity.json");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::metadata(store.directory()).unwrap().mode() & 0o7777, 0o700);
        for bit in 0..6 {
            chmod(&path, 0o600 | 1 << bit);
            let error = store.load().unwrap_err();
            assert!(matches!(error, IdentityError::TooOpen { .. }), "{error}");
        }
        store.save(&identity).unwrap();
        store.load().unwrap();
        chmod(store.directory(), 0o770);
        assert!(matches!(store.load(), Err(IdentityError::TooOpen { .. })));
        assert!(matches!(store.save(&identity), Err(IdentityError::TooOpen { .. })));
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let (_dir, store, _) = enrolled();
        let path = store.directory().join("identity.json");
        // Only root may give files away.
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
            let error = store.load().unwrap_err().to_string();
            assert!(error.contains("12345"), "{error}");
        } else {
            assert_eq!(
                std::fs::metadata(&path).unwrap().uid(),
                std::fs::metadata(store.directory()).unwrap().uid()
            );
        }
    }

    #[test]
    fn links_are_not_read_and_not_written_through() {
        let (_dir, store, identity) = enrolled();
        let path = store.directory().join("identity.json");
        let moved = store.directory().join("elsewhere");
        std::fs::rename(&path, &moved).unwrap();
        symlink(&moved, &path).unwrap();
        assert!(store.load().unwrap_err().to_string().contains("links"));
        std::fs::write(&moved, b"untouched").unwrap();
        store.save(&identity).unwrap();
        assert_eq!(std::fs::read(&moved).unwrap(), b"untouched");
        store.load().unwrap().unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told() {
        let (dir, _store, identity) = enrolled();
        let file = dir.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let error = IdentityStore::new(&file).save(&identity).unwrap_err();
        assert!(matches!(error, IdentityError::Io { .. }), "{error}");
    }
}
