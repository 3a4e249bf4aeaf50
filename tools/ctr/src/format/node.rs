//! A parsed template, and how its parts are written: error texts quote them.

use super::number::Number;
use std::fmt;

/// What stands between the start and the end of a template, or of a branch.
pub(super) type Nodes = Vec<Node>;

/// A piece of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// `{{template "name" pipe}}`
    Call {
        at: usize,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// A pipeline, what is done if it holds, and what else.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) then: Nodes,
    pub(super) otherwise: Option<Nodes>,
}

/// Commands joined by `|`, perhaps declaring or setting variables.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) at: usize,
    pub(super) assigns: bool,
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Command>,
}

/// Operands beside each other.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) at: usize,
    pub(super) operands: Vec<Operand>,
}

/// One operand and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) term: Term,
}

/// What an operand is.
#[derive(Debug, Clone)]
pub(super) enum Term {
    Bool(bool),
    Nil,
    Dot,
    Number(Number),
    Text {
        written: String,
        text: String,
    },
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A`
    Variable(Vec<String>),
    /// `(pipe).A`
    Chain(Box<Operand>, Vec<String>),
    /// A function's name.
    Word(String),
    Pipe(Pipe),
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            let bar = if i > 0 { " | " } else { "" };
            write!(f, "{bar}{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, operand) in self.operands.iter().enumerate() {
            let blank = if i > 0 { " " } else { "" };
            match &operand.term {
                Term::Pipe(pipe) => write!(f, "{blank}({pipe})")?,
                _ => write!(f, "{blank}{operand}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.term {
            Term::Bool(b) => write!(f, "{b}"),
            Term::Nil => f.write_str("nil"),
            Term::Dot => f.write_str("."),
            Term::Number(number) => f.write_str(&number.text),
            Term::Text { written, .. } => f.write_str(written),
            Term::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Term::Variable(names) => f.write_str(&names.join(".")),
            Term::Word(word) => f.write_str(word),
            Term::Pipe(pipe) => write!(f, "{pipe}"),
            Term::Chain(inner, names) => {
                match &inner.term {
                    Term::Pipe(pipe) => write!(f, "({pipe})")?,
                    _ => write!(f, "{inner}")?,
                }
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}
