//! Assertions: `%{ assert tcpi_snd_cwnd == 10 and not tcpi_lost, 'cwnd=%d' % tcpi_snd_cwnd }%`.
//!
//! Of Python's language that packetdrill has here this is what assertions are made of: numbers, names, comparisons (chained ones too),
//! `and`, `or`, `not`, arithmetic and bits, and texts with `%d` for the message. Names are those of `struct tcp_info`'s members and
//! of TCP's states.

use super::{Cursor, Fault, Place};
use std::fmt;

/// One assertion.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// Where it begins.
    pub place: Place,
    /// As it is written.
    pub text: String,
    condition: Expression,
    message: Option<Expression>,
}

#[derive(Debug, Clone)]
enum Expression {
    Number(i64),
    Text(String),
    Name(Place, String),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    /// `a < b <= c`
    Compare(Box<Expression>, Vec<(&'static str, Expression)>),
    Calculate(Place, &'static str, Box<Expression>, Box<Expression>),
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(i64),
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => f.write_str(text),
        }
    }
}

impl Value {
    fn is_true(&self) -> bool {
        match self {
            Value::Number(number) => *number != 0,
            Value::Text(text) => !text.is_empty(),
        }
    }
}

/// What a name stands for.
pub type Names<'a> = &'a dyn Fn(&str) -> Option<i64>;

impl Assertion {
    /// Whether it holds: `Err` says that it does not, and why, or what is wrong with it.
    pub fn check(&self, names: Names<'_>) -> Result<(), Fault> {
        if self.condition.value(names)?.is_true() {
            return Ok(());
        }
        let mut what = format!("'{}' does not hold", self.text);
        if let Some(message) = &self.message {
            what.push_str(&format!(": {}", message.value(names)?));
        }
        // The names in it, and what each is.
        let mut values = Vec::new();
        self.condition.names(&mut values);
        let values: Vec<String> = values
            .into_iter()
            .filter_map(|name| Some(format!("{name} is {}", names(name)?)))
            .collect();
        if !values.is_empty() {
            what.push_str(&format!(" ({})", values.join(", ")));
        }
        Err(Fault {
            place: self.place,
            what,
        })
    }
}

impl Expression {
    fn names<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Expression::Number(_) | Expression::Text(_) => {}
            Expression::Name(_, name) if into.contains(&name.as_str()) => {}
            Expression::Name(_, name) => into.push(name),
            Expression::Not(one) | Expression::Negative(one) => one.names(into),
            Expression::And(one, two) | Expression::Or(one, two) | Expression::Calculate(_, _, one, two) => {
                one.names(into);
                two.names(into);
            }
            Expression::Compare(one, others) => {
                one.names(into);
                others.iter().for_each(|(_, other)| other.names(into));
            }
        }
    }

    fn value(&self, names: Names<'_>) -> Result<Value, Fault> {
        let truth = |truth: bool| Ok(Value::Number(truth.into()));
        match self {
            Expression::Number(number) => Ok(Value::Number(*number)),
            Expression::Text(text) => Ok(Value::Text(text.clone())),
            Expression::Name(place, name) => match names(name) {
                Some(number) => Ok(Value::Number(number)),
                None => Err(Fault {
                    place: *place,
                    what: format!("the name '{name}' stands for nothing here"),
                }),
            },
            Expression::Not(one) => truth(!one.value(names)?.is_true()),
            Expression::Negative(one) => match one.value(names)? {
                Value::Number(number) => Ok(Value::Number(-number)),
                text => Ok(text),
            },
            Expression::And(one, two) => truth(one.value(names)?.is_true() && two.value(names)?.is_true()),
            Expression::Or(one, two) => truth(one.value(names)?.is_true() || two.value(names)?.is_true()),
            Expression::Compare(first, others) => {
                let mut left = first.value(names)?;
                for (how, other) in others {
                    let right = other.value(names)?;
                    if !compare(&left, how, &right) {
                        return truth(false);
                    }
                    left = right;
                }
                truth(true)
            }
            Expression::Calculate(place, how, one, two) => {
                calculate(*place, how, &one.value(names)?, &two.value(names)?)
            }
        }
    }
}

fn compare(left: &Value, how: &str, right: &Value) -> bool {
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.cmp(right),
        (left, right) => left.to_string().cmp(&right.to_string()),
    };
    match how {
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }
}

fn calculate(place: Place, how: &str, one: &Value, two: &Value) -> Result<Value, Fault> {
    let fault = |what: &str| Fault {
        place,
        what: what.into(),
    };
    let (one, two) = match (one, two) {
        (Value::Text(text), value) if how == "%" => return Ok(Value::Text(format_into(text, value))),
        (Value::Number(one), Value::Number(two)) => (*one, *two),
        _ => return Err(fault("texts cannot be calculated with")),
    };
    let result = match how {
        "+" => one.checked_add(two),
        "-" => one.checked_sub(two),
        "*" => one.checked_mul(two),
        "/" | "//" => one.checked_div_euclid(two),
        "%" => one.checked_rem_euclid(two),
        "&" => Some(one & two),
        _ => Some(one | two),
    };
    result
        .map(Value::Number)
        .ok_or_else(|| fault("a division by zero, or too large a number"))
}

/// Puts a value in the place of the first `%d`, `%s` or the like.
fn format_into(text: &str, value: &Value) -> String {
    match text.split_once('%') {
        Some((before, after)) => {
            let after: String = after.chars().skip(1).collect();
            format!("{before}{value}{after}")
        }
        None => format!("{text}{value}"),
    }
}

