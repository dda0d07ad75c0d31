mod derive_group;
mod derive_kafka;
mod history;
mod offset_times;
mod partition_view;
mod progress;
