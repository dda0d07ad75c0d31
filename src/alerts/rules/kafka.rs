use crate::alerts::rule::{AlertRule, Hold, RuleFile, Severity};

pub(super) const FILE: RuleFile = RuleFile {
    name: "kafka.yml",
    group: "redrive-kafka",
    about: "Consumer groups of Kafka.",
    rules: &[
        LAG_HIGH,
        TIME_LAG_HIGH,
        LAG_GROWING,
        STALLED,
        NO_MEMBERS,
        NEAR_DATA_LOSS,
        MESSAGES_LOST,
        LOW_PROCESSING_RATE,
    ],
};

const LAG_HIGH: AlertRule = AlertRule {
    name: "KafkaConsumerLagHigh",
    severity: Severity::Warning,
    hold: Hold::For("lag-for"),
    why: "",
    expression: r#"sum by (cluster, group, topic) (kafka_consumer_group_lag{cluster!=""}) > <lag>"#,
    summary: "{{ $labels.group }} is {{ $value | humanize }} messages behind on {{ $labels.topic }}",
    description: "Consumer group {{ $labels.group }} on cluster {{ $labels.cluster }} has had more than <lag> \
        unread messages on topic {{ $labels.topic }} for <lag-for>. Look at its page in Redrive: if the \
        consumption rate is above the production rate it is catching up; if not, add instances (at most \
        one per partition helps) or find out what slows the handler down.",
};

const TIME_LAG_HIGH: AlertRule = AlertRule {
    name: "KafkaConsumerTimeLagHigh",
    severity: Severity::Critical,
    hold: Hold::For("time-lag-for"),
    why: "",
    expression: r#"max by (cluster, group, topic) (kafka_consumer_group_lag_seconds{cluster!=""}) > <time-lag:seconds>"#,
    summary: "{{ $labels.group }} is {{ $value | humanizeDuration }} behind on {{ $labels.topic }}",
    description: "The oldest message that consumer group {{ $labels.group }} on cluster {{ $labels.cluster }} has \
        not committed on topic {{ $labels.topic }} is older than <time-lag>. Whoever waits for these events \
        waits that long. See which partitions are behind on the group's page: one means a poison message or \
        a slow key, all mean too little capacity.",
};

const LAG_GROWING: AlertRule = AlertRule {
    name: "KafkaConsumerLagGrowing",
    severity: Severity::Warning,
    hold: Hold::For("growing-for"),
    why: "",
    expression: r#"
        sum by (cluster, group, topic) (kafka_consumer_group_lag{cluster!=""}) > <growing-lag>
        and
        sum by (cluster, group, topic) (deriv(kafka_consumer_group_lag{cluster!=""}[30m])) > <growing-rate>
    "#,
    summary: "{{ $labels.group }} falls further behind on {{ $labels.topic }}",
    description: "The lag of consumer group {{ $labels.group }} on topic {{ $labels.topic }} (cluster \
        {{ $labels.cluster }}) is {{ $value | humanize }} messages and has grown by more than <growing-rate> a \
        second for half an hour. It will not catch up by itself: more messages are produced than the group \
        can handle.",
};

const STALLED: AlertRule = AlertRule {
    name: "KafkaConsumerStalled",
    severity: Severity::Critical,
    hold: Hold::For("stalled-for"),
    why: "A partition counts once it was watched for the whole time. Members count if there were any: a group \
        that crashes over and over loses them for a moment each time. A group that has had none all the time \
        has its own alert.",
    expression: r#"
        count by (cluster, group, topic) (
          min_over_time(kafka_consumer_group_lag{cluster!=""}[<stalled>]) > 0
          and changes(kafka_consumer_group_offset{cluster!=""}[<stalled>]) == 0
          and present_over_time(kafka_consumer_group_offset{cluster!=""}[5m] offset <stalled>)
          and on (cluster, group) max_over_time(kafka_consumer_group_members{cluster!=""}[<stalled>]) > 0
        ) > 0
    "#,
    summary: "{{ $labels.group }} makes no progress on {{ $labels.topic }}; partitions: {{ $value }}",
    description: "Consumer group {{ $labels.group }} (cluster {{ $labels.cluster }}) has members and unread \
        messages on {{ $value }} partitions of topic {{ $labels.topic }}, and has committed nothing there for \
        <stalled>. Its handler hangs, crashes on or retries a poison message for ever, or is out of its \
        dependency. Take a thread dump of the member that owns the partition (named on the group's page) \
        before you restart it.",
};

