//! A stack trace by line, with the frames of the application set apart from those of its libraries.

use crate::dialects::stack_trace::{FrameOwner, frame_owner};

/// One line of a stack trace.
pub(super) struct FrameLine {
    pub(super) class: &'static str,
    pub(super) text: String,
}

const LINES: usize = 1_000;

pub(super) fn frame_lines(trace: &str) -> Vec<FrameLine> {
    let line = |line: &str| FrameLine {
        class: class_of(line),
        text: line.to_owned(),
    };
    trace.lines().take(LINES).map(line).collect()
}

fn class_of(line: &str) -> &'static str {
    match frame_owner(line) {
        Some(FrameOwner::Application) => "application",
        Some(FrameOwner::Libraries) => "library",
        None if line.trim_start().starts_with("... ") => "library",
        None => "cause",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_application_stand_out() {
        let check = |line: &str, expected: &str| assert_eq!(class_of(line), expected, "{line}");
        check("java.lang.IllegalStateException: no stock", "cause");
        check(
            "\tat com.acme.orders.Stock.take(Stock.java:42)",
            "application",
        );
        check(
            "\tat org.springframework.kafka.Listener.run(L.java:1)",
            "library",
        );
        check(
            "\tat java.base//java.lang.Thread.run(Thread.java:1)",
            "library",
        );
        check("\t... 12 more", "library");
        check("  File \"/app/orders.py\", line 3, in take", "application");
        check(
            "  File \"/usr/lib/python3/json.py\", line 3, in loads",
            "library",
        );
        check(
            "    at take (/app/node_modules/kafkajs/x.js:1:1)",
            "library",
        );
        check("\tat io.quarkus.Runner.run(Runner.java:1)", "library");
        check("   at Npgsql.Connector.Open()", "library");
        check("    at take (/app/src/stock.js:1:1)", "application");
        check(
            "  File \"/app/dist-packages/x.py\", line 3, in take",
            "library",
        );
    }
}
