//! A recursive-descent parser of formulas: one function for each level of precedence, the lowest first.

use super::expression::{Expression, Fence, Junction, Operator, Relation, Symbol};
use super::lexer::{Kind, Token, tokens};
use super::{Equation, ParseError, functions};

type Parsed<T = Expression> = Result<T, ParseError>;

/// Keywords, which are not symbols.
const KEYWORDS: [&str; 4] = ["where", "else", "and", "or"];

/// Parses equations, each with its preceding separator.
pub(super) fn equations(text: &str) -> Parsed<Vec<Equation>> {
    let mut parser = Parser::new(text)?;
    let mut equations = Vec::new();
    let mut separator = ',';
    let mut left = parser.sum()?;
    loop {
        parser.expect('=', "expected an equation 'y = …'")?;
        let (right, next) = parser.value()?;
        equations.push(Equation { left, right, separator });
        let Some(next) = next else { return Ok(equations) };
        (separator, left) = next;
    }
}

/// Parses a single expression.
pub(super) fn expression(text: &str) -> Parsed {
    let mut parser = Parser::new(text)?;
    match parser.value()? {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(parser.error("expected one expression, not an equation")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parsed<Self> {
        Ok(Self { text, tokens: tokens(text)?, at: 0 })
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn peek_spaced(&self) -> bool {
        self.tokens.get(self.at).is_some_and(|token| token.spaced)
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        let end = self.text.chars().count();
        ParseError::new(self.text, self.tokens.get(self.at).map_or(end, |token| token.position), message)
    }

    /// The error for an unexpected token.
    fn unexpected(&self, wanted: &str) -> ParseError {
        match self.peek() {
            Some(kind) => self.error(format!("{wanted}, not '{}'", kind.text())),
            None => self.error(format!("{wanted}, but the formula ends")),
        }
    }

    fn takes(&mut self, kind: &Kind) -> bool {
        let takes = self.peek() == Some(kind);
        self.at += usize::from(takes);
        takes
    }

    fn takes_sign(&mut self, sign: char) -> bool {
        self.takes(&Kind::Sign(sign))
    }

    fn at_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Kind::Word(here)) if here == word)
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let takes = self.at_word(word);
        self.at += usize::from(takes);
        takes
    }

    fn expect(&mut self, sign: char, wanted: &str) -> Parsed<()> {
        if self.takes_sign(sign) { Ok(()) } else { Err(self.unexpected(wanted)) }
    }

    /// `,` or `;`.
    fn separator(&mut self) -> Option<char> {
        [',', ';'].into_iter().find(|&sign| self.takes_sign(sign))
    }

    /// A right side, `expression` or `expression where condition, …, else expression`; if another equation follows,
    /// also the separator and its left side.
    fn value(&mut self) -> Parsed<(Expression, Option<(char, Expression)>)> {
        let mut value = self.sum()?;
        let mut cases = Vec::new();
        while self.takes_word("where") {
            let condition = self.condition()?;
            cases.push((value, condition));
            self.expect(',', "expected ', else …' or another case after the condition")?;
            let last = self.takes_word("else");
            value = self.sum()?;
            if last {
                value = Expression::Cases { cases, otherwise: Box::new(value) };
                break;
            }
            if !self.at_word("where") {
                return Err(self.unexpected("expected 'where' and a condition, or 'else' before the last value"));
            }
        }
        let next = match self.separator() {
            Some(separator) => Some((separator, self.sum()?)),
            None if self.at < self.tokens.len() => {
                return Err(self.unexpected("expected an operator (a product is written 'a · b')"));
            }
            None => None,
        };
        Ok((value, next))
    }

    /// `lo ≤ x ≤ hi`, `x > 0 and y > 0`; a plain expression too.
    fn condition(&mut self) -> Parsed {
        let mut any = vec![self.all_hold()?];
        while self.takes_word("or") {
            any.push(self.all_hold()?);
        }
        Ok(join(Junction::Or, any))
    }

    fn all_hold(&mut self) -> Parsed {
        let mut all = vec![self.comparison()?];
        while self.takes_word("and") {
            all.push(self.comparison()?);
        }
        Ok(join(Junction::And, all))
    }

    fn comparison(&mut self) -> Parsed {
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some(&Kind::Sign(sign)) = self.peek()
            && let Some(relation) = Relation::from_sign(sign)
        {
            self.at += 1;
            rest.push((relation, self.sum()?));
        }
        Ok(if rest.is_empty() { first } else { Expression::Comparison(Box::new(first), rest) })
    }

    fn sum(&mut self) -> Parsed {
        let mut sum = self.signed()?;
        loop {
            let operator = match self.peek() {
                Some(Kind::Sign('+')) => Operator::Add,
                Some(Kind::Sign('−')) => Operator::Subtract,
                _ => return Ok(sum),
            };
            self.at += 1;
            sum = binary(operator, sum, self.signed()?);
        }
    }

    fn signed(&mut self) -> Parsed {
        if self.takes_sign('−') {
            return Ok(Expression::Negative(Box::new(self.signed()?)));
        }
        self.product()
    }

    /// Factors with `·` and `/`, from left to right. A sequence without spaces after a dot with spaces is grouped,
    /// which does not change the value: `dy · a/b` is dy times a fraction.
    fn product(&mut self) -> Parsed {
        let mut product = self.run(None)?;
        loop {
            let (Some(&Kind::Sign(sign @ ('·' | '/'))), spaced) = (self.peek(), self.peek_spaced()) else {
                return Ok(product);
            };
            self.at += 1;
            product = if sign == '·' {
                let run = self.run(None)?;
                binary(Operator::Multiply { spaced }, product, run)
            } else {
                let divisor = self.factor()?;
                self.run(Some(binary(Operator::Divide { spaced }, product, divisor)))?
            };
        }
    }

    /// Factors with `·` and `/` without spaces.
    fn run(&mut self, first: Option<Expression>) -> Parsed {
        let mut run = match first {
            Some(first) => first,
            None => self.factor()?,
        };
        loop {
            let operator = match self.peek() {
                Some(Kind::Sign('·')) if !self.peek_spaced() => Operator::Multiply { spaced: false },
                Some(Kind::Sign('/')) if !self.peek_spaced() => Operator::Divide { spaced: false },
                _ => return Ok(run),
            };
            self.at += 1;
            run = binary(operator, run, self.factor()?);
        }
    }

    /// Factors without a sign: `2x`, `y(1 − y)`, `βx`. Their precedence is higher than that of `/`.
    fn factor(&mut self) -> Parsed {
        if self.takes_sign('−') {
            return Ok(Expression::Negative(Box::new(self.factor()?)));
        }
        let mut factor = self.postfix()?;
        while self.another_factor()? {
            factor = binary(Operator::Juxtapose, factor, self.postfix()?);
        }
        Ok(factor)
    }

    fn another_factor(&self) -> Parsed<bool> {
        let before = &self.tokens[self.at - 1].kind;
        match self.peek() {
            Some(Kind::Sign('(' | '√' | '⌊' | '⌈')) => Ok(true),
            Some(Kind::Word(word)) if KEYWORDS.contains(&word.as_str()) => Ok(false),
            Some(Kind::Word(word)) => {
                let latin =
                    |word: &str, end: fn(&str) -> Option<char>| end(word).is_some_and(|c| c.is_ascii_alphanumeric());
                let words = matches!(before, Kind::Word(left) if latin(left, |w| w.chars().next_back()));
                if words && latin(word, |w| w.chars().next()) && !functions::is_known(word) {
                    return Err(self.unexpected("expected an operator (a product of two names is written 'a · b')"));
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// A primary expression with its exponents and indices.
    fn postfix(&mut self) -> Parsed {
        let mut value = self.primary()?;
        loop {
            value = match self.peek() {
                Some(Kind::Superscript(text)) => {
                    let exponent =
                        expression(text).map_err(|_| self.error(format!("'{text}' is not a valid exponent")))?;
                    self.at += 1;
                    Expression::Power(Box::new(value), Box::new(exponent))
                }
                Some(Kind::Transpose) => {
                    self.at += 1;
                    Expression::Transpose(Box::new(value))
                }
                Some(Kind::Sign('^')) => {
                    self.at += 1;
                    let negative = self.takes_sign('−');
                    let exponent = self.postfix()?;
                    let exponent = if negative { Expression::Negative(Box::new(exponent)) } else { exponent };
                    Expression::Power(Box::new(value), Box::new(exponent))
                }
                Some(Kind::Sign('[')) if !self.peek_spaced() => {
                    self.at += 1;
                    let at = self.list(']')?;
                    Expression::Element { of: Box::new(value), at }
                }
                _ => return Ok(value),
            };
        }
    }

    /// Expressions or conditions separated by commas, up to a closing sign.
    fn list(&mut self, close: char) -> Parsed<Vec<Expression>> {
        let mut items = vec![self.condition()?];
        while self.takes_sign(',') {
            items.push(self.condition()?);
        }
        self.expect(close, &format!("expected '{close}' or ','"))?;
        Ok(items)
    }

    fn primary(&mut self) -> Parsed {
        let kind = self.peek().cloned();
        match kind {
            Some(Kind::Number(text)) => {
                self.at += 1;
                Ok(Expression::Number(text))
            }
            Some(Kind::Word(word)) if !KEYWORDS.contains(&word.as_str()) => self.named(&word),
            Some(Kind::Sign('(')) => {
                self.at += 1;
                let inner = self.condition()?;
                self.expect(')', "expected ')' or an operator")?;
                Ok(inner)
            }
            Some(Kind::Sign('√')) => {
                self.at += 1;
                Ok(Expression::Root(Box::new(self.postfix()?)))
            }
            Some(Kind::Sign('…')) => {
                self.at += 1;
                Ok(Expression::Ellipsis)
            }
            Some(Kind::Sign(sign @ ('Σ' | 'Π'))) => {
                self.at += 1;
                self.over(sign.to_string())
            }
            Some(Kind::Sign(sign @ ('|' | '⌊' | '⌈'))) => {
                self.at += 1;
                let all = [Fence::Absolute, Fence::Floor, Fence::Ceiling];
                let fence = all.into_iter().find(|&fence| fence.signs()[0] == sign).unwrap_or(Fence::Absolute);
                let inner = self.sum()?;
                self.expect(fence.signs()[1], &format!("expected '{}'", fence.signs()[1]))?;
                Ok(Expression::Fenced(fence, Box::new(inner)))
            }
            _ => Err(self.unexpected("expected a number, a name or '('")),
        }
    }

    /// A symbol, or a function with its arguments.
    fn named(&mut self, word: &str) -> Parsed {
        self.at += 1;
        if self.peek() == Some(&Kind::OpenSubscript) && functions::reduces(word) {
            return self.over(word.to_owned());
        }
        let mut function = Symbol::of_function(word);
        let mut symbol = Symbol::of_variable(word);
        if let Some(Kind::Subscript(text)) = self.peek()
            && symbol.subscript.is_empty()
        {
            symbol.subscript.clone_from(text);
            function.subscript.clone_from(text);
            self.at += 1;
        }
        if let Some(&Kind::Primes(primes)) = self.peek() {
            (symbol.primes, function.primes) = (primes, primes);
            self.at += 1;
        }
        let known = functions::is_known(word);
        match self.peek() {
            Some(Kind::Sign('(')) if known || (!self.peek_spaced() && functions::looks_like_one(word)) => {
                self.at += 1;
                let arguments = self.list(')')?;
                Ok(Expression::Call { function, arguments, parentheses: true })
            }
            Some(Kind::Number(_) | Kind::Word(_) | Kind::Sign('√' | 'Σ')) if known && self.peek_spaced() => {
                if matches!(self.peek(), Some(Kind::Word(word)) if KEYWORDS.contains(&word.as_str())) {
                    return Ok(Expression::Symbol(symbol));
                }
                let argument = self.factor()?;
                Ok(Expression::Call { function, arguments: vec![argument], parentheses: false })
            }
            _ => Ok(Expression::Symbol(symbol)),
        }
    }

    /// The rest of a sum after `Σ`: `_{n,i : condition}`, `ₙ` or nothing, then the rest of the product.
    fn over(&mut self, operator: String) -> Parsed {
        let (mut indices, mut condition) = (Vec::new(), None);
        if let Some(Kind::Subscript(text)) = self.peek().cloned() {
            self.at += 1;
            indices = text.chars().map(|c| Expression::Symbol(Symbol::of_variable(&c.to_string()))).collect();
        } else if self.takes(&Kind::OpenSubscript) {
            indices.push(self.condition()?);
            while self.takes_sign(',') {
                indices.push(self.condition()?);
            }
            if self.takes_sign(':') {
                condition = Some(Box::new(self.condition()?));
            }
            self.expect('}', "expected '}', ',' or ':'")?;
        }
        Ok(Expression::Over { operator, indices, condition, body: Box::new(self.product()?) })
    }
}

fn binary(operator: Operator, a: Expression, b: Expression) -> Expression {
    Expression::Binary(operator, Box::new(a), Box::new(b))
}

/// Joins several conditions; a single one is returned as it is.
fn join(junction: Junction, mut conditions: Vec<Expression>) -> Expression {
    match conditions.pop() {
        Some(only) if conditions.is_empty() => only,
        last => {
            conditions.extend(last);
            Expression::Logic(junction, conditions)
        }
    }
}
