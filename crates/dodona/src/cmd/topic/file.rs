//! `topic.toml`: a topic as its creator writes it. Every field but title and schedule has a default.

use anyhow::{Context, Result};
use dodona_proto::topics::{self as wire, TopicSpec};
use serde::Deserialize;

use crate::cmd::net;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicFile {
    title: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    horizon: String,
    #[serde(default)]
    truth_source: String,
    #[serde(default)]
    resolution: String,
    #[serde(default)]
    metadata: String,
    schedule: Schedule,
    #[serde(default)]
    answer: Answer,
    #[serde(default)]
    rule: Rule,
    #[serde(default)]
    loss: Loss,
    #[serde(default)]
    truth: Truth,
    #[serde(default)]
    pay: Pay,
    #[serde(default)]
    hearing: Hearing,
    #[serde(default)]
    access: Access,
    /// What its creator means to spend; not part of the topic.
    #[serde(default)]
    pub plan: Plan,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section, such as [schedule] with epoch_length = 5")]
struct Schedule {
    epoch_length: u64,
    worker_window: u64,
    /// The last blocks of worker_window, in which sealed answers are opened; absent or 0: answers are open.
    #[serde(default)]
    reveal_window: u64,
    truth_lag: u64,
    truth_window: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, such as [answer] with kind = \"regression\"")]
struct Answer {
    /// regression or classification.
    kind: Kind,
    /// Several labels.
    labels: Option<Vec<String>>,
    /// Any labels.
    any_label: bool,
    require_unity: Option<bool>,
    unity_tolerance: Option<Number>,
    max_labels: u32,
    default: Option<Number>,
    case_sensitive: bool,
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Regression,
    Classification,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, such as [rule] with name = \"power\"")]
struct Rule {
    name: RuleName,
    kappa: u32,
    alpha: Option<Number>,
    cap: Option<Number>,
    clamp: Option<Number>,
    gain: Option<Number>,
    log_pool: bool,
    p_norm: Option<Number>,
    c_norm: Option<Number>,
    alpha_regret: Option<Number>,
    epsilon: Option<Number>,
    allow_negative: bool,
}

#[derive(Copy, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RuleName {
    #[default]
    Power,
    Regret,
    Median,
    Mean,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, such as [loss] with name = \"squared\"")]
struct Loss {
    name: LossName,
    /// How reputers who bring losses compute them, in words.
    method: String,
    parameter: Option<Number>,
    center: Option<Number>,
    scale: Option<Number>,
}

#[derive(Copy, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LossName {
    #[default]
    Squared,
    Absolute,
    Log,
    Huber,
    LogCosh,
    Poisson,
    Brier,
    Ztae,
    Pinball,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, such as [truth] with mode = \"truth\"")]
struct Truth {
    mode: Mode,
}

#[derive(Copy, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Truth,
    Losses,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, such as [pay] with payout = \"gains\"")]
struct Pay {
    payout: Option<Payout>,
}

#[derive(Copy, Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Payout {
    Gains,
    Entropy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, such as [hearing] with max_inferers = 32")]
struct Hearing {
    merit_alpha: Option<Number>,
    inferer_quantile: Option<Number>,
    forecaster_quantile: Option<Number>,
    reputer_quantile: Option<Number>,
    max_inferers: u32,
    max_forecasters: u32,
    max_reputers: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, such as [access] with worker_list = true")]
struct Access {
    worker_list: bool,
    reputer_list: bool,
}

/// What the creator expects: makes lint's arithmetic concrete.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, such as [plan] with funding = \"10\"")]
pub struct Plan {
    /// ALLO its reputers will stake.
    pub stake: String,
    /// ALLO it will be funded with.
    pub funding: String,
    /// Seconds of a block on the network meant.
    pub block_seconds: f64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { stake: "100".into(), funding: "10".into(), block_seconds: 1.0 }
    }
}

impl Plan {
    /// Stake in uallo.
    pub fn stake(&self) -> Result<u128> {
        net::amount(&self.stake).context("plan.stake")
    }

    /// Funding in uallo.
    pub fn funding(&self) -> Result<u128> {
        net::amount(&self.funding).context("plan.funding")
    }
}

/// A number as TOML writes it, or text: `off`, or more digits than a double keeps.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(i64),
    Real(f64),
    Text(String),
}

