//! `scores`: what the network would have lost without a member (topic specification, section 7.1), and the power
//! rule's merits (combine specification, section 6) where the row states weights.

use super::MechanismError;
use super::losses::NETWORK;
use super::params::{Span, UNIT};
use super::table::{Output, Request, fill};
use dodona_mechanism::Real;
use dodona_mechanism::topic::loss::Loss;
use dodona_mechanism::topic::power::{PowerConfig, merits};
use dodona_mechanism::topic::score::{forecaster_scores, inferer_scores};

/// The formula.
pub fn run(request: &Request) -> Result<Output, MechanismError> {
    request.params.only(&["gain"])?;
    let default = PowerConfig::for_loss(Loss::Squared).gain;
    let gain = request.params.real("gain", default, Span(0.5, 1.0, "0.5 to 1"))?;
    let members = NETWORK.members(&request.row)?;
    let losses = NETWORK.read(&request.row, members, None)?;
    let mut output = Output::default();
    let mut list = |pattern: &str, values: &[Option<Real>]| {
        let known = values.iter().enumerate().filter_map(|(place, value)| Some((place, (*value)?)));
        output.list(pattern, known);
    };
    list("inferer_score_#", &inferer_scores(&losses).map_err(request.refusal())?);
    list("forecaster_score_#", &forecaster_scores(&losses).map_err(request.refusal())?);
    for (role, count, own, one_out) in [
        ("inferer", members.inferers, &losses.inferers, &losses.one_out_inferers),
        ("forecaster", members.forecasters, &losses.forecasters, &losses.one_out_forecasters),
    ] {
        let pattern = format!("{role}_weight_#");
        if request.row.size(&pattern)? == 0 {
            continue;
        }
        let weight = |place: usize| {
            let name = fill(&pattern, &[place]);
            match request.row.get(&name)? {
                Some(weight) => UNIT.check(&name, weight),
                // Took no part, so it earns nothing.
                None => Ok(Real::ZERO),
            }
        };
        let weights = (0..count).map(weight).collect::<Result<Vec<_>, _>>()?;
        let merits = merits(gain, losses.combined, &weights, own, one_out).map_err(request.refusal())?;
        list(&format!("{role}_gain_#"), &merits.gains);
        list(&format!("{role}_proper_part_#"), &merits.proper);
        list(&format!("{role}_merit_#"), &merits.scores);
    }
    Ok(output)
}
