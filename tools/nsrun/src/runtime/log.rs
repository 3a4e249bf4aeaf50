//! The file behind `--log`: one line an error, as runc's logger writes it, since podman and Docker take their message from there.

use super::cli::LogLevel;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

/// An open log, or none.
#[derive(Debug)]
pub(crate) struct Log {
    file: Option<File>,
    json: bool,
    level: LogLevel,
}

impl Log {
    /// Opens `path` for appending; a log that cannot be written is no reason to fail.
    pub(crate) fn new(path: Option<&Path>, json: bool, level: LogLevel) -> Self {
        let file = path.and_then(|p| OpenOptions::new().create(true).append(true).open(p).ok());
        Self { file, json, level }
    }

    /// Whether there is a file to write to.
    pub(crate) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Writes down an error.
    pub(crate) fn error(&self, message: &str) {
        self.write(LogLevel::Error, "error", message);
    }

    /// Writes down a warning.
    pub(crate) fn warning(&self, message: &str) {
        self.write(LogLevel::Warning, "warning", message);
    }

    /// Writes down what only who looks for a fault wants to know.
    pub(crate) fn debug(&self, message: &str) {
        self.write(LogLevel::Debug, "debug", message);
    }

    fn write(&self, at: LogLevel, level: &str, message: &str) {
        let Some(mut file) = self.file.as_ref().filter(|_| at <= self.level) else { return };
        let time = runtime::container::rfc3339(SystemTime::now());
        let line = if self.json {
            serde_json::json!({"level": level, "msg": message, "time": time}).to_string()
        } else {
            format!("time=\"{time}\" level={level} msg={}", serde_json::Value::from(message))
        };
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}
