//! The two forms of `ps`.

/// The output of the ps program cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PsError {
    /// The first line names no PID column.
    #[error("couldn't find PID field in ps output: keep the PID column in the ps options")]
    NoPidColumn,
    /// A line has no number where the PID column is.
    #[error("parse pid in ps output line {0:?}")]
    NoPid(String),
}

/// Keeps the lines of `ps` whose process is in the container.
///
/// * `ps`: what the ps program printed, head line first.
/// * `pids`: process ids as the caller sees them.
///
/// # Errors
///
/// [`PsError`]: the output has no PID column.
pub fn table(ps: &str, pids: &[i32]) -> Result<String, PsError> {
    let mut lines = ps.lines();
    let head = lines.next().unwrap_or_default();
    let column = head
        .split_whitespace()
        .position(|name| name == "PID")
        .ok_or(PsError::NoPidColumn)?;
    let mut text = format!("{head}\n");
    for line in lines.filter(|line| !line.is_empty()) {
        let field = line.split_whitespace().nth(column);
        let pid: i32 = field
            .and_then(|field| field.parse().ok())
            .ok_or_else(|| PsError::NoPid(line.to_owned()))?;
        if pids.contains(&pid) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// Renders a JSON array of process ids on one line.
#[must_use]
pub fn json(pids: &[i32]) -> String {
    let numbers: Vec<String> = pids.iter().map(ToString::to_string).collect();
    format!("[{}]\n", numbers.join(","))
}
