//! Tokens to a tree. The grammar is Go's, and so are the error texts: `template: :1: unexpected "}" in operand`.
//!
//! `{{define}}` and `{{block}}` give further templates of the same set. What a template may not do is found here already:
//! unknown functions, undeclared variables, `{{break}}` outside a range.

use super::functions;
use super::lex::{Kind, Lexer, Token};
use super::node::{Branch, Command, Node, Nodes, Operand, Pipe, Term};
use super::number::Number;
use super::quote;
use std::collections::BTreeMap;

/// Templates by name; the one that is run first has the empty name.
pub(super) type Set = BTreeMap<String, Nodes>;

/// How deep parentheses and branches may be nested.
const DEPTH: usize = 100;

type Result<T> = std::result::Result<T, String>;

/// What a list of nodes ended with.
enum Item {
    Node(Node),
    End,
    Else,
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// Tokens read ahead, the last one first; `tokens[0]` is the one read last of all, whose line errors name.
    tokens: [Token; 3],
    ahead: usize,
    variables: Vec<String>,
    ranges: usize,
    depth: usize,
    action_line: usize,
    set: Set,
}

/// Parses `text`.
pub(super) fn parse(text: &str) -> Result<Set> {
    let none = Token { kind: Kind::End, at: 0, line: 0, text: String::new() };
    let mut parser = Parser {
        lexer: Lexer::new(text),
        tokens: [none.clone(), none.clone(), none],
        ahead: 0,
        variables: vec!["$".into()],
        ranges: 0,
        depth: 0,
        action_line: 0,
        set: Set::new(),
    };
    let main = parser.main()?;
    parser.add(String::new(), main)?;
    Ok(parser.set)
}

fn is_empty(nodes: &Nodes) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

