//! `cargo xtask examples`: builds the example plugins as packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{host, process};

const EXAMPLES: &str = "plugin-abi/examples";
const TARGET: &str = "target/dynamic";

/// Those in Rust: package of cargo, and folder.
const RUST: [(&str, &str); 1] = [("nexcage-example-hello", "hello-rust")];

/// Those in C: source file, and folder.
const C: [(&str, &str); 1] = [("hello.c", "hello-c")];

/// Build the example plugins as packages, in target/examples.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder that gets a folder for each.
    #[arg(long, default_value = "target/examples")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    for (package, name) in RUST {
        let mut cargo = host::dynamic();
        cargo.args([
            "rustc",
            "--quiet",
            "--lib",
            "--crate-type",
            "cdylib",
            "--profile",
            "plugin",
            "-p",
            package,
        ]);
        if !cargo.status().context("run cargo")?.success() {
            bail!("build {package}");
        }
        let object = format!("lib{}.so", package.replace('-', "_"));
        pack(
            &args.out,
            name,
            &host::output(Path::new(TARGET), "plugin")?.join(object),
        )?;
    }
    for (source, name) in C {
        let object = Path::new(TARGET).join(format!("{name}.so"));
        let mut compiler = process::program("cc");
        compiler.args([
            "-std=c11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
            "-I",
            "plugin-abi/include",
        ]);
        compiler
            .arg(Path::new(EXAMPLES).join(name).join(source))
            .arg("-o")
            .arg(&object);
        if !compiler.status().context("run cc")?.success() {
            bail!("build {name}");
        }
        pack(&args.out, name, &object)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a package: the shared object, and the manifest with its digest.
fn pack(out: &Path, name: &str, object: &Path) -> Result<()> {
    let folder = out.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("make {folder:?}"))?;
    let file = format!("{name}.nexcage-plugin");
    let to = folder.join(&file);
    fs::copy(object, &to).with_context(|| format!("copy {object:?}"))?;
    let manifest = Path::new(EXAMPLES).join(name).join("plugin-manifest.json");
    let text = fs::read_to_string(&manifest).with_context(|| format!("read {manifest:?}"))?;
    let mut value: Value = serde_json::from_str(&text).with_context(|| format!("read {manifest:?}"))?;
    let digest = process::read_output(process::program("sha256sum").arg(&to))?;
    let digest = digest
        .split_whitespace()
        .next()
        .context("read the output of sha256sum")?;
    let members = value
        .as_object_mut()
        .with_context(|| format!("{manifest:?} is no object"))?;
    members.insert("files".into(), json!({file: digest}));
    let to = folder.join("plugin-manifest.json");
    let text = serde_json::to_string_pretty(&value).context("write the manifest")? + "\n";
    let staged = folder.join(".plugin-manifest.json");
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&staged);
    written
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .with_context(|| format!("write {staged:?}"))?;
    fs::rename(&staged, &to).with_context(|| format!("replace {to:?}"))
}
