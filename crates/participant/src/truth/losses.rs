//! What a truth makes of everything that was published for an epoch: one loss for every component, for topics whose
//! reputers bring losses instead of truths. The loss functions are the chain's own.

use dodona_mechanism::{
    Real,
    real::func,
    topic::{combine::LOG_FLOOR, loss::Loss},
};
use dodona_proto::{
    emissions::v10::{LabeledValue, NetworkInferenceBundle},
    topics::{self as wire, ForecasterLosses, MemberLoss, MsgReportLosses, TopicSpec, TruthMode},
};

use super::Happened;

/// What `--loss` takes.
const NAMES: &str =
    "squared, absolute, huber:DELTA, log-cosh, poisson, log, brier, ztae:CENTER:SCALE, pinball:QUANTILE";

/// Why no losses can be reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum LossError {
    #[error("`{0}` is no loss; there are: {NAMES}")]
    Unknown(String),
    #[error("topic says of its loss only `{0}`: name the function with --loss; there are: {NAMES}")]
    Vague(String),
    #[error("its reputers bring truths, and the chain computes the losses: no loss is to be named")]
    BringsTruths,
    #[error("the truth has no number for label `{0}`")]
    NoTruth(String),
    #[error("this is no truth that the loss can judge: {0}")]
    Unjudgeable(String),
    #[error("the loss of {0} is no finite number")]
    NotFinite(String),
    #[error("the node published `{0}` as a number")]
    Published(String),
}

/// How a topic's losses are computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Yardstick {
    loss: Loss,
    /// Reported as decimal logarithms; otherwise as they are.
    logarithms: bool,
    labels: Vec<String>,
    /// What everybody implicitly says of a label that is not published.
    default: f64,
}

impl Yardstick {
    /// What the reputers of a topic have to compute; nothing where they bring truths.
    ///
    /// # Errors
    /// Those of [`Yardstick::of`]; [`LossError::BringsTruths`]: a loss was named where none is computed.
    pub fn needed(spec: &TopicSpec, wanted: Option<&str>) -> Result<Option<Self>, LossError> {
        match (spec.truth_mode(), wanted) {
            (TruthMode::Losses, wanted) => Self::of(spec, wanted).map(Some),
            (_, None) => Ok(None),
            (_, Some(_)) => Err(LossError::BringsTruths),
        }
    }

    /// The loss that is `wanted`, else the one the topic names: in words, if its creator used words, or as one of the
    /// chain's own.
    ///
    /// # Errors
    /// [`LossError::Unknown`], [`LossError::Vague`].
    pub fn of(spec: &TopicSpec, wanted: Option<&str>) -> Result<Self, LossError> {
        let words = spec.loss_method.trim();
        let loss = match wanted {
            Some(text) => named(text).ok_or_else(|| LossError::Unknown(text.into()))?,
            None if words.is_empty() => described(spec).ok_or_else(|| LossError::Vague("nothing".into()))?,
            None => named(words).ok_or_else(|| LossError::Vague(words.chars().take(60).collect()))?,
        };
        let default = spec.label_default.parse().unwrap_or(0.0); // the chain took it as a number, or none was given
        Ok(Self { loss, logarithms: !spec.allow_negative, labels: spec.labels.clone(), default })
    }

    /// The losses of everything that was published, had this happened. Complete: exactly what has to be reported.
    ///
    /// # Errors
    /// [`LossError`]: the truth does not fit the topic, or a loss is no finite number.
    pub fn losses(
        &self,
        published: &NetworkInferenceBundle,
        happened: &Happened,
    ) -> Result<MsgReportLosses, LossError> {
        let judge = Judge::new(self, &published.combined_value, happened)?;
        let member = |who: &str, values: &[LabeledValue]| -> Result<MemberLoss, LossError> {
            Ok(MemberLoss { address: who.to_string(), loss: judge.of(values, who)? })
        };
        let workers = |list: &[dodona_proto::emissions::v10::WorkerInference]| {
            list.iter().map(|w| member(&w.worker, &w.values)).collect::<Result<Vec<_>, _>>()
        };
        let mut pairs: Vec<ForecasterLosses> = Vec::new();
        for row in &published.one_out_inferer_forecaster_values {
            let without = member(&row.withheld_inferer, &row.combined_inference)?;
            match pairs.last_mut().filter(|pair| pair.forecaster == row.forecaster) {
                Some(pair) => pair.without.push(without),
                None => {
                    pairs.push(ForecasterLosses {
                        forecaster: row.forecaster.clone(),
                        without: vec![without],
                    });
                }
            }
        }
        Ok(MsgReportLosses {
            sender: String::new(),
            topic_id: published.topic_id,
            nonce: u64::try_from(published.nonce).unwrap_or(0), // heights are positive
            combined: judge.of(&published.combined_value, "the network")?,
            naive: judge.of(&published.naive_value, "the naive network")?,
            inferers: workers(&published.inferer_values)?,
            forecasters: workers(&published.forecaster_values)?,
            one_out_inferers: published
                .one_out_inferer_values
                .iter()
                .map(|row| member(&row.withheld_inferer, &row.combined_inference))
                .collect::<Result<_, _>>()?,
            one_out_forecasters: published
                .one_out_forecaster_values
                .iter()
                .map(|row| member(&row.withheld_forecaster, &row.combined_inference))
                .collect::<Result<_, _>>()?,
            one_in_forecasters: published
                .one_in_forecaster_values
                .iter()
                .map(|row| member(&row.forecaster, &row.combined_inference))
                .collect::<Result<_, _>>()?,
            one_out_inferer_forecaster: pairs,
        })
    }
}

