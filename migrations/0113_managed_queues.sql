-- RabbitMQ queues that an administrator has given into custody on their pages; the audit says who and when.
CREATE TABLE managed_queues (
    cluster TEXT NOT NULL,
    vhost   TEXT NOT NULL,
    queue   TEXT NOT NULL,
    PRIMARY KEY (cluster, vhost, queue)
) STRICT, WITHOUT ROWID;
