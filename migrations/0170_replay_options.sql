-- What a job to RabbitMQ does otherwise than replays usually do, as JSON; what is absent is off.
ALTER TABLE replay_jobs ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
