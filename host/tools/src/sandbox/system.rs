//! What every child may read of the machine: the system's own files and the owner's toolchains, and the search path.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::paths::{Access, Grant, overlaps};

/// Read by every child. `/proc` is given whole because a child's own entry cannot be named before it exists; the
/// kernel still refuses what counts (`mem`, `environ`, `fd` of processes outside) by the ptrace rule of Landlock.
/// No `/run`, `/var`, `/tmp`, `/dev/shm` or terminals: other programs keep their sockets and secrets there.
const SYSTEM_READ: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/run/current-system/sw",
    "/proc",
    "/dev/random",
    "/dev/urandom",
    // Processor and memory counts, which runtimes size their thread pools by.
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    // Where /etc/resolv.conf and the certificate store may point to.
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
    "/var/lib/ca-certificates",
];

/// Read by children of ordinary users. The permission bits keep other users' secrets out of their reach.
const UNPRIVILEGED_READ: &[&str] = &["/etc", "/opt"];

/// Read by children of root in place of the whole `/etc`: root owns every secret there, Landlock cannot subtract, and
/// a list of secrets would never be complete, so what is *needed* is listed.
const ROOT_READ: &[&str] = &[
    "/etc/alternatives",
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d",
    "/etc/bash.bashrc",
    "/etc/bash_completion.d",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/debian_version",
    "/etc/default/locale",
    "/etc/ethertypes",
    "/etc/fonts",
    "/etc/gai.conf",
    "/etc/gitattributes",
    "/etc/gitconfig",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/inputrc",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/locale.alias",
    "/etc/locale.conf",
    "/etc/localtime",
    "/etc/login.defs",
    "/etc/lsb-release",
    "/etc/magic",
    "/etc/magic.mime",
    "/etc/manpath.config",
    "/etc/mime.types",
    "/etc/networks",
    "/etc/nsswitch.conf",
    "/etc/openssl",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/perl",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/profile",
    "/etc/profile.d",
    "/etc/protocols",
    "/etc/python3",
    "/etc/redhat-release",
    "/etc/resolv.conf",
    "/etc/rpc",
    "/etc/services",
    "/etc/shells",
    "/etc/skel",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/static",
    "/etc/terminfo",
    "/etc/timezone",
    "/etc/vimrc",
    "/etc/wgetrc",
    "/etc/xdg",
    "/etc/xml",
];

/// Java and Debian name their directories by version.
const ROOT_READ_PREFIXES: &[&str] = &["java", "maven", "gradle", "python", "php", "R"];

/// Written by every child; they keep nothing.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full"];

const SYSTEM_BIN: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/run/current-system/sw/bin",
];

/// A toolchain in the owner's home. What is not listed (credentials, histories, sockets) stays closed.
struct Toolchain {
    directory: &'static str,
    read: &'static [&'static str],
    bin: &'static [&'static str],
    /// Told to children, whose `HOME` is not the owner's.
    variable: Option<&'static str>,
}

const TOOLCHAINS: &[Toolchain] = &[
    Toolchain {
        directory: ".cargo",
        read: &["bin", "registry", "git", "config", "config.toml", "env"],
        bin: &["bin"],
        variable: Some("CARGO_HOME"),
    },
    Toolchain {
        directory: ".rustup",
        read: &["toolchains", "settings.toml", "update-hashes"],
        bin: &[],
        variable: Some("RUSTUP_HOME"),
    },
    Toolchain { directory: ".pyenv", read: &[""], bin: &["shims", "bin"], variable: Some("PYENV_ROOT") },
    Toolchain {
        directory: ".nvm",
        read: &["alias", "nvm.sh", "versions"],
        bin: &[],
        variable: Some("NVM_DIR"),
    },
    Toolchain { directory: ".rbenv", read: &[""], bin: &["shims", "bin"], variable: Some("RBENV_ROOT") },
    Toolchain { directory: ".asdf", read: &[""], bin: &["shims", "bin"], variable: Some("ASDF_DATA_DIR") },
    Toolchain { directory: ".sdkman", read: &["candidates"], bin: &[], variable: None },
    Toolchain { directory: ".volta", read: &["bin", "tools"], bin: &["bin"], variable: Some("VOLTA_HOME") },
    Toolchain { directory: ".bun", read: &["bin", "install"], bin: &["bin"], variable: None },
    Toolchain { directory: ".deno", read: &["bin"], bin: &["bin"], variable: None },
    Toolchain { directory: ".ghcup", read: &["bin", "ghc"], bin: &["bin"], variable: None },
    Toolchain { directory: ".dotnet", read: &[""], bin: &[""], variable: Some("DOTNET_ROOT") },
    Toolchain { directory: "go", read: &["bin", "pkg"], bin: &["bin"], variable: None },
    Toolchain {
        directory: ".local",
        read: &["bin", "lib", "share/mise", "share/pipx", "share/uv"],
        bin: &["bin"],
        variable: None,
    },
];

/// The system's part, found once.
#[derive(Debug)]
pub(super) struct SystemPaths {
    pub(super) read: Vec<PathBuf>,
    pub(super) devices: Vec<PathBuf>,
    bin: Vec<PathBuf>,
    pub(super) variables: Vec<(&'static str, PathBuf)>,
}

impl SystemPaths {
    /// Looks which of the known places exist. Optional ones (toolchains) are left out where they overlap a protected
    /// directory; with the others [`Sandbox::prepare`](super::Sandbox::prepare) will refuse to work at all.
    pub(super) fn find(home: Option<&Path>, search_path: Option<&OsStr>, protected: &[PathBuf]) -> Self {
        let mut found =
            Self { read: Vec::new(), devices: Vec::new(), bin: Vec::new(), variables: Vec::new() };
        SYSTEM_READ.iter().for_each(|path| found.add(Path::new(path)));
        if is_root() {
            ROOT_READ.iter().for_each(|path| found.add(Path::new(path)));
            versioned_configuration().iter().for_each(|path| found.add(path));
        } else {
            UNPRIVILEGED_READ.iter().for_each(|path| found.add(Path::new(path)));
        }
        found.devices = DEVICES.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
        let owned_bin = home.map(|home| found.add_toolchains(home, protected)).unwrap_or_default();
        found.choose_bin(search_path, owned_bin);
        found
    }

