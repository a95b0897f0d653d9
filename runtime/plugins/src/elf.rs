//! What a plugin's shared object would have the dynamic loader do.
//!
//! Read from the program headers, as the loader itself does: section headers may say something else, or be missing.

use std::path::{Path, PathBuf};

use nexcage_plugin_types::sandbox::LIBRARIES;
use object::Endianness;
use object::elf::{
    DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_STRTAB, Dyn64, DynamicTag, EM_X86_64, ET_DYN, FileHeader64, PT_LOAD,
    ProgramHeader64,
};
use object::read::StringTable;
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};

#[cfg(test)]
mod tests;

type Program = ProgramHeader64<Endianness>;
type Entry = Dyn64<Endianness>;

/// A shared object that is not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// It is no ELF file that can be read.
    #[error("read shared object {path:?}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: object::Error,
    },
    /// It needs a library whose name it does not hold.
    #[error("read shared object {path:?}: the name of a library lies outside of the file")]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// It is for another machine, or a program.
    #[error("read shared object {path:?}: it is no shared object for this machine: build it for x86-64")]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// It names folders in which the loader would search.
    #[error("load shared object {path:?}: it has {tag}: link it without one")]
    SearchPath {
        /// The file.
        path: PathBuf,
        /// `RPATH` or `RUNPATH`.
        tag: &'static str,
    },
    /// It needs a library that its root does not hold.
    #[error("load shared object {path:?}: it needs {library:?}: link it static, plugins have only {}", LIBRARIES.join(", "))]
    Library {
        /// The file.
        path: PathBuf,
        /// The library.
        library: String,
    },
}

/// Reads which libraries of the C runtime a shared object needs.
///
/// * `path`: for errors.
///
/// # Errors
///
/// [`ElfError`]: the object may not be loaded.
pub fn read_libraries(path: &Path, bytes: &[u8]) -> Result<Vec<String>, ElfError> {
    let failed = |source| ElfError::Parse {
        path: path.to_owned(),
        source,
    };
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(failed)?;
    let endian = header.endian().map_err(failed)?;
    if header.e_type.get(endian) != ET_DYN || header.e_machine.get(endian) != EM_X86_64 {
        return Err(ElfError::Kind { path: path.to_owned() });
    }
    let programs = header.program_headers(endian, bytes).map_err(failed)?;
    let mut libraries = Vec::new();
    for program in programs {
        let Some(entries) = program.dynamic(endian, bytes).map_err(failed)? else {
            continue;
        };
        let end = entries.iter().position(|entry| entry.d_tag(endian) == DT_NULL);
        let entries = entries.get(..end.unwrap_or(entries.len())).unwrap_or_default();
        let values = |tag: DynamicTag| values(endian, entries, tag);
        for (tag, name) in [(DT_RPATH, "RPATH"), (DT_RUNPATH, "RUNPATH")] {
            if values(tag).next().is_some() {
                return Err(ElfError::SearchPath {
                    path: path.to_owned(),
                    tag: name,
                });
            }
        }
        let Some(table) = values(DT_STRTAB).next() else {
            continue;
        };
        for name in values(DT_NEEDED) {
            let name = read_text(endian, bytes, programs, table, name);
            libraries.push(name.ok_or_else(|| ElfError::Name { path: path.to_owned() })?);
        }
    }
    match libraries.iter().find(|name| !LIBRARIES.contains(&name.as_str())) {
        None => Ok(libraries),
        Some(library) => Err(ElfError::Library {
            path: path.to_owned(),
            library: library.clone(),
        }),
    }
}

fn values(endian: Endianness, entries: &[Entry], tag: DynamicTag) -> impl Iterator<Item = u64> {
    let of_tag = entries.iter().filter(move |entry| entry.d_tag(endian) == tag);
    of_tag.map(move |entry| entry.d_val(endian))
}

/// A text of the table that the loader will find at this address.
fn read_text(endian: Endianness, bytes: &[u8], programs: &[Program], table: u64, at: u64) -> Option<String> {
    let mut loaded = programs.iter().filter(|program| program.p_type(endian) == PT_LOAD);
    let start = loaded.find_map(|program| {
        let inside = table.checked_sub(program.p_vaddr(endian))?;
        let (offset, size) = program.file_range(endian);
        (inside < size).then(|| offset.checked_add(inside))?
    })?;
    let strings = StringTable::new(bytes, start, u64::try_from(bytes.len()).ok()?);
    let text = strings.get(u32::try_from(at).ok()?).ok()?;
    Some(String::from_utf8_lossy(text).into_owned())
}
