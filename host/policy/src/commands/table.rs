//! The known programs that need no reading of their own: what each does, and the options that make it do more.

use std::{collections::HashMap, sync::LazyLock};

use lanyard_protocol::approval::RiskLevel::{self, Critical, High, Low, Medium};

use super::{
    Assessment,
    options::{mentions, operands, owned, values},
    unversioned,
};

/// What a program does when none of its special options is given.
#[derive(Clone, Copy)]
enum Effect {
    /// Only reads.
    Reads,
    /// Changes files or the machine, as its words say.
    Changes,
    /// Runs code of the project.
    Project,
    /// Talks to other machines.
    Network,
    /// Starts other programs or acts through a service: its words do not show the effect.
    Hidden,
}

struct Group {
    effect: Effect,
    level: RiskLevel,
    sentence: &'static str,
    /// Separated by blanks.
    names: &'static str,
}

const GROUPS: &[Group] = &[
    Group {
        effect: Effect::Reads,
        level: Low,
        sentence: "it only reads",
        names: "[ arch b2sum base32 base64 basename bat cal cat cksum cloc cmp column comm cut date df diff \
                diff3 dirname du echo egrep eza exa exit expand expr false fd fdfind fgrep file fmt fold \
                free getconf grep groups head hexdump hexyl id join jq locale ls lsblk lscpu md5sum nl nproc \
                numfmt od paste pgrep pr printenv printf ps pstree pwd readlink realpath return rev rg \
                ripgrep scc seq sha1sum sha224sum sha256sum sha384sum sha512sum shasum sleep sort stat \
                strings sum tac tail test times tokei tr tree true tsort tty type uname unexpand uniq uptime \
                users wait wc whereis which who whoami xxd yes :",
    },
    Group {
        effect: Effect::Changes,
        level: Medium,
        sentence: "it creates or changes the named files",
        names: "bunzip2 bzip2 cp csplit gunzip gzip iconv install ln lz4 mkdir mkfifo mktemp mv patch rename \
                rmdir split tar bsdtar cpio tee touch truncate unix2dos dos2unix unxz unzip unzstd xz yq zip \
                zstd 7z 7za 7zr",
    },
    Group {
        effect: Effect::Changes,
        level: High,
        sentence: "it changes who may use the named files",
        names: "chattr chgrp chmod chown setfacl setfattr xattr",
    },
    Group {
        effect: Effect::Changes,
        level: High,
        sentence: "it deletes the named files",
        names: "rm unlink trash trash-put",
    },
    Group {
        effect: Effect::Changes,
        level: Critical,
        sentence: "it can destroy whole disks or files beyond recovery",
        names: "blkdiscard cfdisk cryptsetup dd diskutil fdisk hdparm mkswap parted sfdisk sgdisk shred srm \
                wipefs",
    },
    Group {
        effect: Effect::Changes,
        level: High,
        sentence: "it ends running programs",
        names: "fuser kill killall pkill skill xkill",
    },
    Group {
        effect: Effect::Hidden,
        level: Critical,
        sentence: "it changes the machine beyond the workspace",
        names: "adduser apk apt apt-get aptitude brew busctl chpasswd chsh crontab dbus-send defaults dnf \
                dpkg emerge firewall-cmd flatpak gdbus groupadd gsettings halt init insmod iptables \
                launchctl loginctl losetup modprobe mount networksetup nft nix nix-env pacman passwd \
                poweroff qdbus reboot rmmod rpm scutil service shutdown snap swapoff swapon sysctl systemctl \
                telinit ufw umount useradd userdel usermod visudo yum zypper reg schtasks sc net wmic",
    },
    Group {
        effect: Effect::Hidden,
        level: Critical,
        sentence: "it controls this host: an agent must not start, answer or configure it",
        names: "lanyard",
    },
    Group {
        effect: Effect::Hidden,
        level: High,
        sentence: "it reads or uses stored credentials",
        names: "gpg gpg2 gpgconf keyctl op pass secret-tool security ssh-add ssh-keygen vault bw",
    },
    Group {
        effect: Effect::Hidden,
        level: High,
        sentence: "it is interactive and can start other programs",
        names: "ed emacs emacsclient ex gio gvim helix hx info ipython irb less man mc micro more most mysql \
                nano nvim open pager pico psql ranger sqlite start vi view vim vimdiff w3m xdg-open code \
                cursor zed",
    },
    Group {
        effect: Effect::Project,
        level: High,
        sentence: "it runs code that lies in the project",
        names: "ant autoreconf automake ava bazel bazelisk buck buck2 bundle cabal cargo cmake composer \
                configure ctest cypress dotnet eslint fab gem gmake go gradle gradlew hatch invoke jest just \
                lein lerna make meson mix mocha mvn mvnw mypy next ninja nox npm nuxt nx pdm phpunit pip \
                pipenv playwright pnpm poetry pre-commit prettier pylint pytest py.test rails rake rollup \
                rspec ruff rustc rye sbt scons stack swiftc task tox tsc turbo uv vite vitest webpack \
                xcodebuild yarn zig mise direnv",
    },
    Group {
        effect: Effect::Changes,
        level: Medium,
        sentence: "it translates source files",
        names: "as c++ cc clang clang++ clang-format g++ gcc gofmt ld rustfmt shfmt javac black",
    },
    Group {
        effect: Effect::Network,
        level: High,
        sentence: "it talks to other machines",
        names: "aria2c curl dig drill finger ftp host http https httpie ipfs lftp lynx mail mutt nc ncat \
                netcat nmap nslookup openssl ping ping6 rclone rsync sendmail socat telnet tftp tracepath \
                traceroute wget whois xh links elinks resolvectl getent",
    },
    Group {
        effect: Effect::Hidden,
        level: High,
        sentence: "it runs something on another machine, in a container or in an account",
        names: "ansible ansible-playbook aws az buildah doctl docker docker-compose flyctl gcloud gh glab \
                gsutil helm heroku kubectl lxc minikube mosh multipass netlify nerdctl oc podman pulumi scp \
                sftp ssh terraform tofu vagrant vercel virsh wrangler autossh rsh",
    },
    Group {
        effect: Effect::Hidden,
        level: High,
        sentence: "it downloads and runs code of others",
        names: "bunx npx pipx pnpx uvx nix-shell easy_install corepack rustup nvm pyenv rbenv sdk",
    },
];