    fn add(&mut self, path: &Path) {
        let Ok(resolved) = path.canonicalize() else { return };
        if !self.covers(&resolved) {
            self.read.retain(|known| !known.starts_with(&resolved));
            self.read.push(resolved);
        }
    }

    fn covers(&self, resolved: &Path) -> bool {
        self.read.iter().any(|known| resolved.starts_with(known))
    }

    fn add_toolchains(&mut self, home: &Path, protected: &[PathBuf]) -> Vec<PathBuf> {
        let mut bin = Vec::new();
        for toolchain in TOOLCHAINS {
            let root = home.join(toolchain.directory);
            if !root.is_dir() {
                continue;
            }
            for part in toolchain.read {
                // Joining "" would append a slash.
                let path = if part.is_empty() { root.clone() } else { root.join(part) };
                let exposes = |resolved: &PathBuf| protected.iter().any(|secret| overlaps(resolved, secret));
                match path.canonicalize() {
                    Ok(resolved) if exposes(&resolved) => {
                        tracing::warn!(path = %path.display(), "toolchain overlaps a protected directory: left out");
                    }
                    Ok(_) => self.add(&path),
                    Err(_) => {}
                }
            }
            bin.extend(toolchain.bin.iter().map(|part| root.join(part)));
            self.variables.extend(toolchain.variable.map(|name| (name, root)));
        }
        bin
    }

    /// The owner's own order first, then toolchains and the system's directories a service's bare `PATH` lacks.
    fn choose_bin(&mut self, search_path: Option<&OsStr>, owned: Vec<PathBuf>) {
        let own = search_path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
        let candidates = own.into_iter().chain(owned).chain(SYSTEM_BIN.iter().map(PathBuf::from));
        let mut bin: Vec<PathBuf> = Vec::new();
        for path in candidates.filter(|path| path.is_absolute()) {
            let readable =
                path.canonicalize().is_ok_and(|resolved| resolved.is_dir() && self.covers(&resolved));
            if readable && !bin.contains(&path) {
                bin.push(path);
            }
        }
        self.bin = bin;
    }

    /// The search path of children: never a directory they can write to, lest a later call run what this one planted.
    pub(super) fn search_path(&self, grants: &[Grant]) -> Vec<PathBuf> {
        let writable = |path: &Path| {
            let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            grants.iter().any(|grant| grant.access == Access::Write && resolved.starts_with(&grant.path))
        };
        self.bin.iter().filter(|path| !writable(path)).cloned().collect()
    }
}

fn versioned_configuration() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/etc") else { return Vec::new() };
    let known = |name: &OsString| {
        let name = name.as_encoded_bytes();
        ROOT_READ_PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
    };
    entries.flatten().filter(|entry| known(&entry.file_name())).map(|entry| entry.path()).collect()
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_path_takes_no_relative_missing_or_unreadable_entry() {
        let own = OsString::from(".:bin::/does/not/exist:/tmp:/usr/bin");
        let system = SystemPaths::find(None, Some(&own), &[]);
        assert_eq!(system.bin.first().map(PathBuf::as_path), Some(Path::new("/usr/bin")));
        assert!(!system.bin.contains(&PathBuf::from("/tmp")));
        assert!(system.bin.iter().all(|path| path.is_absolute()));
    }

    #[test]
    fn secrets_of_root_are_never_among_the_system_paths() {
        for path in SYSTEM_READ.iter().chain(ROOT_READ) {
            for secret in
                ["/etc/shadow", "/etc/gshadow", "/etc/ssh", "/etc/sudoers", "/etc/ssl/private", "/root"]
            {
                assert!(!Path::new(secret).starts_with(path), "{path} exposes {secret}");
            }
        }
        for prefix in ROOT_READ_PREFIXES {
            for secret in ["shadow", "gshadow", "sudoers", "ssh", "passwd-", "krb5.keytab", "wireguard"] {
                assert!(!secret.starts_with(prefix), "{prefix} exposes {secret}");
            }
        }
    }

    #[test]
    fn credentials_of_toolchains_are_never_readable() {
        for toolchain in TOOLCHAINS {
            let home = Path::new("/home/x");
            for part in toolchain.read {
                let path = home.join(toolchain.directory).join(part);
                for secret in
                    [".cargo/credentials.toml", ".cargo/credentials", ".local/share/keyrings", ".ssh"]
                {
                    assert!(!home.join(secret).starts_with(&path), "{} exposes {secret}", path.display());
                }
            }
        }
    }

    #[test]
    fn a_toolchain_that_holds_the_state_directory_is_left_out() {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join(".pyenv/state");
        std::fs::create_dir_all(&state).unwrap();
        std::fs::create_dir_all(home.path().join(".cargo/bin")).unwrap();
        let state = state.canonicalize().unwrap();
        let system = SystemPaths::find(Some(home.path()), None, &[state]);
        assert!(!system.read.iter().any(|path| path.ends_with(".pyenv")));
        assert!(system.read.iter().any(|path| path.ends_with(".cargo/bin")));
    }
}