/// How many losses a report holds.
pub fn count(report: &MsgReportLosses) -> usize {
    let pairs: usize = report.one_out_inferer_forecaster.iter().map(|row| row.without.len()).sum();
    let lists = [
        &report.inferers,
        &report.forecasters,
        &report.one_out_inferers,
        &report.one_out_forecasters,
        &report.one_in_forecasters,
    ];
    2 + pairs + lists.iter().map(|list| list.len()).sum::<usize>()
}

/// One epoch's truth, in the order of what was published.
struct Judge<'a> {
    yardstick: &'a Yardstick,
    /// Of the published labels, then of the others.
    truth: Vec<f64>,
    /// Labels that are not published.
    others: usize,
}

impl<'a> Judge<'a> {
    fn new(
        yardstick: &'a Yardstick,
        published: &[LabeledValue],
        happened: &Happened,
    ) -> Result<Self, LossError> {
        let of = |label: &str| match happened {
            Happened::Value(value) => Ok(*value),
            Happened::Label(true_one) => Ok(if label == true_one { 1.0 } else { 0.0 }),
            Happened::Labels(values) => values
                .iter()
                .find(|(known, _)| known == label)
                .map(|(_, value)| *value)
                .ok_or_else(|| LossError::NoTruth(label.into())),
        };
        let is_published = |label: &str| published.iter().any(|value| value.label_name == label);
        let others: Vec<&String> = yardstick.labels.iter().filter(|label| !is_published(label)).collect();
        let labels = published.iter().map(|value| value.label_name.as_str());
        let truth: Vec<f64> =
            labels.chain(others.iter().map(|l| l.as_str())).map(of).collect::<Result<_, _>>()?;
        if !yardstick.loss.accepts_truth(&truth) {
            return Err(LossError::Unjudgeable(format!("{truth:?}")));
        }
        Ok(Self { yardstick, truth, others: others.len() })
    }

    /// The loss of one component, as it is reported.
    fn of(&self, values: &[LabeledValue], who: &str) -> Result<String, LossError> {
        let number = |value: &LabeledValue| {
            value
                .value
                .parse::<f64>()
                .map_err(|_| LossError::Published(value.value.chars().take(40).collect()))
        };
        let mut answer: Vec<f64> = values.iter().map(number).collect::<Result<_, _>>()?;
        answer.extend(std::iter::repeat_n(self.yardstick.default, self.others));
        let raw = self.yardstick.loss.of(&answer, &self.truth);
        let told = if self.yardstick.logarithms { func::log10(raw.max(LOG_FLOOR)) } else { raw };
        let told = Real::new(told).map_err(|_| LossError::NotFinite(who.into()))?;
        Ok(told.to_string())
    }
}

/// A loss by the name people give it, with its numbers behind colons.
fn named(text: &str) -> Option<Loss> {
    let mut parts = text.split(':');
    let name: String = parts.next()?.chars().filter(char::is_ascii_alphanumeric).collect();
    let numbers: Vec<Real> = parts.map(|part| part.trim().parse().ok()).collect::<Option<_>>()?;
    let number = |at: usize, default: f64| numbers.get(at).copied().or_else(|| Real::new(default).ok());
    let (loss, takes) = match name.to_ascii_lowercase().as_str() {
        "squared" | "squarederror" | "mse" | "se" | "l2" => (Loss::Squared, 0),
        "absolute" | "absoluteerror" | "mae" | "ae" | "l1" => (Loss::Absolute, 0),
        "huber" | "huberloss" => (Loss::Huber { delta: number(0, 1.0)? }, 1),
        "logcosh" => (Loss::LogCosh, 0),
        "poisson" => (Loss::Poisson, 0),
        "log"
        | "logloss"
        | "bce"
        | "ce"
        | "crossentropy"
        | "binarycrossentropy"
        | "categoricalcrossentropy" => (Loss::LogLoss, 0),
        "brier" => (Loss::Brier, 0),
        "ztae" => (Loss::Ztae { center: number(0, 0.0)?, scale: number(1, 1.0)? }, 2),
        "pinball" | "quantile" => (Loss::Pinball { quantile: number(0, 0.5)? }, 1),
        _ => return None,
    };
    (numbers.len() <= takes && loss.validate().is_ok()).then_some(loss)
}