/// Program name to group.
static INDEX: LazyLock<HashMap<&'static str, &'static Group>> = LazyLock::new(|| {
    GROUPS.iter().flat_map(|group| group.names.split(' ').map(move |name| (name, group))).collect()
});

/// Options that make a program start another, or take its orders from a file: (program, long options, short letters).
const STARTS_PROGRAMS: &[(&str, &[&str], &str)] = &[
    ("rg", &["pre", "hostname-bin", "search-zip"], "z"),
    ("ripgrep", &["pre", "hostname-bin", "search-zip"], "z"),
    ("sort", &["compress-program"], ""),
    (
        "tar",
        &[
            "checkpoint-action",
            "to-command",
            "use-compress-program",
            "info-script",
            "new-volume-script",
            "rmt-command",
            "rsh-command",
        ],
        "IF",
    ),
    ("bsdtar", &["use-compress-program"], "I"),
    ("fd", &["exec", "exec-batch"], "xX"),
    ("fdfind", &["exec", "exec-batch"], "xX"),
    ("split", &["filter"], ""),
    ("zip", &["unzip-command"], "T"),
    ("bat", &["pager", "diff-driver"], ""),
    ("date", &["set"], "s"),
    ("file", &["compile"], "C"),
    ("rsync", &["rsh", "rsync-path"], "e"),
    ("wget", &["execute", "config", "use-askpass", "input-file"], "ei"),
    ("curl", &["config"], "K"),
    ("cargo", &["config"], "Z"),
    ("man", &["pager", "preprocessor", "html"], "PH"),
    ("patch", &["ed"], "e"),
    ("nc", &["exec", "sh-exec", "lua-exec"], "ec"),
    ("ncat", &["exec", "sh-exec", "lua-exec"], "ec"),
    ("netcat", &["exec"], "ec"),
    ("install", &["strip-program"], ""),
    ("shasum", &["check"], ""),
    ("printf", &[], "v"),
    ("gofmt", &["cpuprofile"], ""),
];

/// Single-dash long options of compilers and of go that start or load programs.
const LOADS_PROGRAMS: &[(&[&str], &[&str])] = &[
    (
        &["cc", "c++", "gcc", "g++", "clang", "clang++"],
        &["-wrapper", "-fplugin", "-fpass-plugin", "-specs", "--specs", "-B", "-load", "-Xclang", "@"],
    ),
    (
        &["go"],
        &["-toolexec", "--toolexec", "-exec", "--exec", "-vettool", "--vettool", "-overlay", "-modfile"],
    ),
    (&["socat"], &["EXEC:", "exec:", "SYSTEM:", "system:", "SHELL:", "shell:"]),
];

/// Options whose value is a file that gets written: (program, long option, short letter).
const WRITES_TO: &[(&str, &str, char)] = &[
    ("sort", "output", 'o'),
    ("tree", "output", 'o'),
    ("iconv", "output", 'o'),
    ("shuf", "output", 'o'),
    ("curl", "output", 'o'),
    ("wget", "output-document", 'O'),
    ("zstd", "output", 'o'),
    ("cc", "output", 'o'),
    ("gcc", "output", 'o'),
    ("g++", "output", 'o'),
    ("clang", "output", 'o'),
    ("clang++", "output", 'o'),
    ("rustc", "output", 'o'),
];

/// Words behind a package manager that download, and those that publish.
const INSTALLS: &[&str] = &[
    "add",
    "ci",
    "create",
    "dlx",
    "exec",
    "fetch",
    "get",
    "i",
    "init",
    "install",
    "require",
    "run-script",
    "sync",
    "update",
    "upgrade",
    "x",
];
const PUBLISHES: &[&str] = &["deploy", "publish", "push", "release", "upload", "yank", "unpublish"];

