use super::*;

const SUBJECT: RuleSubject<'_> = RuleSubject {
    system: System::Kafka,
    cluster: "k",
    vhost: "",
    dlq: "payments.dlq",
    source: "payments",
    event_type: "OrderPaid",
    consumer: "billing",
    reason: "exception",
    class: "com.acme.PaymentGatewayException",
    message: "read of {class} timed out after 250 ms",
    parameterised_message: "read of {class} timed out after {number} ms",
};

fn rule(filter: &str) -> GroupingRule {
    GroupingRule::new("gateway", filter, "", "").unwrap()
}

#[test]
fn a_rule_matches_by_the_words_of_the_filter_language() {
    let check = |filter: &str, expected: bool| {
        assert_eq!(rule(filter).matches(&SUBJECT), expected, "{filter}");
    };
    check("source:payments", true);
    check("source:pay", false);
    check("source:pay*", true);
    check("source:*ment*", true);
    check("source:*x*", false);
    check("source:p*s*s", false);
    check("-source:orders source:payments", true);
    check("-source:payments", false);
    check(
        "type:OrderPaid consumer:billing dlq:*.dlq system:kafka",
        true,
    );
    check("system:rabbitmq", false);
    check("reason:exception cluster:k", true);
    check("error:gateway", true);
    check("error:PaymentGatewayException", true);
    check("error:\"timed out\"", true);
    check("error:\"out timed\"", false);
    check("error:time*", true);
    check("error:imed*", false);
    check("error:gate", false);
    check("vhost:/", false);
}

#[test]
fn title_and_key_are_filled_once() {
    let title = "{source}: {class} {message} {type} {consumer} {dlq} {cluster} {reason}";
    let rule = GroupingRule::new("gateway", "source:*", title, "{source}/{type}").unwrap();
    assert_eq!(
        rule.title(&SUBJECT),
        "payments: com.acme.PaymentGatewayException read of {class} timed out after {number} ms \
         OrderPaid billing payments.dlq k exception"
    );
    assert_eq!(rule.key(&SUBJECT), "payments/OrderPaid");
    let plain = GroupingRule::new(" gateway ", "source:*", " ", "").unwrap();
    assert_eq!(
        (plain.title(&SUBJECT), plain.key(&SUBJECT)),
        ("gateway".to_owned(), String::new())
    );
}

#[test]
fn a_rule_that_cannot_work_is_refused_with_the_remedy() {
    let check = |name: &str, filter: &str, title: &str, expected: &str| {
        let error = GroupingRule::new(name, filter, title, "")
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{filter}: {error}");
    };
    check("", "source:x", "", "name is empty");
    check("a", " ", "", "hide the built-in ones");
    check("a", "colour:red", "", "not understood");
    check("a", "payload.id:1", "", "\"payload\" cannot be asked");
    check("a", "age:>1h", "", "\"age\"");
    check("a", "timeout", "", "\"free text\"");
    check(
        "a",
        "source:x",
        "{colour}",
        "\"{colour}\" is no placeholder",
    );
    check("a", "source:x", "open {source", "no placeholder");
}
