//! `reputer-consensus`: whom the network listens to where reputers report losses (topic specification, section 5.2),
//! or, where they report what happened, the truth they agree on.

use super::MechanismError;
use super::losses::{self, reports};
use super::params::{NOT_NEGATIVE, OPEN_UNIT, POSITIVE, RATE, UNIT};
use super::table::{Output, Request, fill, found};
use dodona_mechanism::Real;
use dodona_mechanism::topic::reputer::{ReputerConfig, consensus, flatten};
use dodona_mechanism::topic::truth::{self, STAKE_CAP};
use serde_json::Value;

/// Reported truths, with and without labels.
const TRUTH: &str = "reputer_#_truth";
const TRUTH_LABEL: &str = "reputer_#_truth_label_#";

/// The formula.
pub fn run(request: &Request) -> Result<Output, MechanismError> {
    let flat = request.row.size(TRUTH)?;
    let labelled = request.row.sizes(TRUTH_LABEL)?;
    match (flat, labelled[0]) {
        (0, 0) => by_losses(request),
        (count, 0) => by_truth(request, count, None),
        (0, count) => by_truth(request, count, Some(labelled[1])),
        _ => Err(MechanismError::Twice { field: fill(TRUTH, &[0]) }),
    }
}

fn by_losses(request: &Request) -> Result<Output, MechanismError> {
    let params = &request.params;
    params.only(&[
        "learning_rate",
        "gradient_descent_max_iters",
        "max_gradient_threshold",
        "min_stake_fraction",
        "epsilon_reputer",
        "epsilon_safe_div",
    ])?;
    let default = ReputerConfig::new();
    let config = ReputerConfig {
        learning_rate: params.real("learning_rate", default.learning_rate, OPEN_UNIT)?,
        max_iterations: params.whole("gradient_descent_max_iters", default.max_iterations, 1, 1000)?,
        gradient_threshold: params.real("max_gradient_threshold", default.gradient_threshold, OPEN_UNIT)?,
        min_stake_fraction: params.real("min_stake_fraction", default.min_stake_fraction, UNIT)?,
        epsilon_reputer: params.real("epsilon_reputer", default.epsilon_reputer, RATE)?,
        safe_div: params.real("epsilon_safe_div", default.safe_div, POSITIVE)?,
    };
    let reports = reports(&request.row)?;
    let (mut stakes, mut coefficients, mut vectors) = (Vec::new(), Vec::new(), Vec::new());
    for (m, stake, losses) in &reports.all {
        let name = fill("reputer_listening_coefficient_#", &[*m]);
        let coefficient = request.previous.get(&name)?.unwrap_or(Real::ONE);
        coefficients.push(UNIT.check(&request.previous.field(&name), coefficient)?);
        stakes.push(*stake);
        vectors.push(flatten(losses));
    }
    let agreed = consensus(&config, &stakes, &coefficients, &vectors).map_err(request.refusal())?;
    let mut output = Output::default();
    let mut list = |pattern: &str, values: &[Real]| {
        let places = reports.all.iter().map(|(m, _, _)| *m);
        output.list(pattern, places.zip(values.iter().copied()));
    };
    list("reputer_score_#", &agreed.scores);
    list("reputer_adjusted_stake_#", &agreed.adjusted);
    list("reputer_listening_coefficient_#", &agreed.coefficients);
    losses::write(&mut output, reports.members, "consensus_", &agreed.consensus);
    Ok(output)
}

fn by_truth(request: &Request, count: usize, labels: Option<usize>) -> Result<Output, MechanismError> {
    let (params, row) = (&request.params, &request.row);
    params.only(&["classes"])?;
    let default = Real::new(STAKE_CAP).map_err(request.refusal())?;
    let cap = RATE.check("stake_cap", row.get("stake_cap")?.unwrap_or(default))?;
    let scale = NOT_NEGATIVE.check("scale", row.get("scale")?.unwrap_or(Real::ZERO))?;
    let mut reports = Vec::with_capacity(count);
    for m in 0..count {
        let values: Vec<Option<Real>> = match labels {
            None => vec![row.get(&fill(TRUTH, &[m]))?],
            Some(labels) => {
                (0..labels).map(|l| row.get(&fill(TRUTH_LABEL, &[m, l]))).collect::<Result<_, _>>()?
            }
        };
        reports.push((stake(request, m)?, values));
    }
    let agreed = if params.flag("classes", false)? {
        truth::classes(&reports, cap)
    } else {
        truth::consensus(&reports, cap, scale)
    };
    let agreed = agreed.map_err(request.refusal())?;
    let mut output = Output::default();
    for (label, &value) in agreed.values.iter().enumerate() {
        let name = labels.map_or_else(|| "truth".into(), |_| format!("truth_label_{label}"));
        output.maybe(name, value);
    }
    output.list("reputer_score_#", agreed.scores.into_iter().enumerate());
    Ok(output)
}

/// A reputer's stake in base units, as exact as the chain's.
fn stake(request: &Request, m: usize) -> Result<u128, MechanismError> {
    let name = fill("reputer_stake_#", &[m]);
    let why = "truths are weighed by the stakes of those who report them";
    let Some(cell) = request.row.raw(&name) else { return Err(request.row.missing(&name, why)) };
    let text = match cell {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => String::new(),
    };
    // A table writes whole numbers with a point.
    text.strip_suffix(".0").unwrap_or(&text).parse().map_err(|_| MechanismError::Type {
        field: name,
        expected: "a whole number of base units; as text where it has more than 15 digits".into(),
        found: found(cell),
    })
}
