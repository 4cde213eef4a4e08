//! The environment of children: built up from nothing, so that no token, proxy or preload of the host's own
//! environment reaches them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::system::SystemPaths;

/// All requested names and values together, in bytes: far below the kernel's limit for arguments and environment
/// (128 KiB a string), so that it never decides whether a command starts.
const MAX_REQUESTED_BYTES: usize = 64 << 10;

/// Names that make a program load code, run another program, read other configuration, or talk to other services
/// than the one approved. A prefix ends in `*`. Compared without regard to case. No such list is complete: these
/// are never worth a question, and policy asks about every other one that it does not know to be harmless.
const REFUSED: &[&str] = &[
    // Loaders and allocators.
    "LD_*",
    "DYLD_*",
    "GLIBC_TUNABLES",
    "MALLOC_*",
    "GCONV_PATH",
    "LOCPATH",
    "NLSPATH",
    "HOSTALIASES",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    "RESOLV_HOST_CONF",
    "TZDIR",
    "TERMINFO*",
    "TERMCAP",
    // Shells.
    "IFS",
    "ENV",
    "BASH_*",
    "BASHOPTS",
    "SHELLOPTS",
    "PS0",
    "PS1",
    "PS2",
    "PS4",
    "PROMPT_COMMAND",
    "CDPATH",
    "GLOBIGNORE",
    "FPATH",
    "ZDOTDIR",
    // Interpreters and build tools.
    "PYTHON*",
    "PERL*",
    "RUBY*",
    "GEM_*",
    "BUNDLE_*",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_REPL_*",
    "NPM_CONFIG_*",
    "YARN_*",
    "LUA_*",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "MAVEN_OPTS",
    "GRADLE_*",
    "MAKEFLAGS",
    "MAKEFILES",
    "GNUMAKEFLAGS",
    "CARGO_*",
    "RUSTUP_*",
    "RUSTC*",
    "RUSTDOC*",
    "RUSTFLAGS",
    "GOFLAGS",
    "GOROOT",
    "GOENV",
    "GOTOOLCHAIN",
    "GIT_*",
    "HG*",
    "SVN_*",
    // Programs others start.
    "PAGER",
    "MANPAGER",
    "LESS*",
    "EDITOR",
    "VISUAL",
    "BROWSER",
    "SSH_*",
    "SUDO_*",
    "CC",
    "CXX",
    "LD",
    "AR",
    // Programs that take options from a variable.
    "TAR_*",
    "RSYNC_*",
    "ZIPOPT",
    "UNZIP",
    "GZIP",
    "BZIP*",
    "XZ_*",
    "ZSTD_*",
    "GREP_OPTIONS",
    "RIPGREP_*",
    "BAT_*",
    "FZF_*",
    "AWK*",
    "GAWK*",
    "GCC_*",
    "COMPILER_PATH",
    "LIBRARY_PATH",
    "CCC_*",
    "PKG_CONFIG*",
    "CMAKE_*",
    "PARALLEL*",
    "MANOPT",
    "GROFF_*",
    "VIMINIT",
    "EXINIT",
    "VIM",
    "VIMRUNTIME",
    "INPUTRC",
    "WGETRC",
    "CURL_*",
    "NETRC",
    "OPENSSL_*",
    "DENO_*",
    "BUN_*",
    "DOTNET_*",
    "CORECLR_*",
    "R_*",
    "JULIA_*",
    "TCLLIBPATH",
    "CAML_*",
    "ERL_*",
    // Services and identity.
    "DBUS_*",
    "XDG_*",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DOCKER_*",
    "KUBECONFIG",
    "LANYARD_*",
    // Set by the sandbox itself.
    "PATH",
    "HOME",
    "TMPDIR",
    "TMP",
    "TEMP",
    "SHELL",
    "PWD",
    "OLDPWD",
];

/// Why a requested variable is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// The name is on the list of those that change what a program does.
    #[error("environment variable {name} is not passed to commands: it can change what they run")]
    Refused {
        /// The name.
        name: String,
    },
    /// Not a portable name (POSIX: letters, digits, underscore, no leading digit).
    #[error("{name:?} is not the name of an environment variable")]
    Name {
        /// The name.
        name: OsString,
    },
    /// The value has a NUL byte.
    #[error("the value of environment variable {name} contains a NUL byte")]
    Value {
        /// The name.
        name: String,
    },
    /// All together too large.
    #[error("the environment variables together exceed {MAX_REQUESTED_BYTES} bytes")]
    TooLarge,
}

/// What an environment is made of.
pub(super) struct Inputs<'a> {
    pub(super) search_path: &'a [PathBuf],
    pub(super) home: &'a Path,
    pub(super) tmp: &'a Path,
    pub(super) system: &'a SystemPaths,
    pub(super) requested: &'a [(OsString, OsString)],
    pub(super) host: &'a [(OsString, OsString)],
}

