//! The compiled program, run by a small interpreter on made-up calls.

use libc::{
    EACCES, ENOSYS, EOPNOTSUPP, EPERM, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS,
    SECCOMP_RET_USER_NOTIF, c_long,
};
use proptest::prelude::*;

use super::program::{
    ABSENT, AUDIT_ARCH, CLONE_REFUSED, HANDED_OVER, IOCTL_REFUSED, NEWEST, REFUSED, SPECIAL_BITS,
    SYS_SETRLIMIT, UNSUPPORTED,
};
use super::{Purpose, program};

/// Runs classic BPF on `struct seccomp_data`; panics on what the kernel would not load.
fn run(network: bool, arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    run_for(Purpose { network, guards_truncation: false }, arch, number, arguments)
}

fn run_for(purpose: Purpose, arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_le_bytes());
    data.extend(arch.to_le_bytes());
    data.extend([0; 8]);
    arguments.iter().for_each(|argument| data.extend(argument.to_le_bytes()));
    let program = program(purpose);
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let instruction = program.instructions()[at];
        let k = instruction.k;
        at += 1;
        match instruction.code {
            0x20 => accumulator = u32::from_le_bytes(data[k as usize..k as usize + 4].try_into().unwrap()),
            0x54 => accumulator &= k,
            0x06 => return k,
            0x05 => at += k as usize,
            code => {
                let hit = match code {
                    0x15 => accumulator == k,
                    0x25 => accumulator > k,
                    0x35 => accumulator >= k,
                    0x45 => accumulator & k != 0,
                    _ => panic!("unknown instruction {code:#x}"),
                };
                at += usize::from(if hit { instruction.jt } else { instruction.jf });
            }
        }
    }
}

fn call(network: bool, number: c_long, arguments: [u64; 6]) -> u32 {
    run(network, AUDIT_ARCH, number as u32, arguments)
}

fn arguments(first: u64, second: u64, third: u64) -> [u64; 6] {
    [first, second, third, 0, 0, 0]
}

const fn refused(errno: i32) -> u32 {
    SECCOMP_RET_ERRNO | errno as u32
}

#[test]
fn without_landlocks_help_the_filter_refuses_truncation_by_path() {
    let guarded = |call: c_long, arguments| {
        run_for(Purpose { network: true, guards_truncation: true }, AUDIT_ARCH, call as u32, arguments)
    };
    let flags = |flags: i32| arguments(0, 0, flags as u64);
    assert_eq!(guarded(libc::SYS_truncate, arguments(0, 0, 0)), refused(EACCES));
    assert_eq!(guarded(libc::SYS_openat2, arguments(0, 0, 0)), refused(ENOSYS));
    assert_eq!(guarded(libc::SYS_openat, flags(libc::O_RDONLY | libc::O_TRUNC)), refused(EACCES));
    assert_eq!(
        guarded(libc::SYS_openat, flags(libc::O_RDONLY | libc::O_TRUNC | libc::O_CLOEXEC)),
        refused(EACCES)
    );
    // Landlock asks for the right to write here, in every version.
    assert_eq!(guarded(libc::SYS_openat, flags(libc::O_WRONLY | libc::O_TRUNC)), SECCOMP_RET_ALLOW);
    assert_eq!(guarded(libc::SYS_openat, flags(libc::O_RDONLY)), SECCOMP_RET_ALLOW);
    assert_eq!(guarded(libc::SYS_ftruncate, arguments(0, 0, 0)), SECCOMP_RET_ALLOW);
    assert_eq!(call(true, libc::SYS_truncate, arguments(0, 0, 0)), SECCOMP_RET_ALLOW, "Landlock's business");
}

#[test]
fn the_program_fits_the_kernel() {
    for network in [false, true] {
        // BPF_MAXINSNS
        assert!(program(Purpose { network, guards_truncation: true }).instructions().len() < 4096);
    }
}

#[test]
fn every_call_number_gets_the_answer_of_its_list() {
    let by_arguments = [
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_ioctl,
        libc::SYS_clone,
        libc::SYS_ptrace,
        libc::SYS_prlimit64,
        SYS_SETRLIMIT,
        libc::SYS_setpriority,
    ];
    for number in (0..1000).chain([0x3fff_ffff, 0x4000_0000, 0xffff_ffff]) {
        if by_arguments.contains(&number) {
            continue;
        }
        let expected = if number > NEWEST || ABSENT.contains(&number) {
            refused(ENOSYS)
        } else if REFUSED.contains(&number) {
            refused(EPERM)
        } else if UNSUPPORTED.contains(&number) {
            refused(EOPNOTSUPP)
        } else if HANDED_OVER.iter().any(|(call, _)| *call == number) {
            SECCOMP_RET_USER_NOTIF
        } else {
            SECCOMP_RET_ALLOW
        };
        assert_eq!(call(true, number, [0; 6]), expected, "call {number}");
        assert_eq!(call(false, number, [0; 6]), expected, "call {number}");
    }
}

