//! How eagerly the kernel's OOM killer picks this process.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

/// Sets this process's OOM score adjustment; children inherit it.
///
/// * `score`: -1000 (never killed) to 1000 (killed first).
///
/// # Errors
///
/// The kernel's answer: `EINVAL` for a score out of range, `EACCES` when it is lowered below the inherited minimum
/// without `CAP_SYS_RESOURCE`.
///
/// Kernel: `proc_pid_oom_score_adj(5)`.
pub fn write_oom_score_adj(score: i32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open("/proc/self/oom_score_adj")?;
    file.write_all(score.to_string().as_bytes())
}

/// Reads this process's OOM score adjustment.
///
/// # Errors
///
/// Opening or reading the file, or `InvalidData` when it holds no number.
pub fn read_oom_score_adj() -> io::Result<i32> {
    let text = std::fs::read_to_string("/proc/self/oom_score_adj")?;
    text.trim()
        .parse()
        .map_err(|source| io::Error::new(io::ErrorKind::InvalidData, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_written_and_read_back() {
        let before = read_oom_score_adj().unwrap();
        write_oom_score_adj(before).unwrap();
        assert_eq!(read_oom_score_adj().unwrap(), before);
    }

    #[test]
    fn a_score_out_of_range_is_refused_by_the_kernel() {
        assert_eq!(
            write_oom_score_adj(1001).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
    }
}
