//! Strict reading of JSON documents: no duplicate key, no unknown member, and every fault with its file, place and fix.
//!
//! It knows JSON and nothing of what the documents mean.
//!
//! Spec: [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259), [RFC 6901](https://www.rfc-editor.org/rfc/rfc6901) (pointers).

use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment;

use crate::message::printable;

/// The most bytes that a manifest or a configuration file may have.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Why a document was refused. A pointer of `""` is the document as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {file:?}: at {pointer:?}: {detail}: {fix}")]
pub struct DocumentError {
    /// The file, as its reader names it.
    pub file: String,
    /// The value at fault, as a JSON pointer.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
    /// What to do about it.
    pub fix: String,
}

/// A fault that a check of a whole document found; the file is added by whoever knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) pointer: String,
    pub(crate) detail: String,
    pub(crate) fix: String,
}

impl Fault {
    pub(crate) fn new(pointer: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
            fix: fix.into(),
        }
    }

    pub(crate) fn in_file(self, file: &str) -> DocumentError {
        DocumentError {
            file: file.to_owned(),
            pointer: self.pointer,
            // Names of the document's author stand in them: they must not make lines or drive a terminal.
            detail: printable(&self.detail),
            fix: printable(&self.fix),
        }
    }
}

/// Reads a JSON document whose objects have no key twice.
///
/// * `file`: the name that errors give.
///
/// # Errors
///
/// [`DocumentError`] for a document over [`MAX_BYTES`], for text that is no JSON, and for a duplicate key.
pub fn parse_value(file: &str, bytes: &[u8]) -> Result<Value, DocumentError> {
    if bytes.len() > MAX_BYTES {
        let fault = Fault::new(
            "",
            format!("{} bytes are more than {MAX_BYTES}", bytes.len()),
            "make the file smaller",
        );
        return Err(fault.in_file(file));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let unique: Unique = serde_path_to_error::deserialize(&mut reader).map_err(|error| explain(file, &error))?;
    match reader.end() {
        Ok(()) => Ok(unique.0),
        Err(error) => Err(Fault::new("", error.to_string(), fix_for(&error.to_string())).in_file(file)),
    }
}

/// Turns a JSON value into a type.
///
/// # Errors
///
/// [`DocumentError`], naming the value that does not fit.
pub fn parse_typed<T: DeserializeOwned + Serialize>(file: &str, value: &Value) -> Result<T, DocumentError> {
    let typed: T = serde_path_to_error::deserialize(value).map_err(|error| explain(file, &error))?;
    check_shape(file, value, &typed)?;
    Ok(typed)
}

/// Serde makes a struct from a list of its members too; a schema does not, and a reader of the file would not expect it.
fn check_shape<T: Serialize>(file: &str, value: &Value, typed: &T) -> Result<(), DocumentError> {
    let printed = serde_json::to_value(typed)
        .map_err(|error| Fault::new("", error.to_string(), "correct the value").in_file(file))?;
    match list_for_object(value, &printed, String::new()) {
        None => Ok(()),
        Some(pointer) => {
            Err(Fault::new(pointer, "a list stands where an object is expected", "write an object").in_file(file))
        }
    }
}

fn list_for_object(read: &Value, printed: &Value, pointer: String) -> Option<String> {
    match (read, printed) {
        (Value::Array(_), Value::Object(_)) => Some(pointer),
        (Value::Array(read), Value::Array(printed)) => {
            let mut pairs = read.iter().zip(printed).enumerate();
            pairs.find_map(|(index, (read, printed))| list_for_object(read, printed, format!("{pointer}/{index}")))
        }
        (Value::Object(read), Value::Object(printed)) => read.iter().find_map(|(key, read)| {
            let printed = printed.get(key)?;
            list_for_object(read, printed, join(&pointer, key))
        }),
        _ => None,
    }
}

/// Appends one key to a pointer.
pub(crate) fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn explain(file: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> DocumentError {
    let pointer = error
        .path()
        .iter()
        .fold(String::new(), |pointer, segment| match segment {
            Segment::Seq { index } => format!("{pointer}/{index}"),
            Segment::Map { key } => join(&pointer, key),
            Segment::Enum { variant } => join(&pointer, variant),
            Segment::Unknown => pointer,
        });
    let detail = error.inner().to_string();
    let fix = fix_for(&detail);
    Fault::new(pointer, detail, fix).in_file(file)
}

/// The fix that belongs to a fault that serde or serde_json found.
fn fix_for(detail: &str) -> &'static str {
    let fixes = [
        ("unknown field", "remove it or correct its name"),
        ("unknown variant", "use one of the names listed"),
        ("missing field", "add it"),
        ("duplicate key", "keep one of the two"),
        ("invalid type", "write a value of the expected type"),
        ("invalid value", "write a value in the expected range"),
        ("trailing characters", "end the file after the first value"),
        ("EOF", "complete the file"),
    ];
    let known = fixes.iter().find(|(start, _)| detail.starts_with(start));
    known.map_or("correct the value", |(_, fix)| fix)
}

/// A value whose objects were read without a duplicate key.
struct Unique(Value);

impl<'de> serde::Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(value)) = access.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key {key:?}")));
            }
            let Unique(value) = access.next_value()?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let answer = parse_value("f", text.as_bytes()).map_or_else(|error| error.to_string(), |v| format!("ok {v}"));
        assert_eq!(answer, expected);
    }

    #[test]
    fn documents_are_read_as_written() {
        check(
            r#"{"b":[1,-2,2.5,"x",null],"a":{}}"#,
            r#"ok {"b":[1,-2,2.5,"x",null],"a":{}}"#,
        );
    }

    #[test]
    fn a_duplicate_key_is_refused_in_any_object() {
        check(
            r#"{"a":{"b":1,"\u0062":2}}"#,
            r#"read "f": at "/a": duplicate key "b" at line 1 column 20: keep one of the two"#,
        );
    }

    #[test]
    fn text_that_is_no_json_names_its_place() {
        check(
            "{} x",
            r#"read "f": at "": trailing characters at line 1 column 4: end the file after the first value"#,
        );
        assert!(parse_value("f", b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_document_over_the_cap_is_refused_and_one_at_the_cap_is_not() {
        let mut bytes = b"1".to_vec();
        bytes.resize(MAX_BYTES, b' ');
        assert!(parse_value("f", &bytes).is_ok());
        bytes.push(b' ');
        let error = parse_value("f", &bytes).unwrap_err().to_string();
        assert_eq!(
            error,
            r#"read "f": at "": 1048577 bytes are more than 1048576: make the file smaller"#
        );
    }
}
