//! A template's text as tokens: text, and between `{{` and `}}` words, literals and signs.
//!
//! Blanks inside actions are tokens too: `.A .B` and `.A.B` differ. `{{- ` and ` -}}` take the blanks beside them away.
//! What is wrong is a token as well ([`Kind::Wrong`], the last one): the parser says where it was met.

use super::quote;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Wrong,
    Text,
    Open,
    Close,
    Space,
    Char,
    CharConstant,
    Assign,
    Declare,
    Pipe,
    Dot,
    Field,
    Variable,
    Word,
    Bool,
    Nil,
    Number,
    Quoted,
    Raw,
    Left,
    Right,
    Keyword,
    End,
}

/// A token, where it stands (bytes from the start), and on which line it starts.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) line: usize,
    pub(super) text: String,
}

impl Token {
    pub(super) fn is_keyword(&self, word: &str) -> bool {
        self.kind == Kind::Keyword && self.text == word
    }

    /// As error texts show it.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::End => "EOF".into(),
            Kind::Wrong => self.text.clone(),
            Kind::Keyword | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let start: String = self.text.chars().take(10).collect();
                format!("{}...", quote::quoted(&start))
            }
            _ => quote::quoted(&self.text),
        }
    }
}

const KEYWORDS: [&str; 11] =
    ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with", "nil"];

