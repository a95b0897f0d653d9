//! Rows into a filter program.

use nexcage_sys::seccomp::Instruction;

use super::table::{Action, Condition, OTHERWISE, Row};

/// `AUDIT_ARCH_X86_64`.
pub(crate) const ARCH: u32 = 0xc000_003e;
/// Numbers from here on are calls of the x32 ABI, and `-1` of a tracer.
pub(crate) const X32: u32 = 0x4000_0000;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const NUMBER_AT: u32 = 0;
const ARCH_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

/// What a filter returns for an action, as in the kernel's `seccomp.h`.
#[must_use]
pub(crate) fn verdict(action: Action) -> u32 {
    match action {
        Action::Allow => 0x7fff_0000,
        Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
        Action::Kill => 0x8000_0000,
    }
}

/// The program for these rows; calls of other ABIs than that of x86-64 kill.
pub(crate) fn assemble<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Instruction> {
    let mut program = vec![
        plain(LOAD, ARCH_AT),
        branch(IF_EQUAL, ARCH, 1, 0),
        plain(RETURN, verdict(Action::Kill)),
        plain(LOAD, NUMBER_AT),
        branch(IF_AT_LEAST, X32, 0, 1),
        plain(RETURN, verdict(Action::Kill)),
    ];
    for row in rows {
        program.extend(block(row));
    }
    program.push(plain(RETURN, verdict(OTHERWISE)));
    program
}

/// Begins and ends with the number of the call loaded; what does not match goes to its end.
fn block(row: &Row) -> Vec<Instruction> {
    let number = u32::try_from(row.syscall).unwrap_or(u32::MAX);
    let mut block = vec![branch(IF_EQUAL, number, 0, 0)];
    block.extend(row.conditions.iter().flat_map(compare));
    block.push(plain(RETURN, verdict(row.action)));
    let end = block.len();
    for (at, instruction) in block.iter_mut().enumerate() {
        if instruction.code == IF_EQUAL {
            // A row has six arguments at most, so 38 instructions.
            instruction.jump_false = u8::try_from(end - at - 1).unwrap_or(u8::MAX);
        }
    }
    if !row.conditions.is_empty() {
        block.push(plain(LOAD, NUMBER_AT));
    }
    block
}

/// An argument is two words, the low one first.
#[expect(clippy::cast_possible_truncation, reason = "it is cut in two words")]
fn compare(condition: &Condition) -> [Instruction; 6] {
    let low = ARGUMENTS_AT + 8 * u32::from(condition.argument);
    [
        plain(LOAD, low),
        plain(AND, condition.mask as u32),
        branch(IF_EQUAL, condition.value as u32, 0, 0),
        plain(LOAD, low + 4),
        plain(AND, (condition.mask >> 32) as u32),
        branch(IF_EQUAL, (condition.value >> 32) as u32, 0, 0),
    ]
}

fn plain(code: u16, operand: u32) -> Instruction {
    branch(code, operand, 0, 0)
}

fn branch(code: u16, operand: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        operand,
    }
}
