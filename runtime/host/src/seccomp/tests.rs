use std::thread;

use nexcage_sys::seccomp::{Instruction, Threads};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::assemble::{ARCH, X32, verdict};
use super::table::{Action, OTHERWISE, Row, TABLE};
use super::{Stage, plan, restrict, rows};

const NO_MATCH: u32 = 0x7ffc_0000;

struct Call {
    number: u32,
    arch: u32,
    arguments: [u64; 6],
}

impl Call {
    /// The word at this offset of `struct seccomp_data`.
    fn word(&self, at: u32) -> u32 {
        match at {
            0 => self.number,
            4 => self.arch,
            8 | 12 => 0,
            _ => {
                let argument = self.arguments[(at as usize - 16) / 8];
                let shift = if at.is_multiple_of(8) { 0 } else { 32 };
                u32::try_from((argument >> shift) & 0xffff_ffff).unwrap()
            }
        }
    }
}

/// Runs a filter as the kernel does. It knows the instructions that ours and seccompiler's use.
fn run(program: &[Instruction], call: &Call) -> u32 {
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let Instruction {
            code,
            jump_true,
            jump_false,
            operand,
        } = program[at];
        at += 1;
        let holds = match code {
            0x06 => return operand,
            0x05 => {
                at += operand as usize;
                continue;
            }
            0x20 => {
                accumulator = call.word(operand);
                continue;
            }
            0x54 => {
                accumulator &= operand;
                continue;
            }
            0x15 => accumulator == operand,
            0x25 => accumulator > operand,
            0x35 => accumulator >= operand,
            _ => panic!("instruction {code:#x}"),
        };
        at += usize::from(if holds { jump_true } else { jump_false });
    }
}

/// What seccompiler makes of one row.
fn reference(row: &Row) -> Vec<Instruction> {
    let conditions: Vec<_> = row
        .conditions
        .iter()
        .map(|condition| {
            let operation = SeccompCmpOp::MaskedEq(condition.mask);
            SeccompCondition::new(condition.argument, SeccompCmpArgLen::Qword, operation, condition.value).unwrap()
        })
        .collect();
    let rules = if conditions.is_empty() {
        vec![]
    } else {
        vec![SeccompRule::new(conditions).unwrap()]
    };
    let matched = match row.action {
        Action::Allow => SeccompAction::Allow,
        Action::Errno(errno) => SeccompAction::Errno(u32::from(errno)),
        Action::Kill => SeccompAction::KillProcess,
    };
    let rules = [(row.syscall, rules)].into_iter().collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Log, matched, TargetArch::x86_64).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    program
        .iter()
        .map(|raw| Instruction {
            code: raw.code,
            jump_true: raw.jt,
            jump_false: raw.jf,
            operand: raw.k,
        })
        .collect()
}

/// Values at and beside every edge of the conditions on this argument, in both words.
fn values(number: u32, argument: u8) -> Vec<u64> {
    let mut values = vec![0, 1, u64::MAX, 1 << 32];
    let conditions = TABLE
        .iter()
        .filter(|row| row.syscall == i64::from(number))
        .flat_map(|row| row.conditions);
    for condition in conditions.filter(|condition| condition.argument == argument) {
        values.extend([condition.value, condition.mask, condition.value | !condition.mask]);
        values.extend((0..64).map(|bit| condition.value ^ (1 << bit)));
    }
    values
}

fn calls(number: u32) -> Vec<Call> {
    let mut calls = Vec::new();
    for first in 0..6_u8 {
        for second in first + 1..6 {
            for a in values(number, first) {
                for b in values(number, second) {
                    let mut arguments = [0; 6];
                    (arguments[usize::from(first)], arguments[usize::from(second)]) = (a, b);
                    calls.push(Call {
                        number,
                        arch: ARCH,
                        arguments,
                    });
                }
            }
        }
    }
    calls
}

fn check_equivalence(stage: Stage) {
    let program = plan(stage);
    let references: Vec<_> = rows(stage).map(reference).collect();
    for number in 0..600 {
        for call in calls(number) {
            let expected = references
                .iter()
                .map(|reference| run(reference, &call))
                .find(|&answer| answer != NO_MATCH)
                .unwrap_or(verdict(OTHERWISE));
            let seen = run(&program, &call);
            assert_eq!(seen, expected, "{stage:?}: call {number} with {:x?}", call.arguments);
        }
    }
}

#[test]
fn loading_is_filtered_as_seccompiler_would() {
    check_equivalence(Stage::Load);
}

#[test]
fn running_is_filtered_as_seccompiler_would() {
    check_equivalence(Stage::Run);
}

#[test]
fn calls_of_other_abis_kill() {
    let i386 = 0x4000_0003;
    for stage in [Stage::Load, Stage::Run] {
        for (number, arch) in [(20, i386), (0, i386), (X32, ARCH), (X32 | 39, ARCH), (u32::MAX, ARCH)] {
            let call = Call {
                number,
                arch,
                arguments: [0; 6],
            };
            assert_eq!(run(&plan(stage), &call), verdict(Action::Kill), "{number:#x} {arch:#x}");
        }
    }
}

#[test]
fn every_row_has_a_reason() {
    for row in TABLE {
        assert!(!row.reason.is_empty(), "{row:?}");
    }
}

#[test]
fn running_allows_nothing_that_loading_does_not() {
    let (load, later) = (plan(Stage::Load), plan(Stage::Run));
    let allow = verdict(Action::Allow);
    for call in (0..600).flat_map(calls) {
        let grown = run(&later, &call) == allow && run(&load, &call) != allow;
        assert!(!grown, "{} {:x?}", call.number, call.arguments);
    }
}

/// The kernel's answers before any filter, while loading and while running.
fn answers(attack: fn() -> Result<(), Errno>) -> [Result<(), Errno>; 3] {
    let attacker = thread::spawn(move || {
        let free = attack();
        restrict(Stage::Load, Threads::Calling).unwrap();
        let load = attack();
        restrict(Stage::Run, Threads::Calling).unwrap();
        [free, load, attack()]
    });
    attacker.join().unwrap()
}

#[test]
fn files_open_to_read_while_loading_only() {
    let attack = || openat(CWD, "/etc/passwd", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(drop);
    assert_eq!(answers(attack), [Ok(()), Ok(()), Err(Errno::PERM)]);
}

#[test]
fn files_never_open_to_write() {
    let attack = || openat(CWD, "/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map(drop);
    assert_eq!(answers(attack), [Ok(()), Err(Errno::PERM), Err(Errno::PERM)]);
}

#[test]
fn sockets_are_never_made() {
    let attack = || socket(AddressFamily::UNIX, SocketType::STREAM, None).map(drop);
    assert_eq!(answers(attack), [Ok(()), Err(Errno::PERM), Err(Errno::PERM)]);
}

#[test]
fn threads_are_made_in_both_stages_and_inherit_the_filter() {
    let attack = || {
        let inner = thread::spawn(|| socket(AddressFamily::UNIX, SocketType::STREAM, None).map(drop));
        inner.join().unwrap()
    };
    assert_eq!(answers(attack), [Ok(()), Err(Errno::PERM), Err(Errno::PERM)]);
}
