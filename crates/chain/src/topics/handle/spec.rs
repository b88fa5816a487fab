//! A topic's description, checked as a whole: the text of each refusal says what the field allows.

use dodona_mechanism::{
    Real,
    topic::{
        combine::Rule,
        loss::Loss,
        power::{Pool, PowerConfig},
        regret::RegretConfig,
    },
};
use dodona_proto::topics as wire;

use super::TopicError;
use crate::{
    params::Params,
    topics::{
        label,
        state::{Hearing, LabelRules, Payout, Spec, Texts, TruthMode},
    },
};

/// Longest epoch, window or lag: about a year of one-second blocks.
const MAX_BLOCKS: u64 = 40_000_000;
/// Most cells of an epoch: one per member and label,
const MAX_CELLS: u64 = 1_000_000;
/// or, under the regret rule, one per pair of members and label.
const MAX_CELLS_REGRET: u64 = 2_000_000;

/// A description that a topic can be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its numbers.
    pub spec: Spec,
    /// Its words.
    pub texts: Texts,
    /// Labels it allows, canonical and sorted; empty: any.
    pub labels: Vec<String>,
}

fn wrong(field: &'static str, cause: impl Into<String>) -> TopicError {
    TopicError::Spec { field, cause: cause.into() }
}

/// A text of so many bytes without control characters.
pub(super) fn words(
    field: &'static str,
    text: &str,
    least: usize,
    most: usize,
) -> Result<String, TopicError> {
    if text.len() < least || text.len() > most || text.chars().any(char::is_control) {
        return Err(wrong(field, format!("needs {least} to {most} bytes without control characters")));
    }
    Ok(text.to_string())
}

fn blocks(field: &'static str, value: u64, least: u64) -> Result<u64, TopicError> {
    if value < least || value > MAX_BLOCKS {
        return Err(wrong(field, format!("needs {least} to {MAX_BLOCKS} blocks")));
    }
    Ok(value)
}

fn real(field: &'static str, text: &str, default: Real) -> Result<Real, TopicError> {
    match text {
        "" => Ok(default),
        text => text.parse().map_err(|e: dodona_mechanism::MathError| wrong(field, e.to_string())),
    }
}

fn optional(field: &'static str, text: &str, default: Option<Real>) -> Result<Option<Real>, TopicError> {
    match text {
        "" => Ok(default),
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(|e: dodona_mechanism::MathError| wrong(field, e.to_string())),
    }
}

/// A published default, which is a decimal number and reads like one.
fn decimal(text: &str) -> Real {
    text.parse().unwrap_or(Real::ZERO)
}

