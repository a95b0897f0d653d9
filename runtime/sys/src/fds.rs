//! The descriptor table of this process: what is open, what the next program inherits.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::FdFlags;

/// The first descriptor after standard input, output and error.
pub const FIRST_EXTRA: RawFd = 3;

/// Opens the null device on each of 0, 1 and 2 that is closed.
///
/// Call it first in `main`: otherwise the first file opened gets such a number, and what a program prints goes there.
///
/// # Errors
///
/// The kernel's answer to opening `/dev/null`.
pub fn fill_stdio() -> io::Result<()> {
    loop {
        let file = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
        if file.as_raw_fd() >= FIRST_EXTRA {
            return Ok(());
        }
        // Kept open on purpose: it is now the standard descriptor of that number.
        let _standard: RawFd = file.into_raw_fd();
    }
}

/// Tells whether a number is an open descriptor of this process.
///
/// # Errors
///
/// The kernel's answer, other than "not open".
pub fn is_open(number: RawFd) -> io::Result<bool> {
    // SAFETY: F_GETFD only reads flags, and the kernel checks the number.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EBADF) {
        Ok(false)
    } else {
        Err(error)
    }
}

/// Tells whether a number is an open descriptor that the next program would get.
///
/// Right after start these are the inherited ones: what this program opens itself is close-on-exec.
///
/// # Errors
///
/// As [`is_open`].
pub fn is_inheritable(number: RawFd) -> io::Result<bool> {
    // SAFETY: as in is_open.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags >= 0 {
        return Ok(flags & libc::FD_CLOEXEC == 0);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EBADF) {
        Ok(false)
    } else {
        Err(error)
    }
}

/// Finds the first closed descriptor of a row.
///
/// * `first`, `count`: the row is `first` to `first + count - 1`.
///
/// Returns its number, or `None` when all are open.
///
/// # Errors
///
/// As [`is_open`].
pub fn find_closed(first: RawFd, count: u32) -> io::Result<Option<RawFd>> {
    for offset in 0..count {
        let number = i32::try_from(offset).ok().and_then(|offset| first.checked_add(offset));
        let Some(number) = number else {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        };
        if !is_open(number)? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Marks every descriptor from a number on close-on-exec.
///
/// * `first`: the lowest that the next program must not get: 3 plus the number of preserved ones.
///
/// # Errors
///
/// The kernel's answer; on a kernel without `CLOSE_RANGE_CLOEXEC` (before 5.11) `/proc/self/fd` is walked instead.
///
/// Kernel: `close_range(2)`.
pub fn set_cloexec_from(first: RawFd) -> io::Result<()> {
    match close_range(first, RawFd::MAX, libc::CLOSE_RANGE_CLOEXEC) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => list_open()?
            .into_iter()
            .filter(|number| *number >= first)
            .try_for_each(|number| set_cloexec(number, true)),
        result => result,
    }
}

/// Marks every descriptor from a number on close-on-exec, except a few.
///
/// * `keep`: numbers whose flag is left as it is, in any order.
///
/// # Errors
///
/// As [`set_cloexec_from`].
pub fn set_cloexec_from_except(first: RawFd, keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|number| *number >= first).collect();
    keep.sort_unstable();
    keep.dedup();
    let mut start = first;
    for number in keep {
        if number > start {
            set_cloexec_range(start, number - 1)?;
        }
        start = number.saturating_add(1);
    }
    set_cloexec_from(start)
}

fn set_cloexec_range(first: RawFd, last: RawFd) -> io::Result<()> {
    match close_range(first, last, libc::CLOSE_RANGE_CLOEXEC) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => {
            let row = first..=last;
            list_open()?
                .into_iter()
                .filter(|number| row.contains(number))
                .try_for_each(|number| set_cloexec(number, true))
        }
        result => result,
    }
}

fn close_range(first: RawFd, last: RawFd, flags: u32) -> io::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC, the only flag this module passes, no descriptor is closed and no owner cheated.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets or clears close-on-exec of one descriptor by number.
///
/// * `number`: also one that this process inherited and has no owner for.
///
/// # Errors
///
/// The kernel's answer: `EBADF` when it is not open.
pub fn set_cloexec(number: RawFd, on: bool) -> io::Result<()> {
    let flags = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD changes one flag of the entry; the kernel checks the number.
    let result = unsafe { libc::fcntl(number, libc::F_SETFD, flags) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Tells whether a descriptor is close-on-exec.
///
/// # Errors
///
/// The kernel's answer.
pub fn is_cloexec(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::io::fcntl_getfd(fd)?.contains(FdFlags::CLOEXEC))
}

/// Moves a descriptor to a number at or above a floor, close-on-exec; it stays where it is when it is high enough.
///
/// * `floor`: the lowest number wanted, 3 plus the number of preserved ones for a descriptor of the runtime's own.
///
/// # Errors
///
/// The kernel's answer: `EMFILE`, or `EINVAL` for a floor above the limit on open files.
///
/// Kernel: `fcntl(2)`, `F_DUPFD_CLOEXEC`.
pub fn move_above(fd: OwnedFd, floor: RawFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= floor {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), floor)?)
}

