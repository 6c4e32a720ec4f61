//! The lexer of formulas.

use super::ParseError;
use super::script::{from_subscript, from_superscript};

/// A token with its position.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// The index of its first character.
    pub(super) position: usize,
    /// Whether a space precedes it.
    pub(super) spaced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number(String),
    /// A name: a word of Latin letters, or a single Greek letter.
    Word(String),
    /// `²`, `ᵖ⁻¹`: in plain characters.
    Superscript(String),
    /// `ₙ`: in plain characters.
    Subscript(String),
    /// `ᵀ`.
    Transpose,
    /// One or more `′`: their number.
    Primes(usize),
    /// `_{`.
    OpenSubscript,
    /// Anything else, one character; `*` is `·`, `-` is `−`, `<=` is `≤`.
    Sign(char),
}

impl Kind {
    /// The text of the token, for messages.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(text) | Self::Word(text) | Self::Superscript(text) | Self::Subscript(text) => text.clone(),
            Self::Transpose => "ᵀ".into(),
            Self::Primes(n) => "′".repeat(*n),
            Self::OpenSubscript => "_{".into(),
            Self::Sign(c) => c.to_string(),
        }
    }
}

fn is_greek(c: char) -> bool {
    ('\u{370}'..='\u{3ff}').contains(&c)
}

/// Combining accents, which belong to the preceding letter: x̂.
fn is_accent(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

/// Letters of words; a word may begin with `∂`.
fn is_latin(c: char) -> bool {
    (c.is_alphabetic() && !is_greek(c) && !is_script(c)) || c == '∂'
}

fn is_script(c: char) -> bool {
    c == 'ᵀ' || from_superscript(c).is_some() || from_subscript(c).is_some()
}

/// Splits a text into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ParseError> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0 };
    let mut tokens = Vec::new();
    loop {
        let start = lexer.at;
        lexer.run(char::is_whitespace);
        let (position, spaced) = (lexer.at, lexer.at > start);
        match lexer.token().map_err(|message| ParseError::new(text, position, message))? {
            Some(kind) => tokens.push(Token { kind, position, spaced }),
            None => return Ok(tokens),
        }
    }
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Takes characters while the condition holds.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> String {
        let len = self.chars[self.at..].iter().take_while(|&&c| fits(c)).count();
        self.at += len;
        self.chars[self.at - len..self.at].iter().collect()
    }

    fn token(&mut self) -> Result<Option<Kind>, String> {
        let Some(c) = self.peek(0) else { return Ok(None) };
        let kind = match c {
            _ if c.is_ascii_digit() => Kind::Number(self.number()),
            'ᵀ' => self.sign(1, Kind::Transpose),
            _ if from_superscript(c).is_some() => Kind::Superscript(self.script(from_superscript)),
            _ if from_subscript(c).is_some() => Kind::Subscript(self.script(from_subscript)),
            '″' => self.sign(1, Kind::Primes(2)),
            '′' | '\'' => Kind::Primes(self.run(|c| c == '′' || c == '\'').chars().count()),
            _ if is_latin(c) || is_greek(c) && c != 'Σ' && c != 'Π' => Kind::Word(self.word()),
            '∞' => self.sign(1, Kind::Word("∞".into())),
            '_' if self.peek(1) == Some('{') => self.sign(2, Kind::OpenSubscript),
            '<' if self.peek(1) == Some('=') => self.sign(2, Kind::Sign('≤')),
            '>' if self.peek(1) == Some('=') => self.sign(2, Kind::Sign('≥')),
            '!' if self.peek(1) == Some('=') => self.sign(2, Kind::Sign('≠')),
            '*' | '×' | '⋅' => self.sign(1, Kind::Sign('·')),
            '-' => self.sign(1, Kind::Sign('−')),
            '.' if self.peek(1) == Some('.') && self.peek(2) == Some('.') => self.sign(3, Kind::Sign('…')),
            _ if "+−·/^√()[]{}|⌊⌋⌈⌉,;:=≠<≤>≥∈ΣΠ…".contains(c) => self.sign(1, Kind::Sign(c)),
            _ => return Err(format!("unexpected character '{c}'")),
        };
        Ok(Some(kind))
    }

    fn sign(&mut self, len: usize, kind: Kind) -> Kind {
        self.at += len;
        kind
    }

    fn script(&mut self, plain: fn(char) -> Option<char>) -> String {
        let script = self.run(|c| plain(c).is_some());
        script.chars().filter_map(plain).collect()
    }

    /// Digits, optionally followed by a decimal point with digits and by an exponent.
    fn number(&mut self) -> String {
        let digit = |c: char| c.is_ascii_digit();
        let is_digit = |c: Option<char>| c.is_some_and(digit);
        let mut text = self.run(digit);
        if self.peek(0) == Some('.') && is_digit(self.peek(1)) {
            self.at += 1;
            text = text + "." + &self.run(digit);
        }
        let signed = matches!(self.peek(1), Some('-' | '+'));
        if self.peek(0) == Some('e') && is_digit(self.peek(1 + usize::from(signed))) {
            text.extend(&self.chars[self.at..=self.at + usize::from(signed)]);
            self.at += 1 + usize::from(signed);
            text += &self.run(digit);
        }
        text
    }

    /// `conv2d`, `h1`, `x_i`, `dE_dw5`; one Greek letter; `d` with one Greek letter; each with accents.
    fn word(&mut self) -> String {
        let mut word = String::new();
        if !self.peek(0).is_some_and(is_greek) {
            loop {
                word += &self.run(|c| is_latin(c) || c.is_ascii_digit() || is_accent(c));
                let goes_on = self.peek(1).is_some_and(|c| is_latin(c) || c.is_ascii_digit());
                if self.peek(0) != Some('_') || !goes_on {
                    break;
                }
                word.push('_');
                self.at += 1;
            }
        }
        if matches!(word.as_str(), "" | "d" | "∂") && self.peek(0).is_some_and(is_greek) {
            word.extend(self.peek(0));
            self.at += 1;
            word += &self.run(|c| is_accent(c) || c.is_ascii_digit());
        }
        word
    }
}
