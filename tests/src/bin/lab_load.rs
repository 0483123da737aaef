//! Carries a load that starves others, until it is killed: `lab_load loops 16`. See `holdfast_lab::load`.

use anyhow::Result;
use holdfast_lab::load::Load;

fn main() -> Result<()> {
    Load::from_words(std::env::args().skip(1))?.carry()
}