pub(super) fn assess(name: &str, args: &[&str]) -> Option<Assessment> {
    let group = |wanted: &str| INDEX.get(wanted).copied();
    let (name, group) = match group(name) {
        Some(found) => (name, found),
        None if name.starts_with("mkfs") => ("dd", group("dd")?),
        None => (unversioned(name), group(unversioned(name))?),
    };
    if let Some(option) = program_option(name, args) {
        let why =
            format!("the option {option} of `{name}` starts other programs or takes orders from a file");
        return Some(Assessment::opaque(group.level.max(High), why));
    }
    let mut assessment = plain(name, args, group);
    let writes = written(name, args);
    if !writes.is_empty() && assessment.reads_only {
        assessment = Assessment::new(Medium, "it writes the named file");
    }
    assessment.writes = writes;
    Some(assessment)
}

fn plain(name: &str, args: &[&str], group: &Group) -> Assessment {
    match group.effect {
        Effect::Reads => Assessment::reading(group.sentence),
        Effect::Changes if name == "rm" && mentions(args, &["recursive"], "rR").is_some() => {
            Assessment::new(Critical, "it deletes directories with everything in them")
        }
        Effect::Changes => Assessment::new(group.level, group.sentence),
        // What these do lies behind a service or a screen, not in files of the project.
        Effect::Hidden => Assessment { unbound: false, ..Assessment::opaque(group.level, group.sentence) },
        Effect::Network => Assessment { network: true, ..Assessment::new(group.level, group.sentence) },
        Effect::Project => runner(name, args, group),
    }
}

/// Build tools and package managers: the first word that is no option decides.
fn runner(name: &str, args: &[&str], group: &Group) -> Assessment {
    let verb = operands(args).into_iter().find(|word| !word.starts_with('+')).unwrap_or_default();
    if matches!(args, ["--version" | "-V" | "-v" | "--help" | "-h" | "version" | "help"]) {
        return Assessment::reading("it prints its version");
    }
    let packages = !matches!(name, "make" | "gmake" | "just" | "task" | "ninja" | "rake" | "pytest");
    if packages && PUBLISHES.contains(&verb) {
        let found = Assessment::new(Critical, "it publishes a package or a site");
        return Assessment { network: true, project_code: true, ..found };
    }
    if packages && INSTALLS.contains(&verb) {
        let found = Assessment::hidden(High, "it downloads and runs code of others");
        return Assessment { network: true, project_code: true, ..found };
    }
    Assessment { project_code: true, ..Assessment::new(group.level, group.sentence) }
}

fn program_option(name: &str, args: &[&str]) -> Option<String> {
    let shown = |long: &str, letters: &str| {
        if long.is_empty() { format!("-[{letters}]") } else { format!("--{long}") }
    };
    let listed = STARTS_PROGRAMS.iter().filter(|(program, ..)| *program == name);
    for (_, long, letters) in listed {
        if let Some(found) = mentions(args, long, letters) {
            return Some(shown(found, letters));
        }
        // Old-style clusters of tar have no dash.
        if name == "tar"
            && args.first().is_some_and(|first| !first.starts_with('-') && first.contains(['I', 'F']))
        {
            return Some(shown("", letters));
        }
    }
    let loading = LOADS_PROGRAMS.iter().filter(|(programs, _)| programs.contains(&name));
    for (_, prefixes) in loading {
        if let Some(found) = prefixes.iter().find(|prefix| args.iter().any(|word| word.starts_with(**prefix)))
        {
            return Some((*found).to_owned());
        }
    }
    None
}

/// The files written, as far as the words name them.
fn written(name: &str, args: &[&str]) -> Vec<String> {
    let option = WRITES_TO.iter().find(|(program, ..)| *program == name);
    if let Some((_, long, letter)) = option {
        return owned(&values(args, long, *letter));
    }
    let files = operands(args);
    match name {
        // The second operand is the output.
        "uniq" | "xxd" => owned(files.get(1..).unwrap_or_default()),
        "tee" | "touch" | "truncate" | "mkdir" | "mkfifo" | "rmdir" | "rm" | "unlink" | "shred" | "trash"
        | "mv" | "rename" | "chmod" | "chown" | "chgrp" | "patch" => owned(&files),
        "cp" | "install" | "ln" => {
            let mut targets = values(args, "target-directory", 't');
            targets.extend(files.last());
            owned(&targets)
        }
        "dd" => args.iter().filter_map(|word| word.strip_prefix("of=")).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{GROUPS, INDEX};

    #[test]
    fn every_program_is_in_one_group() {
        let names: usize = GROUPS.iter().map(|group| group.names.split(' ').count()).sum();
        assert_eq!(names, INDEX.len());
        assert!(!INDEX.contains_key(""));
    }
}
