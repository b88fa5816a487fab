//! What is wrong with a description, what it costs, what wakes it, and when its funding runs dry.

use anyhow::Result;
use dodona_chain::{
    Params,
    topics::{
        handle::{Checked, TopicError, check_spec},
        schedule,
        state::Topic,
    },
};
use dodona_mechanism::Real;
use dodona_proto::{Address, topics::TopicSpec};
use serde::Serialize;

use super::file::Plan;
use crate::cmd::net::allo;

/// Most refusals told at once.
const MOST: usize = 20;

/// Everything lint has to say.
#[derive(Debug, Serialize)]
pub struct Lint {
    /// What the chain would refuse, field by field.
    pub refusals: Vec<Refusal>,
    /// What it would take, but its creator may not mean.
    pub warnings: Vec<String>,
    /// Arithmetic about cost and life; only for a description without refusals.
    pub facts: Option<Facts>,
}

/// One refusal.
#[derive(Debug, Serialize)]
pub struct Refusal {
    /// Field of the description.
    pub field: String,
    /// What is wrong.
    pub cause: String,
}

/// What a topic costs and how long it lives.
#[derive(Debug, Serialize)]
pub struct Facts {
    /// uallo charged at creation, without gas.
    pub create_fee: String,
    /// uallo per registration, and per payload or report.
    pub registration_fee: String,
    /// See above.
    pub data_fee: String,
    /// Weight it needs to ask questions.
    pub min_weight: f64,
    /// Weight the planned stake and funding give.
    pub planned_weight: f64,
    /// uallo of funding that wakes it with the planned stake.
    pub wakes_with_funding: String,
    /// Epochs until it sleeps without further funding; 0: it never wakes.
    pub runs_dry_epochs: u64,
    /// The same in blocks.
    pub runs_dry_blocks: u64,
    /// Epochs that wait for their truth at once.
    pub waiting_epochs: u64,
    /// Blocks from question to pay.
    pub blocks_to_pay: u64,
}

/// Checks a description against parameters.
pub fn lint(spec: &TopicSpec, params: &Params, plan: &Plan) -> Result<Lint> {
    let mut refusals: Vec<Refusal> = Vec::new();
    let mut trial = spec.clone();
    // The chain stops at the first refusal: mend that field and ask again, until it has nothing to say.
    let checked = loop {
        match check_spec(Some(&trial), params) {
            Ok(checked) => break Some(checked),
            Err(error) => {
                let (field, cause) = (field_of(&error), cause_of(&error));
                // Mended in vain: nothing that follows would be new.
                if refusals.iter().any(|told| told.field == field && told.cause == cause) {
                    break None;
                }
                refusals.push(Refusal { field: field.to_string(), cause });
                if refusals.len() == MOST || !mend(&mut trial, field, params) {
                    break None;
                }
            }
        }
    };
    let warnings = checked.as_ref().map_or_else(Vec::new, |checked| warnings(spec, checked));
    let facts = match checked {
        Some(checked) if refusals.is_empty() => Some(facts(&checked, params, plan)?),
        _ => None,
    };
    Ok(Lint { refusals, warnings, facts })
}

fn field_of(error: &TopicError) -> &'static str {
    match error {
        TopicError::Spec { field, .. } => field,
        TopicError::Label { .. } | TopicError::TooMany { .. } => "labels",
        _ => "spec",
    }
}

fn cause_of(error: &TopicError) -> String {
    match error {
        TopicError::Spec { cause, .. } => cause.clone(),
        other => other.to_string(),
    }
}

/// Puts an acceptable value into a refused field; false when the field is not known here.
fn mend(spec: &mut TopicSpec, field: &str, params: &Params) -> bool {
    let fine = TopicSpec { title: "title".into(), ..TopicSpec::default() };
    match field {
        "title" => spec.title = fine.title,
        "target" => spec.target = fine.target,
        "unit" => spec.unit = fine.unit,
        "horizon" => spec.horizon = fine.horizon,
        "truth_source" => spec.truth_source = fine.truth_source,
        "resolution" => spec.resolution = fine.resolution,
        "metadata" => spec.metadata = fine.metadata,
        "rule" => spec.rule = fine.rule,
        "loss" | "loss_parameter" | "loss_center" | "loss_scale" => {
            (spec.loss, spec.log_pool) = (fine.loss, false);
            (spec.loss_parameter, spec.loss_center, spec.loss_scale) = Default::default();
        }
        "truth_mode" => spec.truth_mode = fine.truth_mode,
        "payout" => spec.payout = fine.payout,
        "epoch_length" => {
            let (least, most) = (params.min_epoch_length.max(1), params.blocks_per_month);
            spec.epoch_length = spec.worker_window.min(most).max(least);
        }
        "worker_window" => (spec.worker_window, spec.reveal_window) = (1, 0),
        "reveal_window" => spec.reveal_window = 0,
        // It may be both windows together that are too long; a truth_window of 0 is still to be refused.
        "truth_lag" => {
            (spec.truth_lag, spec.truth_window) = (spec.worker_window.max(1), spec.truth_window.min(1));
        }
        "truth_window" => spec.truth_window = 1,
        "alpha" | "cap" | "clamp" | "gain" | "kappa" | "power rule settings" => {
            (spec.kappa, spec.log_pool) = (0, false);
            (spec.alpha, spec.cap, spec.clamp, spec.gain) = Default::default();
        }
        "p_norm" | "c_norm" | "epsilon" | "alpha_regret" | "regret rule settings" => {
            (spec.p_norm, spec.c_norm, spec.epsilon, spec.alpha_regret) = Default::default();
        }
        "allow_negative" => spec.allow_negative = false,
        "merit_alpha" => spec.merit_alpha = fine.merit_alpha,
        "inferer_quantile" => spec.inferer_quantile = fine.inferer_quantile,
        "forecaster_quantile" => spec.forecaster_quantile = fine.forecaster_quantile,
        "reputer_quantile" => spec.reputer_quantile = fine.reputer_quantile,
        "max_inferers" => spec.max_inferers = 0,
        "max_forecasters" => spec.max_forecasters = 0,
        "max_reputers" => spec.max_reputers = 0,
        "unity_tolerance" => spec.unity_tolerance = fine.unity_tolerance,
        "max_labels" => spec.max_labels = 0,
        "label_default" => spec.label_default = fine.label_default,
        "labels" => spec.labels = Vec::new(),
        "multi" => spec.multi = true,
        "require_unity" => spec.require_unity = true,
        _ => return false,
    }
    true
}

