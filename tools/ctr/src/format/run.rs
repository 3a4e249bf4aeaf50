//! A template done on a value: text.
//!
//! The rules are Go's `text/template`: methods before fields, pointers followed, variables by scope, `and` and `or` that
//! stop early. So are the error texts: where (`:1:8`, the byte of the line), in which template, at which operand, and why.

use super::functions::{self, Function, Wants};
use super::node::{Branch, Command, Node, Operand, Pipe, Term};
use super::parse::Set;
use super::print;
use super::quote;
use super::value::Value;

/// How deep templates may call each other.
const DEPTH: usize = 100;

/// Why a piece of a template ended early.
enum Stop {
    Break,
    Continue,
    Wrong(String),
}

type Result<T> = std::result::Result<T, Stop>;

/// What is being worked on: error texts name it.
#[derive(Clone, Copy)]
enum At<'t> {
    Nothing,
    Pipe(&'t Pipe),
    Command(&'t Command),
    Operand(&'t Operand),
    Call(usize, &'t str, Option<&'t Pipe>),
}

struct Run<'t> {
    text: &'t str,
    set: &'t Set,
    /// The template that runs.
    name: &'t str,
    /// Whether a key that a map has not is an error.
    strict: bool,
    variables: Vec<(&'t str, Value)>,
    at: At<'t>,
    depth: usize,
    heading: bool,
    out: String,
}

/// Runs the templates of `set`, parsed from `text`, on `data`.
pub(super) fn run(text: &str, set: &Set, data: &Value, strict: bool) -> std::result::Result<String, String> {
    let (out, wrong) = run_as_far_as_it_goes(text, set, data, strict);
    wrong.map_or(Ok(out), Err)
}

/// The same with what was made before something was wrong.
pub(super) fn run_as_far_as_it_goes(text: &str, set: &Set, data: &Value, strict: bool) -> (String, Option<String>) {
    let mut run = Run {
        text,
        set,
        name: "",
        strict,
        variables: vec![("$", data.clone())],
        at: At::Nothing,
        depth: 0,
        heading: matches!(data, Value::Headings(_)),
        out: String::new(),
    };
    let main = set.get("").map_or(&[][..], Vec::as_slice);
    match run.nodes(main, data) {
        Err(Stop::Wrong(why)) => (run.out, Some(why)),
        _ => (run.out, None),
    }
}

impl<'t> Run<'t> {
    fn wrong<T>(&self, why: impl std::fmt::Display) -> Result<T> {
        let (at, shown) = match self.at {
            At::Nothing => return Err(Stop::Wrong(format!("template: {}: {why}", self.name))),
            At::Pipe(pipe) => (pipe.at, pipe.to_string()),
            At::Command(command) => (command.at, command.to_string()),
            At::Operand(operand) => (operand.at, operand.to_string()),
            At::Call(at, name, pipe) => {
                let pipe = pipe.map_or_else(String::new, |p| format!(" {p}"));
                (at, format!("{{{{template {}{pipe}}}}}", quote::quoted(name)))
            }
        };
        let before = &self.text[..at.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        let name = quote::quoted(self.name);
        Err(Stop::Wrong(format!("template: :{line}:{column}: executing {name} at <{shown}>: {why}")))
    }

    fn nodes(&mut self, nodes: &'t [Node], dot: &Value) -> Result<()> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.out.push_str(&print::action(&value));
                    }
                }
                Node::If(branch) => self.branch(branch, dot, false)?,
                Node::With(branch) => self.branch(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Call { at, name, pipe } => self.call_template(*at, name, pipe.as_ref(), dot)?,
                Node::Break => return Err(Stop::Break),
                Node::Continue => return Err(Stop::Continue),
            }
        }
        Ok(())
    }

    fn branch(&mut self, branch: &'t Branch, dot: &Value, sets_dot: bool) -> Result<()> {
        let variables = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        if value.is_true() {
            self.nodes(&branch.then, if sets_dot { &value } else { dot })?;
        } else if let Some(otherwise) = &branch.otherwise {
            self.nodes(otherwise, dot)?;
        }
        self.variables.truncate(variables);
        Ok(())
    }

    fn range(&mut self, branch: &'t Branch, dot: &Value) -> Result<()> {
        let variables = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let value = value.followed().unwrap_or_else(|nil| nil);
        let names = branch.pipe.variables.len();
        let items: Vec<(Value, Value)> = match &value {
            Value::Int(..) | Value::Uint(..) if names > 1 => {
                return self
                    .wrong(format!("can't use {} to iterate over more than one variable", print::plain(&value)));
            }
            Value::Int(n, kind) => (0..*n).map(|i| (Value::Invalid, Value::Int(i, kind))).collect(),
            Value::Uint(n, kind) => (0..*n).map(|i| (Value::Invalid, Value::Uint(i, kind))).collect(),
            Value::List(shape, list) => {
                list.iter().flat_map(|l| l.iter()).enumerate().map(|(i, v)| (Value::int(i), v.out_of(shape))).collect()
            }
            Value::Map(shape, map) => {
                let entries = map.iter().flat_map(|m| m.iter());
                entries.map(|(k, v)| (Value::Text(k.as_str().into()), v.out_of(shape))).collect()
            }
            Value::Invalid => Vec::new(),
            Value::Any(_) => return self.wrong("range can't iterate over <nil>"),
            other => return self.wrong(format!("range can't iterate over {}", shown(other))),
        };
        if let (true, Some(otherwise)) = (items.is_empty(), &branch.otherwise) {
            self.nodes(otherwise, dot)?;
        }
        let mark = self.variables.len();
        for (index, element) in items {
            let values = if names > 1 { vec![index, element.clone()] } else { vec![element.clone()] };
            for (i, (name, value)) in branch.pipe.variables.iter().zip(values).enumerate() {
                if branch.pipe.assigns {
                    self.set_variable(name, value)?;
                } else if let Some(place) = self.variables.get_mut(mark - names + i) {
                    place.1 = value;
                }
            }
            let end = self.nodes(&branch.then, &element);
            self.variables.truncate(mark);
            match end {
                Err(Stop::Break) => break,
                Ok(()) | Err(Stop::Continue) => {}
                wrong => return wrong,
            }
        }
        self.variables.truncate(variables);
        Ok(())
    }

    fn call_template(&mut self, at: usize, name: &'t str, pipe: Option<&'t Pipe>, dot: &Value) -> Result<()> {
        self.at = At::Call(at, name, pipe);
        let Some(nodes) = self.set.get(name) else {
            return self.wrong(format!("template {} not defined", quote::quoted(name)));
        };
        if self.depth == DEPTH {
            return self.wrong(format!("exceeded maximum template depth ({DEPTH})"));
        }
        let dot = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Invalid,
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let outer = std::mem::replace(&mut self.name, name);
        self.depth += 1;
        self.nodes(nodes, &dot)?;
        self.depth -= 1;
        self.name = outer;
        self.variables = variables;
        Ok(())
    }

    fn set_variable(&mut self, name: &str, value: Value) -> Result<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some(place) => place.1 = value,
            None => return self.wrong(format!("undefined variable: {name}")),
        }
        Ok(())
    }

    fn pipe(&mut self, pipe: &'t Pipe, dot: &Value) -> Result<Value> {
        self.at = At::Pipe(pipe);
        let mut value = None;
        for command in &pipe.commands {
            let result = self.command(command, dot, value)?;
            value = Some(result.bare());
        }
        let value = value.unwrap_or(Value::Invalid);
        for name in &pipe.variables {
            if pipe.assigns {
                self.set_variable(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &'t Command, dot: &Value, last: Option<Value>) -> Result<Value> {
        let Some((first, arguments)) = command.operands.split_first() else { return Ok(Value::Invalid) };
        match &first.term {
            Term::Field(names) => {
                self.at = At::Operand(first);
                self.chain(dot, dot.clone(), first, names, arguments, last)
            }
            Term::Chain(inner, names) => self.inner_chain(dot, first, inner, names, arguments, last),
            Term::Variable(names) => self.variable(dot, first, names, arguments, last),
            Term::Word(name) => {
                self.at = At::Operand(first);
                self.function(dot, name, At::Command(command), arguments, last)
            }
            term => {
                if !matches!(term, Term::Pipe(_)) {
                    self.at = At::Operand(first);
                }
                self.not_a_function(first, arguments, last.as_ref())?;
                match term {
                    Term::Pipe(pipe) => self.pipe(pipe, dot),
                    Term::Dot => Ok(dot.clone()),
                    Term::Nil => self.wrong("nil is not a command"),
                    _ => self.literal(first),
                }
            }
        }
    }

    fn not_a_function(&self, first: &Operand, arguments: &[Operand], last: Option<&Value>) -> Result<()> {
        if arguments.is_empty() && last.is_none() {
            return Ok(());
        }
        let shown = first.to_string();
        self.wrong(format!("can't give argument to non-function {shown}"))
    }

    /// A literal where any type will do.
    fn literal(&mut self, operand: &'t Operand) -> Result<Value> {
        self.at = At::Operand(operand);
        match &operand.term {
            Term::Bool(b) => Ok(Value::Bool(*b)),
            Term::Text { text, .. } => Ok(Value::Text(text.as_str().into())),
            Term::Number(number) => match (number.float, number.int) {
                (Some(float), _) if number.is_written_as_float() => Ok(Value::Float(float)),
                (_, Some(int)) => Ok(Value::Int(int, "int")),
                _ => self.wrong(format!("{} overflows int", number.text)),
            },
            _ => Ok(Value::Invalid),
        }
    }

    fn variable(
        &mut self,
        dot: &Value,
        operand: &'t Operand,
        names: &'t [String],
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        self.at = At::Operand(operand);
        let Some((name, fields)) = names.split_first() else { return Ok(Value::Invalid) };
        let known = self.variables.iter().rev().find(|(known, _)| known == name);
        let Some((_, value)) = known else {
            return self.wrong(format!("undefined variable: {name}"));
        };
        let value = value.clone();
        if fields.is_empty() {
            self.not_a_function(operand, arguments, last.as_ref())?;
            return Ok(value);
        }
        self.chain(dot, value, operand, fields, arguments, last)
    }

    fn inner_chain(
        &mut self,
        dot: &Value,
        operand: &'t Operand,
        inner: &'t Operand,
        names: &'t [String],
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        self.at = At::Operand(operand);
        if matches!(inner.term, Term::Nil) {
            return self.wrong(format!("indirection through explicit nil in {operand}"));
        }
        let value = self.argument(dot, inner, Wants::Anything)?;
        self.chain(dot, value, operand, names, arguments, last)
    }

    /// `.A.B` of `receiver`; arguments are for the last.
    fn chain(
        &mut self,
        dot: &Value,
        mut receiver: Value,
        operand: &'t Operand,
        names: &'t [String],
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        let Some((name, before)) = names.split_last() else { return Ok(receiver) };
        for name in before {
            receiver = self.field(dot, receiver, operand, name, &[], None)?;
        }
        self.field(dot, receiver, operand, name, arguments, last)
    }

    fn field(
        &mut self,
        dot: &Value,
        receiver: Value,
        operand: &'t Operand,
        name: &'t str,
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        if matches!(receiver, Value::Invalid) {
            if self.strict {
                return self.wrong(format!("nil data; no entry for key {}", quote::quoted(name)));
            }
            return Ok(Value::Invalid);
        }
        let kind = receiver.kind();
        let has_arguments = !arguments.is_empty() || last.is_some();
        let receiver = match receiver.followed() {
            Ok(found) => found,
            Err(Value::Pointer(shape, _)) if lacks(shape, name) => {
                return self.wrong(format!("can't evaluate field {name} in type {kind}"));
            }
            Err(_) => return self.wrong(format!("nil pointer evaluating {kind}.{name}")),
        };
        match &receiver {
            Value::Struct(layout, values) => {
                if let Some(found) = Value::field(layout, values, name) {
                    if has_arguments {
                        return self.wrong(format!("{name} has arguments but cannot be invoked as function"));
                    }
                    return Ok(found);
                }
            }
            Value::Map(shape, map) => {
                if has_arguments {
                    return self.wrong(format!("{name} is not a method but has arguments"));
                }
                return match map.as_ref().and_then(|m| m.get(name)) {
                    Some(found) => Ok(found.out_of(shape)),
                    None if self.strict => self.wrong(format!("map has no entry for key {}", quote::quoted(name))),
                    None => Ok(Value::Invalid),
                };
            }
            Value::Row(_, fields) | Value::Headings(fields) if name == "Label" => {
                let label = Function { name: "Label", fixed: &[Wants::Text], more: None, body: |_| Ok(Value::Invalid) };
                let key = self.arguments(dot, &label, arguments, last)?;
                self.at = At::Operand(operand);
                let key = key.first().map(print::plain).unwrap_or_default();
                return Ok(Value::Text(label_of(fields, &key, self.heading).into()));
            }
            Value::Row(_, fields) => {
                if let Some(found) = fields.get(name) {
                    if has_arguments {
                        let count = arguments.len() + usize::from(last.is_some());
                        return self.wrong(format!("wrong number of args for {name}: want 0 got {count}"));
                    }
                    return Ok(found.clone());
                }
            }
            Value::Headings(fields) => return Ok(fields.get(name).cloned().unwrap_or(Value::Invalid)),
            _ => {}
        }
        self.wrong(format!("can't evaluate field {name} in type {kind}"))
    }

    fn function(
        &mut self,
        dot: &Value,
        name: &str,
        context: At<'t>,
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        let Some(function) = functions::find(name, self.heading) else {
            return self.wrong(format!("{} is not a defined function", quote::quoted(name)));
        };
        if matches!(name, "and" | "or") {
            self.count(function, arguments.len(), last.is_some())?;
            let mut value = Value::Invalid;
            for argument in arguments {
                value = self.argument(dot, argument, Wants::Anything)?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let values = self.arguments(dot, function, arguments, last)?;
        let callee = match values.first() {
            Some(Value::Text(text) | Value::Number(text)) => text.to_string(),
            Some(other) => format!("<{} Value>", other.kind()),
            None => String::new(),
        };
        match (function.body)(values) {
            Ok(value) => Ok(value),
            Err(mut why) => {
                self.at = context;
                if name == "call" {
                    let callee = arguments.first().map_or(callee, ToString::to_string);
                    why = why.replacen("non-function", &format!("non-function {callee}"), 1);
                }
                self.wrong(format!("error calling {name}: {why}"))
            }
        }
    }

    fn count(&self, function: &Function, given: usize, last: bool) -> Result<()> {
        let all = given + usize::from(last);
        let want = function.fixed.len();
        let name = function.name;
        match function.more {
            Some(_) if all < want => {
                self.wrong(format!("wrong number of args for {name}: want at least {want} got {given}"))
            }
            None if all != want => self.wrong(format!("wrong number of args for {name}: want {want} got {all}")),
            _ => Ok(()),
        }
    }

    fn arguments(
        &mut self,
        dot: &Value,
        function: &Function,
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Vec<Value>> {
        self.count(function, arguments.len(), last.is_some())?;
        let wants = |i: usize| function.fixed.get(i).copied().or(function.more).unwrap_or(Wants::Anything);
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for (i, argument) in arguments.iter().enumerate() {
            values.push(self.argument(dot, argument, wants(i))?);
        }
        if let Some(last) = last {
            values.push(self.fit(last, wants(arguments.len()))?);
        }
        Ok(values)
    }

    /// An operand as an argument of a type.
    fn argument(&mut self, dot: &Value, operand: &'t Operand, wants: Wants) -> Result<Value> {
        self.at = At::Operand(operand);
        let value = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Nil if wants == Wants::Anything => return Ok(Value::Invalid),
            Term::Nil => return self.wrong(format!("cannot assign nil to {}", wanted(wants))),
            Term::Field(names) => self.chain(dot, dot.clone(), operand, names, &[], None)?,
            Term::Variable(names) => self.variable(dot, operand, names, &[], None)?,
            Term::Pipe(pipe) => self.pipe(pipe, dot)?,
            Term::Word(name) => self.function(dot, name, At::Operand(operand), &[], None)?,
            Term::Chain(inner, names) => self.inner_chain(dot, operand, inner, names, &[], None)?,
            term => {
                return match (wants, term) {
                    (Wants::Anything, _) | (Wants::Text, Term::Text { .. }) => self.literal(operand),
                    (Wants::Int, Term::Number(number)) if number.int.is_some() => {
                        Ok(Value::Int(number.int.unwrap_or_default(), "int"))
                    }
                    (Wants::Text, _) => self.wrong(format!("expected string; found {operand}")),
                    (Wants::Int, _) => self.wrong(format!("expected integer; found {operand}")),
                };
            }
        };
        self.fit(value, wants)
    }

    /// A value for a parameter of a type.
    fn fit(&self, value: Value, wants: Wants) -> Result<Value> {
        if wants == Wants::Anything {
            return Ok(value);
        }
        let wanted = wanted(wants);
        if matches!(value, Value::Invalid) {
            return self.wrong(format!("invalid value; expected {wanted}"));
        }
        let value = match value {
            Value::Any(Some(inner)) => *inner,
            other => other,
        };
        match (&value, wants) {
            (Value::Text(_), Wants::Text) | (Value::Int(_, "int"), Wants::Int) => Ok(value),
            (other, _) => self.wrong(format!("wrong type for value; expected {wanted}; got {}", other.kind())),
        }
    }
}

fn wanted(wants: Wants) -> &'static str {
    match wants {
        Wants::Anything => "interface {}",
        Wants::Text => "string",
        Wants::Int => "int",
    }
}

/// Whether a nil pointer's struct has no such field at all.
fn lacks(shape: &super::shape::Shape, name: &str) -> bool {
    fn has(shape: &super::shape::Shape, name: &str) -> bool {
        match shape {
            super::shape::Shape::Struct(layout) => {
                layout.fields.iter().any(|f| f.name == name || (f.is_embedded() && has(f.shape, name)))
            }
            super::shape::Shape::Pointer(inner) => has(inner, name),
            _ => true,
        }
    }
    !has(shape, name)
}

/// A value as Go's `%v` of a reflect.Value shows it in an error.
fn shown(value: &Value) -> String {
    print::plain(value)
}

/// `.Label "key"`: one label of a row, and for a heading the key's last word.
fn label_of(fields: &std::collections::BTreeMap<String, Value>, key: &str, heading: bool) -> String {
    if heading {
        return key.rsplit('.').next().unwrap_or_default().replace(['-', '_'], " ");
    }
    match fields.get("Label").or_else(|| fields.get("Labels")) {
        Some(Value::Map(_, Some(map))) => map.get(key).map(print::plain).unwrap_or_default(),
        Some(Value::Text(text)) => {
            let mut pairs = text.split(',').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            pairs.find(|(k, _)| *k == key).map_or_else(String::new, |(_, v)| v.to_owned())
        }
        _ => String::new(),
    }
}
