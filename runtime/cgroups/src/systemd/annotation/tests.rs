use super::*;

#[track_caller]
fn check(name: &str, text: &str, as_name: &str, value: Value<'static>) {
    assert_eq!(property(name, text).unwrap(), (as_name.to_owned(), value));
}

#[test]
fn values_are_parsed_by_their_types() {
    check("Foo", "'a b'", "Foo", Value::from("a b".to_owned()));
    check("Foo", "\"it's \\\"x\\\"\"", "Foo", Value::from("it's \"x\"".to_owned()));
    check("Foo", "true", "Foo", Value::from(true));
    check("Foo", "5", "Foo", Value::from(5_i32));
    check("Foo", "uint64 5", "Foo", Value::from(5_u64));
    check("Foo", "-1.5", "Foo", Value::from(-1.5_f64));
    check(
        "Foo",
        "['a', 'b']",
        "Foo",
        Value::from(vec!["a".to_owned(), "b".to_owned()]),
    );
    check("Foo", "@as []", "Foo", Value::from(Vec::<String>::new()));
    check("Foo", "[uint32 1, uint32 2]", "Foo", Value::from(vec![1_u32, 2]));
}

#[test]
fn seconds_become_microseconds() {
    check("TimeoutStopSec", "5", "TimeoutStopUSec", Value::from(5_000_000_u64));
    check("TimeoutStopSec", "1.5", "TimeoutStopUSec", Value::from(1_500_000_u64));
    check("TimeoutStopUSec", "uint64 5", "TimeoutStopUSec", Value::from(5_u64));
    check("FooUSec", "7", "FooUSec", Value::from(7_i32));
}

#[test]
fn malformed_values_name_the_annotation() {
    for text in [
        "", "'a", "5 6", "['a'", "[1, 'a']", "[]", "byte 256", "nonsense", "'\\q'",
    ] {
        let error = property("FooBar", text).unwrap_err().to_string();
        assert!(error.contains("org.systemd.property.FooBar"), "{text}: {error}");
    }
    assert!(property("TimeoutStopSec", "'a'").is_err());
    assert!(property("TimeoutStopSec", "-1").is_err());
}
