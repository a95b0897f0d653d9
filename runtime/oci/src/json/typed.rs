//! Turns a JSON value into a type, and remembers the place of what does not fit.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

use super::{JsonError, join_reversed};

/// Turns a value into a type. A struct is made from an object only: serde by itself would also take a list.
///
/// # Errors
///
/// [`JsonError::Type`].
pub(crate) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, JsonError> {
    let path = Path::default();
    T::deserialize(Typed { value, path: &path }).map_err(|error| JsonError::Type {
        pointer: join_reversed(&path.0.borrow()),
        detail: error.to_string(),
    })
}

/// Filled from the innermost value outwards while an error travels up.
#[derive(Default)]
struct Path(RefCell<Vec<String>>);

impl Path {
    fn came_from(&self, segment: impl fmt::Display, error: Error) -> Error {
        self.0.borrow_mut().push(segment.to_string());
        error
    }
}

struct Typed<'p> {
    value: Value,
    path: &'p Path,
}

impl<'de> Deserializer<'de> for Typed<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Array(list) => visitor.visit_seq(List {
                items: list.into_iter(),
                index: 0,
                path: self.path,
            }),
            Value::Object(map) => visitor.visit_map(Members {
                items: map.into_iter(),
                value: None,
                path: self.path,
            }),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.value.is_array() {
            return Err(Error::invalid_type(Unexpected::Seq, &visitor));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.value.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

struct List<'p> {
    items: std::vec::IntoIter<Value>,
    index: usize,
    path: &'p Path,
}

impl<'de> SeqAccess<'de> for List<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(value) = self.items.next() else {
            return Ok(None);
        };
        let element = seed.deserialize(Typed { value, path: self.path });
        let element = element.map_err(|error| self.path.came_from(self.index, error))?;
        self.index = self.index.saturating_add(1);
        Ok(Some(element))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Members<'p> {
    items: <Map<String, Value> as IntoIterator>::IntoIter,
    /// The member whose key was handed out last, with the key's text for an error.
    value: Option<(String, Value)>,
    path: &'p Path,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((key, value)) = self.items.next() else {
            return Ok(None);
        };
        let text: StringDeserializer<Error> = key.clone().into_deserializer();
        self.value = Some((key, value));
        seed.deserialize(text).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (key, value) = self
            .value
            .take()
            .ok_or_else(|| Error::custom("value asked for before its key"))?;
        seed.deserialize(Typed { value, path: self.path })
            .map_err(|error| self.path.came_from(key, error))
    }
}
