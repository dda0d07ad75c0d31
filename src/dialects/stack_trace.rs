//! Reads stack traces as text: the root cause of a Java trace, and the frame of the application's own
//! code at which Java, .NET, Node.js or Python failed. One pass over the lines; an unknown language
//! gives nothing.

use super::header_values;
use crate::domain::Failure;

/// The last `Caused by` of a Java stack trace, or its first line if it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RootCause {
    pub(crate) class: String,
    pub(crate) message: Option<String>,
}

/// Code that the application's authors did not write: what a frame's class may start with.
const FRAMEWORKS: [&str; 56] = [
    // The JVM and its languages.
    "java.",
    "javax.",
    "jakarta.",
    "jdk.",
    "sun.",
    "com.sun.",
    "kotlin.",
    "kotlinx.",
    "scala.",
    "groovy.",
    // Frameworks and clients on the JVM.
    "org.springframework.",
    "org.apache.",
    "org.hibernate.",
    "org.jboss.",
    "org.eclipse.",
    "org.postgresql.",
    "org.slf4j.",
    "org.aspectj.",
    "io.netty.",
    "io.vertx.",
    "io.quarkus.",
    "io.smallrye.",
    "io.micrometer.",
    "io.micronaut.",
    "io.grpc.",
    "io.reactivex.",
    "io.confluent.",
    "io.opentelemetry.",
    "reactor.",
    "akka.",
    "com.fasterxml.",
    "com.google.common.",
    "com.google.gson.",
    "com.mysql.",
    "com.rabbitmq.",
    "com.zaxxer.",
    "ch.qos.",
    "feign.",
    "okhttp3.",
    "retrofit2.",
    "net.bytebuddy.",
    // .NET.
    "System.",
    "Microsoft.",
    "Confluent.",
    "MassTransit.",
    "NServiceBus.",
    "Newtonsoft.",
    "Npgsql.",
    "Polly.",
    "RabbitMQ.",
    "Rebus.",
    "EasyNetQ.",
    "Wolverine.",
    "Dapper.",
    "MySql.",
    "Azure.",
];

/// Files that the application's authors did not write: what a frame's path may contain.
const LIBRARY_PATHS: [&str; 7] = [
    "node_modules/",
    "node:",
    "internal/",
    "site-packages/",
    "dist-packages/",
    "lib/python",
    "<frozen ",
];

const LONGEST_CLASS: usize = 512;
const LONGEST_FRAME: usize = 300;

/// Who wrote the code of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameOwner {
    Application,
    /// Runtimes, frameworks and clients.
    Libraries,
}

/// Who wrote the code of the frame on this line of a stack trace; `None` if it is no frame.
pub(crate) fn frame_owner(line: &str) -> Option<FrameOwner> {
    let line = line.trim_start();
    let is_of_application = match line.strip_prefix("at ") {
        Some(frame) => application_frame(frame).is_some(),
        None => !is_library_path(line.strip_prefix("File \"")?),
    };
    Some(if is_of_application {
        FrameOwner::Application
    } else {
        FrameOwner::Libraries
    })
}

fn is_library_path(place: &str) -> bool {
    LIBRARY_PATHS.iter().any(|path| place.contains(path))
}

/// The root cause of a Java stack trace; `None` if the text is none.
pub(crate) fn root_cause(stack_trace: &str) -> Option<RootCause> {
    let start = start_of_root_cause(stack_trace);
    let section = stack_trace.get(start..)?;
    let section = section.strip_prefix("Caused by: ").unwrap_or(section);
    let header_end = section
        .find("\n\tat ")
        .or_else(|| section.find("\n\t..."))?;
    let header = section.get(..header_end)?.trim_end();
    let (class, message) = match header.split_once(": ") {
        Some((class, message)) => (class, Some(message.trim())),
        None => (header, None),
    };
    let is_class = class.len() <= LONGEST_CLASS
        && class.contains('.')
        && class
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '$'));
    is_class.then(|| RootCause {
        class: class.to_owned(),
        message: message.filter(|text| !text.is_empty()).map(str::to_owned),
    })
}

