//! The three forms of `list`.

use anyhow::Context as _;

use super::state::ContainerState;
use super::table;

/// Renders a table with runc's columns.
#[must_use]
pub fn table(rows: &[ContainerState]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let body = rows.iter().map(|row| {
        [
            &row.id,
            &row.pid.to_string(),
            &row.status,
            &row.bundle,
            &row.created,
            &row.owner,
        ]
        .map(String::clone)
    });
    table::render(&std::iter::once(head).chain(body).collect::<Vec<_>>())
}

/// Renders the ids, one a line.
#[must_use]
pub fn ids(rows: &[ContainerState]) -> String {
    rows.iter().map(|row| row.id.clone() + "\n").collect()
}

/// Renders one line of JSON: an array, or `null` when there is no container, as runc.
///
/// # Errors
///
/// The rows cannot be written as JSON.
pub fn json(rows: &[ContainerState]) -> anyhow::Result<String> {
    if rows.is_empty() {
        return Ok("null\n".into());
    }
    Ok(serde_json::to_string(rows).context("write list as JSON")? + "\n")
}

/// Names the owner of a state directory: the user of that id in a passwd file, else `#UID`.
///
/// * `passwd`: the text of `/etc/passwd`. A static program has no name service to ask.
#[must_use]
pub fn owner(uid: u32, passwd: &str) -> String {
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("#{uid}"))
}
