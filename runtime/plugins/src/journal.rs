//! What plugins say: the lines of their logs, and the newest value of what they measure.
//!
//! Kept in a folder of the state root, a file a plugin for each, none without a limit.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::time::SystemTime;

use nexcage_plugin_types::message::{LogLevel, LogLine, Metric, Span};
use nexcage_plugin_types::text::PluginName;
use nexcage_sys::file::{self, Durability, FileError};
use serde::{Deserialize, Serialize};

use crate::granted::Sink;

/// Bytes of a log after which it becomes the older one, and the one before is dropped.
const LOG_MAX: u64 = 1 << 20;

/// The most series that are kept of a plugin.
const SERIES_MAX: usize = 1000;

/// Bytes of the largest file of measurements.
const METRICS_MAX: u64 = 4 << 20;

/// A kept line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// RFC 3339, UTC.
    pub time: String,
    /// Its importance.
    pub level: LogLevel,
    /// The part of the plugin that said it.
    pub target: String,
    /// The text.
    pub message: String,
}

/// A step of keeping what plugins say that went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A file cannot be opened, read or replaced.
    #[error("keep what plugin {plugin:?} says")]
    File {
        /// The plugin.
        plugin: String,
        /// The step.
        source: FileError,
    },
    /// A line cannot be written or read.
    #[error("keep what plugin {plugin:?} says")]
    Io {
        /// The plugin.
        plugin: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What plugins say, below a folder that must exist.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    metrics: BTreeMap<String, BTreeMap<String, Metric>>,
}

impl Journal {
    /// The journal in a folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            metrics: BTreeMap::new(),
        }
    }

    /// The newest lines of a plugin's log, the oldest of them first.
    ///
    /// * `count`: how many.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub fn lines(&self, plugin: &PluginName, count: usize) -> Result<Vec<Line>, JournalError> {
        let mut lines = Vec::new();
        for path in [self.older(plugin.as_str()), self.log_path(plugin.as_str())] {
            let log = match File::open(&path) {
                Ok(log) => log,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(io_error(plugin.as_str(), source)),
            };
            for line in BufReader::new(log).lines() {
                let line = line.map_err(|source| io_error(plugin.as_str(), source))?;
                // One that was cut by a crash is no line.
                lines.extend(serde_json::from_str(&line).ok());
            }
        }
        let first = lines.len().saturating_sub(count);
        Ok(lines.split_off(first))
    }

    /// The newest value of each series of a plugin.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub fn metrics(&self, plugin: &PluginName) -> Result<Vec<Metric>, JournalError> {
        Ok(self.read_metrics(plugin.as_str())?.into_values().collect())
    }

    /// Writes the measurements of this command; lines of log are written as they come.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub fn settle(&mut self) -> Result<(), JournalError> {
        for (plugin, new) in std::mem::take(&mut self.metrics) {
            let mut kept = self.read_metrics(&plugin)?;
            kept.extend(new);
            while kept.len() > SERIES_MAX {
                kept.pop_last();
            }
            let bytes = serde_json::to_vec(&kept).unwrap_or_default();
            let path = self.metrics_path(&plugin);
            file::write_atomic(&path, &bytes, 0o600, Durability::Volatile)
                .map_err(|source| JournalError::File { plugin, source })?;
        }
        Ok(())
    }

    fn read_metrics(&self, plugin: &str) -> Result<BTreeMap<String, Metric>, JournalError> {
        match file::read_capped(&self.metrics_path(plugin), METRICS_MAX) {
            // What was broken by hand is begun anew.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(FileError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(source) => Err(JournalError::File {
                plugin: plugin.to_owned(),
                source,
            }),
        }
    }

    fn append(&self, plugin: &str, line: LogLine) -> Result<(), JournalError> {
        let path = self.log_path(plugin);
        let failed = |source| JournalError::File {
            plugin: plugin.to_owned(),
            source,
        };
        let mut log = file::open_append(&path, 0o600).map_err(failed)?;
        let line = Line {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            level: line.level,
            target: line.target,
            message: line.message,
        };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        // One write a line, so that those of several commands do not mix.
        log.write_all(&bytes).map_err(|source| io_error(plugin, source))?;
        let size = log.metadata().map_err(|source| io_error(plugin, source))?.len();
        if size > LOG_MAX {
            fs::rename(&path, self.older(plugin)).map_err(|source| io_error(plugin, source))?;
        }
        Ok(())
    }

    fn log_path(&self, plugin: &str) -> PathBuf {
        self.folder.join(format!("{plugin}.log"))
    }

    fn older(&self, plugin: &str) -> PathBuf {
        self.folder.join(format!("{plugin}.log.1"))
    }

    fn metrics_path(&self, plugin: &str) -> PathBuf {
        self.folder.join(format!("{plugin}.metrics"))
    }
}

impl Sink for Journal {
    fn log(&mut self, plugin: &str, line: LogLine) {
        if let Err(error) = self.append(plugin, line) {
            tracing::warn!(plugin, %error, lost = "a line of its log", "log of a plugin not written");
        }
    }

    fn span(&mut self, plugin: &str, span: Span) {
        tracing::debug!(
            plugin,
            name = span.name,
            start_ns = span.start_ns,
            duration_ns = span.duration_ns,
            "span of a plugin"
        );
        let message = serde_json::to_string(&span).unwrap_or_default();
        self.log(
            plugin,
            LogLine {
                level: LogLevel::Trace,
                target: "span".into(),
                message,
            },
        );
    }

    fn metric(&mut self, plugin: &str, metric: Metric) {
        let series = self.metrics.entry(plugin.to_owned()).or_default();
        let labels: String = metric
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?},"))
            .collect();
        let key = format!("{}{{{labels}}}", metric.name);
        if series.len() < SERIES_MAX || series.contains_key(&key) {
            series.insert(key, metric);
        }
    }
}

fn io_error(plugin: &str, source: io::Error) -> JournalError {
    JournalError::Io {
        plugin: plugin.to_owned(),
        source,
    }
}
