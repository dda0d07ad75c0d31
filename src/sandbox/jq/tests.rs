use proptest::prelude::*;

use super::*;

fn made(program: &str, payload: &str) -> Made {
    Program::compile(program).unwrap().run(payload.as_bytes())
}

/// What a program makes of a payload that it changes.
fn changed(program: &str, payload: &str) -> String {
    match made(program, payload) {
        Made::Changed(text) => text,
        other => panic!("{program} on {payload}: {other:?}"),
    }
}

#[test]
fn only_what_a_program_touches_is_written_anew() {
    let check = |program: &str, payload: &str, expected: &str| {
        assert_eq!(changed(program, payload), expected, "{program}");
    };
    let order = "{\n  \"id\": 12345678901234567890,\n  \"p\\u0072ice\": 1.10, \"a\":1, \"a\" : 2,\n  \"tags\": [ 1.0,  -0, 1E5 ]\n}\n";
    check(
        ".id = \"x\"",
        order,
        &order.replace("12345678901234567890", "\"x\""),
    );
    check(".price = 2", order, &order.replace("1.10", "2"));
    check(".a += 1", order, &order.replace("\"a\" : 2", "\"a\" : 3"));
    check("del(.a)", order, &order.replace(" \"a\":1, \"a\" : 2,", ""));
    check(".tags[1] = 7", order, &order.replace("-0", "7"));
    check("del(.tags[0])", order, &order.replace("[ 1.0,  -0", "[ -0"));
    check(
        "del(.tags[-1])",
        order,
        &order.replace(",  -0, 1E5", ",  -0"),
    );
    check(
        ".tags += [null]",
        order,
        &order.replace("1E5 ]", "1E5,  null ]"),
    );
    check(
        ".tags |= map(select(. != 100000))",
        order,
        &order.replace(", 1E5", ""),
    );
    check(
        ".new = {b: [1]}",
        order,
        &order.replace("1E5 ]\n", "1E5 ],\n  \"new\": {\"b\":[1]}\n"),
    );
    check(
        "del(.id)",
        order,
        &order.replace("\"id\": 12345678901234567890,\n  ", ""),
    );
    check("[.a]", " {\"a\":1} ", " [1] ");
}

#[test]
fn empty_and_emptied_brackets_are_filled_and_closed() {
    let check = |program: &str, payload: &str, expected: &str| {
        assert_eq!(
            changed(program, payload),
            expected,
            "{program} on {payload}"
        );
    };
    check(".a = 1", "{}", "{\"a\":1}");
    check(".a = 1", "{ }", "{\"a\":1}");
    check("del(.a)", "{ \"a\": 1 }", "{}");
    check(". + [1]", "[]", "[1]");
    check(". + [3, 4]", "[ 2 ]", "[ 2, 3, 4 ]");
    check(
        ".b = 2",
        "{\n\t\"a\": 1\n}",
        "{\n\t\"a\": 1,\n\t\"b\": 2\n}",
    );
    check("map(. * 10) | .[1:]", "[1,2,3]", "[20,30]");
    check("[.[2], .[0]]", "[1,{\"b\":1.0},3]", "[3,1]");
}

