//! `combine`: from inferences and forecasts to the network inference and all its components, under either rule
//! (topic specification, section 4; combine specification, section 5).

use super::MechanismError;
use super::losses::Members;
use super::params::{NOT_NEGATIVE, Params, RATE, Span, field, word};
use super::state::{self, REGRET_PARAMS, with_remembered};
use super::table::{Output, Request, Row, check_room, count, fill, number, wrong};
use dodona_mechanism::Real;
use dodona_mechanism::topic::combine::{Bundle, Forecast, Synthesis};
use dodona_mechanism::topic::loss::Loss;
use dodona_mechanism::topic::power::{self, MemberState, Pool, PowerConfig, TopicState};
use dodona_mechanism::topic::regret;
use serde_json::{Map, Value};

const INFERENCE: &str = "inference_#";
const INFERENCE_LABEL: &str = "inference_#_label_#";
const FORECAST: &str = "forecasted_loss_#_for_#";

/// The parameters of the power rule.
const POWER_PARAMS: [&str; 15] = [
    "loss",
    "loss_delta",
    "loss_center",
    "loss_scale",
    "loss_quantile",
    "kappa",
    "alpha",
    "n0",
    "cap",
    "clamp",
    "beta",
    "gain",
    "score_rate",
    "pool",
    "label_default_value",
];

/// The formula.
pub fn run(request: &Request) -> Result<Output, MechanismError> {
    match word("rule", request.row.raw("rule"), &["regret", "power"])? {
        "power" => by_power(request),
        _ => by_regret(request),
    }
}

/// Who answered what.
struct Inputs {
    /// How many members the names speak of, whether they answered or not.
    members: Members,
    /// Whether columns have labels.
    labelled: bool,
    /// The inferers who answered, ascending.
    present: Vec<usize>,
    /// L columns of their inferences.
    columns: Vec<Vec<Real>>,
    /// K forecasts about them, indices into `present`.
    forecasts: Vec<Forecast>,
}

impl Inputs {
    fn read(request: &Request) -> Result<Inputs, MechanismError> {
        let row = &request.row;
        let default = request.params.real("label_default_value", Real::ZERO, super::params::ANY)?;
        let (flat, sizes, pairs) = (row.size(INFERENCE)?, row.sizes(INFERENCE_LABEL)?, row.sizes(FORECAST)?);
        if flat > 0 && sizes[0] > 0 {
            return Err(MechanismError::Twice { field: fill(INFERENCE, &[0]) });
        }
        let labelled = sizes[0] > 0;
        let (inferers, labels) = if labelled { (sizes[0], sizes[1]) } else { (flat, 1) };
        check_room("components", &[labels, inferers.max(1), pairs[0] + 1])?;
        let (mut present, mut columns) = (Vec::new(), vec![Vec::new(); labels]);
        for j in 0..inferers {
            let cell = |label: usize| match labelled {
                true => row.get(&fill(INFERENCE_LABEL, &[j, label])),
                false => row.get(&fill(INFERENCE, &[j])),
            };
            let values: Vec<Option<Real>> = (0..labels).map(cell).collect::<Result<_, _>>()?;
            // An inferer without a single value did not answer.
            if values.iter().any(Option::is_some) {
                present.push(j);
                for (column, value) in columns.iter_mut().zip(values) {
                    column.push(value.unwrap_or(default));
                }
            }
        }
        if present.is_empty() {
            return Err(
                row.missing(&fill(INFERENCE, &[0]), "there is nothing to combine without an inference")
            );
        }
        let forecasts = (0..pairs[0])
            .map(|k| forecast(row, k, pairs[1], inferers, &present))
            .collect::<Result<Vec<_>, _>>()?;
        let members = Members { inferers, forecasters: forecasts.len() };
        Ok(Inputs { members, labelled, present, columns, forecasts })
    }
}

/// Forecaster k's losses for those who answered.
fn forecast(
    row: &Row,
    k: usize,
    named: usize,
    inferers: usize,
    present: &[usize],
) -> Result<Forecast, MechanismError> {
    let mut losses = Vec::new();
    for j in 0..named {
        let name = fill(FORECAST, &[k, j]);
        let Some(loss) = row.get(&name)? else { continue };
        if j >= inferers {
            let why = format!("there are inferences of {inferers} inferers only");
            return Err(MechanismError::Index { field: row.field(&name), why });
        }
        if let Ok(place) = present.binary_search(&j) {
            losses.push((place, loss));
        }
    }
    Ok(Forecast { losses })
}

