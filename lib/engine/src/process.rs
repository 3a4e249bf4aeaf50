//! What runs in a container: the request and the image's configuration become argv, environment, folder and ids.

use crate::accounts::{Accounts, Identity};
use crate::request::Request;
use crate::{Error, Kind, Result};

/// docker's default search path.
pub const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an image says of its processes; all of it can be empty.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// `Entrypoint`
    pub entrypoint: Vec<String>,
    /// `Cmd`
    pub cmd: Vec<String>,
    /// `Env`
    pub env: Vec<String>,
    /// `WorkingDir`
    pub workdir: String,
    /// `User`
    pub user: String,
    /// `StopSignal`
    pub stop_signal: Option<String>,
    /// `ExposedPorts`: `80/tcp`
    pub ports: Vec<String>,
    /// `Labels`
    pub labels: std::collections::BTreeMap<String, String>,
    /// docker's `Healthcheck`, which OCI does not know.
    pub healthcheck: Option<crate::request::health::Check>,
    /// docker's `Shell`: what runs a command that is one text.
    pub shell: Vec<String>,
}

impl Defaults {
    /// What an image configuration says.
    pub fn of_image(config: &spec::image::ImageConfiguration) -> Self {
        let Some(config) = config.config() else { return Self::default() };
        Self {
            entrypoint: config.entrypoint().clone().unwrap_or_default(),
            cmd: config.cmd().clone().unwrap_or_default(),
            env: config.env().clone().unwrap_or_default(),
            workdir: config.working_dir().clone().unwrap_or_default(),
            user: config.user().clone().unwrap_or_default(),
            stop_signal: config.stop_signal().clone(),
            ports: config.exposed_ports().clone().unwrap_or_default(),
            labels: config.labels().clone().unwrap_or_default().into_iter().collect(),
            ..Self::default()
        }
    }

    /// The same with what docker alone knows, from the whole configuration.
    #[must_use]
    pub fn with_docker(mut self, raw: &serde_json::Value) -> Self {
        let read = |name: &str| raw.pointer(&format!("/config/{name}")).filter(|value| !value.is_null()).cloned();
        self.healthcheck = read("Healthcheck").and_then(|value| serde_json::from_value(value).ok());
        self.shell = read("Shell").and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
        self
    }

    /// What the image `host` says: a shell.
    pub fn of_host() -> Self {
        Self { cmd: vec!["/bin/sh".into()], ..Self::default() }
    }
}

/// A process, resolved.
#[derive(Debug, Clone)]
pub struct Process {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    /// `NAME=value`
    pub env: Vec<String>,
    /// Absolute.
    pub cwd: String,
    /// Who it runs as.
    pub identity: Identity,
}

/// docker's rule for what runs: entrypoint and command as asked, else the image's; an entrypoint that was asked for drops the
/// image's command, and an empty one clears the image's entrypoint.
pub fn words<'a>(request: &'a Request, defaults: &'a Defaults) -> (Vec<String>, &'a [String]) {
    let entrypoint = match &request.entrypoint {
        Some(word) if word.is_empty() => Vec::new(),
        Some(word) => vec![word.clone()],
        None => defaults.entrypoint.clone(),
    };
    let by_default = request.command.is_empty() && request.entrypoint.is_none();
    (entrypoint, if by_default { &defaults.cmd } else { &request.command })
}

/// docker: an empty word is no program, whatever `verb` was to start it.
pub(crate) fn no_program(verb: &str) -> Error {
    let failed = format!("{verb} failed: unable to start container process: exec: \"\"");
    Error::new(Kind::CommandNotFound, "", failed).because("executable file not found in $PATH")
}

