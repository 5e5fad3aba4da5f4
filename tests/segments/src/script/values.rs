//! Calls and their arguments: `setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0`.

use super::{Cursor, Fault, Place};

/// A call and what it is to return.
#[derive(Debug, Clone)]
pub struct Call {
    /// Where its name is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// What it is to return.
    pub result: Expected,
}

/// What a call is to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// A number.
    Value(i64),
    /// -1, and this error.
    Error(String),
    /// `...`
    Any,
}

/// A value, and where it is.
#[derive(Debug, Clone)]
pub struct Argument {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone)]
pub enum Value {
    /// `...`
    Any,
    /// A number.
    Number(i64),
    /// A constant's name.
    Word(String),
    /// `"reno"`
    Text(String),
    /// `O_RDWR|O_NONBLOCK`
    Or(Vec<Argument>),
    /// `[1]`
    List(Vec<Argument>),
    /// `{events=POLLIN, fd=3}`
    Struct(Vec<Field>),
    /// `htons(8080)`
    Of(String, Vec<Argument>),
}

/// `name=value`, `name(count)=value`
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Argument,
}

impl Argument {
    /// A fault of this argument.
    pub fn fault(&self, what: impl Into<String>) -> Fault {
        Fault {
            place: self.place,
            what: what.into(),
        }
    }

    /// Whether it is `...`.
    pub fn is_any(&self) -> bool {
        matches!(self.value, Value::Any)
    }

    /// The list that it is.
    pub fn list(&self) -> Result<&[Argument], Fault> {
        match &self.value {
            Value::List(list) => Ok(list),
            _ => Err(self.fault("this should be a list, [...]")),
        }
    }

    /// The fields of the structure that it is.
    pub fn fields(&self) -> Result<&[Field], Fault> {
        match &self.value {
            Value::Struct(fields) => Ok(fields),
            _ => Err(self.fault("this should be a structure, {...}")),
        }
    }

    /// One of its fields.
    pub fn field(&self, name: &str) -> Result<Option<&Argument>, Fault> {
        let field = self.fields()?.iter().find(|field| field.name == name);
        Ok(field.map(|field| &field.value))
    }

    /// A field that it must have.
    pub fn need(&self, name: &str) -> Result<&Argument, Fault> {
        self.field(name)?
            .ok_or_else(|| self.fault(format!("there is no field '{name}'")))
    }
}

/// Parses a call.
pub fn call(cursor: &mut Cursor<'_>) -> Result<Call, Fault> {
    let place = cursor.place();
    let name = cursor
        .word()
        .ok_or_else(|| cursor.expected("a segment (< or >), a call, a command or an assertion"))?;
    cursor.need("(")?;
    let arguments = list(cursor, ")")?;
    cursor.need("=")?;
    cursor.skip_space()?;
    let result = if cursor.eat("...")? {
        Expected::Any
    } else {
        let negative = cursor.eat("-")?;
        let value = i64::try_from(cursor.number()?).map_err(|_| cursor.fault("this is too large"))?;
        cursor.skip_space()?;
        match cursor.word() {
            Some(error) if negative => Expected::Error(error.to_owned()),
            Some(_) => return Err(cursor.fault("a call that succeeds has no error")),
            None => Expected::Value(if negative { -value } else { value }),
        }
    };
    if cursor.eat("(")? {
        // A remark, as strace prints one.
        cursor.up_to(")")?;
    }
    Ok(Call {
        place,
        name: name.to_owned(),
        arguments,
        result,
    })
}

fn list(cursor: &mut Cursor<'_>, end: &str) -> Result<Vec<Argument>, Fault> {
    let mut arguments = Vec::new();
    if cursor.eat(end)? {
        return Ok(arguments);
    }
    loop {
        arguments.push(value(cursor)?);
        if cursor.eat(end)? {
            return Ok(arguments);
        }
        if !cursor.eat(",")? {
            return Err(cursor.expected(&format!("'{end}'")));
        }
    }
}

fn value(cursor: &mut Cursor<'_>) -> Result<Argument, Fault> {
    let first = single(cursor)?;
    let place = first.place;
    let mut all = vec![first];
    while cursor.eat("|")? {
        all.push(single(cursor)?);
    }
    Ok(match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            Argument {
                place,
                value: Value::Or(all),
            }
        }
    })
}

fn single(cursor: &mut Cursor<'_>) -> Result<Argument, Fault> {
    cursor.skip_space()?;
    let place = cursor.place();
    let number = |cursor: &mut Cursor<'_>| {
        i64::try_from(cursor.number()?).map_err(|_| cursor.fault("this is too large"))
    };
    let value = match cursor.peek() {
        Some('.') => {
            cursor.need("...")?;
            Value::Any
        }
        Some('[') => {
            cursor.next_char();
            Value::List(list(cursor, "]")?)
        }
        Some('{') => {
            cursor.next_char();
            structure(cursor)?
        }
        Some('"') => {
            cursor.next_char();
            Value::Text(cursor.up_to("\"")?.to_owned())
        }
        Some('-') => {
            cursor.next_char();
            Value::Number(-number(cursor)?)
        }
        Some(c) if c.is_ascii_digit() => Value::Number(number(cursor)?),
        _ => {
            let word = cursor.word().ok_or_else(|| cursor.expected("a value"))?;
            if cursor.peek() == Some('(') {
                cursor.next_char();
                Value::Of(word.to_owned(), list(cursor, ")")?)
            } else {
                Value::Word(word.to_owned())
            }
        }
    };
    Ok(Argument { place, value })
}

/// `{a=1, b(2)=[...]}`, or `{..., 1000}` as pieces of a message are written: those have numbers for names.
fn structure(cursor: &mut Cursor<'_>) -> Result<Value, Fault> {
    let mut fields = Vec::new();
    loop {
        cursor.skip_space()?;
        let mut ahead = cursor.clone();
        let name = ahead.word().map(str::to_owned);
        if ahead.peek() == Some('(') {
            ahead.up_to(")")?;
        }
        let named = name.is_some() && ahead.eat("=")?;
        let name = match name {
            Some(name) if named => {
                *cursor = ahead;
                name
            }
            _ => fields.len().to_string(),
        };
        let value = value(cursor)?;
        fields.push(Field { name, value });
        if cursor.eat("}")? {
            return Ok(Value::Struct(fields));
        }
        cursor.need(",")?;
    }
}
