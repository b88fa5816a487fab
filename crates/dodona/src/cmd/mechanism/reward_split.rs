//! `reward-split`: from scores to everybody's reward (topic specification, sections 7.2 and 7.3).
//! Fractions within the roles, their smoothing and entropies, what forecasters were worth, the split between the roles.

use super::MechanismError;
use super::params::{ANY, NOT_NEGATIVE, POSITIVE, RATE, UNIT};
use super::table::{Output, Request, fill, found, number, wrong};
use dodona_mechanism::Real;
use dodona_mechanism::topic::share::{
    entropy, forecaster_utility, gamma, reputer_fractions, smooth, task_split, worker_fractions,
};
use serde_json::Value;

/// One role's members: places and fractions.
struct Role {
    name: &'static str,
    places: Vec<usize>,
    fractions: Vec<Real>,
}

/// The formula.
pub fn run(request: &Request) -> Result<Output, MechanismError> {
    let (params, row, refusal) = (&request.params, &request.row, request.refusal());
    params.only(&[
        "p_reward_inference",
        "c_reward_inference",
        "p_reward_forecast",
        "c_reward_forecast",
        "p_reward_reputer",
        "epsilon",
        "task_reward_alpha",
        "beta_entropy",
    ])?;
    let param = |name: &str, default: f64, span| {
        let default = Real::new(default).map_err(&refusal)?;
        params.real(name, default, span)
    };
    let epsilon = param("epsilon", 0.01, POSITIVE)?;
    let alpha = param("task_reward_alpha", 0.1, RATE)?;
    let beta = param("beta_entropy", 0.25, UNIT)?;
    let steepness = (param("p_reward_inference", 3.0, POSITIVE)?, param("c_reward_inference", 0.75, ANY)?);
    let (inferers, scores) = workers(request, "inferer", steepness, epsilon)?;
    if inferers.places.is_empty() {
        return Err(row.missing("inferer_score_0", "somebody has to have answered"));
    }
    let steepness = (param("p_reward_forecast", 3.0, POSITIVE)?, param("c_reward_forecast", 0.75, ANY)?);
    let (forecasters, _) = workers(request, "forecaster", steepness, epsilon)?;
    let reputers = reputers(request, param("p_reward_reputer", 1.0, POSITIVE)?)?;
    let combined =
        row.need("network_loss", "the task score of forecasters is the naive loss less this one")?;
    let naive =
        row.need("network_naive_loss", "the task score of forecasters is this less the network loss")?;
    let rewards =
        row.get("topic_rewards")?.map(|all| NOT_NEGATIVE.check("topic_rewards", all)).transpose()?;

    let mut output = Output::default();
    let mut entropies = [Real::ZERO; 3];
    let alone = inferers.places.len() < 2;
    let roles = [inferers, forecasters, reputers];
    for (role, own) in roles.iter().zip(&mut entropies) {
        let name = role.name;
        if role.places.is_empty() {
            continue;
        }
        let pattern = format!("{name}_reward_fraction_smooth_#");
        let previous = role.places.iter().map(|&place| request.previous.get(&fill(&pattern, &[place])));
        let previous: Vec<Option<Real>> = previous.collect::<Result<_, _>>()?;
        let smoothed = smooth(alpha, &role.fractions, &previous).map_err(&refusal)?;
        let places = || role.places.iter().copied();
        output.list(&format!("{name}_reward_fraction_#"), places().zip(role.fractions.iter().copied()));
        output.list(&pattern, places().zip(smoothed.fractions.iter().copied()));
        // With one inferer there is nothing to forecast.
        if name != "forecaster" || !alone {
            *own = entropy(&smoothed.fractions, smoothed.effective, beta).map_err(&refusal)?;
        }
    }
    let [f, g, h] = entropies;
    output.real("inferers_entropy", f);
    output.real("forecasters_entropy", g);
    output.real("reputers_entropy", h);

    let ratio = request.previous.get("forecaster_score_ratio")?.unwrap_or(Real::ZERO);
    let useful = forecaster_utility(alpha, naive, combined, &scores, ratio).map_err(&refusal)?;
    output.real("forecaster_task_score", Real::new(naive.get() - combined.get()).map_err(&refusal)?);
    output.real("forecaster_score_ratio", useful.ratio);
    output.real("forecasters_utility", useful.utility);
    if f > Real::ZERO || g > Real::ZERO {
        output.real("workers_gamma", gamma(f, g, useful.utility).map_err(&refusal)?);
    }
    let split = task_split(f, g, h, useful.utility).map_err(&refusal)?;
    let parts = [split.inferers, split.forecasters, split.reputers];
    for (role, part) in roles.iter().zip(parts) {
        output.real(format!("{}s_reward_fraction", role.name), part);
    }
    let Some(rewards) = rewards else { return Ok(output) };
    for (role, part) in roles.iter().zip(parts) {
        for (place, fraction) in role.places.iter().zip(&role.fractions) {
            let reward = Real::new(fraction.get() * part.get() * rewards.get()).map_err(&refusal)?;
            output.real(fill(&format!("{}_reward_#", role.name), &[*place]), reward);
        }
    }
    Ok(output)
}