fn warnings(spec: &TopicSpec, checked: &Checked) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |text: String| warnings.push(text);
    for (field, text) in
        [("target", &spec.target), ("truth_source", &spec.truth_source), ("resolution", &spec.resolution)]
    {
        if text.is_empty() {
            warn(format!("{field} is empty: nobody can know what would be right"));
        }
    }
    let s = &checked.spec;
    if s.worker_window * 2 > s.truth_lag {
        warn(format!(
            "answers are accepted until {} of the {} blocks to the truth have passed: late answers know more",
            s.worker_window, s.truth_lag
        ));
    }
    if s.reveal_window == 1 {
        warn("reveal_window is one block: a worker that misses it is scored like the worst".into());
    }
    if s.truth_window < 2 {
        warn("truth_window is one block: a reputer that misses it makes the epoch void".into());
    }
    let spans = (s.truth_lag + s.truth_window).div_ceil(s.epoch_length);
    if spans > 1 {
        warn(format!(
            "{spans} epochs wait for their truth at once; they are told apart by their nonce, and reputers report each"
        ));
    }
    if s.hearing.caps[0] == 1 {
        warn(
            "max_inferers is 1: with a single inferer there is nothing to combine and nobody to score".into(),
        );
    }
    warnings
}

fn facts(checked: &Checked, params: &Params, plan: &Plan) -> Result<Facts> {
    let spec = checked.spec;
    let mut topic = Topic::new(1, Address([0; 20]), spec, 0);
    topic.stake = plan.stake()?;
    topic.revenue = plan.funding()?;
    let planned = schedule::weigh(&topic, params);
    let runs_dry_epochs = schedule::runs_dry(&topic, params);
    let waiting_epochs = (spec.truth_lag + spec.truth_window).div_ceil(spec.epoch_length);
    Ok(Facts {
        create_fee: params.create_topic_fee.to_string(),
        registration_fee: params.registration_fee.to_string(),
        data_fee: params.data_sending_fee.to_string(),
        min_weight: params.min_topic_weight.get(),
        planned_weight: planned.get(),
        wakes_with_funding: least_funding(topic.clone(), params).to_string(),
        runs_dry_epochs,
        runs_dry_blocks: runs_dry_epochs.saturating_mul(spec.epoch_length),
        waiting_epochs,
        blocks_to_pay: spec.truth_lag + spec.truth_window,
    })
}

/// Least revenue with which a topic of this stake weighs enough; the largest number if none does.
fn least_funding(mut topic: Topic, params: &Params) -> u128 {
    topic.weight = None;
    let enough = |topic: &Topic| {
        let weight = schedule::weigh(topic, params);
        weight >= params.min_topic_weight && weight > Real::ZERO
    };
    let (mut low, mut high) = (0u128, u128::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        topic.revenue = middle;
        if enough(&topic) { high = middle } else { low = middle + 1 }
    }
    low
}

impl Lint {
    /// For people.
    pub fn text(&self, plan: &Plan) -> String {
        let mut out = String::new();
        for r in &self.refusals {
            out.push_str(&format!("refused   {}: {}\n", r.field, r.cause));
        }
        for w in &self.warnings {
            out.push_str(&format!("warning   {w}\n"));
        }
        let Some(f) = &self.facts else {
            out.push_str("\nnot accepted: mend the refused fields\n");
            return out;
        };
        let uallo = |text: &str| allo(text.parse().unwrap_or(0));
        out.push_str(&format!(
            "cost      {} to create it; {} per registration, {} per payload or report, and gas\n",
            uallo(&f.create_fee),
            uallo(&f.registration_fee),
            uallo(&f.data_fee)
        ));
        out.push_str(&format!(
            "wakes     at a weight of {:.0}, the square root of stake times funding: with {} ALLO staked it takes {}\n",
            f.min_weight,
            plan.stake,
            uallo(&f.wakes_with_funding)
        ));
        let days = f.runs_dry_blocks as f64 * plan.block_seconds / 86_400.0;
        out.push_str(&match f.runs_dry_epochs {
            0 => format!("sleeps    {} ALLO of funding do not wake it\n", plan.funding),
            n if n >= 10_000 => format!(
                "funding   {} ALLO last for more than {n} epochs ({days:.1} days of {} s blocks)\n",
                plan.funding, plan.block_seconds
            ),
            n => format!(
                "funding   {} ALLO run dry after {n} epochs ({} blocks, {days:.1} days of {} s blocks)\n",
                plan.funding, f.runs_dry_blocks, plan.block_seconds
            ),
        });
        out.push_str(&format!(
            "pays      {} blocks after the question; {} epoch(s) wait for their truth at a time\n\naccepted\n",
            f.blocks_to_pay, f.waiting_epochs
        ));
        out
    }
}
