use super::*;

#[test]
fn watermill_as_recorded() {
    let told = Told {
        dialects: &["watermill"],
        from: "fx-watermill",
        endpoint: "take",
        message: "no stock for ord-4711",
        reason: DeathReason::Exception,
        ..Told::default()
    };
    check_recorded("watermill-kafka", &told);
    check_recorded("watermill-rabbitmq", &told);
}

#[test]
fn retry_chains_of_amqplib_as_recorded() {
    check_recorded(
        "amqplib-x-death",
        &Told {
            dialects: &["x-death", "x-death"],
            from: "fx.chain",
            published: Some(("fx.chain", "order.created")),
            reason: DeathReason::Rejected,
            attempts: Some((3, AttemptsKind::Deaths)),
            ..Told::default()
        },
    );
    check_recorded(
        "amqplib-counter",
        &Told {
            dialects: &["x-death", "x-death"],
            from: "fx.count",
            // The consumer published it to its retry queue itself, and nothing kept what was before.
            published: Some(("", "fx.count")),
            reason: DeathReason::Rejected,
            attempts: Some((3, AttemptsKind::Retries)),
            ..Told::default()
        },
    );
}

#[test]
fn frameworks_on_rabbitmq_as_recorded() {
    check_recorded(
        "rascal",
        &Told {
            dialects: &["x-death", "rascal"],
            from: "fx.rascal",
            published: Some(("fx.rascal", "order.created")),
            class: "E_STOCK",
            message: "no stock",
            reason: DeathReason::Rejected,
            attempts: Some((2, AttemptsKind::Retries)),
            // By what it kept there, Rascal gives the consumer its routing key back.
            differ: &["rascal"],
            ..Told::default()
        },
    );
    check_recorded(
        "celery",
        &Told {
            dialects: &["x-death"],
            from: "fx.celery",
            published: Some(("fx.celery", "fx.celery")),
            endpoint: "shop.take",
            reason: DeathReason::Rejected,
            attempts: Some((2, AttemptsKind::Retries)),
            // A retry is its own parent to Celery; the other would make the worker discard it.
            differ: &["parent_id", "expires"],
            ..Told::default()
        },
    );
    check_recorded(
        "dramatiq",
        &Told {
            dialects: &["x-death", "dramatiq"],
            from: "fx-dramatiq",
            published: Some(("", "fx-dramatiq")),
            endpoint: "take",
            class: "ValueError",
            message: "no stock for ord-4711",
            reason: DeathReason::Rejected,
            attempts: Some((2, AttemptsKind::Retries)),
            ..Told::default()
        },
    );
    check_recorded(
        "spring-amqp",
        &Told {
            dialects: &["spring-amqp"],
            published: Some(("fx.spring", "order.created")),
            class: "java.lang.IllegalStateException",
            message: "gateway closed",
            reason: DeathReason::Exception,
            ..Told::default()
        },
    );
}