/// The failure that a framework on the JVM describes by the outermost exception and its stack trace.
pub(super) fn java_failure(
    class: Option<String>,
    message: Option<String>,
    stack_trace: Option<String>,
) -> Failure {
    let Some(root) = stack_trace.as_deref().and_then(root_cause) else {
        return Failure {
            class,
            message,
            stack_trace,
            ..Failure::default()
        };
    };
    let is_outermost = class.as_ref().is_none_or(|class| *class == root.class);
    let root_message = root.message.map(|text| header_values::cut_message(&text));
    Failure {
        wrapper_class: class.filter(|_| !is_outermost),
        wrapper_message: message.clone().filter(|_| !is_outermost),
        class: Some(root.class),
        // A root cause may say nothing; what its wrapper says is then no word of its own.
        message: if is_outermost { message } else { root_message },
        stack_trace,
        stage: None,
    }
}

/// The first exception that a text of .NET names: `System.TimeoutException: no answer`, which may
/// stand behind other words.
pub(super) fn first_exception(text: &str) -> Option<RootCause> {
    let is_of_class = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '+' | '`');
    text.lines().take(20).find_map(|line| {
        let at = line.find("Exception")? + "Exception".len();
        let start = line[..at].rfind(|c: char| !is_of_class(c));
        let start = start.map_or(0, |index| {
            index + line[index..].chars().next().map_or(1, char::len_utf8)
        });
        let class = &line[start..at];
        let message = line[at..].strip_prefix(':').map(str::trim);
        (class.contains('.') && class.len() <= LONGEST_CLASS).then(|| RootCause {
            class: class.to_owned(),
            message: message.filter(|text| !text.is_empty()).map(str::to_owned),
        })
    })
}

/// An indented `Caused by` belongs to a suppressed exception.
fn start_of_root_cause(stack_trace: &str) -> usize {
    match stack_trace.rfind("\nCaused by: ") {
        Some(line_feed) => line_feed + 1,
        None => 0,
    }
}

/// The application's own code nearest to the root cause, without line numbers, so that it survives
/// the next release: `com.acme.Payments.charge`, `charge (payments.js)`.
pub(crate) fn top_application_frame(stack_trace: &str) -> Option<String> {
    let root = start_of_root_cause(stack_trace);
    let (before, cause) = stack_trace.split_at_checked(root)?;
    first_frame(cause)
        .or_else(|| python_frame(stack_trace))
        // The root section may hold library code alone: then the cause that wraps it tells.
        .or_else(|| sections_backwards(before).find_map(first_frame))
}

fn sections_backwards(text: &str) -> impl Iterator<Item = &str> {
    text.rsplit("\nCaused by: ")
}

fn first_frame(section: &str) -> Option<String> {
    section
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("at "))
        .find_map(application_frame)
        .filter(|frame| !frame.is_empty() && frame.len() <= LONGEST_FRAME)
}

/// One line after its `at `.
fn application_frame(line: &str) -> Option<String> {
    match line.split_once(" (") {
        // Node.js: `async Payments.charge (/app/src/payments.js:10:5)`.
        Some((function, location)) if !location.is_empty() && !function.contains('(') => {
            let location = location.trim_end().trim_end_matches(')');
            node_frame(function.trim_start_matches("async "), location)
        }
        // Java: `app//com.acme.Payments.charge(Payments.java:12)`; .NET: `Acme.Payments.Charge(Int32 id) in …`.
        _ => class_frame(line.split_once('(')?.0),
    }
}

fn node_frame(function: &str, location: &str) -> Option<String> {
    if is_library_path(location) {
        return None;
    }
    let file = location.rsplit('/').next()?.split(':').next()?;
    Some(format!("{} ({file})", function.trim()))
}

fn class_frame(method: &str) -> Option<String> {
    let method = method.rsplit('/').next()?;
    if !method.contains('.') || FRAMEWORKS.iter().any(|prefix| method.starts_with(prefix)) {
        return None;
    }
    Some(without_generated_parts(method))
}

/// Proxies and lambdas are numbered by the compiler or at run time.
fn without_generated_parts(method: &str) -> String {
    let (class, name) = method.rsplit_once('.').unwrap_or(("", method));
    let class = class.split("$$").next().unwrap_or(class);
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    format!("{class}.{}", name.trim_end_matches('$'))
}