/// Reads tokens one after another.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    all: &'a str,
    at: usize,
    start: usize,
    line: usize,
    start_line: usize,
    inside: bool,
    parens: usize,
    ended: bool,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn trims_left(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

fn trims_right(text: &str) -> bool {
    text.starts_with(is_space) && text[1..].starts_with("-}}")
}

impl<'a> Lexer<'a> {
    pub(super) fn new(all: &'a str) -> Self {
        Self { all, at: 0, start: 0, line: 1, start_line: 1, inside: false, parens: 0, ended: false }
    }

    fn rest(&self) -> &'a str {
        &self.all[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn step(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    /// Goes on by `bytes`, counting lines.
    fn skip(&mut self, bytes: usize) {
        let to = (self.at + bytes).min(self.all.len());
        self.line += self.all[self.at..to].matches('\n').count();
        self.at = to;
    }

    fn forget(&mut self) {
        self.start = self.at;
        self.start_line = self.line;
    }

    fn token(&mut self, kind: Kind) -> Token {
        let token = Token { kind, at: self.start, line: self.start_line, text: self.all[self.start..self.at].into() };
        self.forget();
        token
    }

    fn wrong(&mut self, why: impl Into<String>) -> Token {
        self.ended = true;
        Token { kind: Kind::Wrong, at: self.start, line: self.start_line, text: why.into() }
    }

    /// The next token; [`Kind::End`] again and again behind the last.
    pub(super) fn next(&mut self) -> Token {
        if self.ended {
            return Token { kind: Kind::End, at: self.at, line: self.start_line, text: "EOF".into() };
        }
        if self.inside { self.inside() } else { self.text() }
    }

    fn text(&mut self) -> Token {
        loop {
            let Some(before) = self.rest().find("{{") else {
                let length = self.rest().len();
                self.skip(length);
                if self.at > self.start {
                    return self.token(Kind::Text);
                }
                self.ended = true;
                return self.next();
            };
            if before > 0 {
                let plain = &self.rest()[..before];
                let kept = match trims_left(&self.rest()[before + 2..]) {
                    true => plain.trim_end_matches(is_space).len(),
                    false => before,
                };
                self.skip(kept);
                let token = self.token(Kind::Text);
                self.skip(before - kept);
                self.forget();
                if !token.text.is_empty() {
                    return token;
                }
            }
            let marker = if trims_left(&self.rest()[2..]) { 2 } else { 0 };
            if !self.rest()[2 + marker..].starts_with("/*") {
                self.skip(2);
                let token = self.token(Kind::Open);
                self.inside = true;
                self.parens = 0;
                self.skip(marker);
                self.forget();
                return token;
            }
            self.skip(2 + marker);
            self.forget();
            if let Err(why) = self.comment() {
                return self.wrong(why);
            }
        }
    }

    fn comment(&mut self) -> Result<(), &'static str> {
        let end = self.rest()[2..].find("*/").ok_or("unclosed comment")?;
        self.skip(2 + end + 2);
        let trims = trims_right(self.rest());
        if !trims && !self.rest().starts_with("}}") {
            return Err("comment ends before closing delimiter");
        }
        self.skip(if trims { 4 } else { 2 });
        self.trim(trims);
        self.forget();
        Ok(())
    }

    fn trim(&mut self, trims: bool) {
        if trims {
            let blanks = self.rest().len() - self.rest().trim_start_matches(is_space).len();
            self.skip(blanks);
        }
    }

    fn close(&mut self) -> Token {
        let trims = trims_right(self.rest());
        if trims {
            self.skip(2);
            self.forget();
        }
        self.skip(2);
        let token = self.token(Kind::Close);
        self.trim(trims);
        self.forget();
        self.inside = false;
        token
    }

    fn inside(&mut self) -> Token {
        if trims_right(self.rest()) || self.rest().starts_with("}}") {
            return if self.parens == 0 { self.close() } else { self.wrong("unclosed left paren") };
        }
        let after_dot = self.rest().chars().nth(1);
        let Some(first) = self.peek() else { return self.wrong("unclosed action") };
        match first {
            c if is_space(c) => self.space(),
            '.' if !after_dot.is_some_and(|c| c.is_ascii_digit()) && after_dot.is_some() => {
                self.step();
                self.name(Kind::Field, Kind::Dot)
            }
            '+' | '-' | '.' | '0'..='9' => self.number(),
            c if is_word(c) => self.word(),
            _ => {
                self.step();
                self.sign(first)
            }
        }
    }

    fn sign(&mut self, first: char) -> Token {
        match first {
            '=' => self.token(Kind::Assign),
            ':' => match self.step() {
                Some('=') => self.token(Kind::Declare),
                _ => self.wrong("expected :="),
            },
            '|' => self.token(Kind::Pipe),
            '"' => self.closed_by('"', Kind::Quoted, "unterminated quoted string"),
            '\'' => self.closed_by('\'', Kind::CharConstant, "unterminated character constant"),
            '`' => loop {
                match self.step() {
                    None => return self.wrong("unterminated raw quoted string"),
                    Some('`') => return self.token(Kind::Raw),
                    Some(_) => {}
                }
            },
            '$' => self.name(Kind::Variable, Kind::Variable),
            '(' => {
                self.parens += 1;
                self.token(Kind::Left)
            }
            ')' if self.parens == 0 => self.wrong("unexpected right paren"),
            ')' => {
                self.parens -= 1;
                self.token(Kind::Right)
            }
            c if c.is_ascii_graphic() => self.token(Kind::Char),
            c => self.wrong(format!("unrecognized character in action: {}", quote::code_point(c))),
        }
    }

    fn space(&mut self) -> Token {
        let mut count = 0;
        while self.peek().is_some_and(is_space) {
            if trims_right(self.rest()) {
                if count == 0 {
                    return self.close();
                }
                break;
            }
            self.step();
            count += 1;
        }
        self.token(Kind::Space)
    }

    fn closed_by(&mut self, end: char, kind: Kind, unclosed: &str) -> Token {
        loop {
            match self.step() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.step();
                }
                None | Some('\\' | '\n') => return self.wrong(unclosed),
                Some(c) if c == end => return self.token(kind),
                Some(_) => {}
            }
        }
    }

    /// Whether a word may end here.
    fn at_end_of_word(&self) -> bool {
        self.rest().starts_with("}}")
            || self.peek().is_none_or(|c| is_space(c) || matches!(c, '.' | ',' | '|' | ':' | ')' | '('))
    }

    /// A name behind `.` or `$`, which may be missing.
    fn name(&mut self, kind: Kind, bare: Kind) -> Token {
        if self.at_end_of_word() {
            return self.token(bare);
        }
        while self.peek().is_some_and(is_word) {
            self.step();
        }
        if self.at_end_of_word() { self.token(kind) } else { self.bad_character() }
    }

    fn bad_character(&mut self) -> Token {
        let c = self.peek().map_or_else(String::new, quote::code_point);
        self.wrong(format!("bad character {c}"))
    }

    fn word(&mut self) -> Token {
        while self.peek().is_some_and(is_word) {
            self.step();
        }
        if !self.at_end_of_word() {
            return self.bad_character();
        }
        let kind = match &self.all[self.start..self.at] {
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            word if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Word,
        };
        self.token(kind)
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.peek().is_some_and(|c| valid.contains(c));
        if found {
            self.step();
        }
        found
    }

    fn accept_all(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    /// What may be a number; whether it is one is the parser's business.
    fn number(&mut self) -> Token {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_all(digits);
        if self.accept(".") {
            self.accept_all(digits);
        }
        if (digits.len() == 11 && self.accept("eE")) || (digits.len() == 23 && self.accept("pP")) {
            self.accept("+-");
            self.accept_all("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_word) {
            self.step();
            let text = &self.all[self.start..self.at];
            return self.wrong(format!("bad number syntax: {}", quote::quoted(text)));
        }
        self.token(Kind::Number)
    }
}
