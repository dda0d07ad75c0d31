//! Places at which a test lets the process die, to prove what a crash there leaves behind: in a replay, and
//! while messages are taken into custody.
//!
//! `REDRIVE_CRASH_AT=kafka.acked` dies when the process passes that point first, `kafka.acked:3` when
//! it passes it the third time. Only builds with `debug_assertions` look at the variable.

/// Passes such a place. The name says what has just happened.
#[cfg(not(debug_assertions))]
pub(crate) const fn point(_name: &str) {}

/// Passes such a place. The name says what has just happened.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct CrashAt {
        name: String,
        passings_left: AtomicU64,
    }
    static CRASH_AT: OnceLock<Option<CrashAt>> = OnceLock::new();
    let crash_at = CRASH_AT.get_or_init(|| {
        let wish = std::env::var("REDRIVE_CRASH_AT").ok()?;
        let (name, passings) = wish.split_once(':').unwrap_or((&wish, "1"));
        Some(CrashAt {
            name: name.to_owned(),
            passings_left: AtomicU64::new(passings.parse().unwrap_or(1)),
        })
    });
    let Some(crash_at) = crash_at.as_ref().filter(|crash_at| crash_at.name == name) else {
        return;
    };
    if crash_at.passings_left.fetch_sub(1, Ordering::SeqCst) == 1 {
        // Like kill -9: no destructor runs, no buffer is flushed, sockets just close.
        std::process::abort();
    }
}