#[test]
fn what_gives_the_same_or_nothing_leaves_the_payload() {
    for program in [
        ".",
        "empty",
        "select(.a == 2) | .a = 3",
        "to_entries | reverse | from_entries",
        "map_values(.)",
        ".a = .a",
    ] {
        assert_eq!(
            made(program, r#"{"a":1.0,"b":[1e3]}"#),
            Made::Same,
            "{program}"
        );
    }
}

#[test]
fn what_cannot_be_repaired_says_why() {
    let check = |program: &str, payload: &str, part: &str| match made(program, payload) {
        Made::Failed(why) => assert!(why.contains(part), "{program}: {why}"),
        other => panic!("{program}: {other:?}"),
    };
    check(".", "{\"a\":", "no JSON");
    check(".", "NaN", "no JSON");
    check(".", "# comment\n1", "no JSON");
    check(".a", "1", "cannot index");
    check(".[]", "[1,2]", "more than one value");
    check("error(\"no customer\")", "{}", "no customer");
    check(". = nan", "1", "the result is no JSON");
    check("{(0|tostring): 1} | {(1): 2}", "0", "");
    check(&format!("error(\"{}\")", "x".repeat(5_000)), "{}", "…");
    check(".", &("[".repeat(5_000) + &"]".repeat(5_000)), "no JSON");
}

#[test]
fn a_repair_sees_its_payload_only() {
    for program in [
        "env",
        "$ENV",
        "now",
        "input",
        "[inputs]",
        "halt",
        "halt_error",
        "debug",
        "debug(.a)",
        "stderr",
        "localtime",
        "input_filename",
    ] {
        let error = Program::compile(program).map(drop).unwrap_err();
        assert!(error.starts_with("line 1, column"), "{program}: {error}");
    }
    let error = Program::compile("import \"a\" as a; .")
        .map(drop)
        .unwrap_err();
    assert!(error.contains("cannot be imported"), "{error}");
    let error = Program::compile(". |\n now").map(drop).unwrap_err();
    assert!(
        error.contains("line 2, column 2") && error.contains("not available"),
        "{error}"
    );
}

#[test]
fn a_mistake_in_the_program_is_named_with_its_place() {
    let check = |program: &str, part: &str| {
        let error = Program::compile(program).map(drop).unwrap_err();
        assert!(error.contains(part), "{program}: {error}");
    };
    check(".a = ", "the program ends");
    check(".a\n| foo(1)", "line 2, column 3: there is no filter foo");
    check("\"abc", "line 1");
    check("$x", "there is no variable $x");
}

#[test]
fn text_numbers_and_times_can_be_repaired() {
    assert_eq!(
        changed(".c |= sub(\"^c-\"; \"customer-\")", r#"{"c":"c-17"}"#),
        r#"{"c":"customer-17"}"#
    );
    assert_eq!(
        changed(
            ".t |= (. / 1000 | floor | todate)",
            r#"{"t": 1700000000123}"#
        ),
        r#"{"t": "2023-11-14T22:13:20Z"}"#
    );
    assert_eq!(
        changed(".e |= @base64d", r#"{"e":"aGk="}"#),
        r#"{"e":"hi"}"#
    );
}

/// Any JSON, written in any way.
fn any_json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
        "\"([ a-zäß€😀]|\\\\(n|t|\"|/|u00e9|u20AC)){0,6}\"",
    ];
    scalar.prop_recursive(4, 40, 5, |inner| {
        let name = prop_oneof!["\"[ab]\"", "\"a\\\\u0062\"", "\"[a-z]{0,4}\""];
        let white = "[ \n\t]{0,2}";
        let member =
            (name, white, inner.clone(), white).prop_map(|(name, before, value, after)| {
                format!("{before}{name}{after}:{before}{value}{after}")
            });
        let item = (white, inner, white)
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        prop_oneof![
            proptest::collection::vec(member, 0..5)
                .prop_map(|parts| format!("{{{}}}", parts.join(","))),
            proptest::collection::vec(item, 0..5)
                .prop_map(|parts| format!("[{}]", parts.join(","))),
        ]
    })
}

proptest! {
    // Compiling a program takes longer than running it.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_identity_leaves_every_byte(payload in any_json()) {
        prop_assert_eq!(made(".", &payload), Made::Same);
        // The same by a way that builds every value anew.
        prop_assert_eq!(made("walk(.)", &payload), Made::Same);
    }

    #[test]
    fn a_new_field_and_its_removal_give_back_every_byte(payload in any_json()) {
        let object = format!("{{\"zz\": {payload}}}");
        let with = changed(".new = 1", &object);
        prop_assert!(with.starts_with(object.trim_end_matches('}')), "{} {}", object, with);
        prop_assert_eq!(changed("del(.new)", &with), object);
    }

    #[test]
    fn an_edit_deep_inside_leaves_what_is_around_it(left in any_json(), right in any_json()) {
        let payload = format!("[{left} , {{ \"x\" :[0, {right}]}},{right}]");
        let expected = format!("[{left} , {{ \"x\" :[9, {right}]}},{right}]");
        prop_assert_eq!(changed(".[1].x[0] = 9", &payload), expected);
    }

    #[test]
    fn any_splice_means_what_the_program_said(payload in any_json(), other in any_json()) {
        let program = format!("[., {other}] | .[1]");
        let value = |text: &str| read::parse_single(text.as_bytes()).unwrap();
        match made(&program, &payload) {
            Made::Same => prop_assert!(is_same(&value(&payload), &value(&other))),
            Made::Changed(text) => prop_assert!(is_same(&value(&text), &value(&other)), "{}", text),
            Made::Failed(why) => prop_assert!(false, "{}", why),
        }
    }
}
