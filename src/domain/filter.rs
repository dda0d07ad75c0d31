/// Which dead letters are meant; the empty filter means all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    _private: (),
}

impl Filter {
    /// Whether every dead letter matches.
    pub fn is_empty(&self) -> bool {
        true
    }
}
