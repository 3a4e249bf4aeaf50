//! How the process begins otherwise: umask, personality, profiles of the machine's security modules, annotations.

use crate::plan::Inputs;
use crate::request::secret::Way;
use crate::text::Text;
use serde_json::{Value, json};

pub(super) fn apply(config: &mut Value, inputs: &Inputs<'_>) {
    let manner = &inputs.request.manner;
    if let Some(umask) = manner.umask {
        config["process"]["user"]["umask"] = json!(umask);
    }
    for (secret, content) in manner.secrets.iter().zip(&inputs.around.secrets) {
        if let (Way::Variable(name), Some(env)) = (&secret.way, config["process"]["env"].as_array_mut()) {
            // A program takes the first of a name.
            let same = Text::plain(&format!("{name}="));
            env.retain(|other| !other.as_str().is_some_and(|other| other.starts_with(same.marked())));
            // What is no text was refused when it was looked up.
            let setting = format!("{name}={}", String::from_utf8_lossy(content));
            env.push(json!(Text::plain(&setting).marked()));
        }
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
