//! Bytes read as every answer that a sample asks for. Fuzz targets come in here, since nothing else
//! outside needs to know the single answers.

use super::{answers, log_tails};

/// Reads bytes as each answer in each of its versions; says as how many they make sense.
pub fn read_as_every_answer(bytes: &[u8]) -> usize {
    let metadata = (9..=12).map(|version| answers::metadata(bytes, version).is_ok());
    let others = [
        answers::api_versions(bytes).is_ok(),
        answers::sasl_handshake(bytes).is_ok(),
        answers::sasl_authenticate(bytes).is_ok(),
        answers::list_groups(bytes, 4).is_ok(),
        answers::list_groups(bytes, 5).is_ok(),
        answers::describe_groups(bytes).is_ok(),
        answers::consumer_assignment(bytes).is_ok(),
        answers::consumer_group_describe(bytes, 0).is_ok(),
        answers::consumer_group_describe(bytes, 1).is_ok(),
        answers::share_groups::describe(bytes).is_ok(),
        answers::share_groups::first_open_offsets(bytes).is_ok(),
        answers::offset_fetch(bytes).is_ok(),
        answers::offset_fetch_single(bytes, "group").is_ok(),
        answers::list_offsets(bytes).is_ok(),
        answers::describe_configs(bytes).is_ok(),
        log_tails::fetched(bytes).is_ok(),
    ];
    metadata.chain(others).filter(|is_read| *is_read).count()
}
