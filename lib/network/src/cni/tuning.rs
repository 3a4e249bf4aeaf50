//! `tuning`: kernel parameters of the container's namespace, and settings of its interface.
//!
//! What the interface was before is kept in `dataDir`, in the reference's own form, and put back by DEL. Parameters are not
//! put back: they go with the namespace. Where this host has a list of parameters that may be set
//! (`/etc/cni/tuning/allowlist.conf`), others are refused.

mod allowlist;
mod backup;

use super::call::{Call, failed, parse_mac};
use super::configuration::invalid;
use super::inspection::damaged;
use super::message::{Link, link};
use super::place::{Found, Place};
use super::plugin::Plugin;
use super::request::Command;
use crate::socket::Request;
use crate::sysctl::{self, Setting};
use backup::Backup;
use serde::Deserialize;
use spec::cni::failure::code;
use spec::cni::{Attachment, Failure, Success};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(super) struct Tuning;

const IFF_ALLMULTI: u32 = libc::IFF_ALLMULTI as u32;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    data_dir: String,
    #[serde(flatten)]
    settings: Settings,
    args: Args,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Args {
    cni: Settings,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Settings {
    sysctl: BTreeMap<String, String>,
    mac: String,
    promisc: Option<bool>,
    mtu: Option<u32>,
    #[serde(rename = "txQLen")]
    queue_length: Option<u32>,
    allmulti: Option<bool>,
}

/// The configuration, checked.
struct Wish {
    parameters: Vec<Setting>,
    mac: Option<Vec<u8>>,
    promisc: bool,
    mtu: Option<u32>,
    queue_length: Option<u32>,
    allmulti: Option<bool>,
    data: PathBuf,
}

impl Wish {
    fn read(call: &Call<'_>) -> Result<Self, Failure> {
        let Keys { data_dir, settings, args } = call.configuration.decode()?;
        call.request.arguments.refuse_unknown(&["MAC"]).map_err(invalid)?;
        let asked = args.cni;
        let mut parameters = settings.sysctl;
        parameters.extend(asked.sysctl);
        let allowed = allowlist::load()?;
        let checked = parameters.iter().map(|(key, value)| {
            if !allowed.as_ref().is_none_or(|list| list.allows(key)) {
                return Err(invalid(format!("Sysctl {key} is not allowed")).details(allowlist::PATH));
            }
            Setting::new(key, value).map_err(|why| invalid(format!("invalid net sysctl key: \"{key}\"")).details(why))
        });
        // Parameters that never were set are nothing to DEL.
        let parameters =
            if call.request.command == Command::Del { Vec::new() } else { checked.collect::<Result<_, _>>()? };
        // Here, unlike elsewhere, what args say goes before what the runtime says.
        let mac = if asked.mac.is_empty() { call.mac()? } else { Some(parse_mac(&asked.mac)?) };
        Ok(Self {
            parameters,
            mac,
            promisc: asked.promisc.or(settings.promisc).unwrap_or(false),
            mtu: asked.mtu.or(settings.mtu).filter(|mtu| *mtu > 0),
            queue_length: asked.queue_length.or(settings.queue_length),
            allmulti: asked.allmulti.or(settings.allmulti),
            data: if data_dir.is_empty() { backup::FOLDER.into() } else { data_dir.into() },
        })
    }

    fn changes(&self, index: u32) -> Vec<Request> {
        let mut link = Link::numbered(index).mac(self.mac.as_deref());
        if self.promisc {
            link = link.flag(libc::IFF_PROMISC, true);
        }
        if let Some(on) = self.allmulti {
            link = link.flag(libc::IFF_ALLMULTI, on);
        }
        if let Some(length) = self.queue_length {
            link = link.number(link::QUEUE_LENGTH, length);
        }
        vec![link.mtu(self.mtu).change()]
    }

    fn is_about_the_interface(&self) -> bool {
        self.mac.is_some()
            || self.promisc
            || self.mtu.is_some()
            || self.queue_length.is_some()
            || self.allmulti.is_some()
    }

    fn backup(&self, before: &Found) -> Backup {
        Backup {
            mac: self.mac.as_ref().map(|_| before.mac()).unwrap_or_default(),
            promisc: self.promisc.then(|| before.is_promiscuous()),
            mtu: self.mtu.map_or(0, |_| before.mtu()),
            allmulti: self.allmulti.map(|_| before.flags & IFF_ALLMULTI != 0),
            queue_length: self.queue_length.map(|_| before.queue_length()),
        }
    }
}

impl Plugin for Tuning {
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        let wish = Wish::read(call)?;
        let missing = |_| invalid("Required prevResult missing");
        let mut result = call.required_previous().map_err(missing)?.clone();
        let namespace = call.namespace()?;
        let interface = &call.request.interface;
        sysctl::apply(&namespace, interface, &wish.parameters).map_err(failed)?;
        if wish.is_about_the_interface() {
            let mut inside = Place::inside(&namespace)?;
            let before = inside.need(interface)?;
            let saved = wish.backup(&before);
            saved.store(&wish.data, &call.attachment())?;
            inside.apply("set interface", interface, &wish.changes(before.index)).inspect_err(|_| {
                let _ = inside.attempt(&saved.changes(before.index));
                let _ = backup::remove(&wish.data, &call.attachment());
            })?;
            let after = inside.need(interface)?;
            for ours in result.interfaces.iter_mut().filter(|i| i.name == *interface) {
                if wish.mac.is_some() {
                    ours.mac = after.mac();
                }
                if wish.mtu.is_some() && ours.mtu > 0 {
                    ours.mtu = after.mtu();
                }
            }
        }
        Ok(result)
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        let wish = Wish::read(call)?;
        let attachment = call.attachment();
        if let Some(saved) = Backup::load(&wish.data, &attachment)
            && let Some(namespace) = call.namespace_if_any()?
        {
            let mut inside = Place::inside(&namespace)?;
            if let Some(found) = inside.find(&attachment.interface)? {
                inside.apply("put back", &attachment.interface, &saved.changes(found.index))?;
            }
        }
        backup::remove(&wish.data, &attachment)
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let wish = Wish::read(call)?;
        call.required_previous()?;
        let namespace = call.namespace()?;
        let interface = &call.request.interface;
        let differing = sysctl::differing(&namespace, interface, &wish.parameters).map_err(failed)?;
        if let Some((setting, found)) = differing.first() {
            let (Setting { key, value }, found) = (setting, found.as_deref().unwrap_or("nothing"));
            return Err(damaged(format!(
                "Error: Tuning configured value of {key} is {value}, current value is {found}"
            )));
        }
        let found = Place::inside(&namespace)?.need(interface)?;
        let mac = wish.mac.as_ref().map(|mac| mac.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":"));
        let allmulti = found.flags & IFF_ALLMULTI != 0;
        let wrong = [
            ("Ethernet", mac.is_some_and(|mac| mac != found.mac())),
            ("promisc", wish.promisc != found.is_promiscuous()),
            ("MTU", wish.mtu.is_some_and(|mtu| mtu != found.mtu())),
            ("all-multicast mode", wish.allmulti.is_some_and(|on| on != allmulti)),
            ("Transmit Queue Length", wish.queue_length.is_some_and(|length| length != found.queue_length())),
        ];
        match wrong.iter().find(|(_, is_wrong)| *is_wrong) {
            None => Ok(()),
            Some((what, _)) => {
                Err(damaged(format!("Error: Tuning configured {what} of {interface} is not what it has")))
            }
        }
    }

    fn gc(&self, call: &Call<'_>, valid: &[Attachment]) -> Result<(), Failure> {
        // The folder is one for all networks, and a name in it says none: what is stale cannot be told.
        let _ = (Wish::read(call)?, valid);
        Ok(())
    }
}

/// A failure about a file of this plugin.
fn file_failure(what: &str, path: &std::path::Path, e: &std::io::Error) -> Failure {
    Failure::new(code::IO, format!("tuning: {what} {}: {e}", path.display()))
}
