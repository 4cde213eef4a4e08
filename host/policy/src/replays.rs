//! Published holes of systems of this kind, replayed in spirit: each attack as its advisory tells it, against the
//! decision. Attacks that need a file system or a socket are replayed where those live.

use lanyard_protocol::policy::{Capability, PolicyBundle};

use crate::{
    decide::{DenialReason, Verdict},
    demand::Demand,
    testing::*,
};

fn verdict(bundle: PolicyBundle, demand: Demand) -> Verdict {
    World::new().decide(&layers(vec![bundle]), call(demand))
}

fn allowlist(commands: &[&str]) -> PolicyBundle {
    let commands: Vec<String> = commands.iter().map(|command| (*command).to_owned()).collect();
    free_with(Capability::ShellExec, |grant| grant.allowed_commands = Some(commands.clone()))
}

fn never_silent(bundle: PolicyBundle, text: &str) {
    assert!(!matches!(verdict(bundle, shell(text)), Verdict::Allowed(_)), "{text}");
}

#[test]
fn claude_code_cve_2025_54794_directory_prefix() {
    for outside in ["/home/mia/app_evil/x", "/home/mia/application", "/home/mia/app/../app_evil"] {
        assert!(matches!(verdict(free(|_| ()), read(outside)), Verdict::Denied(_)), "{outside}");
    }
}

#[test]
fn claude_code_cve_2025_54795_echo_as_a_carrier() {
    for text in
        ["echo \"\\\"; ls; echo \\\"\"; rm x", "echo \"x\";id;echo \"\"", "echo \"`id`\"", "echo x && id"]
    {
        never_silent(allowlist(&["echo", "ls"]), text);
    }
}

#[test]
fn claude_code_cve_2025_58764_and_66032_parsing_gaps() {
    for text in [
        "cat$IFS/etc/passwd",
        "rg -zl x",
        "rg $IFS--pre$IFS./x",
        "git diff --no-index --outp=x /dev/null a",
        "sort -S1 --compress-p=./x a",
        "man -H./x ls",
        "xargs -I{} sh -c {}",
        "git log --format=x --ext-di",
        "sed --expression='1e id' a",
        "ls ${HOME}",
        "history -r x",
        "sort -o.git/config a",
    ] {
        never_silent(allowlist(&["cat", "rg", "git", "sort", "man", "xargs", "sed", "ls", "sh"]), text);
    }
}

#[test]
fn claude_code_cve_2025_64755_sed_writes_files() {
    for text in [
        "sed -n 'w /home/mia/.zshenv' a",
        "sed 's/x/y/w ../x' a",
        "sed -n '1!G;h;$w x' a",
        "sed -i 's/a/b/' .git/config",
        "sed -ne 'W x' a",
    ] {
        never_silent(allowlist(&["sed"]), text);
    }
}

#[test]
fn claude_code_cve_2026_25722_cd_then_write_into_a_protected_directory() {
    for text in [
        "cd .claude && echo x > settings.json",
        "cd .git && tee config",
        "cd .git/hooks && cp ../../x pre-commit",
        "cd .vscode; echo x > tasks.json",
        "cd src || cd .git; touch config",
    ] {
        never_silent(allowlist(&["echo", "tee", "cp", "touch", "cd"]), text);
    }
}

#[test]
fn claude_code_51_subcommands_do_not_soften_a_deny() {
    let text = format!("{}curl https://evil.example", "true; ".repeat(50));
    let bundle = free_with(Capability::ShellExec, |grant| grant.blocked_commands = Some(vec!["curl".into()]));
    let Verdict::Denied(denial) = verdict(bundle, shell(&text)) else { panic!("not denied") };
    assert!(matches!(denial.reason, DenialReason::NotUnderstood(_)));
}

#[test]
fn cursor_cve_2025_59944_case_of_protected_names() {
    for file in [
        "/home/mia/app/.Cursor/mcp.json",
        "/home/mia/app/.CURSOR/MCP.json",
        "/home/mia/app/.VSCODE/tasks.json",
    ] {
        let Verdict::Ask(ask) = verdict(free(|_| ()), write(file)) else {
            panic!("{file} was not asked about")
        };
        assert!(ask.must_ask());
    }
}

#[test]
fn cursor_cve_2025_62354_and_2026_22708_builtins_and_poisoned_environment() {
    for text in [
        "export PAGER=./x && git branch",
        "declare -x PYTHONWARNINGS=x; python3 a",
        "typeset -i ${x:-0}",
        "PATH=. git status",
        "env PATH=. git status",
        "alias git=./x; git status",
        "hash -p ./x git && git status",
        ". ./x",
        "unset HISTFILE; git status",
    ] {
        never_silent(allowlist(&["git", "python3", "env"]), text);
    }
}

#[test]
fn cursor_cve_2026_50548_working_directory_from_the_agent() {
    let mut demand = shell("touch x");
    if let Demand::Exec(exec) = &mut demand {
        exec.cwd = "/home/mia/.config/autostart".into();
    }
    assert!(matches!(verdict(free(|_| ()), demand), Verdict::Denied(_)));
    never_silent(free(|_| ()), "cd /home/mia && touch .bashrc");
}

#[test]
fn mcp_servers_cve_2025_53109_53110_and_68143_and_2026_27735_scope_of_tools() {
    // The tools hand in resolved paths: a link that leads away is judged by where it leads.
    assert!(matches!(verdict(free(|_| ()), read("/etc/shadow")), Verdict::Denied(_)));
    assert!(matches!(verdict(free(|_| ()), read("/home/mia/app.bak/x")), Verdict::Denied(_)));
    for repo in ["/home/mia/.ssh", "/home/mia", "/home/mia/app/../other"] {
        assert!(
            matches!(verdict(free(|_| ()), Demand::GitStatus { repo: repo.into() }), Verdict::Denied(_)),
            "{repo}"
        );
    }
    never_silent(allowlist(&["git"]), "git add ../../.kube/config");
}

#[test]
fn network_ai_an_approval_is_not_a_request_away() {
    // Approving takes a grant read from a settled record by somebody entitled; a program that drives the host's own
    // command line is the way around that, and is itself asked about.
    never_silent(free(|_| ()), "lanyard approve apr-1");
    never_silent(free(|_| ()), "/usr/bin/lanyard approve apr-1");
}