impl Parser<'_> {
    fn next(&mut self) -> Token {
        if self.ahead > 0 {
            self.ahead -= 1;
        } else {
            self.tokens[0] = self.lexer.next();
        }
        self.tokens[self.ahead].clone()
    }

    fn peek(&mut self) -> Token {
        let token = self.next();
        self.ahead += 1;
        token
    }

    fn next_word(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_word(&mut self) -> Token {
        let token = self.next_word();
        self.ahead += 1;
        token
    }

    fn wrong<T>(&self, why: impl std::fmt::Display) -> Result<T> {
        Err(format!("template: :{}: {why}", self.tokens[0].line))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T> {
        if token.kind != Kind::Wrong {
            return self.wrong(format!("unexpected {} in {context}", token.shown()));
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            let what = if token.text.ends_with(" action") { "" } else { " in action" };
            extra = format!("{what} started at :{}", self.action_line);
        }
        self.wrong(format!("{}{extra}", token.text))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token> {
        let token = self.next_word();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn add(&mut self, name: String, nodes: Nodes) -> Result<()> {
        match self.set.get(&name) {
            Some(old) if !is_empty(old) => match is_empty(&nodes) {
                true => Ok(()),
                false => self.wrong(format!("template: multiple definition of template {}", quote::quoted(&name))),
            },
            _ => {
                self.set.insert(name, nodes);
                Ok(())
            }
        }
    }

    fn main(&mut self) -> Result<Nodes> {
        let mut nodes = Nodes::new();
        while self.peek().kind != Kind::End {
            let open = self.peek();
            if open.kind == Kind::Open {
                self.next();
                if self.next_word().is_keyword("define") {
                    self.definition()?;
                    continue;
                }
                self.tokens[1] = open;
                self.ahead = 2;
            }
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::End => return self.wrong("unexpected {{end}}"),
                Item::Else => return self.wrong("unexpected {{else}}"),
            }
        }
        Ok(nodes)
    }

    /// A template of its own, which sees no variables of the outer one.
    fn apart(&mut self, name: String, context: &str) -> Result<()> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, end) = self.list()?;
        if matches!(end, Item::Else) {
            return self.wrong(format!("unexpected {{{{else}}}} in {context}"));
        }
        self.add(name, nodes)?;
        self.variables = variables;
        self.ranges = ranges;
        Ok(())
    }

    fn definition(&mut self) -> Result<()> {
        let context = "define clause";
        let token = self.next_word();
        let name = self.template_name(&token, context)?;
        self.expect(Kind::Close, context)?;
        self.apart(name, context)
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Result<String> {
        match token.kind {
            Kind::Quoted | Kind::Raw => match quote::unquoted(&token.text) {
                Some(name) => Ok(name),
                None => self.wrong("invalid syntax"),
            },
            _ => self.unexpected(token, context),
        }
    }

    /// Nodes up to `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Result<(Nodes, Item)> {
        let mut nodes = Nodes::new();
        while self.peek_word().kind != Kind::End {
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                end => return Ok((nodes, end)),
            }
        }
        self.wrong("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Result<Item> {
        let token = self.next_word();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(token.text))),
            Kind::Open => {
                self.action_line = token.line;
                let item = self.action()?;
                self.action_line = 0;
                Ok(item)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Item> {
        let token = self.next_word();
        let word = if token.kind == Kind::Keyword { token.text.as_str() } else { "" };
        Ok(Item::Node(match word {
            "block" => self.block()?,
            "break" => self.leave("{{break}}", Node::Break)?,
            "continue" => self.leave("{{continue}}", Node::Continue)?,
            "else" => {
                let next = self.peek_word();
                if !next.is_keyword("if") && !next.is_keyword("with") {
                    self.expect(Kind::Close, "else")?;
                }
                return Ok(Item::Else);
            }
            "end" => {
                self.expect(Kind::Close, "end")?;
                return Ok(Item::End);
            }
            "if" => Node::If(self.branch("if")?),
            "range" => Node::Range(self.branch("range")?),
            "template" => self.call()?,
            "with" => Node::With(self.branch("with")?),
            _ => {
                self.ahead += 1;
                Node::Action(self.pipe("command", Kind::Close)?)
            }
        }))
    }

    fn leave(&mut self, word: &str, node: Node) -> Result<Node> {
        let token = self.next_word();
        match token.kind {
            Kind::Close if self.ranges > 0 => Ok(node),
            Kind::Close => self.wrong(format!("{word} outside {{{{range}}}}")),
            _ => self.unexpected(&token, word),
        }
    }

    fn block(&mut self) -> Result<Node> {
        let context = "block clause";
        let token = self.next_word();
        let name = self.template_name(&token, context)?;
        let pipe = self.pipe(context, Kind::Close)?;
        self.apart(name.clone(), context)?;
        Ok(Node::Call { at: token.at, name, pipe: Some(pipe) })
    }

    fn call(&mut self) -> Result<Node> {
        let context = "template clause";
        let token = self.next_word();
        let name = self.template_name(&token, context)?;
        let mut pipe = None;
        if self.next_word().kind != Kind::Close {
            self.ahead += 1;
            pipe = Some(self.pipe(context, Kind::Close)?);
        }
        Ok(Node::Call { at: token.at, name, pipe })
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH { self.wrong("max expression depth exceeded") } else { Ok(()) }
    }

    fn branch(&mut self, word: &str) -> Result<Branch> {
        self.deeper()?;
        let variables = self.variables.len();
        let pipe = self.pipe(word, Kind::Close)?;
        let ranges = usize::from(word == "range");
        self.ranges += ranges;
        let (then, end) = self.list()?;
        self.ranges -= ranges;
        let mut otherwise = None;
        if matches!(end, Item::Else) {
            let next = self.peek();
            otherwise = Some(if word == "if" && next.is_keyword("if") {
                self.next();
                vec![Node::If(self.branch("if")?)]
            } else if word == "with" && next.is_keyword("with") {
                self.next();
                vec![Node::With(self.branch("with")?)]
            } else {
                let (nodes, end) = self.list()?;
                if matches!(end, Item::Else) {
                    return self.wrong("expected end; found {{else}}");
                }
                nodes
            });
        }
        self.variables.truncate(variables);
        self.depth -= 1;
        Ok(Branch { pipe, then, otherwise })
    }

    fn pipe(&mut self, context: &str, end: Kind) -> Result<Pipe> {
        let mut pipe = Pipe { at: self.peek_word().at, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_word();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Word
                | Kind::Number
                | Kind::Nil
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::Left => {
                    self.ahead += 1;
                    pipe.commands.push(self.command()?);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if pipe.commands.is_empty() {
            return self.wrong(format!("missing value for {context}"));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            let literal = matches!(
                command.operands.first().map(|o| &o.term),
                Some(Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text { .. })
            );
            if literal {
                return self.wrong(format!("non executable command in pipeline stage {}", i + 1));
            }
        }
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, and in a range `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<()> {
        loop {
            let variable = self.peek_word();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            self.next();
            // Blanks are tokens: up to three must be put back when this is no declaration.
            let behind = self.peek();
            let next = self.peek_word();
            let declares = matches!(next.kind, Kind::Assign | Kind::Declare);
            let comma = next.kind == Kind::Char && next.text == ",";
            if !declares && !comma {
                self.tokens[1] = if behind.kind == Kind::Space { behind.clone() } else { variable.clone() };
                self.tokens[2] = variable;
                self.ahead = if behind.kind == Kind::Space { 3 } else { 2 };
                return Ok(());
            }
            self.next_word();
            pipe.variables.push(variable.text.clone());
            self.variables.push(variable.text);
            if declares {
                pipe.assigns = next.kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipe.variables.len() >= 2 {
                return self.wrong(format!("too many declarations in {context}"));
            }
            if !matches!(self.peek_word().kind, Kind::Variable | Kind::Close | Kind::Right) {
                return self.wrong("range can only initialize variables");
            }
        }
    }

    fn command(&mut self) -> Result<Command> {
        let mut command = Command { at: self.peek_word().at, operands: Vec::new() };
        loop {
            self.peek_word();
            if let Some(operand) = self.operand()? {
                command.operands.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::Close | Kind::Right => self.ahead += 1,
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.operands.is_empty() { self.wrong("empty command") } else { Ok(command) }
    }

    /// A term and the fields behind it.
    fn operand(&mut self) -> Result<Option<Operand>> {
        let Some(term) = self.term()? else { return Ok(None) };
        let first = self.peek();
        if first.kind != Kind::Field {
            return Ok(Some(term));
        }
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.next().text[1..].to_owned());
        }
        let term = match term.term {
            Term::Field(mut all) => {
                all.append(&mut names);
                Term::Field(all)
            }
            Term::Variable(mut all) => {
                all.append(&mut names);
                Term::Variable(all)
            }
            Term::Bool(_) | Term::Text { .. } | Term::Number(_) | Term::Nil | Term::Dot => {
                return self.wrong(format!("unexpected . after term {}", quote::quoted(&term.to_string())));
            }
            _ => Term::Chain(Box::new(term), names),
        };
        Ok(Some(Operand { at: first.at, term }))
    }

    fn term(&mut self) -> Result<Option<Operand>> {
        let token = self.next_word();
        let term = match token.kind {
            Kind::Word if functions::is_known(&token.text) => Term::Word(token.text),
            Kind::Word => return self.wrong(format!("function {} not defined", quote::quoted(&token.text))),
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable if self.variables.contains(&token.text) => Term::Variable(vec![token.text]),
            Kind::Variable => return self.wrong(format!("undefined variable {}", quote::quoted(&token.text))),
            Kind::Field => Term::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::CharConstant | Kind::Number => match Number::parse(&token.text) {
                Ok(number) => Term::Number(number),
                Err(why) => return self.wrong(why),
            },
            Kind::Left => {
                self.deeper()?;
                let pipe = self.pipe("parenthesized pipeline", Kind::Right)?;
                self.depth -= 1;
                Term::Pipe(pipe)
            }
            Kind::Quoted | Kind::Raw => match quote::unquoted(&token.text) {
                Some(text) => Term::Text { written: token.text, text },
                None => return self.wrong("invalid syntax"),
            },
            _ => {
                self.ahead += 1;
                return Ok(None);
            }
        };
        let at = match &term {
            Term::Pipe(pipe) => pipe.at,
            _ => token.at,
        };
        Ok(Some(Operand { at, term }))
    }
}