/// Checks a description against the chain's parameters.
pub fn check_spec(spec: Option<&wire::TopicSpec>, params: &Params) -> Result<Checked, TopicError> {
    let spec = spec.ok_or_else(|| wrong("spec", "is missing"))?;
    // A number without a meaning must not become the default in silence.
    let rule = match wire::Rule::try_from(spec.rule).map_err(|_| wrong("rule", "is none of 0 to 4"))? {
        wire::Rule::Unspecified | wire::Rule::Power => Rule::Power,
        wire::Rule::Regret => Rule::Regret,
        wire::Rule::Median => Rule::Median,
        wire::Rule::Mean => Rule::Mean,
    };
    let mode =
        wire::TruthMode::try_from(spec.truth_mode).map_err(|_| wrong("truth_mode", "is none of 0 to 2"))?;
    let truth_mode = match mode {
        wire::TruthMode::Unspecified | wire::TruthMode::Truth => TruthMode::Truth,
        wire::TruthMode::Losses => TruthMode::Losses,
    };
    let payout =
        match wire::Payout::try_from(spec.payout).map_err(|_| wrong("payout", "is none of 0 to 2"))? {
            wire::Payout::Unspecified if rule == Rule::Regret => Payout::Entropy,
            wire::Payout::Unspecified | wire::Payout::Gains => Payout::Gains,
            wire::Payout::Entropy => Payout::Entropy,
        };
    let loss = loss(spec)?;
    let epoch_length = blocks("epoch_length", spec.epoch_length, params.min_epoch_length)?;
    if epoch_length > params.blocks_per_month {
        let most = params.blocks_per_month;
        return Err(wrong(
            "epoch_length",
            format!("at most a month, {most} blocks: weight and funding are weighed once an epoch"),
        ));
    }
    let worker_window = blocks("worker_window", spec.worker_window, 1)?;
    let truth_lag = blocks("truth_lag", spec.truth_lag, 1)?;
    let truth_window = blocks("truth_window", spec.truth_window, 1)?;
    let defaults = PowerConfig::for_loss(loss);
    let power = PowerConfig {
        kappa: if spec.kappa == 0 { defaults.kappa } else { spec.kappa },
        alpha: real("alpha", &spec.alpha, defaults.alpha)?,
        cap: optional("cap", &spec.cap, defaults.cap)?,
        clamp: optional("clamp", &spec.clamp, defaults.clamp)?,
        gain: real("gain", &spec.gain, defaults.gain)?,
        pool: if spec.log_pool || defaults.pool == Pool::Log { Pool::Log } else { Pool::Linear },
        ..defaults
    };
    let usual = RegretConfig::new();
    let regret = RegretConfig {
        p_norm: real("p_norm", &spec.p_norm, usual.p_norm)?,
        c_norm: real("c_norm", &spec.c_norm, usual.c_norm)?,
        epsilon: real("epsilon", &spec.epsilon, usual.epsilon)?,
        alpha: real("alpha_regret", &spec.alpha_regret, usual.alpha)?,
        allow_negative: spec.allow_negative,
        ..usual
    };
    let low = decimal("0.05");
    let hearing = Hearing {
        merit_alpha: real("merit_alpha", &spec.merit_alpha, decimal("0.1"))?,
        quantiles: [
            real("inferer_quantile", &spec.inferer_quantile, low)?,
            real("forecaster_quantile", &spec.forecaster_quantile, low)?,
            real("reputer_quantile", &spec.reputer_quantile, low)?,
        ],
        caps: [spec.max_inferers, spec.max_forecasters, spec.max_reputers],
    };
    let labels = LabelRules {
        classification: spec.classification,
        multi: spec.multi,
        require_unity: spec.require_unity,
        unity_tolerance: real("unity_tolerance", &spec.unity_tolerance, decimal("1e-6"))?,
        max: match spec.max_labels {
            0 if spec.multi => (spec.labels.len() as u32).clamp(16, 1_024),
            0 => 1,
            own => own,
        },
        default: real("label_default", &spec.label_default, Real::ZERO)?,
        case_sensitive: spec.label_case_sensitive,
        listed: !spec.labels.is_empty(),
    };
    let list = canonical_list(&spec.labels, &labels, params)?;
    let checked = Spec {
        rule,
        loss,
        truth_mode,
        payout,
        epoch_length,
        worker_window,
        reveal_window: spec.reveal_window,
        truth_lag,
        truth_window,
        power,
        regret,
        hearing,
        labels,
        worker_list: spec.worker_list,
        reputer_list: spec.reputer_list,
    };
    validate(&checked)?;
    check_caps(&checked, params)?;
    check_size(&checked, list.len(), params)?;
    if (truth_lag + truth_window) / epoch_length > params.max_unfulfilled_reputer_requests {
        let most = params.max_unfulfilled_reputer_requests;
        return Err(wrong("truth_lag", format!("at most {most} epochs may wait for their truth at once")));
    }
    let most = params.max_string_length as usize;
    let texts = Texts {
        title: words("title", &spec.title, 1, 80)?,
        target: words("target", &spec.target, 0, 255)?,
        unit: words("unit", &spec.unit, 0, 32)?,
        horizon: words("horizon", &spec.horizon, 0, 64)?,
        truth_source: words("truth_source", &spec.truth_source, 0, 255)?,
        resolution: words("resolution", &spec.resolution, 0, 1_000)?,
        metadata: words("metadata", &spec.metadata, 0, most)?,
        loss_method: words("loss_method", &spec.loss_method, 0, most)?,
    };
    Ok(Checked { spec: checked, texts, labels: list })
}

fn loss(spec: &wire::TopicSpec) -> Result<Loss, TopicError> {
    let kind = wire::Loss::try_from(spec.loss).map_err(|_| wrong("loss", "is none of 0 to 9"))?;
    let loss = match kind {
        wire::Loss::Unspecified | wire::Loss::Squared => Loss::Squared,
        wire::Loss::Absolute => Loss::Absolute,
        wire::Loss::Log => Loss::LogLoss,
        wire::Loss::Huber => Loss::Huber { delta: real("loss_parameter", &spec.loss_parameter, Real::ONE)? },
        wire::Loss::LogCosh => Loss::LogCosh,
        wire::Loss::Poisson => Loss::Poisson,
        wire::Loss::Brier => Loss::Brier,
        wire::Loss::Ztae => Loss::Ztae {
            center: real("loss_center", &spec.loss_center, Real::ZERO)?,
            scale: real("loss_scale", &spec.loss_scale, Real::ONE)?,
        },
        wire::Loss::Pinball => {
            Loss::Pinball { quantile: real("loss_parameter", &spec.loss_parameter, decimal("0.5"))? }
        }
    };
    let takes_parameter = matches!(loss, Loss::Huber { .. } | Loss::Pinball { .. });
    let takes_scale = matches!(loss, Loss::Ztae { .. });
    if !takes_parameter && !spec.loss_parameter.is_empty() {
        return Err(wrong("loss_parameter", "only huber (delta) and pinball (quantile) take one"));
    }
    if !takes_scale && (!spec.loss_center.is_empty() || !spec.loss_scale.is_empty()) {
        return Err(wrong("loss_scale", "only ztae takes a centre and a scale"));
    }
    loss.validate().map_err(|e| wrong("loss", e.to_string()))?;
    Ok(loss)
}

