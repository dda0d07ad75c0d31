//! How much memory a decoder takes: an allocator that counts what each thread holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The most bytes that were held at once while `work` ran, beyond those held before.
pub(crate) fn most_held(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    MOST.set(before);
    work();
    usize::try_from(MOST.get() - before).unwrap_or(0)
}

/// Sizes of allocations never exceed `isize::MAX`, so that the sum of both signs is exact.
fn count(change: isize) {
    let held = HELD.get().wrapping_add(change);
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

#[expect(
    unsafe_code,
    reason = "an allocator that only counts and hands on to the system's"
)]
// SAFETY: every call is handed on unchanged to the system's allocator; counting neither allocates nor
// panics, since the cells are initialised at compile time and have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: `place` came from `alloc` above with this layout, so from the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }
}