/// Base, then the toolchains' homes, then what was asked for, then what the host's code sets; later wins.
pub(super) fn build(inputs: &Inputs<'_>) -> Result<Vec<(OsString, OsString)>, EnvironmentError> {
    let mut built = Environment::default();
    let path = inputs.search_path.iter().map(|directory| directory.as_os_str());
    built.set("PATH", path.collect::<Vec<_>>().join(OsStr::new(":")));
    built.set("HOME", inputs.home);
    for name in ["TMPDIR", "TMP", "TEMP"] {
        built.set(name, inputs.tmp);
    }
    built.set("LANG", "C.UTF-8");
    built.set("TERM", "dumb");
    built.set("SHELL", "/bin/sh");
    for (name, directory) in &inputs.system.variables {
        built.set(name, directory);
    }
    let mut size = 0_usize;
    for (name, value) in inputs.requested {
        check(name, value)?;
        size = size.saturating_add(name.len()).saturating_add(value.len());
        if size > MAX_REQUESTED_BYTES {
            return Err(EnvironmentError::TooLarge);
        }
        built.set(name, value);
    }
    for (name, value) in inputs.host {
        built.set(name, value);
    }
    Ok(built.0)
}

#[derive(Default)]
struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }
}

fn check(name: &OsStr, value: &OsStr) -> Result<(), EnvironmentError> {
    let text = name
        .to_str()
        .filter(|text| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        })
        .ok_or_else(|| EnvironmentError::Name { name: name.to_owned() })?;
    if REFUSED.iter().any(|pattern| matches(pattern, text)) {
        return Err(EnvironmentError::Refused { name: text.to_owned() });
    }
    if value.as_encoded_bytes().contains(&0) {
        return Err(EnvironmentError::Value { name: text.to_owned() });
    }
    Ok(())
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
        None => name.eq_ignore_ascii_case(pattern),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(name: &str) -> bool {
        matches!(check(OsStr::new(name), OsStr::new("x")), Err(EnvironmentError::Refused { .. }))
    }

    #[test]
    fn variables_that_run_code_are_refused() {
        for name in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "NODE_OPTIONS",
            "PYTHONSTARTUP",
            "PYTHONPATH",
            "PERL5OPT",
            "PERL5LIB",
            "RUBYOPT",
            "BASH_ENV",
            "ENV",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_COUNT",
            "IFS",
            "PS4",
            "PATH",
            "HOME",
            "npm_config_script_shell",
            "CARGO_BUILD_RUSTC_WRAPPER",
            "SSH_AUTH_SOCK",
            "LANYARD_GATEWAY_TOKEN",
            "TAR_OPTIONS",
            "RSYNC_RSH",
            "OPENSSL_CONF",
        ] {
            assert!(refused(name), "{name} passed");
        }
        for name in ["CI", "NO_COLOR", "RUST_LOG", "NODE_ENV", "HTTPS_PROXY", "DEBUG"] {
            assert_eq!(check(OsStr::new(name), OsStr::new("x")), Ok(()), "{name}");
        }
    }

    #[test]
    fn odd_names_and_values_are_refused() {
        for name in ["", "A=B", "BASH_FUNC_ls%%", "1A", "a b", "É"] {
            let result = check(OsStr::new(name), OsStr::new("x"));
            assert!(matches!(result, Err(EnvironmentError::Name { .. })), "{name}: {result:?}");
        }
        let result = check(OsStr::new("A"), OsStr::new("x\0y"));
        assert_eq!(result, Err(EnvironmentError::Value { name: "A".into() }));
    }

    proptest! {
        #[test]
        fn no_case_or_suffix_slips_past_a_prefix(
            name in "([Ll][Dd]_|[Gg][Ii][Tt]_|[Pp][Yy]THON|[Dd]yld_|lanyard_|LANYARD_)[A-Za-z0-9_]{0,12}",
        ) {
            prop_assert!(refused(&name));
        }

        #[test]
        fn a_checked_name_is_portable(name in ".{0,12}") {
            if check(OsStr::new(&name), OsStr::new("")).is_ok() {
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
                prop_assert!(!name.is_empty());
            }
        }
    }

    fn sample(
        requested: &[(OsString, OsString)],
        host: &[(OsString, OsString)],
    ) -> Vec<(OsString, OsString)> {
        let inputs = Inputs {
            search_path: &["/usr/bin".into(), "/bin".into()],
            home: Path::new("/private/home"),
            tmp: Path::new("/private/tmp"),
            system: &SystemPaths::find(None, None, &[]),
            requested,
            host,
        };
        build(&inputs).unwrap()
    }

    fn value<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
        environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }

    #[test]
    fn nothing_of_the_hosts_own_environment_is_in_it() {
        let environment = sample(&[], &[]);
        let names: Vec<_> = environment.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["PATH", "HOME", "TMPDIR", "TMP", "TEMP", "LANG", "TERM", "SHELL"]);
        assert_eq!(value(&environment, "PATH"), Some(OsStr::new("/usr/bin:/bin")));
        assert_eq!(value(&environment, "HOME"), Some(OsStr::new("/private/home")));
    }

    #[test]
    fn what_the_host_sets_wins_and_is_unchecked() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let environment =
            sample(&[pair("A", "1"), pair("LANG", "de_DE")], &[pair("A", "2"), pair("GIT_PAGER", "")]);
        assert_eq!(value(&environment, "A"), Some(OsStr::new("2")));
        assert_eq!(value(&environment, "LANG"), Some(OsStr::new("de_DE")));
        assert_eq!(value(&environment, "GIT_PAGER"), Some(OsStr::new("")));
    }
}
