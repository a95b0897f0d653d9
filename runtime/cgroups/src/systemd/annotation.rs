//! `org.systemd.property.*` annotations: values in GVariant text, as runc takes them.
use zvariant::Value;

use super::properties::Property;
use crate::error::CgroupError;

/// Parses one annotation.
///
/// * `name`: the property's name; a `...Sec` name becomes `...USec` and its value microseconds, as systemd's own
///   documents spell them.
/// * `text`: such as `'text'`, `true`, `5`, `uint64 5`, `['a', 'b']`.
///
/// # Errors
///
/// [`CgroupError::Annotation`].
///
/// Spec: GVariant text format.
pub(super) fn property(name: &str, text: &str) -> Result<Property, CgroupError> {
    let bad = |why: &str| CgroupError::Annotation {
        name: format!("org.systemd.property.{name}"),
        value: text.to_owned(),
        why: why.to_owned(),
    };
    let mut parser = Parser { rest: text.trim() };
    let value = parser.value(None).map_err(bad)?;
    if !parser.rest.trim().is_empty() {
        return Err(bad("something follows the value"));
    }
    let seconds = name
        .strip_suffix("Sec")
        .filter(|stem| stem.ends_with(|last: char| last.is_ascii_lowercase()));
    match seconds {
        None => Ok((name.to_owned(), value)),
        Some(stem) => Ok((
            format!("{stem}USec"),
            microseconds(&value).ok_or_else(|| bad("not a number"))?,
        )),
    }
}

/// Seconds as microseconds.
fn microseconds(value: &Value<'_>) -> Option<Value<'static>> {
    let whole: Option<u64> = match value {
        Value::U8(n) => Some(u64::from(*n)),
        Value::U16(n) => Some(u64::from(*n)),
        Value::U32(n) => Some(u64::from(*n)),
        Value::U64(n) => Some(*n),
        Value::I16(n) => u64::try_from(*n).ok(),
        Value::I32(n) => u64::try_from(*n).ok(),
        Value::I64(n) => u64::try_from(*n).ok(),
        Value::F64(n) if *n >= 0.0 => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates; not negative"
            )]
            return Some(Value::from((*n * 1e6) as u64));
        }
        _ => None,
    };
    whole.map(|seconds| Value::from(seconds.saturating_mul(1_000_000)))
}

/// What is left of the text.
struct Parser<'t> {
    rest: &'t str,
}

/// Words before a value that name its type.
const TYPES: &[(&str, char)] = &[
    ("boolean", 'b'),
    ("byte", 'y'),
    ("int16", 'n'),
    ("uint16", 'q'),
    ("int32", 'i'),
    ("uint32", 'u'),
    ("handle", 'h'),
    ("int64", 'x'),
    ("uint64", 't'),
    ("double", 'd'),
    ("string", 's'),
    ("objectpath", 'o'),
    ("signature", 'g'),
];

impl<'t> Parser<'t> {
    /// Takes a prefix.
    fn take(&mut self, prefix: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes a word: letters, digits and signs.
    fn word(&mut self) -> &'t str {
        self.rest = self.rest.trim_start();
        let in_word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.' | '_');
        let end = self.rest.find(|letter| !in_word(letter)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Parses a value, of a given type if one is wanted.
    fn value(&mut self, wanted: Option<char>) -> Result<Value<'static>, &'static str> {
        self.rest = self.rest.trim_start();
        if self.take("@as") {
            return self.array(Some('s'));
        }
        match self.rest.chars().next() {
            Some('\'' | '"') => self.quoted().map(Value::from),
            Some('[') => self.array(wanted),
            Some(_) => {
                let word = self.word();
                match TYPES.iter().find(|(name, _)| *name == word) {
                    Some((_, code)) => self.value(Some(*code)),
                    None => scalar(word, wanted),
                }
            }
            None => Err("a value is missing"),
        }
    }

    /// Parses a quoted text with backslash escapes.
    fn quoted(&mut self) -> Result<String, &'static str> {
        let mut letters = self.rest.char_indices();
        let quote = letters.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => match letters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, other)) if !other.is_ascii_alphanumeric() => text.push(other),
                    _ => return Err("unknown escape"),
                },
                letter if Some(letter) == quote => {
                    self.rest = self.rest.get(at + letter.len_utf8()..).unwrap_or_default();
                    return Ok(text);
                }
                letter => text.push(letter),
            }
        }
        Err("quote is not closed")
    }

    /// Parses an array of values of one kind.
    fn array(&mut self, wanted: Option<char>) -> Result<Value<'static>, &'static str> {
        if !self.take("[") {
            return Err("an array is missing");
        }
        let mut items = Vec::new();
        while !self.take("]") {
            if !items.is_empty() && !self.take(",") {
                return Err("array is not closed");
            }
            items.push(self.value(wanted)?);
        }
        let signature = match (items.first(), wanted) {
            (Some(first), _) => first.value_signature().clone(),
            (None, Some('s')) => zvariant::Signature::Str,
            (None, _) => return Err("an empty array needs a type, such as @as []"),
        };
        let mut array = zvariant::Array::new(&signature);
        for item in items {
            array.append(item).map_err(|_mixed| "array of mixed types")?;
        }
        Ok(Value::Array(array))
    }
}

/// A number or a boolean; without a type a whole number is an int32, as GVariant says.
fn scalar(word: &str, wanted: Option<char>) -> Result<Value<'static>, &'static str> {
    let range = "number out of range or malformed";
    let code = match (wanted, word) {
        (None | Some('b'), "true") => return Ok(Value::from(true)),
        (None | Some('b'), "false") => return Ok(Value::from(false)),
        (Some(code), _) => code,
        (None, word) if word.contains('.') => 'd',
        (None, _) => 'i',
    };
    match code {
        'y' => word.parse::<u8>().map(Value::from).map_err(|_bad| range),
        'n' => word.parse::<i16>().map(Value::from).map_err(|_bad| range),
        'q' => word.parse::<u16>().map(Value::from).map_err(|_bad| range),
        'i' => word.parse::<i32>().map(Value::from).map_err(|_bad| range),
        'u' => word.parse::<u32>().map(Value::from).map_err(|_bad| range),
        'x' => word.parse::<i64>().map(Value::from).map_err(|_bad| range),
        't' => word.parse::<u64>().map(Value::from).map_err(|_bad| range),
        'd' => word.parse::<f64>().map(Value::from).map_err(|_bad| range),
        _ => Err("not a value of that type"),
    }
}

#[cfg(test)]
mod tests;
