//! Builds a lab, says its name, and holds it until it is told to end: the subject of the clean-up tests.

use anyhow::Result;
use holdfast_lab::topology::GatewayLab;
use std::time::Duration;

fn main() -> Result<()> {
    let lab = GatewayLab::build()?;
    let _inside = lab.client.command("sleep").arg("600").spawn()?;
    println!("{}", lab.client.name());
    loop {
        std::thread::sleep(Duration::from_secs(600));
    }
}
