-- Messages that were taken from a RabbitMQ queue and whose acknowledgement is not known to have arrived:
-- after a crash these, and no others, may come back as a redelivery (broker-facts C.4).
CREATE TABLE unacknowledged (
    dead_letter INTEGER PRIMARY KEY REFERENCES dead_letters (id) ON DELETE CASCADE,
    cluster     TEXT NOT NULL,
    vhost       TEXT NOT NULL,
    queue       TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    -- The connection that took it, or that last got it again.
    session     TEXT NOT NULL
) STRICT;

CREATE INDEX unacknowledged_by_queue ON unacknowledged (cluster, vhost, queue, fingerprint);
