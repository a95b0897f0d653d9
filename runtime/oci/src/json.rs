//! Strict reading of JSON: no duplicate key, nothing after the end, and every fault named by line, column and pointer.
//!
//! It knows JSON and nothing of the OCI documents written in it.
//!
//! Spec: [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259), [RFC 6901](https://www.rfc-editor.org/rfc/rfc6901) (pointers).

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

mod typed;

pub(crate) use typed::typed;

/// The most values that one document may hold; each costs memory whatever its size in the file.
pub const MAX_VALUES: usize = 2_000_000;

/// Why a document was not read. A pointer of `""` is the document as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// A byte that is no UTF-8.
    #[error("byte {offset} is not UTF-8: save the file as UTF-8")]
    NotUtf8 {
        /// Counted from 0.
        offset: usize,
    },
    /// Text that is no JSON, or that ends too early.
    #[error("line {line} column {column}, at {pointer:?}: {detail}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
        /// The innermost value that was being read.
        pointer: String,
        /// What was expected there.
        detail: String,
    },
    /// A key that the same object has already.
    #[error("line {line} column {column}: duplicate key {pointer:?}: keep one of the two")]
    DuplicateKey {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
        /// The key.
        pointer: String,
    },
    /// More values than any real document has.
    #[error("line {line} column {column}, at {pointer:?}: more than {MAX_VALUES} values in one document")]
    TooManyValues {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
        /// The value that was one too many.
        pointer: String,
    },
    /// A value of another type than the one defined for its place.
    #[error("at {pointer:?}: {detail}")]
    Type {
        /// The value.
        pointer: String,
        /// What it is and what was expected.
        detail: String,
    },
}

/// Reads a whole document.
///
/// A member whose value is `null` is left out: that is what `null` means to the Go programs that write these documents.
///
/// # Errors
///
/// Every variant of [`JsonError`] but `Type`.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(fault) => {
            return Err(JsonError::NotUtf8 {
                offset: fault.valid_up_to(),
            });
        }
    };
    let walk = Walk {
        path: RefCell::default(),
        left: Cell::new(MAX_VALUES),
        fault: Cell::default(),
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let result = walk
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    result.map_err(|error| walk.explain(&error))
}

/// Appends one key or index to a pointer.
pub(crate) fn push_segment(pointer: &mut String, segment: &str) {
    pointer.push('/');
    for character in segment.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            _ => pointer.push(character),
        }
    }
}

/// Makes a pointer of segments that were noted from the innermost outwards.
fn join_reversed(segments: &[String]) -> String {
    let mut pointer = String::new();
    for segment in segments.iter().rev() {
        push_segment(&mut pointer, segment);
    }
    pointer
}

/// The state of one reading: where it is, and how much more it may take.
struct Walk {
    /// Filled from the innermost value outwards while an error travels up; empty as long as all is well.
    path: RefCell<Vec<String>>,
    left: Cell<usize>,
    fault: Cell<Option<Fault>>,
}

/// A fault that only this reader knows of.
#[derive(Clone, Copy)]
enum Fault {
    DuplicateKey,
    TooManyValues,
}

impl Walk {
    fn explain(&self, error: &serde_json::Error) -> JsonError {
        let pointer = join_reversed(&self.path.borrow());
        let (line, column) = (error.line(), error.column());
        match self.fault.get() {
            Some(Fault::DuplicateKey) => JsonError::DuplicateKey { line, column, pointer },
            Some(Fault::TooManyValues) => JsonError::TooManyValues { line, column, pointer },
            None => JsonError::Syntax {
                line,
                column,
                pointer,
                detail: without_position(error),
            },
        }
    }

    fn fail<E: serde::de::Error>(&self, fault: Fault) -> E {
        self.fault.set(Some(fault));
        E::custom("")
    }

    /// Notes where an error came from, on its way up.
    fn came_from<E>(&self, segment: impl fmt::Display) -> impl FnOnce(E) -> E {
        move |error| {
            self.path.borrow_mut().push(segment.to_string());
            error
        }
    }
}

/// The text of an error without the " at line 1 column 2" that serde_json puts behind it.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&suffix).unwrap_or(&text).to_owned()
}

impl<'de> DeserializeSeed<'de> for &Walk {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(self.fail(Fault::TooManyValues)),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Walk {
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
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(self).map_err(self.came_from(list.len()))? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut has_null = false;
        while let Some(key) = access.next_key::<String>()? {
            match map.entry(key) {
                Entry::Occupied(entry) => {
                    self.path.borrow_mut().push(entry.key().clone());
                    return Err(self.fail(Fault::DuplicateKey));
                }
                Entry::Vacant(entry) => {
                    let value = match access.next_value_seed(self) {
                        Ok(value) => value,
                        Err(error) => return Err(self.came_from(entry.key())(error)),
                    };
                    has_null |= value.is_null();
                    entry.insert(value);
                }
            }
        }
        if has_null {
            map.retain(|_, value| !value.is_null());
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests;
