use crate::domain::Partition;

/// The partition that a Java producer chooses for a key: murmur2 of its bytes, positive, modulo the
/// number of partitions. A null key goes to partition 0, so that it is known before it is sent.
pub fn partition_for_key(key: Option<&[u8]>, partitions: u32) -> Partition {
    let partitions = partitions.max(1);
    let hash = key.map_or(0, murmur2) & 0x7fff_ffff;
    Partition(i32::try_from(hash % partitions).unwrap_or(0))
}

/// `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Java's int arithmetic: the length wraps like everything else.
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        word = word.wrapping_mul(M);
        word ^= word >> R;
        word = word.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn the_hash_is_the_one_of_java_producers() {
        let check = |text: &str, expected: i32| {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), expected, "{text}");
        };
        check("21", -973_932_308);
        check("foobar", -790_332_482);
        check("a-little-bit-long-string", -985_981_536);
        check("a-little-bit-longer-string", -1_486_304_829);
        check(
            "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
        );
        check("abc", 479_470_107);
    }

    #[test]
    fn a_partition_always_exists() {
        for partitions in [0, 1, 3, 1000] {
            let partition = partition_for_key(Some(b"order-4711"), partitions).0;
            assert!((0..i32::try_from(partitions.max(1)).unwrap()).contains(&partition));
        }
    }
}
