//! The system calls of plugin code, in two stages.

mod assemble;
mod table;
#[cfg(test)]
mod tests;

use nexcage_sys::seccomp::{Instruction, SeccompError, Threads, install};

use table::{Row, TABLE, When};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the table of system calls is that of x86-64");

/// How far the plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The dynamic loader maps it, and its constructors and entry function run.
    Load,
    /// Its entry function has returned.
    Run,
}

/// Restricts system calls to those of a stage, for good.
///
/// * `stage`: [`Stage::Run`] may follow [`Stage::Load`]; the other way round nothing is given back.
/// * `threads`: [`Threads::All`] after plugin code has run, for it may have made threads.
///
/// # Errors
///
/// The filter is not in force, and no plugin code may run: see [`SeccompError`].
pub fn restrict(stage: Stage, threads: Threads) -> Result<(), SeccompError> {
    install(&plan(stage), threads)
}

fn plan(stage: Stage) -> Vec<Instruction> {
    assemble::assemble(rows(stage))
}

fn rows(stage: Stage) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(move |row| {
        matches!(
            (row.when, stage),
            (When::Both, _) | (When::Load, Stage::Load) | (When::Run, Stage::Run)
        )
    })
}
