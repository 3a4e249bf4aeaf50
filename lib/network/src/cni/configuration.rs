//! The configuration a plugin reads from stdin.
//!
//! It is kept as the document it is, since delegated plugins get all of it, and each type decodes the keys it knows. Members
//! that are null are taken out first: the reference's decoder treats them as absent.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use spec::cni::failure::code;
use spec::cni::{Attachment, Dns, Failure, Version, is_name};

/// The document, and the keys that the protocol itself uses.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// As it was read, but for members that are null.
    pub document: Value,
    /// The network's name.
    pub name: String,
    /// Who gives addresses; empty for nobody.
    pub ipam: String,
    /// The version it is written in.
    pub version: Version,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Protocol {
    #[serde(rename = "cniVersion")]
    version: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    ipam: Ipam,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ipam {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Rest {
    dns: Dns,
    #[serde(rename = "cni.dev/valid-attachments")]
    attachments: Option<Vec<Attachment>>,
}

impl Configuration {
    /// Reads it. As soon as the version is known it is put into `version`, for the error that may follow.
    pub fn read(bytes: &[u8], version: &mut Version) -> Result<Self, Failure> {
        let wrong =
            |e: serde_json::Error| Failure::new(code::DECODING, format!("error unmarshall network config: {e}"));
        let mut document: Value = serde_json::from_slice(bytes).map_err(wrong)?;
        without_null(&mut document);
        let protocol = Protocol::deserialize(&document).map_err(wrong)?;
        *version = protocol.version.parse().map_err(|_| {
            let supported = Version::ALL.map(Version::name);
            Failure::new(code::INCOMPATIBLE_VERSION, "incompatible CNI versions")
                .details(format!("config is \"{}\", plugin supports {supported:?}", protocol.version))
        })?;
        if protocol.name.is_empty() {
            return Err(Failure::new(code::INVALID_CONFIGURATION, "missing network name"));
        }
        if !is_name(&protocol.name) {
            return Err(Failure::new(code::INVALID_CONFIGURATION, "invalid characters found in network name")
                .details(&protocol.name));
        }
        for (key, kind) in [("type", &protocol.kind), ("ipam.type", &protocol.ipam.kind)] {
            if kind.contains(['/', '\\', '\0']) || kind == "." || kind == ".." {
                return Err(Failure::new(
                    code::INVALID_CONFIGURATION,
                    format!("{key} {kind:?} cannot be a file's name"),
                ));
            }
        }
        Ok(Self { document, name: protocol.name, ipam: protocol.ipam.kind, version: *version })
    }

    /// The keys that a type knows.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        T::deserialize(&self.document).map_err(|e| Failure::new(code::DECODING, format!("failed to load netconf: {e}")))
    }

    /// The type it is for.
    pub fn kind(&self) -> &str {
        self.document.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// The names it says itself.
    pub fn dns(&self) -> Result<Dns, Failure> {
        Ok(self.decode::<Rest>()?.dns)
    }

    /// Which attachments are still valid, if that is said.
    pub fn attachments(&self) -> Result<Option<Vec<Attachment>>, Failure> {
        Ok(self.decode::<Rest>()?.attachments)
    }
}

fn without_null(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_null);
        }
        Value::Array(list) => list.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// `key` with `value` is something this program does not do: code 2, which names both.
pub fn unsupported(key: &str, value: impl std::fmt::Display) -> Failure {
    Failure::new(code::UNSUPPORTED_FIELD, format!("unsupported field \"{key}\" with value {value}"))
}

/// The configuration says what cannot be meant.
pub fn invalid(msg: impl std::fmt::Display) -> Failure {
    Failure::new(code::INVALID_CONFIGURATION, msg)
}

#[cfg(test)]
mod tests {
    use super::{Configuration, Version};

    #[test]
    fn null_is_absent_and_the_rest_is_kept() {
        let text = br#"{"cniVersion":"1.0.0","name":"n","type":"bridge","mtu":null,"ipam":{"type":"x","routes":null},"more":[1]}"#;
        let mut version = Version::NEWEST;
        let read = Configuration::read(text, &mut version).unwrap();
        assert_eq!((version, read.kind(), read.ipam.as_str()), (Version::V1_0_0, "bridge", "x"));
        assert!(read.document.get("mtu").is_none() && read.document["ipam"].get("routes").is_none());
        assert_eq!(read.document["more"][0], 1);
    }

    #[test]
    fn a_type_is_no_path() {
        let text = br#"{"cniVersion":"1.0.0","name":"n","type":"bridge","ipam":{"type":"../sh"}}"#;
        let failure = Configuration::read(text, &mut Version::NEWEST.clone()).unwrap_err();
        assert_eq!(failure.msg, "ipam.type \"../sh\" cannot be a file's name");
    }
}