/// Python writes the innermost frame last: `  File "/app/payments.py", line 3, in charge`.
fn python_frame(stack_trace: &str) -> Option<String> {
    stack_trace
        .lines()
        .rev()
        .filter_map(|line| line.trim_start().strip_prefix("File \""))
        .filter(|frame| !is_library_path(frame))
        .filter_map(|frame| {
            let (path, rest) = frame.split_once("\", line ")?;
            let (_, function) = rest.split_once(", in ")?;
            let file = path.rsplit(['/', '\\']).next()?;
            Some(format!("{} ({file})", function.trim()))
        })
        .find(|frame| frame.len() <= LONGEST_FRAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAVA: &str = "org.springframework.kafka.listener.ListenerExecutionFailedException: Listener failed; nested exception\n\
        \tat org.springframework.kafka.listener.KafkaMessageListenerContainer.invoke(KafkaMessageListenerContainer.java:2900)\n\
        \tSuppressed: org.springframework.kafka.listener.Restored: at\n\
        \t\tat com.acme.Wrong.suppressed(Wrong.java:1)\n\
        \tCaused by: com.acme.AlsoWrong: x\n\
        Caused by: com.acme.payments.PaymentFailed: order 4711\n\
        \tat com.acme.payments.PaymentService.lambda$charge$3(PaymentService.java:48)\n\
        \t... 12 more\n\
        Caused by: java.net.SocketTimeoutException: Read timed out:\nafter 3 s\n\
        \tat java.base/java.net.Socket.read(Socket.java:1)\n\
        \tat com.acme.payments.GatewayClient$$SpringCGLIB$$0.post(<generated>)\n\
        \t... 14 more\n";

    #[test]
    fn the_root_cause_is_the_last_caused_by_of_the_main_chain() {
        let cases = [
            (
                JAVA,
                Some((
                    "java.net.SocketTimeoutException",
                    Some("Read timed out:\nafter 3 s"),
                )),
            ),
            ("a.B: m\n\tat a.C.d(C.java:1)", Some(("a.B", Some("m")))),
            ("a.B\n\tat a.C.d(C.java:1)", Some(("a.B", None))),
            ("a.B: m\nCaused by: a.E\n\t... 3 more", Some(("a.E", None))),
            ("a.B: m", None),
            ("Traceback (most recent call last):\n\tat x", None),
            ("", None),
            ("\nCaused by: ", None),
        ];
        for (stack, expected) in cases {
            let found = root_cause(stack);
            let found = found
                .as_ref()
                .map(|root| (root.class.as_str(), root.message.as_deref()));
            assert_eq!(found, expected, "{stack}");
        }
    }

    #[test]
    fn the_top_application_frame_skips_what_others_wrote() {
        let library_root = "x.Y: m\n\tat com.acme.Outer.run(Outer.java:9)\n\
             Caused by: x.Z\n\tat com.acme.Middle.call$1(Middle.kt:2)\n\
             Caused by: java.io.IOException\n\tat java.io.File.open(File.java:1)\n\t... 2 more";
        let cases = [
            (JAVA, Some("com.acme.payments.GatewayClient.post")),
            (library_root, Some("com.acme.Middle.call")),
            (
                "E: m\n    at app//com.acme.A.lambda$b$12(A.java:1)",
                Some("com.acme.A.lambda$b"),
            ),
            ("E: m\n    at java.util.List.get(List.java)\n", None),
            (
                "Acme.E: m\n   at System.Net.Http.Send(Uri u)\n   at Acme.Pay.Charge(Int32 id) in /src/Pay.cs:line 12",
                Some("Acme.Pay.Charge"),
            ),
            (
                "Error: m\n    at node:internal/x:1:2\n    at call (/app/node_modules/a/i.js:1:2)\n    at async Pay.charge (/app/src/pay.js:10:5)",
                Some("Pay.charge (pay.js)"),
            ),
            (
                "Traceback (most recent call last):\n  File \"/app/main.py\", line 1, in main\n  File \"/app/pay.py\", line 9, in charge\n  File \"/usr/lib/python3.11/json/x.py\", line 2, in loads\nValueError: m",
                Some("charge (pay.py)"),
            ),
            ("no stack at all", None),
            ("", None),
            ("at ", None),
            ("\tat (", None),
            ("\tat  (", None),
        ];
        for (stack, expected) in cases {
            assert_eq!(top_application_frame(stack).as_deref(), expected, "{stack}");
        }
    }
}
