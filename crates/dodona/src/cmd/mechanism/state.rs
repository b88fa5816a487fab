//! The memory of the regret rule as columns: nine families of regrets, from `previous` and back into the answer.
//! Workers are inferers first, then forecasters; in `_onein_k` the index after the last inferer is forecaster k itself.

use super::MechanismError;
use super::losses::Members;
use super::params::{ANY, POSITIVE, Params, RATE, Span, UNIT};
use super::table::{Output, Request, Row, fill};
use dodona_mechanism::topic::regret::{RegretConfig, RegretPairs, RegretState, Regrets, regret_scale};
use dodona_mechanism::{Real, stats};
use std::collections::BTreeMap;

/// Regrets by worker.
const WORKER: &str = "inference_regret_worker_#";
const NAIVE: &str = "naive_inference_regret_worker_#";
const ONE_OUT: &str = "inference_regret_worker_#_oneout_#";
const ONE_IN: &str = "inference_regret_worker_#_onein_#";
const INFERER_INCLUSIONS: &str = "inferer_inclusions_#";
const FORECASTER_INCLUSIONS: &str = "forecaster_inclusions_#";

/// The parameters of the rule, which are those of a topic and of the network.
pub const REGRET_PARAMS: [&str; 9] = [
    "p_norm",
    "c_norm",
    "epsilon",
    "alpha_regret",
    "epsilon_safe_div",
    "initial_regret_quantile",
    "p_norm_safe_div",
    "min_experienced_worker_regrets",
    "allow_negative",
];

/// Reads [`REGRET_PARAMS`].
pub fn config(params: &Params) -> Result<RegretConfig, MechanismError> {
    let default = RegretConfig::new();
    Ok(RegretConfig {
        p_norm: params.real("p_norm", default.p_norm, Span(1.0, 10.0, "1 to 10"))?,
        c_norm: params.real("c_norm", default.c_norm, Span(-100.0, 100.0, "-100 to 100"))?,
        epsilon: params.real("epsilon", default.epsilon, POSITIVE)?,
        alpha: params.real("alpha_regret", default.alpha, RATE)?,
        safe_div: params.real("epsilon_safe_div", default.safe_div, POSITIVE)?,
        initial_quantile: params.real("initial_regret_quantile", default.initial_quantile, UNIT)?,
        p_safe_div: params.real("p_norm_safe_div", default.p_safe_div, ANY)?,
        min_experienced: params.whole(
            "min_experienced_worker_regrets",
            default.min_experienced,
            0,
            u32::MAX,
        )?,
        allow_negative: params.flag("allow_negative", default.allow_negative)?,
    })
}

/// The members of a row together with those only the memory has.
pub fn with_remembered(previous: &Row, members: Members) -> Result<Members, MechanismError> {
    let inferers = members.inferers.max(previous.size(NAIVE)?);
    let workers = previous.size(WORKER)?;
    let alone = previous.sizes(ONE_IN)?[1];
    let forecasters = members.forecasters.max(workers.saturating_sub(inferers)).max(alone);
    Ok(Members { inferers, forecasters })
}