#[test]
fn calls_of_another_abi_are_deadly() {
    let i386 = 0x4000_0003;
    assert_eq!(run(true, i386, 1, [0; 6]), SECCOMP_RET_KILL_PROCESS);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn x32_numbers_are_unknown() {
    let x32_bit = 0x4000_0000;
    for number in [libc::SYS_socket, libc::SYS_ptrace, libc::SYS_read] {
        assert_eq!(call(true, number | x32_bit, [0; 6]), refused(ENOSYS));
    }
}

#[test]
fn without_network_no_socket_is_made() {
    for family in 0..64 {
        assert_eq!(
            call(false, libc::SYS_socket, arguments(family, 1, 0)),
            refused(EACCES),
            "family {family}"
        );
    }
}

#[test]
fn with_network_only_ip_and_routing_sockets_are_made() {
    for family in 0..64_u64 {
        for protocol in 0..32_u64 {
            let allowed = match i32::try_from(family).unwrap() {
                libc::AF_INET | libc::AF_INET6 => true,
                libc::AF_NETLINK => protocol == libc::NETLINK_ROUTE as u64,
                _ => false,
            };
            let expected = if allowed { SECCOMP_RET_ALLOW } else { refused(EACCES) };
            let answer = call(true, libc::SYS_socket, arguments(family, 1, protocol));
            assert_eq!(answer, expected, "family {family} protocol {protocol}");
        }
    }
}

#[test]
fn a_reader_of_limits_is_free_and_a_setter_bound() {
    let (pointer, high_pointer, none) = (0x1000, 1 << 40, 0);
    let nofile = libc::RLIMIT_NOFILE.into();
    let locks = libc::RLIMIT_LOCKS.into();
    assert_eq!(call(true, libc::SYS_prlimit64, arguments(1, locks, none)), SECCOMP_RET_ALLOW);
    assert_eq!(call(true, libc::SYS_prlimit64, arguments(0, nofile, pointer)), SECCOMP_RET_ALLOW);
    for pointer in [pointer, high_pointer] {
        assert_eq!(call(true, libc::SYS_prlimit64, arguments(1, nofile, pointer)), refused(EPERM));
        assert_eq!(call(true, libc::SYS_prlimit64, arguments(0, locks, pointer)), refused(EPERM));
    }
    assert_eq!(call(true, SYS_SETRLIMIT, arguments(locks, pointer, 0)), refused(EPERM));
    assert_eq!(call(true, SYS_SETRLIMIT, arguments(nofile, pointer, 0)), SECCOMP_RET_ALLOW);
}

#[test]
fn the_parent_is_not_made_a_tracer() {
    assert_eq!(call(true, libc::SYS_ptrace, arguments(libc::PTRACE_TRACEME.into(), 0, 0)), refused(EPERM));
    assert_eq!(call(true, libc::SYS_ptrace, arguments(libc::PTRACE_SEIZE.into(), 5, 0)), SECCOMP_RET_ALLOW);
}

#[test]
fn priorities_of_groups_and_users_are_not_changed() {
    assert_eq!(call(true, libc::SYS_setpriority, arguments(0, 5, 10)), SECCOMP_RET_ALLOW);
    assert_eq!(call(true, libc::SYS_setpriority, arguments(1, 5, 10)), refused(EPERM));
    assert_eq!(call(true, libc::SYS_setpriority, arguments(2, 0, 10)), refused(EPERM));
}

proptest! {
    #[test]
    fn no_mode_with_special_bits_is_set(mode in any::<u64>()) {
        for (number, argument) in HANDED_OVER {
            // Whatever the other arguments hold.
            let mut all = [u64::MAX; 6];
            all[*argument as usize] = mode;
            let special = mode as u32 & SPECIAL_BITS != 0;
            let expected = if special { refused(EPERM) } else { SECCOMP_RET_USER_NOTIF };
            prop_assert_eq!(call(true, *number, all), expected);
            prop_assert_eq!(call(false, *number, all), expected);
        }
    }

    /// The kernel looks at 32 bits; what stands above must not matter.
    #[test]
    fn high_bits_of_arguments_change_nothing(high in any::<u32>(), flags in any::<u32>()) {
        let high = u64::from(high) << 32;
        for request in IOCTL_REFUSED {
            prop_assert_eq!(call(true, libc::SYS_ioctl, arguments(0, high | u64::from(request), 0)), refused(EPERM));
        }
        let unix = high | libc::AF_UNIX as u64;
        prop_assert_eq!(call(true, libc::SYS_socket, arguments(unix, 1, 0)), refused(EACCES));
        let locks = high | u64::from(libc::RLIMIT_LOCKS);
        prop_assert_eq!(call(true, libc::SYS_prlimit64, arguments(high, locks, 1)), refused(EPERM));
        let expected =
            if flags & CLONE_REFUSED as u32 != 0 { refused(EPERM) } else { SECCOMP_RET_ALLOW };
        prop_assert_eq!(call(true, libc::SYS_clone, arguments(high | u64::from(flags), 0, 0)), expected);
    }

    #[test]
    fn pairs_are_unix_streams_only(family in 0..64_u64, kind in any::<u32>()) {
        let stream = matches!((kind & 0xf) as i32, libc::SOCK_STREAM | libc::SOCK_SEQPACKET);
        let allowed = family == libc::AF_UNIX as u64 && stream;
        let expected = if allowed { SECCOMP_RET_ALLOW } else { refused(EACCES) };
        for network in [false, true] {
            let answer = call(network, libc::SYS_socketpair, arguments(family, u64::from(kind), 0));
            prop_assert_eq!(answer, expected);
        }
    }

    #[test]
    fn ordinary_ioctls_pass(request in any::<u32>()) {
        prop_assume!(!IOCTL_REFUSED.contains(&request));
        prop_assert_eq!(call(false, libc::SYS_ioctl, arguments(0, request.into(), 0)), SECCOMP_RET_ALLOW);
    }
}
