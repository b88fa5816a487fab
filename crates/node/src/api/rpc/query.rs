//! The query language of subscriptions and searches: conditions joined by AND, each of a key, an operator and what is
//! compared with. Keys are `<event type>.<attribute>`; values compare as the text of the attribute.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::events::Typed;

/// Longest query taken, bytes.
pub(crate) const MAX_QUERY: usize = 512;
/// Most conditions of a query.
const MAX_CONDITIONS: usize = 16;

/// A query, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    pub text: String,
    pub conditions: Vec<Condition>,
}

/// One condition of a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    pub key: String,
    pub operator: Operator,
    pub operand: Operand,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Contains,
    Exists,
}

/// What is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    /// Written in single quotes.
    Text(String),
    /// Written bare.
    Number(Number),
    /// Of EXISTS.
    Nothing,
}

/// A number of a query or an attribute. Integers stay exact.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) enum Number {
    Integer(i128),
    Float(f64),
}

/// Why a text is no query, and at which byte of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("query does not parse at byte {at}: {cause}")]
pub(crate) struct Unreadable {
    pub at: usize,
    pub cause: &'static str,
}

/// Longer spellings first: `<=` begins with `<`.
const OPERATORS: [(&str, Operator); 7] = [
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("CONTAINS", Operator::Contains),
    ("EXISTS", Operator::Exists),
];

impl Query {
    /// Takes a query apart.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        if text.len() > MAX_QUERY {
            return Err(Unreadable { at: MAX_QUERY, cause: "a query has at most 512 bytes" });
        }
        let mut reader = Reader { text, at: 0 };
        let mut conditions = vec![reader.condition()?];
        while reader.more() {
            if !reader.word("AND") {
                return Err(reader.stuck("expected AND or the end"));
            }
            if conditions.len() == MAX_CONDITIONS {
                return Err(reader.stuck("at most 16 conditions"));
            }
            conditions.push(reader.condition()?);
        }
        Ok(Self { text: text.to_string(), conditions })
    }

    /// Whether all conditions hold for what happened.
    pub fn holds(&self, facts: &Facts) -> bool {
        self.conditions.iter().all(|condition| facts.satisfy(condition))
    }

    /// Whether the query names this type of event.
    pub fn names(&self, kind: &str) -> bool {
        self.conditions.iter().any(|c| c.key.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.')))
    }
}

/// A place in a query.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn stuck(&self, cause: &'static str) -> Unreadable {
        Unreadable { at: self.at, cause }
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Whether anything but blanks is left.
    fn more(&mut self) -> bool {
        self.blanks();
        !self.rest().is_empty()
    }

    /// Takes a word that stands alone.
    fn word(&mut self, word: &str) -> bool {
        let Some(after) = self.rest().strip_prefix(word) else { return false };
        let alone = !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if alone {
            self.at += word.len();
        }
        alone
    }

    fn condition(&mut self) -> Result<Condition, Unreadable> {
        self.blanks();
        let key_end = self
            .rest()
            .find(|c: char| !(c.is_ascii_alphanumeric() || "_./-".contains(c)))
            .unwrap_or(self.rest().len());
        if key_end == 0 {
            return Err(self.stuck("expected a key such as tm.event or transfer.sender"));
        }
        let key = self.rest()[..key_end].to_string();
        self.at += key_end;
        self.blanks();
        let found = OPERATORS.into_iter().find(|(spelling, _)| self.rest().starts_with(spelling));
        let Some((spelling, operator)) = found else {
            return Err(self.stuck("expected one of = < <= > >= CONTAINS EXISTS"));
        };
        self.at += spelling.len();
        self.blanks();
        let operand = match operator {
            Operator::Exists => Operand::Nothing,
            Operator::Contains => match self.operand()? {
                Operand::Text(text) => Operand::Text(text),
                _ => return Err(self.stuck("CONTAINS takes a text in single quotes")),
            },
            _ => self.operand()?,
        };
        let operand = match operand {
            // Hashes are told in upper case, however they are asked for.
            Operand::Text(text) if key == "tx.hash" || key == "block.hash" => {
                Operand::Text(text.to_ascii_uppercase())
            }
            operand => operand,
        };
        Ok(Condition { key, operator, operand })
    }

    fn operand(&mut self) -> Result<Operand, Unreadable> {
        if let Some(quoted) = self.rest().strip_prefix('\'') {
            let Some(end) = quoted.find('\'') else {
                return Err(self.stuck("this quote is not closed"));
            };
            self.at += end + 2;
            return Ok(Operand::Text(quoted[..end].to_string()));
        }
        let end = self.rest().find(char::is_whitespace).unwrap_or(self.rest().len());
        let word = &self.rest()[..end];
        if word == "DATE" || word == "TIME" {
            return Err(self.stuck("dates and times are not compared here; use heights"));
        }
        // Digits must come first: the names of infinity and of no number are words, not numbers.
        let number = Some(word)
            .filter(|word| word.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
            .and_then(Number::parse)
            .ok_or_else(|| self.stuck("expected a text in single quotes or a number"))?;
        self.at += end;
        Ok(Operand::Number(number))
    }
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(integer) = text.parse() {
            return Some(Self::Integer(integer));
        }
        text.parse().ok().filter(|float: &f64| float.is_finite()).map(Self::Float)
    }

    /// The number in an attribute's text, which may be in quotes and may end with the name of a token.
    fn of_value(text: &str) -> Option<Self> {
        let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            .then(|| Self::parse(text.trim_end_matches(|c: char| c.is_ascii_alphabetic())))?
    }

    fn compare(self, other: Self) -> Option<std::cmp::Ordering> {
        let float = |number| match number {
            Self::Integer(i) => i as f64,
            Self::Float(f) => f,
        };
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (a, b) => float(a).partial_cmp(&float(b)),
        }
    }
}

