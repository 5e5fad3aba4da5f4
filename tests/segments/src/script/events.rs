//! Events and their times.

use super::cursor::{Cursor, Place};
use super::{Event, Fault, Script, What, When, conditions, packets, values};

/// Parses a script.
pub fn parse(text: &str) -> Result<Script, Fault> {
    let mut cursor = Cursor::new(text, Place { line: 1, column: 1 });
    let mut script = Script::default();
    cursor.skip_space()?;
    while cursor.rest().starts_with("--") {
        script.options.push(option(&mut cursor)?);
        cursor.skip_space()?;
    }
    while !cursor.at_end() {
        script.events.push(event(&mut cursor)?);
        cursor.skip_space()?;
    }
    Ok(script)
}

fn option(cursor: &mut Cursor<'_>) -> Result<(Place, String, String), Fault> {
    let place = cursor.place();
    cursor.need("--")?;
    let name = cursor.word().ok_or_else(|| cursor.expected("an option's name"))?;
    cursor.need("=")?;
    let value = cursor.take_while(|c| !c.is_whitespace());
    Ok((place, name.to_owned(), value.to_owned()))
}

fn event(cursor: &mut Cursor<'_>) -> Result<Event, Fault> {
    let place = cursor.place();
    // Commands before the first event, and after the last one, have no time.
    let when = if cursor.peek() == Some('`') {
        When::Within {
            from: 0,
            to: 0,
            relative: true,
        }
    } else {
        time(cursor)?
    };
    cursor.skip_space()?;
    let what = match cursor.peek() {
        Some('<') => {
            cursor.next_char();
            What::Inbound(packets::packet(cursor)?)
        }
        Some('>') => {
            cursor.next_char();
            What::Outbound(packets::packet(cursor)?)
        }
        Some('`') => {
            cursor.next_char();
            What::Command(cursor.up_to("`")?.to_owned())
        }
        Some('%') => {
            cursor.need("%{")?;
            let inner = cursor.place();
            let text = cursor.up_to("}%")?;
            What::Assertions(conditions::parse(Cursor::new(text, inner))?)
        }
        _ => What::Call(values::call(cursor)?),
    };
    if matches!(when, When::Blocking { .. }) && !matches!(what, What::Call(_)) {
        return Err(Fault {
            place,
            what: "only a call has a time at which it ends".into(),
        });
    }
    Ok(Event { place, when, what })
}

fn time(cursor: &mut Cursor<'_>) -> Result<When, Fault> {
    if cursor.eat("*")? {
        return Ok(When::Any);
    }
    let relative = cursor.eat("+")?;
    let from = seconds(cursor)?;
    if cursor.rest().starts_with("...") {
        cursor.need("...")?;
        cursor.eat("+")?;
        let to = seconds(cursor)?;
        return Ok(When::Blocking { from, to, relative });
    }
    let to = if cursor.rest().starts_with('~') {
        cursor.need("~")?;
        cursor.eat("+")?;
        seconds(cursor)?
    } else {
        from
    };
    if to < from {
        return Err(cursor.fault("this range of time ends before it begins"));
    }
    Ok(When::Within { from, to, relative })
}

/// Seconds with a fraction, as nanoseconds. `0...` is a zero and then dots.
fn seconds(cursor: &mut Cursor<'_>) -> Result<u64, Fault> {
    cursor.skip_space()?;
    let here = cursor.clone();
    let whole = cursor.take_while(|c| c.is_ascii_digit());
    let fraction = if cursor.rest().starts_with('.') && !cursor.rest().starts_with("...") {
        cursor.next_char();
        cursor.take_while(|c| c.is_ascii_digit())
    } else {
        ""
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(here.expected("a time"));
    }
    let whole: u64 = if whole.is_empty() { "0" } else { whole }
        .parse()
        .map_err(|_| here.fault("this time is too long"))?;
    let nanos: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanos: u64 = nanos.parse().unwrap_or(0);
    whole
        .checked_mul(1_000_000_000)
        .and_then(|whole| whole.checked_add(nanos))
        .ok_or_else(|| here.fault("this time is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(text: &str) -> Result<When, Fault> {
        parse(&format!("{text} close(3) = 0")).map(|script| script.events[0].when)
    }

    #[test]
    fn times_are_absolute_relative_ranges_blocking_or_any() {
        let within = |from, to, relative| Ok(When::Within { from, to, relative });
        assert_eq!(when("1.5"), within(1_500_000_000, 1_500_000_000, false));
        assert_eq!(when("+.000000001"), within(1, 1, true));
        assert_eq!(when("+.3~+.31"), within(300_000_000, 310_000_000, true));
        assert_eq!(when("1~2"), within(1_000_000_000, 2_000_000_000, false));
        assert_eq!(when("*"), Ok(When::Any));
        let blocking = When::Blocking {
            from: 0,
            to: 200_000_000,
            relative: true,
        };
        assert_eq!(when("+0...0.2"), Ok(blocking));
        assert!(when("+x").is_err());
        assert!(when("2~1").is_err());
    }

    #[test]
    fn an_error_tells_line_and_column() {
        let fault = |text: &str| parse(text).expect_err("it is wrong").to_string();
        assert_eq!(
            fault("0 close(3) = 0\n+0 > . 1:1(0 ack 1"),
            "2:14: expected ')', found 'ack'"
        );
        assert_eq!(fault("0 close(3"), "1:10: expected ')', found the end");
        assert_eq!(fault("+0 > . 1:1(0) <ms 4>"), "1:16: there is no TCP option 'ms'");
        assert_eq!(fault("+0 > . 1:5(3)"), "1:8: from 1 to 5 are 4 bytes, not 3");
        assert_eq!(fault("+0 `x"), "1:5: there is no '`' that ends this");
        assert_eq!(
            fault("+0...1 < R 1:1(0)"),
            "1:1: only a call has a time at which it ends"
        );
    }
}
