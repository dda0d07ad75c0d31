use super::*;

fn document(name: &str, text: &str) -> SchemaDocument {
    SchemaDocument {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn found(schema: &str, payload: &str) -> Vec<(String, String, usize)> {
    let mut set = SchemaSet::read(vec![document("a.json", schema)]).unwrap();
    let violations = set.violations("a.json", payload.as_bytes()).unwrap();
    violations
        .into_iter()
        .map(|violation| (violation.path, violation.message, violation.at))
        .collect()
}

#[test]
fn each_violation_has_its_path_and_its_place() {
    let schema = r#"{"required":["a"],"properties":{"items":{"items":{"required":["sku"],
        "properties":{"sku":{"type":"string"}}}}}}"#;
    let payload = r#"{"items":[{"sku":1}, {}]}"#;
    let found = found(schema, payload);
    let paths: Vec<_> = found
        .iter()
        .map(|(path, _, at)| (path.as_str(), *at))
        .collect();
    assert!(paths.contains(&("a", 0)), "{found:?}");
    assert!(paths.contains(&("items[0].sku", 17)), "{found:?}");
    assert!(paths.contains(&("items[1].sku", 21)), "{found:?}");
    let message = |path: &str| {
        let of_path = found.iter().find(|violation| violation.0 == path);
        of_path.map(|violation| violation.1.as_str())
    };
    assert_eq!(message("items[1].sku"), Some("is missing"));
    assert_eq!(
        message("items[0].sku"),
        Some("it is not of type \"string\"")
    );
}

#[test]
fn every_draft_is_read_by_its_own_rules() {
    for (draft, schema) in [
        (
            "draft-07",
            r#"{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"string"}],"additionalItems":false}"#,
        ),
        (
            "2019-09",
            r#"{"$schema":"https://json-schema.org/draft/2019-09/schema","items":[{"type":"string"}],"unevaluatedItems":false}"#,
        ),
        (
            "2020-12",
            r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","prefixItems":[{"type":"string"}],"items":false}"#,
        ),
    ] {
        assert_eq!(found(schema, r#"["x"]"#), [], "{draft}");
        assert!(!found(schema, r#"["x",1]"#).is_empty(), "{draft}");
        assert!(!found(schema, "[1]").is_empty(), "{draft}");
    }
}

#[test]
fn what_is_no_json_violates_every_schema() {
    let found = found("{}", "{\"a\":");
    assert!(found[0].1.starts_with("is no JSON"), "{found:?}");
    let mut set = SchemaSet::read(vec![document("a.json", "{}")]).unwrap();
    let binary = set.violations("a.json", b"\xff").unwrap();
    assert_eq!(binary.len(), 1);
}

#[test]
fn the_files_refer_to_one_another_by_name_and_by_id() {
    let documents = vec![
        document(
            "order.json",
            r#"{"properties":{"a":{"$ref":"part.json"},"b":{"$ref":"https://x.example/id.json"}}}"#,
        ),
        document("part.json", r#"{"type":"string"}"#),
        document(
            "other.json",
            r#"{"$id":"https://x.example/id.json","type":"integer"}"#,
        ),
    ];
    let mut set = SchemaSet::read(documents).unwrap();
    let violations = set.violations("order.json", br#"{"a":1,"b":"x"}"#).unwrap();
    assert_eq!(violations.len(), 2, "{violations:?}");
    let alone = document("order.json", r#"{"properties":{"a":{"$ref":"part.json"}}}"#);
    let error = SchemaSet::read(vec![alone])
        .unwrap()
        .compile("order.json")
        .map(drop)
        .unwrap_err();
    assert!(
        error.contains("part.json") && error.contains("file name or $id"),
        "{error}"
    );
}

#[test]
fn a_fault_in_a_schema_is_named() {
    let compile = |text: &str| {
        let mut set = SchemaSet::read(vec![document("a.json", text)])?;
        set.compile("a.json").map(drop)
    };
    let check = |text: &str, part: &str| {
        let error = compile(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    };
    check("{", "a.json: is no JSON");
    check(
        r#"{"properties":{"a":{"type":"strin"}}}"#,
        "at /properties/a/type",
    );
    check(r#"{"pattern":"("}"#, "pattern");
    check(r#"{"$ref":"http://127.0.0.1:1/x.json"}"#, "127.0.0.1");
    assert_eq!(compile(r#"{"pattern":"^(?!x)"}"#), Ok(()));
}

#[test]
fn a_long_value_is_not_repeated_and_many_violations_are_cut() {
    let long = format!("\"{}\"", "x".repeat(10_000));
    let found_in_long = found(r#"{"type":"integer"}"#, &long);
    assert!(found_in_long[0].1.len() <= 300, "{found_in_long:?}");
    let many = format!("[{}]", vec!["1"; 500].join(","));
    let found_in_many = found(r#"{"items":{"type":"string"}}"#, &many);
    assert_eq!(found_in_many.len(), MOST_VIOLATIONS);
}
