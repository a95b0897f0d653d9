use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let answer = parse(text.as_bytes()).map_or_else(|error| error.to_string(), |value| format!("ok {value}"));
    assert_eq!(answer, expected);
}

#[test]
fn documents_are_read_as_written() {
    check(r#" {"a":[1,-2,2.5,"x\n",true]} "#, r#"ok {"a":[1,-2,2.5,"x\n",true]}"#);
    check("18446744073709551615\n", "ok 18446744073709551615");
    check("[]", "ok []");
}

#[test]
fn members_that_are_null_are_absent() {
    check(r#"{"a":null,"b":{"c":null,"d":[null]}}"#, r#"ok {"b":{"d":[null]}}"#);
}

#[test]
fn a_duplicate_key_is_named() {
    check(
        "{\"a\": {\"b/c\": 1,\n  \"b/c\": 2}}",
        "line 2 column 7: duplicate key \"/a/b~1c\": keep one of the two",
    );
    check(
        r#"[{"a":null,"a":1}]"#,
        "line 1 column 14: duplicate key \"/0/a\": keep one of the two",
    );
    // The same key by another spelling.
    check(
        r#"{"a":1,"\u0061":1}"#,
        "line 1 column 15: duplicate key \"/a\": keep one of the two",
    );
}

#[test]
fn a_fault_is_named_by_line_column_and_pointer() {
    check("", "line 1 column 0, at \"\": EOF while parsing a value");
    check("{", "line 1 column 1, at \"\": EOF while parsing an object");
    check(
        "{\"process\":{\"args\":[\"sh\",",
        "line 1 column 25, at \"/process/args/1\": EOF while parsing a value",
    );
    check("{\"a\":\n[1,}]", "line 2 column 4, at \"/a/1\": expected value");
    check("{\"a\":1,}", "line 1 column 8, at \"\": trailing comma");
    check("{} x", "line 1 column 4, at \"\": trailing characters");
    check("{}{}", "line 1 column 3, at \"\": trailing characters");
    check("{'a':1}", "line 1 column 2, at \"\": key must be a string");
    check(
        "{\"a\":\"\u{1}\"}",
        "line 1 column 7, at \"/a\": control character (\\u0000-\\u001F) found while parsing a string",
    );
    check("1e999", "line 1 column 5, at \"\": number out of range");
}

#[test]
fn bytes_that_are_not_utf8_are_named() {
    assert_eq!(
        parse(b"{\"a\":\"\xff\"}").unwrap_err().to_string(),
        "byte 6 is not UTF-8: save the file as UTF-8"
    );
}

#[test]
fn deep_nesting_is_refused_before_the_stack_is_used_up() {
    let error = parse("[".repeat(1_000_000).as_bytes()).unwrap_err();
    assert!(
        matches!(&error, JsonError::Syntax { detail, .. } if detail == "recursion limit exceeded"),
        "{error}"
    );
}

#[test]
fn too_many_values_are_refused() {
    let text = format!("[{}0]", "0,".repeat(MAX_VALUES));
    assert!(matches!(parse(text.as_bytes()), Err(JsonError::TooManyValues { .. })));
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    type Rows = BTreeMap<String, Vec<BTreeMap<String, u8>>>;
    let error = typed::<Rows>(serde_json::json!({"rows": [{"a": 1}, {"a": "x"}]})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "at \"/rows/1/a\": invalid type: string \"x\", expected u8"
    );
}

/// Any JSON value that has no `null` member, which reading leaves out.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_printed_reads_back(value in any_value()) {
        prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let ours = parse(&bytes).is_ok();
        // Whatever is accepted is JSON by serde_json's own account.
        prop_assert!(!ours || serde_json::from_slice::<Value>(&bytes).is_ok());
    }

    #[test]
    fn json_like_text_is_read_or_refused(text in "[\\[\\]{}:,\"a0-9.eE+ \\\\-]{0,64}") {
        let theirs = serde_json::from_str::<Value>(&text).is_ok();
        match parse(text.as_bytes()) {
            Ok(_) => prop_assert!(theirs),
            Err(JsonError::DuplicateKey { .. }) => {}
            Err(_) => prop_assert!(!theirs),
        }
    }
}
