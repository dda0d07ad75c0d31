use proptest::prelude::*;

use super::*;
use crate::brokers::kafka::wire::read_as_every_answer;

/// One group with one member, assigned partition 3 of `t`.
const DESCRIBED: &[u8] = b"\0\0\0\0\x02\0\0\x02g\x07Stable\x09consumer\x06range\
    \x02\x02m\0\x02c\x02h\x01\x16\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x03\xff\xff\xff\xff\0\
    \x80\0\0\0\0\0";

/// One group with one offset, 7 of partition 3 of `t`.
const COMMITTED: &[u8] =
    b"\0\0\0\0\x02\x02g\x02\x02t\x02\0\0\0\x03\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\
    \0\0\0\0\0";

/// What the crate's own decoder aborted on: a count of 2^32 - 1 groups in twelve bytes.
#[test]
fn the_answer_that_aborts_other_decoders_is_refused() {
    let body = [0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(list_groups(&body, 4).err(), Some(DecodeError::TooLong));
}

#[test]
fn a_member_has_its_assignment() {
    let groups = describe_groups(DESCRIBED).unwrap();
    assert_eq!((groups[0].group.as_str(), groups[0].error), ("g", 0));
    let member = &groups[0].members[0];
    assert_eq!(
        (member.client_id.as_str(), member.host.as_str()),
        ("c", "h")
    );
    assert_eq!(member.assignment, [("t".to_owned(), vec![3])]);
}

#[test]
fn a_group_has_its_offsets() {
    let groups = offset_fetch(COMMITTED).unwrap();
    let partition = &groups[0].topics[0].partitions[0];
    assert_eq!((partition.partition, partition.offset), (3, 7));
}

#[test]
fn an_answer_that_breaks_off_is_refused_wherever_it_does() {
    // The last byte says that there are no tagged fields, which nobody reads.
    for length in 0..DESCRIBED.len() - 1 {
        assert!(describe_groups(&DESCRIBED[..length]).is_err(), "{length}");
    }
    for length in 0..COMMITTED.len() - 1 {
        assert!(offset_fetch(&COMMITTED[..length]).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_as_every_answer(&bytes);
    }

    /// Nearly right answers come further than noise.
    #[test]
    fn no_damaged_answer_panics(
        answer in prop_oneof![Just(DESCRIBED), Just(COMMITTED)],
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = answer.to_vec();
        for (place, value) in damage {
            bytes[place.index(answer.len())] = value;
        }
        read_as_every_answer(&bytes);
    }
}
