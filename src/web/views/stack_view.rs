//! A stack trace by line, with the frames of the application set apart from those of its libraries.

/// One line of a stack trace.
pub(super) struct FrameLine {
    pub(super) class: &'static str,
    pub(super) text: String,
}

const LINES: usize = 1_000;

/// Where frames of runtimes and usual libraries begin.
const LIBRARIES: [&str; 26] = [
    "java.",
    "javax.",
    "jakarta.",
    "jdk.",
    "sun.",
    "com.sun.",
    "kotlin.",
    "kotlinx.",
    "scala.",
    "org.springframework.",
    "org.apache.",
    "org.hibernate.",
    "io.netty.",
    "io.micrometer.",
    "reactor.",
    "com.rabbitmq.",
    "com.fasterxml.",
    "ch.qos.",
    "org.slf4j.",
    "System.",
    "Microsoft.",
    "MassTransit.",
    "RabbitMQ.",
    "Confluent.",
    "node:",
    "internal/",
];

pub(super) fn frame_lines(trace: &str) -> Vec<FrameLine> {
    let line = |line: &str| FrameLine {
        class: class_of(line),
        text: line.to_owned(),
    };
    trace.lines().take(LINES).map(line).collect()
}

fn class_of(line: &str) -> &'static str {
    let trimmed = line.trim_start();
    if let Some(frame) = trimmed.strip_prefix("at ") {
        let place = frame.rsplit("//").next().unwrap_or(frame);
        let is_library = LIBRARIES.iter().any(|prefix| place.starts_with(prefix))
            || frame.contains("node_modules")
            || frame.contains("(node:");
        return if is_library { "library" } else { "application" };
    }
    if trimmed.starts_with("File \"") {
        let is_library = trimmed.contains("site-packages") || trimmed.contains("/lib/python");
        return if is_library { "library" } else { "application" };
    }
    if trimmed.starts_with("... ") {
        return "library";
    }
    "cause"
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
    }
}