fn by_regret(request: &Request) -> Result<Output, MechanismError> {
    let mut known = REGRET_PARAMS.to_vec();
    known.push("label_default_value");
    request.params.only(&known)?;
    let config = state::config(&request.params)?;
    let inputs = Inputs::read(request)?;
    let members = with_remembered(&request.previous, inputs.members)?;
    let state = state::read(request, &config, members)?;
    let forecasters: Vec<(usize, Forecast)> = (members.inferers..).zip(inputs.forecasts.clone()).collect();
    let opening = regret::open(&config, &state, &inputs.present, &inputs.columns, &forecasters);
    let opening = opening.map_err(request.refusal())?;
    let bundle = opening.bundle().map_err(request.refusal())?;
    Ok(answer(&inputs, members, &opening.synthesis, &bundle))
}

fn by_power(request: &Request) -> Result<Output, MechanismError> {
    request.params.only(&POWER_PARAMS)?;
    let config = power_config(&request.params)?;
    let inputs = Inputs::read(request)?;
    let inferers = member_states(&request.row, "states", inputs.members.inferers)?;
    let inferers: Vec<MemberState> = inputs.present.iter().map(|&j| inferers[j]).collect();
    let forecasters = member_states(&request.row, "forecaster_states", inputs.members.forecasters)?;
    let forecasters: Vec<_> = forecasters.into_iter().zip(inputs.forecasts.clone()).collect();
    for (k, (_, forecast)) in forecasters.iter().enumerate() {
        if let Some((place, loss)) = forecast.losses.iter().find(|(_, loss)| *loss <= Real::ZERO) {
            let range = "above 0: the power rule forecasts losses, not their logarithms".to_owned();
            let field = fill(FORECAST, &[k, inputs.present[*place]]);
            return Err(MechanismError::Range { field, value: loss.to_string(), range });
        }
    }
    let topic = topic_state(&request.row)?;
    let opening = power::open(&config, &topic, &inferers, &inputs.columns, &forecasters);
    let opening = opening.map_err(request.refusal())?;
    let bundle = opening.bundle().map_err(request.refusal())?;
    Ok(answer(&inputs, inputs.members, &opening.synthesis, &bundle))
}

/// A loss function by name, with its parameters.
fn loss(params: &Params) -> Result<Loss, MechanismError> {
    let need = |name: &str, span: Span| match params.raw(name) {
        Some(_) => params.real(name, Real::ZERO, span),
        None => Err(MechanismError::Missing { field: field(name), why: "this loss has a parameter".into() }),
    };
    let names =
        ["squared", "absolute", "huber", "log_cosh", "poisson", "log_loss", "brier", "ztae", "pinball"];
    Ok(match params.word("loss", &names)? {
        "absolute" => Loss::Absolute,
        "huber" => Loss::Huber { delta: need("loss_delta", super::params::POSITIVE)? },
        "log_cosh" => Loss::LogCosh,
        "poisson" => Loss::Poisson,
        "log_loss" => Loss::LogLoss,
        "brier" => Loss::Brier,
        "ztae" => Loss::Ztae {
            center: need("loss_center", super::params::ANY)?,
            scale: need("loss_scale", super::params::POSITIVE)?,
        },
        "pinball" => Loss::Pinball { quantile: need("loss_quantile", super::params::OPEN_UNIT)? },
        _ => Loss::Squared,
    })
}

fn power_config(params: &Params) -> Result<PowerConfig, MechanismError> {
    let loss = loss(params)?;
    let default = PowerConfig::for_loss(loss);
    let pools = if loss.is_probability() { ["log", "linear"] } else { ["linear", "log"] };
    let pool = params.word("pool", &pools)?;
    if pool == "log" && !loss.is_probability() {
        let range = "linear: only log_loss and brier pool logarithms".to_owned();
        return Err(MechanismError::Range { field: field("pool"), value: pool.to_owned(), range });
    }
    Ok(PowerConfig {
        kappa: params.whole("kappa", default.kappa, 2, 8)?,
        alpha: params.real("alpha", default.alpha, Span(0.0025, 0.05, "0.0025 to 0.05"))?,
        n0: params.real("n0", default.n0, Span(0.0, 1000.0, "0 to 1000"))?,
        cap: params.limit("cap", default.cap, Span(0.2, 0.49, "0.2 to 0.49, or null for no cap"))?,
        clamp: params.limit("clamp", default.clamp, Span(3.0, 20.0, "3 to 20, or null for no clamp"))?,
        beta: params.real("beta", default.beta, RATE)?,
        gain: params.real("gain", default.gain, Span(0.5, 1.0, "0.5 to 1"))?,
        score_rate: params.real("score_rate", default.score_rate, RATE)?,
        pool: if pool == "log" { Pool::Log } else { Pool::Linear },
        loss,
    })
}

/// A number of an object, in its range.
fn part(
    object: &Map<String, Value>,
    at: &str,
    name: &str,
    span: Span,
) -> Result<Option<Real>, MechanismError> {
    let Some(value) = object.get(name) else { return Ok(None) };
    let field = format!("{at}.{name}");
    number(&field, value)?.map(|value| span.check(&field, value)).transpose()
}