/// Resolves what runs. `hostname` is what `$HOSTNAME` says.
pub fn resolve(request: &Request, defaults: &Defaults, accounts: &Accounts, hostname: &str) -> Result<Process> {
    let (entrypoint, command) = words(request, defaults);
    let argv = [&*entrypoint, command].concat();
    if argv.is_empty() {
        return Err(Error::new(Kind::Request, "no command specified", "")
            .hint(format!("the image {} names none: put one behind it", request.image)));
    }
    if argv[0].is_empty() {
        return Err(no_program("create"));
    }
    let user = request.user.as_deref().unwrap_or(&defaults.user);
    let identity = accounts.resolve_with(user, &request.manner.groups)?;

    let manner = &request.manner;
    let mut env = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if request.tty {
        env.push("TERM=xterm".into());
    }
    if manner.unset_all {
        // podman: those that it sets by itself go too, but for the names of the container and of its user's home
        env.retain(|e| e.starts_with("HOSTNAME="));
    }
    let is_kept = |setting: &&String| {
        let name = setting.split_once('=').map_or(setting.as_str(), |(name, _)| name);
        !manner.unset_all && !manner.unset.iter().any(|unset| unset == name)
    };
    for setting in defaults.env.iter().filter(is_kept).chain(&request.env) {
        set(&mut env, setting);
    }
    env.retain(|e| {
        !manner.unset.iter().any(|unset| e.strip_prefix(unset.as_str()).is_some_and(|rest| rest.starts_with('=')))
            || request.env.contains(e)
    });
    if !env.iter().any(|e| e.starts_with("HOME=")) {
        env.push(format!("HOME={}", identity.home));
    }
    let cwd = request.workdir.as_deref().unwrap_or(&defaults.workdir);
    let cwd = match cwd {
        "" => "/".to_owned(),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => {
            return Err(Error::new(
                Kind::Request,
                "",
                format!("the working directory '{relative}' is invalid, it needs to be an absolute path"),
            )
            .hint(format!("-w /{relative}")));
        }
    };
    for text in argv.iter().chain(&env) {
        if text.contains('\0') {
            return Err(Error::new(Kind::Request, "argument", format!("{text:?}")).because("it holds a NUL byte"));
        }
    }
    Ok(Process { argv, env, cwd, identity })
}

/// Sets one variable, in its first place if it was set before; a name alone takes the variable away (docker).
pub(crate) fn set(env: &mut Vec<String>, setting: &str) {
    let name = setting.split_once('=').map_or(setting, |(name, _)| name);
    let same = |e: &&mut String| e.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    if !setting.contains('=') {
        env.retain(|e| !e.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')));
        return;
    }
    match env.iter_mut().find(same) {
        Some(old) => setting.clone_into(old),
        None => env.push(setting.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Defaults {
        Defaults {
            entrypoint: vec!["/entry".into()],
            cmd: vec!["serve".into()],
            env: vec!["PATH=/bin".into(), "A=1".into()],
            ..Defaults::default()
        }
    }

    fn argv(request: &Request) -> Vec<String> {
        resolve(request, &defaults(), &Accounts::default(), "h").unwrap().argv
    }

    #[test]
    fn entrypoint_and_command_combine_as_in_docker() {
        let mut request = Request::default();
        assert_eq!(argv(&request), ["/entry", "serve"]);
        request.command = vec!["x".into()];
        assert_eq!(argv(&request), ["/entry", "x"]);
        request.entrypoint = Some("/other".into());
        assert_eq!(argv(&request), ["/other", "x"]);
        request.entrypoint = Some(String::new());
        assert_eq!(argv(&request), ["x"]);
        request.command.clear();
        let error = resolve(&request, &defaults(), &Accounts::default(), "h").unwrap_err();
        assert_eq!(error.to_string(), "no command specified");
    }

    #[test]
    fn later_settings_replace_earlier_ones() {
        let request = Request { env: vec!["A=2".into(), "B=".into()], ..Request::default() };
        let process = resolve(&request, &defaults(), &Accounts::default(), "h").unwrap();
        assert_eq!(process.env, ["PATH=/bin", "HOSTNAME=h", "A=2", "B=", "HOME=/root"]);
        assert_eq!(process.cwd, "/");
    }
}
