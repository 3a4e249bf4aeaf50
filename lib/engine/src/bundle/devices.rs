//! Devices of a container: nodes, and what may be done with them.

use crate::plan::Inputs;
use crate::request::isolation::Users;
use crate::surroundings::Node;
use crate::text::Text;
use crate::{Result, userns};
use serde_json::{Value, json};

/// `linux.resources.devices`: docker's list, then the rules of each device, then those that were asked for.
pub(super) fn rules(inputs: &Inputs<'_>) -> Result<Vec<Value>> {
    let isolation = &inputs.request.isolation;
    if isolation.privileged {
        return Ok(vec![json!({ "allow": true, "access": "rwm" })]);
    }
    let mut rules: Vec<Value> = spec::defaults::device_rules().iter().map(|rule| json!(rule)).collect();
    rules.extend(inputs.around.nodes.iter().map(|node| {
        let (major, minor) = node.number;
        json!({ "allow": true, "type": node.kind, "major": major, "minor": minor, "access": node.access })
    }));
    rules.extend(isolation.device_rules.iter().map(|text| rule(text)));
    Ok(rules)
}

/// A rule that was read before, as the document has it.
fn rule(text: &str) -> Value {
    let words: Vec<&str> = text.split(' ').collect();
    let mut rule = json!({ "allow": true });
    if let [kind, numbers, access] = words[..] {
        rule["access"] = json!(access);
        if kind != "a" {
            rule["type"] = json!(kind);
        }
        let (major, minor) = numbers.split_once(':').unwrap_or(("*", "*"));
        for (key, number) in [("major", major), ("minor", minor)] {
            if let Ok(number) = number.parse::<i64>() {
                rule[key] = json!(number);
            }
        }
    }
    rule
}

/// Whether nodes cannot be made, so that those of the machine are bound: in a user namespace.
pub(super) fn are_bound(inputs: &Inputs<'_>) -> Result<bool> {
    let joins = matches!(inputs.request.isolation.users, Users::Container(_) | Users::Path(_));
    Ok(inputs.machine.rootless || joins || !userns::maps(inputs.request, inputs.machine)?.is_empty())
}

/// `linux.devices`, where they can be made.
pub(super) fn apply(config: &mut Value, inputs: &Inputs<'_>) -> Result<()> {
    if inputs.around.nodes.is_empty() || are_bound(inputs)? {
        return Ok(());
    }
    let all: Vec<Value> = inputs.around.nodes.iter().map(node).collect();
    config["linux"]["devices"] = json!(all);
    Ok(())
}

fn node(node: &Node) -> Value {
    let (major, minor) = node.number;
    json!({
        "path": Text::plain(&node.target.to_string_lossy()).marked(),
        "type": node.kind,
        "major": major,
        "minor": minor,
        "fileMode": node.mode,
        "uid": node.owner.0,
        "gid": node.owner.1,
    })
}
