use proptest::prelude::*;

use super::*;

#[test]
fn what_varies_is_replaced_and_what_names_the_cause_stays() {
    let cases = [
        ("", ""),
        ("  gateway \t timed\nout ", "gateway timed out"),
        // Numbers.
        ("order 4711 not found", "order {number} not found"),
        ("order-4711 not found", "order-{number} not found"),
        ("order4711, cust_42", "order{number}, cust_{number}"),
        ("no answer within 3000ms", "no answer within {number}ms"),
        (
            "waited 1.5s, 3,000.25 KB, -7, +8 (=-9)",
            "waited {number}s, {number} KB, {number}, {number} (={number})",
        ),
        ("the 3rd of 4x", "the {number}rd of {number}x"),
        ("HTTP2 v2 utf8 i18n log4j", "HTTP2 v2 utf8 i18n log4j"),
        ("line 1 column 37.", "line {number} column {number}."),
        ("[1,2,3]", "[{number}]"),
        // IDs.
        ("id 550e8400-e29b-41d4-a716-446655440000!", "id {uuid}!"),
        ("550E8400-E29B-41D4-A716-446655440000", "{uuid}"),
        ("commit 9fceb02d0ae5 at 0x7ffE", "commit {hex} at {hex}"),
        ("deadbeef is a word", "deadbeef is a word"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "{id}"),
        ("key AKIA2EXAMPLE7KEY", "key {id}"),
        ("9a8b7c6d5zz", "{id}"),
        // Dates.
        ("at 2026-11-24", "at {date}"),
        ("at 2026-11-24T02:21:36Z,", "at {date},"),
        ("at 2026-11-24 02:21:36.123+01:00 done", "at {date} done"),
        ("at 2026/11/24 02:21", "at {date}"),
        ("2026-11-24T02:21:36.5+0100", "{date}"),
        // Addresses.
        ("mail to ann.b+c@mail.acme.com.", "mail to {email}."),
        (
            "GET https://api.acme.com:8443/v1/orders/4711?x=1 failed",
            "GET {url} failed",
        ),
        ("see <http://a/b>, ok", "see <{url}>, ok"),
        ("jdbc:postgresql://db/x;ssl", "jdbc:{url};ssl"),
        ("to 10.0.0.17:9092 and 10.0.0.18.", "to {host} and {host}."),
        (
            "to ::1 or [fe80::1]:80 or fe80::a1b2",
            "to {host} or {host} or {host}",
        ),
        ("to db-3.prod.internal: refused", "to {host}: refused"),
        ("to payments-7f9c6d8b5:8080", "to {host}"),
        ("to localhost:8080", "to localhost:{number}"),
        (
            "broker kafka.acme.com/10.1.2.3:9092",
            "broker {host}/{host}",
        ),
        // Neither hosts nor variables.
        (
            "com.acme.PaymentFailed at PaymentService.java:48",
            "com.acme.PaymentFailed at PaymentService.java:{number}",
        ),
        ("pay.js:10:5", "pay.js:{number}:{number}"),
        ("data.customerId is required", "data.customerId is required"),
        (
            "field `data.total` is missing",
            "field `data.total` is missing",
        ),
        ("std::io::Error", "std::io::Error"),
        ("version 1.2.3", "version {number}"),
        ("naïve café 5", "naïve café {number}"),
        ("@ :// - [ : 5", "@ :// - [ : {number}"),
    ];
    for (message, expected) in cases {
        assert_eq!(parameterise(message), expected, "{message}");
    }
}

#[test]
fn a_hostile_message_costs_little() {
    for unit in ["a.", "1:", "a@", "x://", "[", "0x", "-1", "1,", "a-"] {
        let replaced = parameterise(&unit.repeat(1_000_000));
        assert!(
            replaced.len() <= LONGEST_OUTPUT + LONGEST_INPUT,
            "{unit}: {}",
            replaced.len()
        );
    }
}

proptest! {
    #[test]
    fn no_message_panics(message in any::<String>()) {
        parameterise(&message);
    }

    #[test]
    fn signs_of_every_shape_never_panic(
        message in "([0-9a-fx]{1,9}|[-.:@/+,\\[\\] ]|://|T|Z|2026-11-24|ü){0,30}"
    ) {
        parameterise(&message);
    }

    #[test]
    fn messages_that_differ_only_in_what_varies_read_the_same(
        number in any::<u64>(), other_number in any::<u64>(),
        id in any::<u128>(), other_id in any::<u128>(),
        address in any::<u32>(), other_address in any::<u32>(),
        port in 10..u16::MAX, other_port in 10..u16::MAX,
        name in "[a-z]{1,8}", other_name in "[a-z]{1,8}",
        second in 0..4_102_444_800_i64, other_second in 0..4_102_444_800_i64,
    ) {
        let message = |number: u64, id: u128, address: u32, port: u16, name: &str, second: i64| {
            let id = uuid::Uuid::from_u128(id);
            let address = std::net::Ipv4Addr::from(address);
            let time = crate::domain::Timestamp::from_seconds(second);
            format!(
                "order {number} ({id}) of {name}@acme.com at {time}: {address}:{port} refused \
                 https://{name}.acme.com/{id}, took {number}ms"
            )
        };
        let one = message(number, id, address, port, &name, second);
        let other = message(other_number, other_id, other_address, other_port, &other_name, other_second);
        let expected = "order {number} ({uuid}) of {email} at {date}: {host} refused {url}, took {number}ms";
        prop_assert_eq!(parameterise(&one), expected, "{}", one);
        prop_assert_eq!(parameterise(&other), expected, "{}", other);
    }
}