/// What the numbers of a description must satisfy together.
pub(super) fn validate(spec: &Spec) -> Result<(), TopicError> {
    if spec.worker_window > spec.epoch_length {
        return Err(wrong("worker_window", "must not be longer than epoch_length"));
    }
    if spec.reveal_window >= spec.worker_window {
        return Err(wrong(
            "reveal_window",
            "must be shorter than worker_window: answers are sealed in the blocks before it; 0 for open answers",
        ));
    }
    if spec.truth_lag < spec.worker_window {
        return Err(wrong(
            "truth_lag",
            "must not be shorter than worker_window: nobody answers after the fact",
        ));
    }
    spec.power.validate().map_err(|e| wrong("power rule settings", e.to_string()))?;
    spec.regret.validate().map_err(|e| wrong("regret rule settings", e.to_string()))?;
    if spec.regret.allow_negative && (spec.rule != Rule::Regret || spec.truth_mode != TruthMode::Losses) {
        return Err(wrong(
            "allow_negative",
            "only regret topics whose reputers bring losses: every built-in loss is zero or above",
        ));
    }
    let below_one = |field: &'static str, value: Real| {
        if (0.0..1.0).contains(&value.get()) { Ok(()) } else { Err(wrong(field, "lies in [0, 1)")) }
    };
    below_one("merit_alpha", spec.hearing.merit_alpha)?;
    let names = ["inferer_quantile", "forecaster_quantile", "reputer_quantile"];
    for (name, value) in names.into_iter().zip(spec.hearing.quantiles) {
        below_one(name, value)?;
    }
    let rules = &spec.labels;
    if !(0.0..=0.01).contains(&rules.unity_tolerance.get()) {
        return Err(wrong("unity_tolerance", "lies in [0, 0.01]"));
    }
    if !(1..=1_024).contains(&rules.max) {
        return Err(wrong("max_labels", "lies in 1 to 1024"));
    }
    if !rules.multi && (rules.require_unity || rules.listed || rules.max > 1) {
        return Err(wrong(
            "multi",
            "unity, a list of labels and several labels need a topic of several labels",
        ));
    }
    if rules.multi && !spec.loss.accepts_answer(rules.default.get()) {
        return Err(wrong("label_default", "must be something this loss can judge"));
    }
    if rules.require_unity && rules.default != Real::ZERO {
        return Err(wrong("label_default", "must be 0 where values sum to 1"));
    }
    if rules.multi && spec.loss.is_probability() && !rules.require_unity {
        return Err(wrong("require_unity", "probabilities of several labels must sum to 1 under this loss"));
    }
    if rules.require_unity && spec.rule == Rule::Median {
        return Err(wrong("rule", "medians of several labels do not sum to 1; use power, regret or mean"));
    }
    Ok(())
}

/// Room for members within what the chain can bear.
pub(super) fn check_caps(spec: &Spec, params: &Params) -> Result<(), TopicError> {
    let inferers = if spec.rule == Rule::Regret { params.max_members_regret } else { params.max_members };
    let bounds = [
        ("max_inferers", inferers),
        ("max_forecasters", params.max_forecasters),
        ("max_reputers", params.max_reputers),
    ];
    for ((field, most), cap) in bounds.into_iter().zip(spec.hearing.caps) {
        if cap > most {
            return Err(wrong(field, format!("at most {most} under this rule")));
        }
    }
    Ok(())
}

/// Bounds the cells of an epoch: members times labels, and under the regret rule members squared.
pub(super) fn check_size(spec: &Spec, listed: usize, params: &Params) -> Result<(), TopicError> {
    let labels = match (spec.labels.multi, listed) {
        (false, _) => 1,
        (true, 0) => u64::from(params.max_epoch_label_registry_size),
        (true, listed) => listed as u64,
    };
    let cap = |own: u32, default: u32| u64::from(if own == 0 { default } else { own });
    let [inferers, forecasters, _] = spec.hearing.caps;
    let members = cap(inferers, params.max_top_inferers_to_reward)
        + cap(forecasters, params.max_top_forecasters_to_reward);
    let (cells, most) = match spec.rule {
        Rule::Regret => (members * members * labels, MAX_CELLS_REGRET),
        _ => (members * labels, MAX_CELLS),
    };
    if cells > most {
        let cause = format!(
            "{members} members and {labels} labels make {cells} cells, {most} are allowed: list the labels or hear fewer"
        );
        return Err(wrong("max_inferers", cause));
    }
    Ok(())
}

/// Canonical labels, sorted, repetitions merged.
pub(super) fn canonical_list(
    texts: &[String],
    rules: &LabelRules,
    params: &Params,
) -> Result<Vec<String>, TopicError> {
    let max = params.max_topic_label_whitelist_size;
    if texts.len() > max as usize {
        return Err(TopicError::TooMany { what: "labels", got: texts.len(), max });
    }
    let mut labels = texts
        .iter()
        .map(|text| label::canonical(text, rules.case_sensitive, params))
        .collect::<Result<Vec<_>, _>>()?;
    labels.sort_unstable();
    labels.dedup();
    Ok(labels)
}
