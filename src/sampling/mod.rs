mod derive_kafka;
mod history;
mod offset_times;
mod progress;