/// The regrets `previous` states. Those it does not state read as its `initial_regret`. Where it states no
/// `initial_regret` either, that is the quantile of the stated regrets against the network, which the chain stores
/// while few members are experienced; 0 without any. `regret_scale` likewise is what the stated regrets make of it.
pub fn read(
    request: &Request,
    config: &RegretConfig,
    members: Members,
) -> Result<RegretState<usize>, MechanismError> {
    let previous = &request.previous;
    let Members { inferers, forecasters } = members;
    let workers = inferers + forecasters;
    let mut state = RegretState::new();
    state.inferers = family(previous, 0..inferers, |l| fill(WORKER, &[l]))?;
    state.forecasters = family(previous, inferers..workers, |l| fill(WORKER, &[l]))?;
    state.naive = family(previous, 0..inferers, |l| fill(NAIVE, &[l]))?;
    let one_out = |out: std::ops::Range<usize>, judged: std::ops::Range<usize>| {
        out.map(|o| Ok((o, family(previous, judged.clone(), |l| fill(ONE_OUT, &[l, o]))?)))
            .collect::<Result<RegretPairs<usize>, MechanismError>>()
    };
    state.one_out_inferer_inferers = one_out(0..inferers, 0..inferers)?;
    state.one_out_inferer_forecasters = one_out(0..inferers, inferers..workers)?;
    state.one_out_forecaster_inferers = one_out(inferers..workers, 0..inferers)?;
    state.one_out_forecaster_forecasters = one_out(inferers..workers, inferers..workers)?;
    for k in 0..forecasters {
        let regrets = family(previous, 0..inferers, |l| fill(ONE_IN, &[l, k]))?;
        state.one_in_forecaster_inferers.insert(inferers + k, regrets);
        if let Some(regret) = previous.get(&fill(ONE_IN, &[inferers, k]))? {
            state.one_in_forecasters.insert(inferers + k, regret);
        }
    }
    state.inferer_inclusions = inclusions(previous, INFERER_INCLUSIONS, inferers, 0)?;
    state.forecaster_inclusions = inclusions(previous, FORECASTER_INCLUSIONS, forecasters, inferers)?;
    state.previous_loss = previous.get("network_loss")?;

    let stated = state.inferers.values().chain(state.forecasters.values());
    let stated: Vec<f64> = stated.map(|regret| regret.get()).collect();
    let refusal = request.refusal();
    state.initial = match previous.get("initial_regret")? {
        Some(initial) => initial,
        None => {
            let initial = stats::quantile(&stated, config.initial_quantile.get()).and_then(Real::new);
            initial.map_err(&refusal)?
        }
    };
    state.scale = match previous.get("regret_scale")? {
        Some(scale) if scale < Real::ZERO => {
            let field = previous.field("regret_scale");
            return Err(MechanismError::Range { field, value: scale.to_string(), range: "0 or more".into() });
        }
        Some(scale) => scale,
        None if stated.is_empty() => Real::ZERO,
        None => Real::new(regret_scale(&stated, config.epsilon.get())).map_err(&refusal)?,
    };
    Ok(state)
}

fn family(
    previous: &Row,
    workers: std::ops::Range<usize>,
    name: impl Fn(usize) -> String,
) -> Result<Regrets<usize>, MechanismError> {
    let stated = workers.map(|l| Ok(previous.get(&name(l))?.map(|regret| (l, regret))));
    stated.filter_map(Result::transpose).collect()
}

/// Counts by worker; `first` is the worker index of place 0.
fn inclusions(
    previous: &Row,
    pattern: &str,
    members: usize,
    first: usize,
) -> Result<BTreeMap<usize, u32>, MechanismError> {
    let stated = (0..members)
        .map(|place| Ok(previous.count(&fill(pattern, &[place]))?.map(|count| (first + place, count))));
    stated.filter_map(Result::transpose).collect()
}

/// The memory as columns: what the next epoch takes as `previous`.
pub fn write(output: &mut Output, state: &RegretState<usize>, members: Members) {
    output.maybe("network_loss", state.previous_loss);
    output.real("initial_regret", state.initial);
    output.real("regret_scale", state.scale);
    let mut list = |pattern: &str, regrets: &Regrets<usize>| {
        output.list(pattern, regrets.iter().map(|(&worker, &regret)| (worker, regret)));
    };
    list(WORKER, &state.inferers);
    list(WORKER, &state.forecasters);
    list(NAIVE, &state.naive);
    for pairs in [
        &state.one_out_inferer_inferers,
        &state.one_out_inferer_forecasters,
        &state.one_out_forecaster_inferers,
        &state.one_out_forecaster_forecasters,
    ] {
        for (out, regrets) in pairs {
            for (worker, regret) in regrets {
                output.real(fill(ONE_OUT, &[*worker, *out]), *regret);
            }
        }
    }
    for k in 0..members.forecasters {
        let worker = members.inferers + k;
        for (judged, regret) in state.one_in_forecaster_inferers.get(&worker).into_iter().flatten() {
            output.real(fill(ONE_IN, &[*judged, k]), *regret);
        }
        output.maybe(fill(ONE_IN, &[members.inferers, k]), state.one_in_forecasters.get(&worker).copied());
    }
    for (worker, count) in &state.inferer_inclusions {
        output.any(fill(INFERER_INCLUSIONS, &[*worker]), *count);
    }
    for (worker, count) in &state.forecaster_inclusions {
        output.any(fill(FORECASTER_INCLUSIONS, &[worker - members.inferers]), *count);
    }
}