/// Parses what is between `%{` and `}%`.
pub fn parse(cursor: Cursor<'_>) -> Result<Vec<Assertion>, Fault> {
    let mut cursor = cursor.without_comments();
    let mut assertions = Vec::new();
    loop {
        cursor.skip_space()?;
        while cursor.eat(";")? {
            cursor.skip_space()?;
        }
        if cursor.at_end() {
            return Ok(assertions);
        }
        let place = cursor.place();
        let before = cursor.rest();
        if !cursor.eat_word("assert")? {
            return Err(cursor.expected("'assert', which is all that this runner has of Python"));
        }
        let condition = either(&mut cursor)?;
        let text = &before["assert".len()..before.len() - cursor.rest().len()];
        let text = text.trim().to_owned();
        let message = if cursor.eat(",")? {
            Some(either(&mut cursor)?)
        } else {
            None
        };
        assertions.push(Assertion {
            place,
            text,
            condition,
            message,
        });
    }
}

fn either(cursor: &mut Cursor<'_>) -> Result<Expression, Fault> {
    let mut one = both(cursor)?;
    while cursor.eat_word("or")? {
        one = Expression::Or(Box::new(one), Box::new(both(cursor)?));
    }
    Ok(one)
}

fn both(cursor: &mut Cursor<'_>) -> Result<Expression, Fault> {
    let mut one = negation(cursor)?;
    while cursor.eat_word("and")? {
        one = Expression::And(Box::new(one), Box::new(negation(cursor)?));
    }
    Ok(one)
}

fn negation(cursor: &mut Cursor<'_>) -> Result<Expression, Fault> {
    if cursor.eat_word("not")? {
        return Ok(Expression::Not(Box::new(negation(cursor)?)));
    }
    let first = operation(cursor, 0)?;
    let mut others = Vec::new();
    while let Some(how) = operator(cursor, &["==", "!=", "<=", ">=", "<", ">"])? {
        others.push((how, operation(cursor, 0)?));
    }
    Ok(if others.is_empty() {
        first
    } else {
        Expression::Compare(Box::new(first), others)
    })
}

/// What binds how tightly, the loosest first.
const LEVELS: [&[&str]; 4] = [&["|"], &["&"], &["+", "-"], &["*", "//", "/", "%"]];

fn operator(cursor: &mut Cursor<'_>, all: &[&'static str]) -> Result<Option<&'static str>, Fault> {
    for how in all {
        if cursor.eat(how)? {
            return Ok(Some(how));
        }
    }
    Ok(None)
}

fn operation(cursor: &mut Cursor<'_>, level: usize) -> Result<Expression, Fault> {
    let Some(operators) = LEVELS.get(level) else {
        return single(cursor);
    };
    let mut one = operation(cursor, level + 1)?;
    loop {
        let place = cursor.place();
        match operator(cursor, operators)? {
            Some(how) => {
                let two = operation(cursor, level + 1)?;
                one = Expression::Calculate(place, how, Box::new(one), Box::new(two));
            }
            None => return Ok(one),
        }
    }
}

fn single(cursor: &mut Cursor<'_>) -> Result<Expression, Fault> {
    cursor.skip_space()?;
    let place = cursor.place();
    match cursor.peek() {
        Some('(') => {
            cursor.next_char();
            let inner = either(cursor)?;
            cursor.need(")")?;
            Ok(inner)
        }
        Some('-') => {
            cursor.next_char();
            Ok(Expression::Negative(Box::new(single(cursor)?)))
        }
        Some(quote @ ('\'' | '"')) => {
            cursor.next_char();
            Ok(Expression::Text(cursor.up_to(&quote.to_string())?.to_owned()))
        }
        Some(c) if c.is_ascii_digit() => Ok(Expression::Number(cursor.number_of()?)),
        _ => match cursor.word() {
            Some(name) => Ok(Expression::Name(place, name.to_owned())),
            None => Err(cursor.expected("a number, a name or a text")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), String> {
        let names = |name: &str| match name {
            "ten" => Some(10),
            "zero" => Some(0),
            _ => None,
        };
        let assertions =
            parse(Cursor::new(text, Place { line: 1, column: 1 })).map_err(|fault| fault.to_string())?;
        assertions
            .iter()
            .try_for_each(|assertion| assertion.check(&names).map_err(|fault| fault.to_string()))
    }

    #[test]
    fn conditions_hold_as_in_python() {
        for holds in [
            "assert ten == 10",
            "assert 1 < ten <= 10 and not zero",
            "assert zero or ten * 2 - 5 == 15",
            "assert ten & 2 and ten % 3 == 1",
            "assert (ten // 3) == 3; assert -1 < 0",
            "\n assert ten\n assert ten != 9, 'no'",
        ] {
            assert_eq!(check(holds), Ok(()), "{holds}");
        }
    }

    #[test]
    fn what_does_not_hold_says_the_message_and_the_values() {
        assert_eq!(
            check("assert ten == 9, 'got %d!' % ten"),
            Err("1:1: 'ten == 9' does not hold: got 10! (ten is 10)".into())
        );
        assert_eq!(
            check("assert nine"),
            Err("1:8: the name 'nine' stands for nothing here".into())
        );
        assert!(check("print(ten)").is_err());
        assert!(check("assert ten / zero").is_err());
    }
}
