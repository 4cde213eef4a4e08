//! What the sandbox costs a child: `cargo run --release -p lanyard-tools --example spawn_cost`.
//!
//! Compares starting `/bin/true` bare (posix_spawn, and fork as any `pre_exec` needs) with the whole of a confined
//! call, and times the preparation that is shared by the calls of a task.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made may stop")]

use std::process::Command;
use std::time::{Duration, Instant};

use lanyard_tools::process::{Invocation, Timeout, run};
use lanyard_tools::sandbox::{Limits, PrivateTmp, Sandbox, SandboxSetup, SandboxSpec};
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 500;

fn main() {
    let base = std::env::temp_dir().join(format!("spawn-cost-{}", std::process::id()));
    let (state, work) = (base.join("state"), base.join("work"));
    std::fs::create_dir_all(&state).unwrap();
    std::fs::create_dir_all(&work).unwrap();
    let sandbox = measure_once("start of the sandbox", || {
        Sandbox::start(&SandboxSetup {
            state_dir: state,
            protected: Vec::new(),
            home: std::env::home_dir(),
            search_path: std::env::var_os("PATH"),
        })
        .unwrap()
    });
    println!("level: {:?} ({})", sandbox.report().level, sandbox.report().mechanisms);
    let private = PrivateTmp::create_in(&base).unwrap();
    let spec = SandboxSpec {
        read: Vec::new(),
        write: vec![work.clone()],
        read_held: Vec::new(),
        write_held: Vec::new(),
        private_tmp: private.path().to_owned(),
        cwd: work,
        network: false,
        limits: Limits::default(),
        env: Vec::new(),
        host_env: Vec::new(),
    };
    measure("prepare (once a session)", || drop(sandbox.prepare(&spec).unwrap()));
    let confinement = sandbox.prepare(&spec).unwrap();
    measure("prepared: is it current", || assert!(confinement.is_current()));
    measure("prepared: for the next call", || drop(confinement.at(&spec.cwd, &[], &[]).unwrap()));

    measure("bare spawn and wait", || {
        Command::new("/bin/true").status().unwrap();
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    measure("bare tokio spawn, two pipes, wait", || {
        runtime.block_on(async { tokio::process::Command::new("/bin/true").output().await.unwrap() });
    });
    let cancel = CancellationToken::new();
    measure("confined call, whole", || {
        let invocation = Invocation::new("/bin/true", [""; 0], Timeout::MAX);
        runtime.block_on(run(&confinement, invocation, None, &cancel)).unwrap();
    });
    drop(private);
    std::fs::remove_dir_all(&base).unwrap();
}

fn measure_once<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = work();
    report(what, &mut [started.elapsed()]);
    result
}

fn measure(what: &str, mut work: impl FnMut()) {
    (0..20).for_each(|_| work());
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed()
        })
        .collect();
    report(what, &mut times);
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e6;
    println!("{what:36} p50 {:7.0} µs   p99 {:7.0} µs", at(50), at(99));
}