impl Condition {
    /// Whether an attribute's text satisfies operator and operand.
    pub fn accepts(&self, value: &str) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let number = match (&self.operand, self.operator) {
            (_, Operator::Exists) => return true,
            (Operand::Text(text), Operator::Equal) => return value == text,
            (Operand::Text(text), Operator::Contains) => return value.contains(text.as_str()),
            (Operand::Text(text), _) => Number::of_value(text),
            (Operand::Number(number), _) => Some(*number),
            (Operand::Nothing, _) => None,
        };
        let (Some(found), Some(asked)) = (Number::of_value(value), number) else { return false };
        let order = found.compare(asked);
        match self.operator {
            Operator::Equal => order == Some(Equal),
            Operator::Less => order == Some(Less),
            Operator::AtMost => matches!(order, Some(Less | Equal)),
            Operator::Greater => order == Some(Greater),
            Operator::AtLeast => matches!(order, Some(Greater | Equal)),
            Operator::Contains | Operator::Exists => false,
        }
    }

    /// The text that alone satisfies this condition, if there is one.
    pub fn exact(&self) -> Option<&str> {
        match (&self.operator, &self.operand) {
            (Operator::Equal, Operand::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// What a block or a transaction can be asked for: the values of every key, gathered once for all who ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts(BTreeMap<String, BTreeSet<String>>);

impl Facts {
    /// Of events.
    pub fn of(events: &[Typed]) -> Self {
        let mut facts = Self::default();
        for event in events {
            for (key, value) in &event.attributes {
                facts.add(format!("{}.{key}", event.kind), value.clone());
            }
        }
        facts
    }

    /// One more value of a key.
    pub fn add(&mut self, key: String, value: String) {
        self.0.entry(key).or_default().insert(value);
    }

    fn satisfy(&self, condition: &Condition) -> bool {
        let Some(values) = self.0.get(&condition.key) else { return false };
        match condition.exact() {
            Some(text) => values.contains(text),
            None => values.iter().any(|value| condition.accepts(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let event = |topic: &str| Typed {
            kind: "emissions.v10.EventX".into(),
            attributes: vec![
                ("n".into(), "\"9007199254740993\"".into()),
                ("topic_id".into(), format!("\"{topic}\"")),
                ("note".into(), "bread AND butter".into()),
                ("fee".into(), "250uallo".into()),
            ],
        };
        let mut facts = Facts::of(&[event("2"), event("1")]);
        facts.add("tm.event".into(), "NewBlockEvents".into());
        facts
    }

    #[test]
    fn queries_hold_for_the_right_events() {
        for (query, expected) in [
            ("tm.event='NewBlockEvents' AND emissions.v10.EventX.topic_id = '\"1\"'", true),
            ("tm.event = 'NewBlockEvents' AND emissions.v10.EventX.n EXISTS ", true),
            ("tm.event='Tx'", false),
            ("emissions.v10.EventX.topic_id='\"3\"'", false),
            ("emissions.v10.EventX.topic_id='1'", false),
            ("emissions.v10.EventX.topic_id=1", true),
            ("emissions.v10.EventX.note = 'bread AND butter' AND tm.event EXISTS", true),
            ("emissions.v10.EventX.note CONTAINS 'AND'", true),
            ("emissions.v10.EventX.note CONTAINS 'OR'", false),
            ("emissions.v10.EventX.n>=9007199254740993", true),
            ("emissions.v10.EventX.n>9007199254740993", false),
            ("emissions.v10.EventX.n>9007199254740992", true),
            ("emissions.v10.EventX.fee<250.5", true),
            ("emissions.v10.EventX.fee>'250'", false),
            ("emissions.v10.EventX.missing EXISTS", false),
        ] {
            assert_eq!(Query::parse(query).unwrap().holds(&facts()), expected, "{query}");
        }
    }

    #[test]
    fn what_does_not_parse_says_where() {
        for (query, at) in [
            ("", 0),
            ("   ", 3),
            ("='x'", 0),
            ("nonsense", 8),
            ("a.b = ", 6),
            ("a.b = 'x", 6),
            ("a.b = x", 6),
            ("a.b = inf", 6),
            ("a.b = NaN", 6),
            ("a.b = 'x' OR c.d = 'y'", 10),
            ("a.b = 'x' AND", 13),
            ("a.b = 'x' ANDc.d = 'y'", 10),
            ("a.b CONTAINS 5", 14),
            ("a.b > DATE 2020-01-01", 6),
            ("ä.b = 'x'", 0),
        ] {
            assert_eq!(Query::parse(query).unwrap_err().at, at, "{query}");
        }
        assert!(Query::parse(&"x".repeat(513)).is_err());
        assert!(Query::parse(&vec!["a EXISTS"; 17].join(" AND ")).is_err());
    }
}