const NO_MEMBERS: AlertRule = AlertRule {
    name: "KafkaConsumerGroupNoMembers",
    severity: Severity::Critical,
    hold: Hold::For("no-members-for"),
    why: "Readers outside the group protocol commit without being members: they are alive if they do.",
    expression: r#"
        sum by (cluster, group) (kafka_consumer_group_lag{cluster!=""}) > 0
        and on (cluster, group)
        kafka_consumer_group_members{cluster!=""} == 0
        and on (cluster, group)
        sum by (cluster, group) (changes(kafka_consumer_group_offset{cluster!=""}[10m])) == 0
    "#,
    summary: "Nobody reads for {{ $labels.group }}; messages waiting: {{ $value | humanize }}",
    description: "Consumer group {{ $labels.group }} on cluster {{ $labels.cluster }} has unread messages and no \
        member for <no-members-for>. Start the application. If it was retired, delete the group \
        (kafka-consumer-groups --delete), and this alert ends.",
};

const NEAR_DATA_LOSS: AlertRule = AlertRule {
    name: "KafkaConsumerNearDataLoss",
    severity: Severity::Critical,
    hold: Hold::For("headroom-for"),
    why: "A log from which nothing was ever removed has no edge to fall off. A group that catches up from the \
        beginning leaves the edge within the hour. Kafka Streams removes from repartition topics what it has \
        read, so it always stands at their edge. Lag that is exported by topic has no partition.",
    expression: r#"
        min by (cluster, group, topic) (
          (
            kafka_consumer_group_retention_headroom_ratio{cluster!="", topic!~".+-repartition"} < <headroom>
            and predict_linear(kafka_consumer_group_retention_headroom_ratio{cluster!=""}[30m], 3600) < <headroom>
            and kafka_consumer_group_lag{cluster!=""} > 0
          )
          and on (cluster, topic, partition) (
            kafka_partition_oldest_offset{cluster!=""} > 0
            or max without (partition) (kafka_partition_oldest_offset{cluster!=""}) > 0
          )
        )
    "#,
    summary: "Retention is about to remove what {{ $labels.group }} has not read of {{ $labels.topic }}",
    description: "Consumer group {{ $labels.group }} on cluster {{ $labels.cluster }} stands in the oldest \
        {{ $value | humanizePercentage }} of what is left of topic {{ $labels.topic }}. Raise retention.ms or \
        retention.bytes of the topic now, then make the group faster.",
};

const MESSAGES_LOST: AlertRule = AlertRule {
    name: "KafkaMessagesLost",
    severity: Severity::Critical,
    hold: Hold::AtOnce,
    why: "",
    expression: r#"sum by (cluster, group, topic) (increase(kafka_consumer_group_lost_messages_total{cluster!=""}[10m])) > 0"#,
    summary: "Messages of {{ $labels.topic }} that {{ $labels.group }} lost: about {{ $value | printf \"%.0f\" }}",
    description: "Retention removed messages of topic {{ $labels.topic }} before consumer group \
        {{ $labels.group }} (cluster {{ $labels.cluster }}) read them. They are gone from Kafka: find their \
        source elsewhere. Raise the retention of the topic before more follow.",
};

const LOW_PROCESSING_RATE: AlertRule = AlertRule {
    name: "LowProcessingRate",
    severity: Severity::Warning,
    hold: Hold::For("low-rate-for"),
    why: "What is unread must be more than arrives in a minute: a reader of some of the partitions that keeps up \
        with these is not slow. Quiet topics are left out.",
    expression: r#"
        sum by (cluster, group, topic) (
          label_replace(
            label_replace(
              rate(events_processed_total{cluster!="", system="kafka"}[10m]), "topic", "$1", "source", "(.*)"
            ), "group", "$1", "consumer", "(.*)"
          )
        )
        < on (cluster, topic) group_left ()
        <low-rate> * (
          sum by (cluster, topic) (rate(kafka_topic_produced_messages_total{cluster!=""}[10m])) > <min-traffic>
        )
        and on (cluster, group, topic)
        kafka_consumer_group_topic_lag{cluster!=""}
        > on (cluster, topic) group_left ()
        60 * sum by (cluster, topic) (rate(kafka_topic_produced_messages_total{cluster!=""}[10m]))
    "#,
    summary: "{{ $labels.group }} handles less than <low-rate> of what arrives on {{ $labels.topic }}",
    description: "Consumer group {{ $labels.group }} on cluster {{ $labels.cluster }} commits \
        {{ $value | humanize }} messages a second of topic {{ $labels.topic }}, less than <low-rate> of what is \
        produced, and has been behind for <low-rate-for>. Look for slow calls, errors and retries in the \
        consumer; compare with the time before on the dashboard.",
};