/// Copies a descriptor known only by its number, as an inherited one is; the copy is close-on-exec.
///
/// # Errors
///
/// The kernel's answer: `EBADF` when it is not open.
pub fn copy_number(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC only adds an entry; the kernel checks the number.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, FIRST_EXTRA) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Tells whether a descriptor is a pipe or a fifo.
#[must_use]
pub fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo())
}

/// Opens the same file once more, non-blocking, without touching the flags of the original.
///
/// * `write`: open for writing instead of reading.
///
/// For pipes and terminals that this process shares with others: `O_NONBLOCK` set on theirs would confuse them.
///
/// # Errors
///
/// The kernel's answer: `ENXIO` for sockets, `EACCES` when the process may not open the file itself.
pub fn reopen_nonblocking(fd: BorrowedFd<'_>, write: bool) -> io::Result<OwnedFd> {
    let access = if write { OFlags::WRONLY } else { OFlags::RDONLY };
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(rustix::fs::open(
        path,
        access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Lists the open descriptors of this process, sorted, without the one used for listing.
///
/// # Errors
///
/// Reading `/proc/self/fd`.
pub fn list_open() -> io::Result<Vec<RawFd>> {
    let folder = File::open("/proc/self/fd")?;
    let mut numbers = Vec::new();
    for entry in rustix::fs::Dir::read_from(&folder)? {
        if let Some(number) = entry?.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
            numbers.push(number);
        }
    }
    drop(folder);
    let mut open = Vec::with_capacity(numbers.len());
    for number in numbers {
        // The folder and its reader were in the list too, and are closed by now.
        if is_open(number)? {
            open.push(number);
        }
    }
    open.sort_unstable();
    Ok(open)
}

/// Closes every descriptor from 3 on, except those named.
///
/// For a freshly forked process whose copies of its parent's descriptors have no owner; owners that still exist in this
/// process must have been forgotten or named.
///
/// # Errors
///
/// The kernel's answer; some may be closed then.
pub fn close_all_except(keep: &[i32]) -> io::Result<()> {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|fd| *fd >= 3).collect();
    keep.sort_unstable();
    keep.dedup();
    let mut first = 3;
    for fd in keep {
        if fd > first {
            close_range(first, fd - 1, 0)?;
        }
        first = fd + 1;
    }
    close_range(first, RawFd::MAX, 0)
}

/// Takes ownership of a descriptor that this process inherited by number, close-on-exec from now on.
///
/// Returns `None` when it is not open.
pub fn take_inherited(fd: i32) -> Option<OwnedFd> {
    borrow_inherited(fd)?;
    set_cloexec(fd, true).ok()?;
    // SAFETY: it is open, and the caller was handed it by number: nothing else in this process owns it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a standard descriptor the same as another one, which this process inherited by number, too.
///
/// * `number`: 0 to 2; what it was is closed.
///
/// # Errors
///
/// The kernel's answer.
pub fn replace_standard(from: RawFd, number: RawFd) -> io::Result<()> {
    debug_assert!((0..=2).contains(&number), "others have owners");
    // SAFETY: dup2 takes two integers; standard descriptors are open for the whole process and nobody owns them.
    let result = unsafe { libc::dup2(from, number) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Borrows a descriptor that a fork inherited by number and that stays open for the rest of this process.
///
/// Returns `None` when it is not open.
pub fn borrow_inherited(fd: i32) -> Option<BorrowedFd<'static>> {
    if fd < 0 || !is_open(fd).unwrap_or(false) {
        return None;
    }
    // SAFETY: it is open, and the caller's process keeps it open until it executes or exits.
    Some(unsafe { BorrowedFd::borrow_raw(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_descriptor_is_above_the_floor_and_close_on_exec() {
        let file: OwnedFd = File::open("/dev/null").unwrap().into();
        let moved = move_above(file, 200).unwrap();
        assert!(moved.as_raw_fd() >= 200 && is_cloexec(moved.as_fd()).unwrap());
        let number = moved.as_raw_fd();
        assert_eq!(move_above(moved, 100).unwrap().as_raw_fd(), number);
    }

    #[test]
    fn a_closed_number_is_found_and_an_open_one_listed() {
        let file = move_above(File::open("/dev/null").unwrap().into(), 300).unwrap();
        assert!(list_open().unwrap().contains(&file.as_raw_fd()));
        assert_eq!(find_closed(file.as_raw_fd(), 1).unwrap(), None);
        assert_eq!(find_closed(100_000, 3).unwrap(), Some(100_000));
        assert!(find_closed(RawFd::MAX, 2).is_err() || !is_open(RawFd::MAX).unwrap());
        assert_eq!(copy_number(100_000).unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert!(is_cloexec(copy_number(file.as_raw_fd()).unwrap().as_fd()).unwrap());
    }

    #[test]
    fn a_pipe_reopened_non_blocking_leaves_the_original_blocking() {
        let (read, write) = io::pipe().unwrap();
        let copy = reopen_nonblocking(read.as_fd(), false).unwrap();
        let mut buffer = [0; 4];
        assert_eq!(
            rustix::io::read(&copy, &mut buffer).unwrap_err(),
            rustix::io::Errno::AGAIN
        );
        assert!(!rustix::fs::fcntl_getfl(&read).unwrap().contains(OFlags::NONBLOCK));
        rustix::io::write(&write, b"x").unwrap();
        assert_eq!(rustix::io::read(&copy, &mut buffer).unwrap(), 1);
    }
}
