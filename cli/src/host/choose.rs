//! Which host a command talks to. Pure: what is there in, a choice out.
//!
//! With `--host NAME`: the host of that alias, else of that beginning of a fingerprint, else of that name; `local` is
//! this machine's own. Without it: the local host where one runs, else the only paired one, else (for the commands that
//! may) a local one that is started.

use crate::exit::Failure;
use crate::known::{KnownHost, LOCAL};

/// Fewest characters of a fingerprint that name a host: its first group less its check character is six.
const MIN_PREFIX: usize = 4;

/// A host somebody named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    /// This machine's own.
    Local,
    /// A paired one.
    Paired(&'a KnownHost),
}

/// The host of a name.
///
/// # Errors
/// None fits, or several do: [`Failure::Usage`] with those there are.
pub(crate) fn named<'a>(hosts: &'a [KnownHost], given: &str) -> Result<Named<'a>, Failure> {
    if given == LOCAL {
        return Ok(Named::Local);
    }
    if let Some(host) = hosts.iter().find(|host| host.alias == given) {
        return Ok(Named::Paired(host));
    }
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let prefix = plain(given);
    let is_prefix =
        prefix.len() >= MIN_PREFIX && given.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let by_fingerprint =
        |host: &&KnownHost| is_prefix && plain(&host.fingerprint().to_string()).starts_with(&prefix);
    let by_name = |host: &&KnownHost| host.name == given;
    let mut fits: Vec<&KnownHost> = hosts.iter().filter(by_fingerprint).collect();
    if fits.is_empty() {
        fits = hosts.iter().filter(by_name).collect();
    }
    match fits.as_slice() {
        [host] => Ok(Named::Paired(host)),
        [] if hosts.is_empty() => Err(Failure::Usage(format!(
            "there is no host {given}: this machine is paired with none yet (`lanyard join`)"
        ))),
        [] => Err(Failure::Usage(format!("there is no host {given}; there are: {}", list(hosts.iter())))),
        several => Err(Failure::Usage(format!(
            "{given} fits several hosts: {}; use the name before the bracket",
            list(several.iter().copied())
        ))),
    }
}

/// The paired host to talk to when none was named and no local one runs; `None` when there is none.
///
/// # Errors
/// There are several: [`Failure::Usage`].
pub(crate) fn only_paired(hosts: &[KnownHost]) -> Result<Option<&KnownHost>, Failure> {
    match hosts {
        [] => Ok(None),
        [host] => Ok(Some(host)),
        several => Err(Failure::Usage(format!(
            "no host runs here, and this machine is paired with several: {}. Name one with --host NAME, \
             or start the local one with `lanyard up`",
            list(several.iter())
        ))),
    }
}

fn list<'a>(hosts: impl Iterator<Item = &'a KnownHost>) -> String {
    let hosts: Vec<String> =
        hosts.map(|host| format!("{} ({})", host.alias, host.fingerprint().short())).collect();
    hosts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Named, named, only_paired};
    use crate::exit::Exit;
    use crate::known::KnownHost;
    use crate::known::samples::host;

    fn alias(hosts: &[KnownHost], given: &str) -> String {
        match named(hosts, given) {
            Ok(Named::Local) => "(local)".to_owned(),
            Ok(Named::Paired(host)) => host.alias.clone(),
            Err(failure) => {
                assert_eq!(failure.exit(), Exit::Usage, "{failure}");
                failure.to_string()
            }
        }
    }

    #[test]
    fn a_host_is_named_by_alias_fingerprint_or_name() {
        let mut hosts = vec![host("nas", 1), host("nas-2", 2), host("pc", 3)];
        hosts[1].name = "nas".into();
        hosts[2].name = "Büro PC".into();
        assert_eq!(alias(&hosts, "nas"), "nas", "the alias comes before a name");
        assert_eq!(alias(&hosts, "nas-2"), "nas-2");
        assert_eq!(alias(&hosts, "Büro PC"), "pc");
        let whole = hosts[1].fingerprint().to_string();
        assert_eq!(alias(&hosts, &whole), "nas-2");
        assert_eq!(alias(&hosts, &whole[..9].to_uppercase()), "nas-2");
        assert_eq!(alias(&hosts, "local"), "(local)");
        assert!(alias(&hosts, &whole[..3]).contains("there are: nas ("), "too short to mean one");
    }

    #[test]
    fn what_fits_none_or_several_is_refused_with_a_list() {
        let mut hosts = vec![host("a", 1), host("b", 2)];
        hosts.iter_mut().for_each(|host| host.name = "same".into());
        assert!(alias(&hosts, "same").contains("fits several hosts: a ("));
        assert!(alias(&hosts, "zzz").contains("there are: a ("));
        assert!(alias(&[], "zzz").contains("lanyard join"));
    }

    #[test]
    fn without_a_name_the_only_one_is_meant() {
        let hosts = vec![host("a", 1), host("b", 2)];
        assert_eq!(only_paired(&[]).unwrap(), None);
        assert_eq!(only_paired(&hosts[..1]).unwrap().unwrap().alias, "a");
        let failure = only_paired(&hosts).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.to_string().contains("a (") && failure.to_string().contains("b ("), "{failure}");
    }
}
