//! Reading `config.json` and process documents, more patiently than their types do.
//!
//! The types refuse what the specification wants a warning for (a capability without a name here) and know two flags of the scheduler
//! by other names than the specification's. So a document that is refused is read once more with that mended; what is still wrong
//! then is looked for, since the parser names a value and not its place. A document without any of it is read once.

use crate::error::{Error, Kind, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use spec::runtime::Process;

/// A document that could be read.
#[derive(Debug)]
pub(crate) struct Read<T> {
    pub(crate) document: T,
    /// Its text, mended, where that was needed.
    pub(crate) mended: Option<Vec<u8>>,
    /// What had to be left out.
    pub(crate) warnings: Vec<Error>,
}

/// Reads a configuration or a process document.
pub(crate) fn read<T: DeserializeOwned>(raw: &[u8]) -> Result<Read<T>> {
    let first = match serde_json::from_slice(raw) {
        Ok(document) => return Ok(Read { document, mended: None, warnings: Vec::new() }),
        Err(error) => error,
    };
    // Not JSON at all: the parser's own words say where.
    let Ok(mut tree) = serde_json::from_slice::<Value>(raw) else {
        return Err(Error::new(Kind::Invalid, "", "").because(first));
    };
    let warnings = mend(&mut tree);
    match serde_json::from_value(tree.clone()) {
        Ok(document) => Ok(Read { document, mended: serde_json::to_vec(&tree).ok(), warnings }),
        Err(error) => {
            let place = place_of::<T>(&tree, &error.to_string());
            Err(Error::new(Kind::Invalid, "", place).because(error))
        }
    }
}

/// Refuses an I/O priority without a class, which the types would make one up for. `raw` is the document, and `place` the pointer to
/// the process in it.
pub(crate) fn check_io_priority(raw: &[u8], place: &str, process: &Process) -> Result<()> {
    if process.io_priority().is_none() {
        return Ok(());
    }
    let tree: Value = serde_json::from_slice(raw).unwrap_or_default();
    match tree.pointer(&format!("{place}/ioPriority/class")) {
        Some(_) => Ok(()),
        None => Err(crate::error::invalid("process.ioPriority.class", "", "is missing")),
    }
}

/// The specification's names of flags, and those the types have for them.
const FLAGS: [(&str, &str); 2] =
    [("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"), ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN")];

fn mend(tree: &mut Value) -> Vec<Error> {
    let unknown = spec::capability::drop_unknown(tree);
    let warnings = unknown.into_iter().map(|name| {
        Error::new(Kind::Invalid, "process.capabilities", name)
            .because("is left out: this runtime knows no capability of that name".to_owned())
    });
    let process = if tree.get("process").is_some() { tree.get_mut("process") } else { Some(tree) };
    let Some(process) = process else { return warnings.collect() };
    for flag in process.pointer_mut("/scheduler/flags").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some((_, ours)) = FLAGS.iter().find(|(name, _)| flag == name) {
            *flag = (*ours).into();
        }
    }
    if let Some(affinity) = process.get_mut("execCPUAffinity").and_then(Value::as_object_mut) {
        // Empty is as good as absent (runtime-spec "Linux Process").
        affinity.retain(|_, list| list != "");
    }
    warnings.collect()
}

/// Where in `tree` the reason for `error` lies: whatever makes another error, or none, of it when it is taken out.
fn place_of<T: DeserializeOwned>(tree: &Value, error: &str) -> String {
    let mut path: Vec<String> = Vec::new();
    let mut pointer = String::new();
    while let Some(here) = tree.pointer(&pointer) {
        let names: Vec<String> = match here {
            Value::Object(members) => members.keys().cloned().collect(),
            Value::Array(list) => (0..list.len()).map(|n| n.to_string()).collect(),
            _ => break,
        };
        let guilty = names.into_iter().find(|name| {
            let mut without = tree.clone();
            match without.pointer_mut(&pointer) {
                Some(Value::Object(members)) => drop(members.remove(name)),
                Some(Value::Array(list)) => drop(name.parse().ok().filter(|n| *n < list.len()).map(|n| list.remove(n))),
                _ => {}
            }
            // Of two fields that are missing only the first is told of: that one is now missing too is no difference.
            let also = |other: &str| error.starts_with("missing field") && other == format!("missing field `{name}`");
            let other = serde_json::from_value::<T>(without).err().map(|e| e.to_string());
            other.is_none_or(|other| other != error && !also(&other))
        });
        let Some(name) = guilty else { break };
        pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        path.push(name);
    }
    path.join(".")
}

#[cfg(test)]
mod tests {
    use super::read;
    use spec::runtime::{Process, Spec};

    fn process(more: &str) -> String {
        format!(r#"{{"user":{{}},"cwd":"/","args":["a"],{more}}}"#)
    }

    #[test]
    fn what_the_types_refuse_for_no_reason_is_mended() {
        let raw = process(
            r#""capabilities":{"bounding":["CAP_KILL","CAP_OF_TOMORROW"]},"scheduler":{"policy":"SCHED_FIFO","flags":["SCHED_FLAG_RESET_ON_FORK"]},"execCPUAffinity":{"initial":"","final":"0"}"#,
        );
        let read = read::<Process>(raw.as_bytes()).unwrap();
        assert_eq!(
            read.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["process.capabilities CAP_OF_TOMORROW: is left out: this runtime knows no capability of that name"]
        );
        assert_eq!(read.document.exec_cpu_affinity().as_ref().unwrap().initial(), &None);
        // The text that is kept can be read again without any of this.
        assert!(super::read::<Process>(&read.mended.unwrap()).unwrap().mended.is_none());
    }

    #[test]
    fn an_io_priority_has_a_class() {
        let check = |raw: &str| {
            let process = read::<Process>(raw.as_bytes()).unwrap().document;
            super::check_io_priority(raw.as_bytes(), "", &process).map_err(|e| e.to_string())
        };
        let refused = check(&process(r#""ioPriority":{"priority":3}"#));
        assert_eq!(refused, Err("process.ioPriority.class: is missing".to_owned()));
        assert_eq!(check(&process(r#""ioPriority":{"class":"IOPRIO_CLASS_BE","priority":3}"#)), Ok(()));
        // Members that nobody knows are nobody's affair.
        assert_eq!(check(&process(r#""process":{},"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":3}"#)), Ok(()));
    }

    #[test]
    fn the_place_of_what_is_wrong_is_named() {
        let said = |raw: String| {
            read::<Spec>(format!(r#"{{"ociVersion":"1.2.0","process":{raw}}}"#).as_bytes()).unwrap_err().to_string()
        };
        let error = said(process(r#""rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":1},{"type":"RLIMIT_X"}]"#));
        assert!(error.starts_with("process.rlimits.1.type: unknown variant `RLIMIT_X`"), "{error}");
        let error = said(process(r#""scheduler":{"policy":"SCHED_NONE"}"#));
        assert!(error.starts_with("process.scheduler.policy: unknown variant `SCHED_NONE`"), "{error}");
        assert_eq!(said(r#"{"user":{}}"#.to_owned()), "process: missing field `cwd`");
    }
}
