//! The program `snapshots`.

use super::figures;

/// What is measured of a document and of plain sets.
const ROWS: usize = 7;

#[test]
fn a_short_run_tells_every_figure() {
    assert_eq!(figures(env!("CARGO_BIN_EXE_snapshots"), &[]).len(), ROWS);
}