fn text(number: &Option<Number>) -> String {
    match number {
        None => String::new(),
        Some(Number::Whole(n)) => n.to_string(),
        Some(Number::Real(x)) => x.to_string(),
        Some(Number::Text(t)) => t.clone(),
    }
}

impl TopicFile {
    /// Reads a file; the error names line and field.
    pub fn parse(toml: &str) -> Result<Self> {
        toml::from_str(toml).map_err(|e| anyhow::anyhow!("{}", e.to_string().trim_end()))
    }

    /// The description as it travels.
    pub fn spec(&self) -> TopicSpec {
        let classification = self.answer.kind == Kind::Classification;
        let multi = self.answer.labels.is_some() || self.answer.any_label;
        let rule = match self.rule.name {
            RuleName::Power => wire::Rule::Power,
            RuleName::Regret => wire::Rule::Regret,
            RuleName::Median => wire::Rule::Median,
            RuleName::Mean => wire::Rule::Mean,
        };
        let loss = match self.loss.name {
            LossName::Squared => wire::Loss::Squared,
            LossName::Absolute => wire::Loss::Absolute,
            LossName::Log => wire::Loss::Log,
            LossName::Huber => wire::Loss::Huber,
            LossName::LogCosh => wire::Loss::LogCosh,
            LossName::Poisson => wire::Loss::Poisson,
            LossName::Brier => wire::Loss::Brier,
            LossName::Ztae => wire::Loss::Ztae,
            LossName::Pinball => wire::Loss::Pinball,
        };
        let truth_mode = match self.truth.mode {
            Mode::Truth => wire::TruthMode::Truth,
            Mode::Losses => wire::TruthMode::Losses,
        };
        let payout = match self.pay.payout {
            None => wire::Payout::Unspecified,
            Some(Payout::Gains) => wire::Payout::Gains,
            Some(Payout::Entropy) => wire::Payout::Entropy,
        };
        TopicSpec {
            title: self.title.clone(),
            target: self.target.clone(),
            unit: self.unit.clone(),
            horizon: self.horizon.clone(),
            truth_source: self.truth_source.clone(),
            resolution: self.resolution.clone(),
            metadata: self.metadata.clone(),
            loss_method: self.loss.method.clone(),
            rule: rule.into(),
            loss: loss.into(),
            loss_parameter: text(&self.loss.parameter),
            loss_center: text(&self.loss.center),
            loss_scale: text(&self.loss.scale),
            truth_mode: truth_mode.into(),
            payout: payout.into(),
            epoch_length: self.schedule.epoch_length,
            worker_window: self.schedule.worker_window,
            reveal_window: self.schedule.reveal_window,
            truth_lag: self.schedule.truth_lag,
            truth_window: self.schedule.truth_window,
            kappa: self.rule.kappa,
            alpha: text(&self.rule.alpha),
            cap: text(&self.rule.cap),
            clamp: text(&self.rule.clamp),
            gain: text(&self.rule.gain),
            log_pool: self.rule.log_pool,
            p_norm: text(&self.rule.p_norm),
            c_norm: text(&self.rule.c_norm),
            alpha_regret: text(&self.rule.alpha_regret),
            epsilon: text(&self.rule.epsilon),
            allow_negative: self.rule.allow_negative,
            merit_alpha: text(&self.hearing.merit_alpha),
            inferer_quantile: text(&self.hearing.inferer_quantile),
            forecaster_quantile: text(&self.hearing.forecaster_quantile),
            reputer_quantile: text(&self.hearing.reputer_quantile),
            max_inferers: self.hearing.max_inferers,
            max_forecasters: self.hearing.max_forecasters,
            max_reputers: self.hearing.max_reputers,
            classification,
            multi,
            // Classes are shares of one, unless said otherwise.
            require_unity: self.answer.require_unity.unwrap_or(classification && multi),
            unity_tolerance: text(&self.answer.unity_tolerance),
            max_labels: self.answer.max_labels,
            labels: self.answer.labels.clone().unwrap_or_default(),
            label_default: text(&self.answer.default),
            label_case_sensitive: self.answer.case_sensitive,
            worker_list: self.access.worker_list,
            reputer_list: self.access.reputer_list,
        }
    }
}