/// A whole number of an object.
fn whole(object: &Map<String, Value>, at: &str, name: &str) -> Result<Option<u32>, MechanismError> {
    object.get(name).map_or(Ok(None), |value| count(&format!("{at}.{name}"), value))
}

/// `{"loss": mean loss, "count": scored epochs}` of every member; all newcomers where the field is absent.
fn member_states(row: &Row, name: &str, members: usize) -> Result<Vec<MemberState>, MechanismError> {
    let Some(value) = row.raw(name) else { return Ok(vec![MemberState::default(); members]) };
    let entries = value.as_array().filter(|entries| entries.len() == members);
    let Some(entries) = entries else {
        return Err(wrong(row.field(name), format!("an array of {members} objects, one per member"), value));
    };
    let one = |(place, value): (usize, &Value)| {
        let at = format!("{name}[{place}]");
        let object = match value {
            Value::Null => return Ok(MemberState::default()),
            Value::Object(object) => object,
            other => return Err(wrong(at, "an object with loss and count, or null for a newcomer", other)),
        };
        let count = whole(object, &at, "count")?.unwrap_or(0);
        let loss = part(object, &at, "loss", NOT_NEGATIVE)?;
        if count > 0 && loss.is_none() {
            let why = "the mean loss of a member that was scored".to_owned();
            return Err(MechanismError::Missing { field: format!("{at}.loss"), why });
        }
        Ok(MemberState { loss: loss.unwrap_or(Real::ZERO), count, score: Real::ZERO })
    };
    entries.iter().enumerate().map(one).collect()
}

/// `{"scale": mean absolute error, "scale_count": epochs that made it, "sharpening": factor}`; all optional.
fn topic_state(row: &Row) -> Result<TopicState, MechanismError> {
    let default = TopicState::new();
    let object = match row.raw("topic") {
        None => return Ok(default),
        Some(Value::Object(object)) => object,
        Some(other) => return Err(wrong("topic", "an object with scale, scale_count, sharpening", other)),
    };
    let sharpening = Span(power::SHARPENING.0, power::SHARPENING.1, "0.2 to 5");
    Ok(TopicState {
        scale: part(object, "topic", "scale", NOT_NEGATIVE)?.unwrap_or(default.scale),
        scale_count: whole(object, "topic", "scale_count")?.unwrap_or(default.scale_count),
        sharpening: part(object, "topic", "sharpening", sharpening)?.unwrap_or(default.sharpening),
        sharpening_grad: default.sharpening_grad,
    })
}

/// Everything an epoch publishes, as columns.
fn answer(inputs: &Inputs, members: Members, synthesis: &Synthesis, bundle: &Bundle) -> Output {
    let mut output = Output::default();
    let forecasters = 0..inputs.members.forecasters;
    for (label, (column, parts)) in synthesis.columns.iter().zip(&bundle.columns).enumerate() {
        let suffix = if inputs.labelled { format!("_label_{label}") } else { String::new() };
        let name = |pattern: &str, indices: &[usize]| format!("{}{suffix}", fill(pattern, indices));
        output.real(name("network_inference", &[]), column.combined);
        output.real(name("network_naive_inference", &[]), column.naive);
        output.real(name("network_median_inference", &[]), column.median);
        output.real(name("network_mean_inference", &[]), column.mean);
        let bar = &column.interval;
        for (place, bound) in [bar.p2, bar.p16, bar.p50, bar.p84, bar.p98].into_iter().enumerate() {
            output.real(name("network_inference_errorbar_#", &[place]), bound);
        }
        for (&j, &value) in inputs.present.iter().zip(&column.one_out_inferers) {
            output.maybe(name("network_inference_oneout_#", &[j]), value);
        }
        for (k, &value) in forecasters.clone().zip(&column.one_out_forecasters) {
            output.maybe(name("network_inference_oneout_#", &[members.inferers + k]), value);
        }
        for (k, &value) in forecasters.clone().zip(&parts.one_in_forecasters) {
            output.maybe(name("network_naive_inference_onein_#", &[k]), value);
        }
        for (k, &value) in forecasters.clone().zip(&column.implied) {
            output.maybe(name("forecast_implied_inference_#", &[k]), value);
        }
        for (k, row) in forecasters.clone().zip(&parts.one_out_inferer_forecaster) {
            for (&j, &value) in inputs.present.iter().zip(row) {
                output.maybe(name("forecast_implied_inference_#_oneout_#", &[k, j]), value);
            }
        }
    }
    output.list(
        "inferer_weight_#",
        inputs.present.iter().copied().zip(synthesis.inferer_weights.iter().copied()),
    );
    output.list("forecaster_weight_#", forecasters.zip(synthesis.forecaster_weights.iter().copied()));
    output
}