/// The chain's own loss of a topic.
fn described(spec: &TopicSpec) -> Option<Loss> {
    let number = |text: &str, default: f64| match text {
        "" => Real::new(default).ok(),
        text => text.parse().ok(),
    };
    let parameter = |default: f64| number(&spec.loss_parameter, default);
    Some(match spec.loss() {
        wire::Loss::Unspecified | wire::Loss::Squared => Loss::Squared,
        wire::Loss::Absolute => Loss::Absolute,
        wire::Loss::Log => Loss::LogLoss,
        wire::Loss::Huber => Loss::Huber { delta: parameter(1.0)? },
        wire::Loss::LogCosh => Loss::LogCosh,
        wire::Loss::Poisson => Loss::Poisson,
        wire::Loss::Brier => Loss::Brier,
        wire::Loss::Ztae => {
            Loss::Ztae { center: number(&spec.loss_center, 0.0)?, scale: number(&spec.loss_scale, 1.0)? }
        }
        wire::Loss::Pinball => Loss::Pinball { quantile: parameter(0.5)? },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "failing is how a test speaks")]
mod tests {
    use dodona_proto::emissions::v10::{
        OneInForecasterValue, OneOutForecasterValue, OneOutInfererForecasterValue, OneOutInfererValue,
        WorkerInference,
    };

    use super::*;

    fn number(value: &str) -> Vec<LabeledValue> {
        vec![LabeledValue { label_id: 1, label_name: "y".into(), value: value.into() }]
    }

    fn published() -> NetworkInferenceBundle {
        let worker = |who: &str, value: &str| WorkerInference { worker: who.into(), values: number(value) };
        let pair = |forecaster: &str, without: &str, value: &str| OneOutInfererForecasterValue {
            forecaster: forecaster.into(),
            withheld_inferer: without.into(),
            combined_inference: number(value),
        };
        NetworkInferenceBundle {
            topic_id: 3,
            nonce: 70,
            combined_value: number("11"),
            naive_value: number("12"),
            inferer_values: vec![worker("a", "10"), worker("b", "20")],
            forecaster_values: vec![worker("f", "13")],
            one_out_inferer_values: vec![OneOutInfererValue {
                withheld_inferer: "a".into(),
                combined_inference: number("20"),
            }],
            one_out_forecaster_values: vec![OneOutForecasterValue {
                withheld_forecaster: "f".into(),
                combined_inference: number("14"),
            }],
            one_in_forecaster_values: vec![OneInForecasterValue {
                forecaster: "f".into(),
                combined_inference: number("15"),
            }],
            one_out_inferer_forecaster_values: vec![
                pair("f", "a", "16"),
                pair("f", "b", "10"),
                pair("g", "a", "30"),
            ],
        }
    }

    fn losses(list: &[MemberLoss]) -> Vec<(&str, &str)> {
        list.iter().map(|one| (one.address.as_str(), one.loss.as_str())).collect()
    }

    #[test]
    fn every_component_has_the_logarithm_of_its_loss() {
        let yardstick = Yardstick::of(&TopicSpec { loss_method: "mse".into(), ..TopicSpec::default() }, None);
        let report = yardstick.unwrap().losses(&published(), &Happened::Value(10.0)).unwrap();
        assert_eq!((report.topic_id, report.nonce), (3, 70));
        // log10 of 1, 4, 0 (at the floor), 100 …
        assert_eq!((report.combined.as_str(), report.naive.as_str()), ("0", "0.6020599913279624"));
        assert_eq!(losses(&report.inferers), [("a", "-30"), ("b", "2")]);
        assert_eq!(losses(&report.one_out_inferers), [("a", "2")]);
        assert_eq!(report.forecasters.len() + report.one_out_forecasters.len(), 2);
        assert_eq!(losses(&report.one_in_forecasters), [("f", "1.3979400086720377")]);
        let rows: Vec<(&str, usize)> = report
            .one_out_inferer_forecaster
            .iter()
            .map(|r| (r.forecaster.as_str(), r.without.len()))
            .collect();
        assert_eq!(rows, [("f", 2), ("g", 1)]);
        assert_eq!(count(&report), 11);
    }

    #[test]
    fn where_losses_may_be_negative_they_are_reported_as_they_are() {
        let spec = TopicSpec { allow_negative: true, loss_method: "MAE".into(), ..TopicSpec::default() };
        let report =
            Yardstick::of(&spec, None).unwrap().losses(&published(), &Happened::Value(10.0)).unwrap();
        assert_eq!((report.combined.as_str(), report.inferers[1].loss.as_str()), ("1", "10"));
    }

    #[test]
    fn a_class_is_judged_over_all_labels_also_those_nobody_spoke_of() {
        let spec = TopicSpec {
            labels: ["sun", "rain", "snow"].map(Into::into).to_vec(),
            loss: wire::Loss::Brier.into(),
            allow_negative: true,
            ..TopicSpec::default()
        };
        let labelled = |values: &[(&str, &str)]| -> Vec<LabeledValue> {
            let one = |(name, value): &(&str, &str)| LabeledValue {
                label_id: 0,
                label_name: (*name).into(),
                value: (*value).into(),
            };
            values.iter().map(one).collect()
        };
        let said = labelled(&[("rain", "0.75"), ("sun", "0.25")]);
        let published =
            NetworkInferenceBundle { combined_value: said.clone(), naive_value: said, ..Default::default() };
        let yardstick = Yardstick::of(&spec, None).unwrap();
        let loss = |happened| yardstick.losses(&published, &happened).map(|report| report.combined);
        assert_eq!(loss(Happened::Label("rain".into())), Ok("0.125".into()));
        assert_eq!(loss(Happened::Label("snow".into())), Ok("1.625".into()));
        let half = [("sun".to_string(), 0.5), ("rain".to_string(), 0.5)];
        assert_eq!(loss(Happened::Labels(half.to_vec())), Err(LossError::NoTruth("snow".into())));
        assert_eq!(
            loss(Happened::Label("hail".into())),
            Err(LossError::Unjudgeable("[0.0, 0.0, 0.0]".into()))
        );
    }

    #[test]
    fn losses_are_known_by_the_names_people_give_them() {
        let real = |value| Real::new(value).unwrap();
        for (text, loss) in [
            ("Squared error", Loss::Squared),
            ("log-cosh", Loss::LogCosh),
            ("huber:2.5", Loss::Huber { delta: real(2.5) }),
            ("ztae:1:3", Loss::Ztae { center: real(1.0), scale: real(3.0) }),
            ("pinball:0.9", Loss::Pinball { quantile: real(0.9) }),
            ("cross-entropy", Loss::LogLoss),
        ] {
            assert_eq!(named(text), Some(loss), "{text}");
        }
        for text in ["", "mse:1", "huber:-1", "huber:x", "pinball:2", "squared:1:2", "my own"] {
            assert_eq!(named(text), None, "{text}");
        }
        let vague = TopicSpec { loss_method: "as the paper says".into(), ..TopicSpec::default() };
        assert_eq!(Yardstick::of(&vague, None), Err(LossError::Vague("as the paper says".into())));
        assert_eq!(Yardstick::of(&vague, Some("mse")).unwrap().loss, Loss::Squared);
        assert_eq!(Yardstick::of(&vague, Some("msee")), Err(LossError::Unknown("msee".into())));
        // The chain's own, with its numbers as the chain tells them.
        let told = TopicSpec {
            loss: wire::Loss::Huber.into(),
            loss_parameter: "0.5".into(),
            ..TopicSpec::default()
        };
        assert_eq!(Yardstick::of(&told, None).unwrap().loss, Loss::Huber { delta: real(0.5) });
    }

    #[test]
    fn what_overflows_or_is_no_number_is_an_error_by_name() {
        let spec = TopicSpec::default();
        let yardstick = Yardstick::of(&spec, None).unwrap();
        let mut broken = published();
        broken.inferer_values[1].values = number("1e200");
        let found = yardstick.losses(&broken, &Happened::Value(0.0));
        assert_eq!(found, Err(LossError::NotFinite("b".into())));
        broken.inferer_values[1].values = number("much");
        let found = yardstick.losses(&broken, &Happened::Value(0.0));
        assert_eq!(found, Err(LossError::Published("much".into())));
        let found = yardstick.losses(&published(), &Happened::Value(f64::NAN));
        assert!(matches!(found, Err(LossError::Unjudgeable(_))));
    }
}
