//! `regrets`: the memory of the regret rule after an epoch (topic specification, section 6).
//! The row before and the row's network losses in; the answer is the next epoch's `previous`.

use super::MechanismError;
use super::losses::NETWORK;
use super::state::{self, REGRET_PARAMS, with_remembered};
use super::table::{Output, Request};
use dodona_mechanism::topic::regret::close;

/// The formula.
pub fn run(request: &Request) -> Result<Output, MechanismError> {
    request.params.only(&REGRET_PARAMS)?;
    let config = state::config(&request.params)?;
    let members = with_remembered(&request.previous, NETWORK.members(&request.row)?)?;
    let before = state::read(request, &config, members)?;
    let losses = NETWORK.read(&request.row, members, None)?;
    let workers: Vec<usize> = (0..members.inferers + members.forecasters).collect();
    let (inferers, forecasters) = workers.split_at(members.inferers);
    let closing = close(&config, &before, inferers, forecasters, &losses).map_err(request.refusal())?;
    let mut output = Output::default();
    state::write(&mut output, &closing.state, members);
    for (pattern, weights) in
        [("inferer_weight_#", &closing.inferer_weights), ("forecaster_weight_#", &closing.forecaster_weights)]
    {
        output.list(
            pattern,
            weights.iter().enumerate().filter_map(|(place, weight)| Some((place, (*weight)?))),
        );
    }
    Ok(output)
}
