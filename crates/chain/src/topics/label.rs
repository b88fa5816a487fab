//! Labels of answers: one canonical spelling per label, and the registry of those that appear in an epoch (topic
//! specification, section 1.5).

use std::collections::{BTreeMap, BTreeSet};

use dodona_mechanism::{Real, topic::label};
use unicode_normalization::UnicodeNormalization;

use super::{
    handle::TopicError,
    state::{LABELS, LabelRules, Places, REGISTRY, Topic},
};
use crate::{ctx::Ctx, error::Failure, params::Params, text::printable};

/// The label of topics that have only one.
pub const SINGLE: &str = "y";

/// Canonical spelling: NFC, without surrounding white space, lower case unless case matters.
pub fn canonical(text: &str, case_sensitive: bool, params: &Params) -> Result<String, TopicError> {
    let wrong = |cause: &str| TopicError::Label { label: printable(text), cause: cause.to_string() };
    // Normal forms can be several times as long; nothing this far above the limit can get below it.
    let limit = params.max_canonical_label_byte_length as usize;
    if text.len() > limit.saturating_mul(4) {
        return Err(wrong(&format!("longer than {limit} bytes")));
    }
    let normal: String = text.trim().nfc().collect();
    let label = if case_sensitive { normal } else { normal.to_lowercase().nfc().collect() };
    let label = label.trim().to_string();
    if label.is_empty() {
        return Err(wrong("is empty"));
    }
    if label.len() > limit {
        return Err(wrong(&format!("longer than {limit} bytes")));
    }
    if label.chars().any(char::is_control) {
        return Err(wrong("contains control characters"));
    }
    Ok(label)
}

/// Canonical labels of one list, in their order; a repetition is an error.
pub fn canonical_pairs<'a>(
    pairs: impl Iterator<Item = (&'a str, Real)>,
    rules: &LabelRules,
    params: &Params,
) -> Result<Vec<(String, Real)>, TopicError> {
    let (mut labels, mut seen) = (Vec::new(), BTreeSet::new());
    for (text, value) in pairs {
        let label = canonical(text, rules.case_sensitive, params)?;
        if !seen.insert(label.clone()) {
            return Err(TopicError::Label { label: printable(text), cause: "stands twice".into() });
        }
        labels.push((label, value));
    }
    Ok(labels)
}

/// A submission of several labels by their places in the epoch's registry, which grows by what is new. Everything is
/// checked before anything is written.
pub(super) fn vector(
    ctx: &Ctx,
    topic: &Topic,
    nonce: u64,
    pairs: &[(String, Real)],
) -> Result<(Places, Vec<String>), Failure> {
    let (rules, params) = (&topic.spec.labels, ctx.params);
    if pairs.len() > rules.max as usize {
        return Err(TopicError::TooMany { what: "labels", got: pairs.len(), max: rules.max }.into());
    }
    allowed(ctx, topic, pairs)?;
    let values: Vec<Real> = pairs.iter().map(|(_, value)| *value).collect();
    if rules.require_unity {
        label::check_unity(&values, rules.unity_tolerance).map_err(|_| {
            let sum: f64 = values.iter().map(|v| v.get()).sum();
            let cause = format!("values sum to {sum}, they must sum to 1 within {}", rules.unity_tolerance);
            TopicError::Value { field: "values", cause }
        })?;
    }
    let mut registry = REGISTRY.get(ctx.state, &(topic.id, nonce))?.unwrap_or_default();
    let mut known: BTreeMap<String, usize> =
        registry.iter().enumerate().map(|(place, label)| (label.clone(), place)).collect();
    let mut vector = Places::new();
    for (name, value) in pairs {
        // What equals the default is as good as not said.
        if *value == rules.default {
            continue;
        }
        let place = *known.entry(name.clone()).or_insert_with(|| {
            registry.push(name.clone());
            registry.len() - 1
        });
        vector.push((place as u32, *value));
    }
    if vector.is_empty() {
        let cause = format!("every value equals the default {}: nothing is said", rules.default);
        return Err(TopicError::Value { field: "values", cause }.into());
    }
    let max = params.max_epoch_label_registry_size;
    if registry.len() > max as usize {
        return Err(
            TopicError::TooMany { what: "label registry of the epoch", got: registry.len(), max }.into()
        );
    }
    Ok((vector, registry))
}

/// Refuses labels the topic does not allow.
pub(super) fn allowed(ctx: &Ctx, topic: &Topic, pairs: &[(String, Real)]) -> Result<(), Failure> {
    if !topic.spec.labels.listed {
        return Ok(());
    }
    let list = LABELS.get(ctx.state, &topic.id)?.unwrap_or_default();
    for (name, _) in pairs {
        if list.binary_search(name).is_err() {
            let cause = format!("is not one of this topic's: {}", list.join(", "));
            return Err(TopicError::Label { label: printable(name), cause }.into());
        }
    }
    Ok(())
}
