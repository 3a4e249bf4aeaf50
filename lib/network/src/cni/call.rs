//! One call of a plugin: request and configuration together.

use super::configuration::{Configuration, invalid};
use super::plugin::{self, Plugin};
use super::request::{Command, Request};
use crate::error::{Error, Kind};
use crate::namespace::{Namespace, Reference};
use crate::state::State;
use serde_json::Value;
use spec::cni::failure::code;
use spec::cni::{Attachment, Failure, Success, Version};

/// One call.
#[derive(Debug)]
pub struct Call<'a> {
    /// Where our own networks are.
    pub state: &'a State,
    /// Who asks for what.
    pub request: Request,
    /// The configuration.
    pub configuration: Configuration,
    /// The version that is spoken.
    pub version: Version,
    /// What the plugins before made, or the whole chain.
    pub previous: Option<Success>,
    kind: String,
}

impl<'a> Call<'a> {
    /// Reads the configuration and sees that the version has the operation.
    pub(super) fn new(
        state: &'a State,
        called: Option<&str>,
        request: Request,
        input: &[u8],
        version: &mut Version,
    ) -> Result<Self, Failure> {
        let configuration = Configuration::read(input, version)?;
        let since = match request.command {
            Command::Check => Version::V0_4_0,
            Command::Status | Command::Gc => Version::V1_1_0,
            _ => Version::V0_1_0,
        };
        if *version < since {
            let name = request.command.name();
            return Err(Failure::new(code::INCOMPATIBLE_VERSION, format!("config version does not allow {name}"))
                .details(format!("config is {version}, {name} came with {since}")));
        }
        let previous = match configuration.document.get("prevResult") {
            Some(Value::Object(members)) if !members.is_empty() => {
                let read = Success::read(&configuration.document["prevResult"], *version);
                Some(read.map_err(|why| Failure::new(code::DECODING, format!("could not parse prevResult: {why}")))?)
            }
            None | Some(Value::Object(_)) => None,
            Some(_) => return Err(Failure::new(code::DECODING, "could not parse prevResult: it is no object")),
        };
        let kind = called.unwrap_or_else(|| configuration.kind()).to_owned();
        Ok(Self { state, request, version: *version, previous, kind, configuration })
    }

    /// The type that is asked.
    pub(super) fn plugin(&self) -> Result<&'static dyn Plugin, Failure> {
        let unknown = || match self.kind.as_str() {
            "" => invalid("the configuration names no type"),
            kind => invalid(format!("no plugin of type {kind:?} here")).details(plugin::NAMES.join(" ")),
        };
        plugin::of(&self.kind).ok_or_else(unknown)
    }

    /// The container's namespace. That it is not there is code 3.
    pub fn namespace(&self) -> Result<Namespace, Failure> {
        let path = self.request.namespace.as_deref().unwrap_or_default();
        let opened = Namespace::open(&Reference::Path(path.into())).map_err(|e| {
            let not_there = matches!(e.kind, Kind::NotFound | Kind::Invalid);
            let why = failed(e);
            let code = if not_there { code::UNKNOWN_CONTAINER } else { why.code };
            Failure { code, ..why }.during(&format!("failed to open netns \"{path}\""))
        })?;
        if !self.request.own_namespace && opened.identity().inode == Namespace::own().map_err(failed)?.identity().inode
        {
            return Err(Failure::new(
                code::INVALID_NAMESPACE,
                "plugin's netns and netns from CNI_NETNS should not be the same",
            )
            .details(path));
        }
        Ok(opened)
    }

    /// The container's namespace for DEL: none where it is not said, gone, or no namespace (any more).
    pub fn namespace_if_any(&self) -> Result<Option<Namespace>, Failure> {
        if self.request.namespace.is_none() {
            return Ok(None);
        }
        match self.namespace() {
            Ok(namespace) => Ok(Some(namespace)),
            Err(failure) if failure.code == code::UNKNOWN_CONTAINER => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The namespace's path as the runtime wrote it.
    pub fn sandbox(&self) -> &str {
        self.request.namespace.as_deref().unwrap_or_default()
    }

    /// What the plugins before made; it is an error that there is nothing.
    pub fn required_previous(&self) -> Result<&Success, Failure> {
        self.previous.as_ref().ok_or_else(|| match self.request.command {
            Command::Check => invalid("Required prevResult missing"),
            _ => invalid("must be called as chained plugin"),
        })
    }

    /// The attachments that GC leaves alone. Without a list nothing is known, and so nothing is done.
    pub(super) fn attachments(&self) -> Result<Vec<Attachment>, Failure> {
        self.configuration.attachments()?.ok_or_else(|| {
            invalid("GC without cni.dev/valid-attachments").details("an empty list says that nothing is attached")
        })
    }

    /// This attachment, as GC would name it.
    pub fn attachment(&self) -> Attachment {
        Attachment { container: self.request.container.clone(), interface: self.request.interface.clone() }
    }

    /// A number that stands for this attachment, the same in every call about it: names of links are made of it.
    pub fn fingerprint(&self) -> u64 {
        let Request { container, interface, .. } = &self.request;
        // FNV-1a; the parts cannot run into each other, since a NUL is in none of them.
        let text = [self.configuration.name.as_bytes(), container.as_bytes(), interface.as_bytes()].join(&0);
        text.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
    }

    /// The name of the outer end of this attachment's veth pair.
    pub fn outer_name(&self) -> String {
        format!("veth{:011x}", self.fingerprint() >> 20)
    }

    /// The hardware address that is asked for, by increasing weight in `CNI_ARGS`, `mac`, `args.cni.mac`, `runtimeConfig.mac`.
    pub fn mac(&self) -> Result<Option<Vec<u8>>, Failure> {
        let document = &self.configuration.document;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
        let given = text(document.get("runtimeConfig").and_then(|c| c.get("mac")))
            .or_else(|| text(document.get("args").and_then(|a| a.get("cni")?.get("mac"))))
            .or_else(|| self.request.arguments.get("MAC").filter(|mac| !mac.is_empty()).map(str::to_owned))
            .or_else(|| text(document.get("mac")));
        given.map(|text| parse_mac(&text)).transpose()
    }
}

/// Reads a hardware address of six bytes.
pub fn parse_mac(text: &str) -> Result<Vec<u8>, Failure> {
    let wrong = |why: String| invalid(format!("address {text}: invalid MAC address")).details(why);
    text.to_ascii_lowercase().parse::<crate::mac::Mac>().map(|mac| mac.0.to_vec()).map_err(wrong)
}

/// What an error of this room is to a runtime.
pub fn failed(error: Error) -> Failure {
    Failure::new(code::INTERNAL, &error).details(error.hint.as_deref().unwrap_or_default())
}