/// The inferers or forecasters with a score, and their scores.
fn workers(
    request: &Request,
    name: &'static str,
    (p, c): (Real, Real),
    epsilon: Real,
) -> Result<(Role, Vec<Real>), MechanismError> {
    let listed = request.row.list(&format!("{name}_score_#"))?;
    let known = listed.into_iter().enumerate().filter_map(|(place, score)| Some((place, score?)));
    let (places, scores): (Vec<usize>, Vec<Real>) = known.unzip();
    if places.is_empty() {
        return Ok((Role { name, places, fractions: vec![] }, scores));
    }
    let history = history(request, name)?;
    let fractions = worker_fractions(&scores, &history, p, c, epsilon).map_err(request.refusal())?;
    Ok((Role { name, places, fractions }, scores))
}

/// The stored scores of a role, or two scores whose deviation is the one stated instead.
fn history(request: &Request, role: &str) -> Result<Vec<Real>, MechanismError> {
    let (scores, sigma) = (format!("{role}_score_history"), format!("{role}_score_sigma"));
    let stated = request.row.get(&sigma)?;
    match (request.row.raw(&scores), stated) {
        (Some(_), Some(_)) => Err(MechanismError::Twice { field: sigma }),
        (Some(Value::Array(entries)), None) => {
            let one = |(place, value): (usize, &Value)| {
                let field = format!("{scores}[{place}]");
                number(&field, value)?.ok_or_else(|| MechanismError::Type {
                    field,
                    expected: "a score".into(),
                    found: found(value),
                })
            };
            entries.iter().enumerate().map(one).collect()
        }
        (Some(other), None) => Err(wrong(scores, "an array of scores", other)),
        (None, Some(value)) => {
            let spread = NOT_NEGATIVE.check(&sigma, value)?.get() * std::f64::consts::SQRT_2;
            Ok(vec![Real::ZERO, Real::new(spread).map_err(request.refusal())?])
        }
        (None, None) => {
            let why = format!(
                "scores are measured by the deviation of the role's stored scores; give those as \
                 {scores} (an array), or the deviation itself here"
            );
            Err(request.row.missing(&sigma, &why))
        }
    }
}

/// The reputers with a score.
fn reputers(request: &Request, p: Real) -> Result<Role, MechanismError> {
    let (mut places, mut members) = (Vec::new(), Vec::new());
    for (place, score) in request.row.list("reputer_score_#")?.into_iter().enumerate() {
        let Some(score) = score else { continue };
        let name = fill("reputer_stake_#", &[place]);
        let stake = request.row.need(&name, "a reputer's fraction is its stake times its score")?;
        let score = NOT_NEGATIVE.check(&fill("reputer_score_#", &[place]), score)?;
        members.push((NOT_NEGATIVE.check(&name, stake)?, score));
        places.push(place);
    }
    if places.is_empty() {
        return Err(request.row.missing("reputer_score_0", "somebody has to have reported"));
    }
    let fractions = reputer_fractions(&members, p).map_err(request.refusal())?;
    Ok(Role { name: "reputer", places, fractions })
}
