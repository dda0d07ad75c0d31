//! Thinned points as rows of the store.
//!
//! A row holds twelve points of those series of a cluster whose identity falls on its page, one of 128: an hour of
//! five minutes each, or, when that is a day old, six hours of half an hour each ([`thinned`]). So a chart of
//! a week reads some 55 rows, of 130 series at most where a cluster has 16,000.
//!
//! What it costs: 56 bytes an hour and series before zlib, for a day, then 56 bytes for six hours. With 1,000
//! groups (3,000 series, 10,000 partitions or not) 4 MB for the last day and 0.7 MB for each day before it; with
//! 10,000 queues (30,000 series) 40 MB and 7 MB; and never more than with the 32,768 series that a cluster may have in
//! an hour. Queues at rest take nearly nothing after zlib.

use std::collections::BTreeMap;

use super::hours::POINTS;
use super::series::{SeriesId, Thinning};
use crate::sampling::packing::{LARGEST_PAGE, Reader, Unreadable, pack, unpack};

/// `NAN` where nothing is known.
pub(in crate::sampling) type Points = [f32; POINTS];

/// Fine points that become one coarse one.
const THINNED: usize = 6;

/// Fine pages that become one coarse one.
pub(in crate::sampling) const PAGES_THINNED: u32 = 6;

const LINE_BYTES: usize = 8 + 4 * POINTS;

/// The rows of one hour, by page.
pub(in crate::sampling) fn encode(
    lines: &[(SeriesId, Points)],
) -> impl Iterator<Item = (u16, Vec<u8>)> {
    let mut pages: BTreeMap<u16, Vec<(SeriesId, Points)>> = BTreeMap::new();
    for (id, points) in lines {
        pages.entry(id.page()).or_default().push((*id, *points));
    }
    let encoded = |(page, lines)| (page, encode_page(lines));
    pages.into_iter().map(encoded)
}

fn encode_page(mut lines: Vec<(SeriesId, Points)>) -> Vec<u8> {
    lines.sort_unstable_by_key(|(id, _)| *id);
    lines.truncate(LARGEST_PAGE / LINE_BYTES);
    let mut raw = Vec::with_capacity(lines.len() * LINE_BYTES);
    for (id, points) in lines {
        raw.extend(id.0.to_le_bytes());
        raw.extend(points.iter().flat_map(|point| point.to_le_bytes()));
    }
    pack(&raw)
}

/// All series of a page.
pub(in crate::sampling) fn decode(page: &[u8]) -> Result<Vec<(SeriesId, Points)>, Unreadable> {
    let raw = unpack(page)?;
    let mut reader = Reader(&raw);
    let mut lines = Vec::with_capacity(raw.len() / LINE_BYTES);
    while !reader.is_empty() {
        lines.push(line(&mut reader).ok_or(Unreadable::Damaged)?);
    }
    Ok(lines)
}

/// One series of a page; `None` if the page does not have it.
pub(in crate::sampling) fn decode_one(
    page: &[u8],
    wanted: SeriesId,
) -> Result<Option<Points>, Unreadable> {
    let raw = unpack(page)?;
    let wanted_bytes = wanted.0.to_le_bytes();
    let lines = raw.chunks(LINE_BYTES);
    let found = lines
        .into_iter()
        .find(|line| line.starts_with(&wanted_bytes));
    let Some(found) = found else {
        return Ok(None);
    };
    let (_, points) = line(&mut Reader(found)).ok_or(Unreadable::Damaged)?;
    Ok(Some(points))
}

fn line(reader: &mut Reader<'_>) -> Option<(SeriesId, Points)> {
    let id = SeriesId(u64::from_le_bytes(reader.array()?));
    let mut points = [f32::NAN; POINTS];
    for point in &mut points {
        let value = f32::from_le_bytes(reader.array()?);
        *point = if value.is_finite() { value } else { f32::NAN };
    }
    Some((id, points))
}

/// Six fine pages, each with its place among the six, as one coarse one.
pub(in crate::sampling) fn thinned(pages: &[(usize, Vec<(SeriesId, Points)>)]) -> Vec<u8> {
    const COARSE_POINTS: usize = POINTS / THINNED;
    let mut lines: BTreeMap<SeriesId, Points> = BTreeMap::new();
    for (place, fine) in pages {
        for (id, points) in fine {
            let line = lines.entry(*id).or_insert([f32::NAN; POINTS]);
            let slots = line.iter_mut().skip(place * COARSE_POINTS);
            for (slot, points) in slots.zip(points.chunks(THINNED)) {
                *slot = thinned_point(points, id.thinning());
            }
        }
    }
    encode_page(lines.into_iter().collect())
}

fn thinned_point(points: &[f32], thinning: Thinning) -> f32 {
    let known = || points.iter().copied().filter(|point| !point.is_nan());
    match thinning {
        Thinning::Most => known().fold(f32::NAN, f32::max),
        Thinning::Mean => known().sum::<f32>() / known().count() as f32,
    }
}
