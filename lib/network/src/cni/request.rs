//! Who asks for what: the environment a runtime gives a plugin, checked (SPEC.md, "Parameters").

use crate::link;
use spec::cni::failure::code;
use spec::cni::{Arguments, Failure, is_name};

/// The operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach, or adjust what is attached.
    Add,
    /// Take it away again.
    Del,
    /// Say whether it is as it should be.
    Check,
    /// Say whether ADD would be served.
    Status,
    /// Say which versions are spoken.
    Version,
    /// Take away what belongs to no valid attachment.
    Gc,
}

impl Command {
    /// Reads its name.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "ADD" => Self::Add,
            "DEL" => Self::Del,
            "CHECK" => Self::Check,
            "STATUS" => Self::Status,
            "VERSION" => Self::Version,
            "GC" => Self::Gc,
            _ => return None,
        })
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
            Self::Gc => "GC",
        }
    }

    fn is_about_a_container(self) -> bool {
        matches!(self, Self::Add | Self::Del | Self::Check)
    }
}

/// The variables as they are; what is empty is not there.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `CNI_COMMAND`
    pub command: Option<String>,
    /// `CNI_CONTAINERID`
    pub container: Option<String>,
    /// `CNI_NETNS`
    pub namespace: Option<String>,
    /// `CNI_IFNAME`
    pub interface: Option<String>,
    /// `CNI_ARGS`
    pub arguments: Option<String>,
    /// `CNI_PATH`
    pub path: Option<String>,
    /// `CNI_NETNS_OVERRIDE`: the namespace may be the plugin's own.
    pub own_namespace: Option<String>,
}

impl Environment {
    /// The variables by a function that gives their values.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        Self {
            command: get("CNI_COMMAND"),
            container: get("CNI_CONTAINERID"),
            namespace: get("CNI_NETNS"),
            interface: get("CNI_IFNAME"),
            arguments: get("CNI_ARGS"),
            path: get("CNI_PATH"),
            own_namespace: get("CNI_NETNS_OVERRIDE"),
        }
    }
}

/// The same, checked. Container and interface are empty for operations that are about none.
#[derive(Debug, Clone)]
pub struct Request {
    /// The operation.
    pub command: Command,
    /// The container's id.
    pub container: String,
    /// The interface inside.
    pub interface: String,
    /// The path of the container's namespace.
    pub namespace: Option<String>,
    /// What `CNI_ARGS` says.
    pub arguments: Arguments,
    /// Where plugins are executed from.
    pub path: Vec<String>,
    /// Whether the namespace may be the plugin's own.
    pub own_namespace: bool,
}

impl Request {
    /// Checks the variables.
    pub fn of(environment: &Environment) -> Result<Self, Failure> {
        let wrong = |msg: String| Failure::new(code::INVALID_ENVIRONMENT, msg);
        let missing = |names: &[&str]| wrong(format!("required env variables [{}] missing", names.join(",")));
        let name = environment.command.as_deref().ok_or_else(|| missing(&["CNI_COMMAND"]))?;
        let command = Command::parse(name).ok_or_else(|| wrong(format!("unknown CNI_COMMAND: {name}")))?;
        let about = command.is_about_a_container();
        let needs = [
            ("CNI_CONTAINERID", &environment.container, about),
            ("CNI_NETNS", &environment.namespace, about && command != Command::Del),
            ("CNI_IFNAME", &environment.interface, about),
            ("CNI_PATH", &environment.path, command == Command::Gc),
        ];
        let lacking: Vec<_> = needs.iter().filter(|(_, v, needed)| *needed && v.is_none()).map(|(n, ..)| *n).collect();
        if !lacking.is_empty() {
            return Err(missing(&lacking));
        }
        if about {
            check("CNI_CONTAINERID", environment.container.as_deref(), |id| match is_name(id) {
                true => Ok(()),
                false => Err(format!("invalid characters in containerID {id:?}")),
            })?;
            check("CNI_IFNAME", environment.interface.as_deref(), link::check_name)?;
        }
        let arguments = Arguments::parse(environment.arguments.as_deref().unwrap_or_default());
        let path = environment.path.iter().flat_map(|path| path.split(':')).filter(|folder| !folder.is_empty());
        let own = environment.own_namespace.as_deref();
        Ok(Self {
            command,
            container: environment.container.clone().unwrap_or_default(),
            interface: environment.interface.clone().unwrap_or_default(),
            namespace: environment.namespace.clone(),
            arguments: arguments.map_err(|why| wrong(format!("CNI_ARGS: {why}")))?,
            path: path.map(str::to_owned).collect(),
            own_namespace: own.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true")),
        })
    }
}

fn check(name: &str, value: Option<&str>, rule: impl Fn(&str) -> Result<(), String>) -> Result<(), Failure> {
    let wrong = |why: String| Failure::new(code::INVALID_ENVIRONMENT, format!("{name}: {why}"));
    value.map_or(Ok(()), |value| rule(value).map_err(wrong))
}

#[cfg(test)]
mod tests {
    use super::{Environment, Request};

    fn request(variables: &[(&str, &str)]) -> Result<Request, String> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
        Request::of(&Environment::of(find)).map_err(|f| format!("{} {}", f.code, f.msg))
    }

    #[test]
    fn what_lacks_is_named() {
        assert_eq!(request(&[]).unwrap_err(), "4 required env variables [CNI_COMMAND] missing");
        let lacking = request(&[("CNI_COMMAND", "ADD"), ("CNI_IFNAME", "eth0")]).unwrap_err();
        assert_eq!(lacking, "4 required env variables [CNI_CONTAINERID,CNI_NETNS] missing");
        let del = [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "eth0")];
        assert!(request(&del).is_ok(), "DEL needs no namespace");
        assert_eq!(request(&[("CNI_COMMAND", "GC")]).unwrap_err(), "4 required env variables [CNI_PATH] missing");
        assert!(request(&[("CNI_COMMAND", "STATUS")]).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |key: &str, value: &str| {
            let mut all = vec![("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "eth0")];
            all.retain(|(k, _)| *k != key);
            all.push((key, value));
            request(&all).unwrap_err()
        };
        assert_eq!(with("CNI_COMMAND", "add"), "4 unknown CNI_COMMAND: add");
        assert!(with("CNI_CONTAINERID", "../x").starts_with("4 CNI_CONTAINERID: invalid characters"));
        assert!(with("CNI_IFNAME", "sixteen_bytes___").starts_with("4 CNI_IFNAME: "));
        assert!(with("CNI_ARGS", "what").starts_with("4 CNI_ARGS: ARGS: invalid pair"));
    }
}
