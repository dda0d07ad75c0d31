use crate::alerts::rule::{AlertRule, Hold, RuleFile, Severity};

pub(super) const FILE: RuleFile = RuleFile {
    name: "rabbitmq.yml",
    group: "redrive-rabbitmq",
    about: "Queues of RabbitMQ. Streams keep what was read, so no alert is about what lies in one.",
    rules: &[
        MESSAGES_DISCARDED,
        DEAD_LETTER_UNROUTABLE,
        NO_CONSUMERS,
        STALLED,
        CIRCLING,
        LOW_PROCESSING_RATE,
    ],
};

const MESSAGES_DISCARDED: AlertRule = AlertRule {
    name: "RabbitMQMessagesDiscarded",
    severity: Severity::Critical,
    hold: Hold::AtOnce,
    why: "",
    expression: r#"
        sum by (cluster, queue_type, reason) (
          increase(redrive_rabbitmq_dead_lettered_total{cluster!="", strategy="disabled"}[10m])
        ) > 0
    "#,
    summary: "Messages that RabbitMQ {{ $labels.cluster }} discarded ({{ $labels.reason }}): about {{ $value | printf \"%.0f\" }}",
    description: "Messages of {{ $labels.queue_type }} queues on cluster {{ $labels.cluster }} died \
        ({{ $labels.reason }}) in queues that have no dead-letter exchange, and are gone. Set one by policy: \
        `rabbitmqctl set_policy ... '{\"dead-letter-exchange\":\"...\"}'`. The Queues page of Redrive shows which \
        queues have none.",
};

const DEAD_LETTER_UNROUTABLE: AlertRule = AlertRule {
    name: "RabbitMQDeadLetterUnroutable",
    severity: Severity::Critical,
    hold: Hold::For("unroutable-for"),
    why: "",
    expression: r#"redrive_rabbitmq_queue_dead_letter_unroutable{cluster!=""} == 1"#,
    summary: "Dead letters of {{ $labels.queue }} route nowhere",
    description: "The queue {{ $labels.queue }} in virtual host {{ $labels.vhost }} (cluster {{ $labels.cluster }}) \
        has a dead-letter exchange that does not exist, or its dead-letter routing key matches no binding \
        there. What fails in this queue is lost without a trace. Create the exchange, or bind a queue to it \
        with that key.",
};

const NO_CONSUMERS: AlertRule = AlertRule {
    name: "RabbitMQQueueNoConsumers",
    severity: Severity::Critical,
    hold: Hold::For("no-consumers-for"),
    why: "Who fetches messages one by one (basic.get) is no consumer: where there has been none for a while and \
        messages are settled all the same, somebody does.",
    expression: r#"
        redrive_rabbitmq_queue_ready{cluster!=""} > 0
        and redrive_rabbitmq_queue_consumers{cluster!=""} == 0
        and on (cluster, vhost, queue) redrive_rabbitmq_queue_info{cluster!="", role="work", type!="stream"} == 1
        unless on (cluster, vhost, queue) (
          max_over_time(redrive_rabbitmq_queue_consumers{cluster!=""}[15m]) == 0
          and increase(redrive_rabbitmq_queue_settled_total{cluster!=""}[15m]) > 0
        )
    "#,
    summary: "Nobody consumes {{ $labels.queue }}; messages waiting: {{ $value | humanize }}",
    description: "The work queue {{ $labels.queue }} in virtual host {{ $labels.vhost }} (cluster \
        {{ $labels.cluster }}) has messages and no consumer for <no-consumers-for>. Start its application. If \
        messages are meant to rest there, give the queue the role parking in redrive.toml.",
};

const STALLED: AlertRule = AlertRule {
    name: "RabbitMQQueueStalled",
    severity: Severity::Critical,
    hold: Hold::For("stalled-for"),
    why: "Consumers count if there were any: those that crash on a message are gone for a moment each time.",
    expression: r#"
        min_over_time(redrive_rabbitmq_queue_messages{cluster!=""}[<stalled>]) > 0
        and max_over_time(redrive_rabbitmq_queue_consumers{cluster!=""}[<stalled>]) > 0
        and increase(redrive_rabbitmq_queue_settled_total{cluster!=""}[<stalled>]) == 0
        and present_over_time(redrive_rabbitmq_queue_settled_total{cluster!=""}[5m] offset <stalled>)
        and on (cluster, vhost, queue) redrive_rabbitmq_queue_info{cluster!="", role="work", type!="stream"} == 1
    "#,
    summary: "The consumers of {{ $labels.queue }} settle nothing",
    description: "The queue {{ $labels.queue }} in virtual host {{ $labels.vhost }} (cluster {{ $labels.cluster }}) \
        has had messages and consumers for <stalled>, and not one message was acknowledged. The consumers hang, \
        crash, or hold their prefetch without acknowledging: look at unacked on the Queues page, then at the \
        consumers' logs.",
};

const CIRCLING: AlertRule = AlertRule {
    name: "RabbitMQQueueCircling",
    severity: Severity::Critical,
    hold: Hold::For("circling-for"),
    why: "Redrive has compared ten samples or more before it says so. Its series ends with the first settled message.",
    expression: r#"redrive_rabbitmq_queue_circling{cluster!=""} == 1"#,
    summary: "Messages of {{ $labels.queue }} go round and none is settled",
    description: "The consumers of the queue {{ $labels.queue }} in virtual host {{ $labels.vhost }} (cluster \
        {{ $labels.cluster }}) reject every message, and it comes back through a retry queue. Deliveries go on, so \
        nothing looks wrong, but no message has been settled for ten samples and three rounds. Find out in the \
        consumers' log why they reject, and let them put a message aside after some rounds.",
};

const LOW_PROCESSING_RATE: AlertRule = AlertRule {
    name: "LowProcessingRate",
    severity: Severity::Warning,
    hold: Hold::For("low-rate-for"),
    why: "What waits must be more than arrives in a minute. Quiet queues are left out.",
    expression: r#"
        rate(redrive_rabbitmq_queue_settled_total{cluster!=""}[10m])
        < <low-rate> * (rate(redrive_rabbitmq_queue_published_total{cluster!=""}[10m]) > <min-traffic>)
        and redrive_rabbitmq_queue_messages{cluster!=""}
        > 60 * rate(redrive_rabbitmq_queue_published_total{cluster!=""}[10m])
        and on (cluster, vhost, queue) redrive_rabbitmq_queue_info{cluster!="", role="work", type!="stream"} == 1
    "#,
    summary: "{{ $labels.queue }} is handled at less than <low-rate> of the rate of what arrives",
    description: "{{ $value | humanize }} messages a second of the queue {{ $labels.queue }} in virtual host \
        {{ $labels.vhost }} (cluster {{ $labels.cluster }}) are settled, less than <low-rate> of what is published \
        into it, and messages have waited for <low-rate-for>. Add consumers, or find out what slows them down.",
};
