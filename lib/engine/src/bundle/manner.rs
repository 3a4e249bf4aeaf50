//! How the process begins otherwise: umask, personality, profiles of the machine's security modules, annotations.

use crate::plan::Inputs;
use crate::text::Text;
use serde_json::{Value, json};

pub(super) fn apply(config: &mut Value, inputs: &Inputs<'_>) {
    let manner = &inputs.request.manner;
    if let Some(umask) = manner.umask {
        config["process"]["user"]["umask"] = json!(umask);
    }
    if let Some(domain) = &manner.personality {
        config["linux"]["personality"] = json!({ "domain": domain });
    }
    for (key, value) in &manner.annotations {
        config["annotations"][Text::plain(key).marked()] = json!(Text::plain(value).marked());
    }
    // docker leaves a profile out where the machine has no AppArmor.
    let security = &inputs.request.isolation.security;
    let profile = security.apparmor.as_ref().filter(|name| inputs.machine.apparmor && *name != "unconfined");
    if let Some(name) = profile.filter(|_| !inputs.request.isolation.privileged) {
        config["process"]["apparmorProfile"] = json!(Text::plain(name).marked());
    }
}
