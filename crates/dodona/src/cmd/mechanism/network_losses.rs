//! `network-losses`: stake-weighted means of the reputers' reports (topic specification, section 5.1).
//! A row of reports in, the row's network losses out.

use super::MechanismError;
use super::losses::{reports, write};
use super::table::{Output, Request};
use dodona_mechanism::topic::network_loss::network_losses;
use dodona_mechanism::topic::reputer::flatten;

/// The formula.
pub fn run(request: &Request) -> Result<Output, MechanismError> {
    request.params.only(&[])?;
    let reports = reports(&request.row)?;
    let all: Vec<_> = reports.all.into_iter().map(|(_, stake, losses)| (stake, losses)).collect();
    let losses = network_losses(&all).map_err(request.refusal())?;
    let mut output = Output::default();
    write(&mut output, reports.members, "", &flatten(&losses));
    Ok(output)
}
