//! What topics tell, one function per event: its own name with a few attributes, and the same in the words of published
//! clients (`emissions.v10`, see docs/clients.md). No rule lives here; callers say what has happened.
//!
//! Bounds: lists by member come in events of at most [`MEMBERS_TOLD`] members, several of one kind where there are
//! more. An epoch of more members than that tells who took part, scores and pay; of its weights, its answer and its
//! losses the rest is asked for. A bundle above [`BUNDLE_BYTES`] is told without its lists.

use std::collections::BTreeMap;

use dodona_mechanism::{Real, topic::combine::Losses};
use dodona_proto::{
    Address,
    emissions::{v3, v9, v10},
    topics::List,
};
use prost::Message;
use serde_json::json;

use super::{
    judge::{Judged, OpenInput, Reported},
    label,
    state::{
        Answer, Elements, Epoch, Key, Merit, Opening, Part, Places, RegretState, Report, Topic, TruthMode,
        Void, part, role,
    },
};
use crate::event::Event;

/// Most members in one event.
const MEMBERS_TOLD: usize = 1_000;
/// Largest bundle told whole, bytes: several fit into one frame of a subscription.
const BUNDLE_BYTES: usize = 128 << 10;

/// A height as published clients read it.
fn signed(height: u64) -> i64 {
    i64::try_from(height).unwrap_or(i64::MAX)
}

fn name(account: &Key) -> String {
    Address(*account).to_string()
}

/// Accounts with a text each, as the two lists of one event; several where there are many.
fn chunks<M>(of: Vec<(Key, String)>, event: impl Fn(Vec<String>, Vec<String>) -> M) -> Vec<M> {
    of.chunks(MEMBERS_TOLD)
        .map(|chunk| {
            let (names, texts) = chunk.iter().map(|(account, text)| (name(account), text.clone())).unzip();
            event(names, texts)
        })
        .collect()
}

fn nonce(height: u64) -> Option<v3::Nonce> {
    Some(v3::Nonce { block_height: signed(height) })
}

// A topic's own life.

pub(super) fn topic_created(topic: &Topic, view: v10::Topic) -> Event {
    Event::new("topic_created")
        .with("topic_id", topic.id)
        .with("creator", topic.creator)
        .telling(v10::EventCreateNewTopic { topic: Some(view) })
}

pub(super) fn topic_updated(topic: &Topic, view: v10::Topic) -> Event {
    Event::new("topic_updated")
        .with("topic_id", topic.id)
        .telling(v10::EventTopicUpdated { topic_id: topic.id, topic: Some(view) })
}

pub(super) fn topic_funded(topic_id: u64, funder: Address, amount: u128) -> Event {
    let (funder, amount) = (funder.to_string(), amount.to_string());
    Event::new("topic_funded")
        .with("topic_id", topic_id)
        .with("sender", &funder)
        .with("amount", &amount)
        .telling(v10::EventFundTopic { topic_id, funder, amount })
}

/// A topic has woken, or gone to sleep.
pub(super) fn topic_status(topic: &Topic, weight: Real) -> Event {
    let (topic_id, is_active) = (topic.id, topic.active);
    Event::new(if is_active { "topic_activated" } else { "topic_deactivated" })
        .with("topic_id", topic_id)
        .with("weight", weight)
        .telling(v10::EventTopicStatusChanged { topic_id, is_active })
}

/// A topic was weighed at the end of an epoch, before its revenue dripped from what it was.
pub(super) fn topic_weighed(topic: &Topic, weight: Real, revenue: u128) -> Event {
    let topic_id = topic.id;
    Event::new("topic_weighed")
        .with("topic_id", topic_id)
        .with("weight", weight)
        .with("stake", topic.stake)
        .with("revenue", topic.revenue)
        .telling(v10::EventTopicWeightUpdated {
            topic_id,
            new_weight: weight.to_string(),
            topic_stake: topic.stake.to_string(),
            topic_fee_revenue: revenue.to_string(),
        })
        .telling(v10::EventTopicFeeRevenueDripped {
            topic_id,
            old_revenue: revenue.to_string(),
            new_revenue: topic.revenue.to_string(),
            drip_amount: revenue.saturating_sub(topic.revenue).to_string(),
        })
}

// Who takes part.

pub(super) fn registered(topic_id: u64, who: Address, as_role: u8, owner: Address) -> Event {
    let event = Event::new("registered")
        .with("topic_id", topic_id)
        .with("address", who)
        .with("role", role::name(as_role));
    let (who, owner) = (who.to_string(), owner.to_string());
    match as_role {
        role::WORKER => event.telling(v10::EventWorkerRegistered { topic_id, worker: who, owner }),
        _ => event.telling(v10::EventReputerRegistered { topic_id, reputer: who, owner }),
    }
}

pub(super) fn unregistered(topic_id: u64, who: Address, as_role: u8) -> Event {
    let event = Event::new("unregistered")
        .with("topic_id", topic_id)
        .with("address", who)
        .with("role", role::name(as_role));
    match as_role {
        role::WORKER => event.telling(v10::EventWorkerUnregistered { topic_id, worker: who.to_string() }),
        _ => event.telling(v10::EventReputerUnregistered { topic_id, reputer: who.to_string() }),
    }
}

pub(super) fn owner_changed(topic_id: u64, who: Address, as_role: u8, old: Address, new: Address) -> Event {
    Event::new("ownership_transferred")
        .with("topic_id", topic_id)
        .with("address", who)
        .with("owner", new)
        .telling(v10::EventNodeOwnerUpdated {
            node_address: who.to_string(),
            old_owner: old.to_string(),
            new_owner: new.to_string(),
            is_reputer: as_role == role::REPUTER,
        })
}

// Lists and parameters.

pub(super) fn list_edited(list: List, topic_id: u64, add: &[Address], remove: &[Address]) -> Event {
    let mut event = Event::new("list_edited")
        .with("list", list.as_str_name())
        .with("topic_id", topic_id)
        .with("added", add.len())
        .with("removed", remove.len());
    for who in remove {
        event = list_entry(event, list, topic_id, who.to_string(), false);
    }
    for who in add {
        event = list_entry(event, list, topic_id, who.to_string(), true);
    }
    event
}

fn list_entry(event: Event, list: List, topic_id: u64, address: String, added: bool) -> Event {
    match (list, added) {
        (List::Admin, true) => event.telling(v10::EventWhitelistAdminAdded { admin: address }),
        (List::Admin, false) => event.telling(v10::EventWhitelistAdminRemoved { admin: address }),
        (List::GlobalAdmin, true) => event.telling(v10::EventGlobalAdminWhitelistAdded { address }),
        (List::GlobalAdmin, false) => event.telling(v10::EventGlobalAdminWhitelistRemoved { address }),
        (List::Global, true) => event.telling(v10::EventGlobalWhitelistAdded { address }),
        (List::Global, false) => event.telling(v10::EventGlobalWhitelistRemoved { address }),
        (List::GlobalWorker, true) => event.telling(v10::EventGlobalWorkerWhitelistAdded { address }),
        (List::GlobalWorker, false) => event.telling(v10::EventGlobalWorkerWhitelistRemoved { address }),
        (List::GlobalReputer, true) => event.telling(v10::EventGlobalReputerWhitelistAdded { address }),
        (List::GlobalReputer, false) => event.telling(v10::EventGlobalReputerWhitelistRemoved { address }),
        (List::TopicCreator, true) => event.telling(v10::EventTopicCreatorWhitelistAdded { address }),
        (List::TopicCreator, false) => event.telling(v10::EventTopicCreatorWhitelistRemoved { address }),
        (List::TopicWorker, true) => event.telling(v10::EventTopicWorkerWhitelistAdded { topic_id, address }),
        (List::TopicWorker, false) => {
            event.telling(v10::EventTopicWorkerWhitelistRemoved { topic_id, address })
        }
        (List::TopicReputer, true) => {
            event.telling(v10::EventTopicReputerWhitelistAdded { topic_id, address })
        }
        (List::TopicReputer, false) => {
            event.telling(v10::EventTopicReputerWhitelistRemoved { topic_id, address })
        }
        (List::Unspecified, _) => event,
    }
}

/// Lists of a topic were switched; what was not touched is told to nobody.
pub(super) fn topic_lists(topic: &Topic, workers: Option<bool>, reputers: Option<bool>) -> Event {
    let topic_id = topic.id;
    let mut event = Event::new("topic_lists")
        .with("topic_id", topic_id)
        .with("workers", topic.spec.worker_list)
        .with("reputers", topic.spec.reputer_list);
    event = match workers {
        Some(true) => event.telling(v10::EventTopicWorkerWhitelistEnabled { topic_id }),
        Some(false) => event.telling(v10::EventTopicWorkerWhitelistDisabled { topic_id }),
        None => event,
    };
    match reputers {
        Some(true) => event.telling(v10::EventTopicReputerWhitelistEnabled { topic_id }),
        Some(false) => event.telling(v10::EventTopicReputerWhitelistDisabled { topic_id }),
        None => event,
    }
}

pub(super) fn params_changed(params: v9::Params) -> Event {
    Event::new("params_changed").telling(v10::EventParamsSet { params: Some(params) })
}

// Stake.

/// What is behind a reputer has changed to `authority`.
fn behind(event: Event, topic_id: u64, reputer: Key, authority: u128) -> Event {
    let amount = authority.to_string();
    event.telling(v10::EventReputerStakeUpdated { topic_id, reputer: name(&reputer), amount })
}

pub(super) fn staked(topic_id: u64, reputer: Address, amount: u128, authority: u128) -> Event {
    let event = Event::new("staked")
        .with("topic_id", topic_id)
        .with("reputer", reputer)
        .with("amount", amount)
        .telling(v10::EventAddStake {
            topic_id,
            reputer: reputer.to_string(),
            delegator: String::new(),
            amount: amount.to_string(),
        });
    behind(event, topic_id, reputer.0, authority)
}

pub(super) fn delegated(
    topic_id: u64,
    reputer: Address,
    delegator: Address,
    amount: u128,
    authority: u128,
) -> Event {
    let event = Event::new("delegated")
        .with("topic_id", topic_id)
        .with("reputer", reputer)
        .with("delegator", delegator)
        .with("amount", amount)
        .telling(v10::EventAddStake {
            topic_id,
            reputer: reputer.to_string(),
            delegator: delegator.to_string(),
            amount: amount.to_string(),
        });
    behind(event, topic_id, reputer.0, authority)
}

pub(super) fn rewards_collected(topic_id: u64, reputer: Address, delegator: Address, amount: u128) -> Event {
    Event::new("delegate_rewards")
        .with("topic_id", topic_id)
        .with("reputer", reputer)
        .with("delegator", delegator)
        .with("amount", amount)
        .telling(v10::EventRewardDelegateStake {
            topic_id,
            reputer: reputer.to_string(),
            delegator: delegator.to_string(),
            amount: amount.to_string(),
        })
}

/// Who delegates, in the words of published clients: nobody where the stake is a reputer's own.
fn delegator(reputer: Key, staker: Address) -> String {
    if staker.0 == reputer { String::new() } else { staker.to_string() }
}

pub(super) fn removal_begun(topic_id: u64, reputer: Key, staker: Address, amount: u128, at: u64) -> Event {
    Event::new("stake_removal")
        .with("topic_id", topic_id)
        .with("reputer", Address(reputer))
        .with("staker", staker)
        .with("amount", amount)
        .with("block", at)
        .telling(v10::EventRequestStakeRemoval {
            topic_id,
            reputer: name(&reputer),
            delegator: delegator(reputer, staker),
            amount: amount.to_string(),
            completion_height: signed(at),
        })
}

pub(super) fn removal_cancelled(topic_id: u64, reputer: Key, staker: Address) -> Event {
    Event::new("stake_removal_cancelled").with("topic_id", topic_id).with("staker", staker).telling(
        v10::EventCancelStakeRemoval {
            topic_id,
            reputer: name(&reputer),
            delegator: delegator(reputer, staker),
        },
    )
}

pub(super) fn stake_left(
    topic_id: u64,
    reputer: Key,
    staker: Address,
    amount: u128,
    authority: u128,
) -> Event {
    let event = Event::new("stake_removed")
        .with("topic_id", topic_id)
        .with("reputer", Address(reputer))
        .with("staker", staker)
        .with("amount", amount)
        .telling(v10::EventRemoveStake {
            topic_id,
            reputer: name(&reputer),
            delegator: delegator(reputer, staker),
            amount: amount.to_string(),
        });
    behind(event, topic_id, reputer, authority)
}

/// A reputer's reward: its own part has become stake, its delegators' part is theirs to collect.
pub(super) fn reputer_paid(
    topic_id: u64,
    reputer: Key,
    (own, delegators): (u128, u128),
    authority: u128,
    per_share: f64,
) -> Event {
    let event = Event::new("reputer_paid")
        .with("topic_id", topic_id)
        .with("reputer", Address(reputer))
        .with("own", own)
        .with("delegators", delegators);
    let event = behind(event, topic_id, reputer, authority);
    if delegators == 0 {
        return event;
    }
    let per_share = Real::new(per_share).unwrap_or(Real::ZERO).to_string();
    event
        .telling(v10::EventDelegateRewardDistributed {
            topic_id,
            reputer: name(&reputer),
            amount: delegators.to_string(),
        })
        .telling(v10::EventDelegateRewardShareUpdated {
            topic_id,
            reputer: name(&reputer),
            reward_per_share: per_share,
        })
}

// Words for an epoch.

/// A payload as far as it counts; values by place in the labels of the epoch.
pub(super) fn payload(
    (topic, epoch): (&Topic, u64),
    worker: Address,
    inference: Option<&Places>,
    labels: &[String],
    forecast: &Elements,
) -> Event {
    let topic_id = topic.id;
    let mut event = Event::new("payload")
        .with("topic_id", topic_id)
        .with("nonce", epoch)
        .with("worker", worker)
        .with("inference", inference.is_some())
        .with("forecast", !forecast.is_empty());
    if let Some(places) = inference {
        let single = !topic.spec.labels.multi;
        let value = match (single, places.first()) {
            (true, Some((_, value))) => value.to_string(),
            _ => "0".into(),
        };
        let values = places.iter().filter_map(|(place, value)| {
            let label = if single { label::SINGLE } else { labels.get(*place as usize)?.as_str() };
            Some(v10::InputLabeledValue { label: label.into(), value: value.to_string() })
        });
        event = event.telling(v10::EventInsertInfererPayload {
            inferer: worker.to_string(),
            nonce: signed(epoch),
            topic_id,
            value,
            extra_data: Vec::new(),
            values: values.collect(),
        });
    }
    if !forecast.is_empty() {
        event = event.telling(v10::EventInsertForecasterPayload {
            forecaster: worker.to_string(),
            nonce: signed(epoch),
            topic_id,
            inferer_addresses: forecast.iter().map(|(inferer, _)| name(inferer)).collect(),
            inferer_values: forecast.iter().map(|(_, loss)| loss.to_string()).collect(),
            extra_data: Vec::new(),
        });
    }
    event
}

/// A word that nobody can read yet. Published clients know of none.
pub(super) fn sealed(topic_id: u64, epoch: u64, worker: Address, seal: &[u8; 32]) -> Event {
    let event = Event::new("seal").with("topic_id", topic_id).with("nonce", epoch).with("worker", worker);
    event.with("seal", hex::encode(seal))
}

/// A word that was never opened counted as this loss.
pub(super) fn forfeited(topic_id: u64, epoch: u64, (_, part, account): &(u64, u8, Key), loss: Real) -> Event {
    Event::new("seal_unopened")
        .with("topic_id", topic_id)
        .with("nonce", epoch)
        .with("worker", name(account))
        .with("role", part::name(*part))
        .with("loss", loss)
}

/// A reputer's word. Published clients know losses only: a truth is told to them without a bundle.
pub(super) fn report(
    topic_id: u64,
    epoch: u64,
    reputer: Address,
    admitted: bool,
    report: &Report,
    parts: &[Part],
) -> Event {
    let bundle = match report {
        Report::Losses(losses) => Some(value_bundle(losses, parts)),
        Report::Truth { .. } => None,
    };
    Event::new("report")
        .with("topic_id", topic_id)
        .with("nonce", epoch)
        .with("reputer", reputer)
        .with("admitted", admitted)
        .telling(v10::EventInsertReputerPayload {
            topic_id,
            nonce: signed(epoch),
            reputer: reputer.to_string(),
            bundle,
        })
}

/// Losses as lists beside two lists of names; nothing stands as an empty text. Without the lists where they are long.
fn value_bundle(losses: &Losses, parts: &[Part]) -> v10::EventValueBundle {
    let names = |forecaster: bool| {
        parts.iter().filter(|p| p.forecaster == forecaster).map(|p| name(&p.account)).collect()
    };
    let texts =
        |values: &[Option<Real>]| values.iter().map(|v| v.map_or(String::new(), |v| v.to_string())).collect();
    let short = v10::EventValueBundle {
        combined_value: losses.combined.to_string(),
        naive_value: losses.naive.to_string(),
        ..Default::default()
    };
    if parts.len() > MEMBERS_TOLD {
        return short;
    }
    let rows = losses.one_out_inferer_forecaster.iter().map(|row| json!(list(row)).to_string());
    let whole = v10::EventValueBundle {
        inferer_addresses: names(false),
        forecaster_addresses: names(true),
        inferer_values: texts(&losses.inferers),
        forecaster_values: texts(&losses.forecasters),
        one_out_inferer_values: texts(&losses.one_out_inferers),
        one_out_forecaster_values: texts(&losses.one_out_forecasters),
        one_in_forecaster_values: texts(&losses.one_in_forecasters),
        one_out_inferer_forecaster_values: rows.collect(),
        ..short.clone()
    };
    if whole.encoded_len() > BUNDLE_BYTES { short } else { whole }
}

fn list(values: &[Option<Real>]) -> Vec<Option<String>> {
    values.iter().map(|value| value.map(|value| value.to_string())).collect()
}

// The life of an epoch.

pub(super) fn epoch_opened(topic_id: u64, epoch: u64, of: &Epoch) -> Event {
    Event::new("epoch_opened")
        .with("topic_id", topic_id)
        .with("nonce", epoch)
        .with("worker_last", of.worker_last)
        .with("truth_first", of.truth_first)
        .with("truth_last", of.truth_last)
        .telling(v10::EventWorkerSubmissionWindowOpened {
            topic_id,
            nonce_block_height: signed(epoch),
            window_end_block: signed(of.worker_last),
        })
}

pub(super) fn truth_opened(topic_id: u64, epoch: u64, truth_last: u64) -> Event {
    Event::new("truth_opened")
        .with("topic_id", topic_id)
        .with("nonce", epoch)
        .with("truth_last", truth_last)
        .telling(v10::EventReputerSubmissionWindowOpened {
            topic_id,
            nonce_block_height: signed(epoch),
            window_end_block: signed(truth_last),
        })
}

/// Epochs were forgotten, up to this nonce.
pub(super) fn epoch_forgotten(topic_id: u64, epoch: u64) -> Event {
    Event::new("epoch_forgotten")
        .with("topic_id", topic_id)
        .with("nonce", epoch)
        .telling(v10::EventPruneRecords { block_height: signed(epoch), topic_id })
}

/// An epoch ended without a score; the window it was in has closed.
pub(super) fn epoch_void(topic_id: u64, epoch: u64, answered: bool, reason: Void, returned: u128) -> Event {
    let event = Event::new("epoch_void")
        .with("topic_id", topic_id)
        .with("nonce", epoch)
        .with("reason", reason.text())
        .with("returned", returned);
    let nonce_block_height = signed(epoch);
    match answered {
        true => event.telling(v10::EventReputerSubmissionWindowClosed { topic_id, nonce_block_height }),
        false => event.telling(v10::EventWorkerSubmissionWindowClosed { topic_id, nonce_block_height }),
    }
}

fn of_role(parts: &[Part], forecaster: bool) -> Vec<&Part> {
    parts.iter().filter(|p| p.forecaster == forecaster).collect()
}

fn listed(parts: &[&Part], text: impl Fn(&Part) -> String) -> Vec<(Key, String)> {
    parts.iter().map(|p| (p.account, text(p))).collect()
}

/// The network has answered.
pub(super) fn epoch_combined(
    topic: &Topic,
    height: u64,
    input: &OpenInput,
    opening: &Opening,
    answer: &Answer,
) -> Event {
    let (topic_id, epoch) = (topic.id, input.nonce);
    let nonce_block_height = signed(epoch);
    let values: Vec<String> = answer.columns.iter().map(|c| c.combined.to_string()).collect();
    let (inferers, forecasters) = (of_role(&answer.parts, false), of_role(&answer.parts, true));
    let nothing = |_: &Part| String::new();
    let mut event =
        Event::new("epoch_combined")
            .with("topic_id", topic_id)
            .with("nonce", epoch)
            .with("value", values.join(" "))
            .with("members", answer.parts.len())
            .telling(v10::EventWorkerSubmissionWindowClosed { topic_id, nonce_block_height })
            .telling_all(chunks(listed(&inferers, nothing), |addresses, _| v10::EventActiveInferersSet {
                topic_id,
                addresses,
                nonce_block_height,
            }))
            .telling_all(chunks(listed(&forecasters, nothing), |addresses, _| {
                v10::EventActiveForecastersSet { topic_id, addresses, nonce_block_height }
            }))
            .telling(v10::EventWorkerLastCommitSet {
                topic_id,
                block_height: signed(height),
                nonce: nonce(epoch),
            });
    if topic.spec.labels.multi {
        let registry_size = answer.columns.len() as u64;
        event =
            event.telling(v10::EventEpochLabelRegistryFrozen { topic_id, nonce_block_height, registry_size });
    }
    if answer.parts.len() > MEMBERS_TOLD {
        return event.telling(inference_bundle(topic_id, epoch, answer, false));
    }
    let weight = |p: &Part| p.weight.to_string();
    let block_height = nonce_block_height;
    event = event
        .telling_all(chunks(listed(&inferers, weight), |addresses, weights| v10::EventInfererWeightsSet {
            topic_id,
            block_height,
            addresses,
            weights,
        }))
        .telling_all(chunks(listed(&forecasters, weight), |addresses, weights| {
            v10::EventForecasterWeightsSet { topic_id, block_height, addresses, weights }
        }))
        .telling_all(chunks(listed(&inferers, weight), |addresses, weights| {
            v10::EventNetworkInferenceInfererWeightsSet { topic_id, nonce_block_height, addresses, weights }
        }))
        .telling_all(chunks(listed(&forecasters, weight), |addresses, weights| {
            v10::EventNetworkInferenceForecasterWeightsSet {
                topic_id,
                nonce_block_height,
                addresses,
                weights,
            }
        }));
    if let Opening::Regret(_) = opening {
        let regrets = &input.regrets;
        let known =
            |of: &BTreeMap<Key, Real>, p: &Part| of.get(&p.account).unwrap_or(&regrets.initial).to_string();
        event = event
            .telling_all(chunks(listed(&inferers, |p| known(&regrets.inferers, p)), |addresses, regrets| {
                v10::EventNetworkInferenceInfererRegretsUsedSet {
                    topic_id,
                    nonce_block_height,
                    addresses,
                    regrets,
                }
            }))
            .telling_all(chunks(
                listed(&forecasters, |p| known(&regrets.forecasters, p)),
                |addresses, regrets| v10::EventNetworkInferenceForecasterRegretsUsedSet {
                    topic_id,
                    nonce_block_height,
                    addresses,
                    regrets,
                },
            ));
    }
    event.telling(inference_bundle(topic_id, epoch, answer, false))
}

/// The answer without outliers.
pub(super) fn epoch_resisted(topic_id: u64, epoch: u64, answer: &Answer) -> Event {
    Event::new("epoch_resisted")
        .with("topic_id", topic_id)
        .with("nonce", epoch)
        .with("members", answer.parts.len())
        .telling(inference_bundle(topic_id, epoch, answer, true))
}

/// An answer as texts of JSON: a list by label, lists of members' lists by label.
fn inference_bundle(
    topic_id: u64,
    epoch: u64,
    answer: &Answer,
    outlier_resistant: bool,
) -> v10::EventNetworkInferenceBundle {
    let by_label =
        |values: Vec<Real>| json!(values.iter().map(Real::to_string).collect::<Vec<String>>()).to_string();
    let by_member = |forecaster: bool, pick: &dyn Fn(&Part) -> &Vec<Real>| {
        let rows: Vec<Vec<String>> = of_role(&answer.parts, forecaster)
            .into_iter()
            .map(|p| pick(p).iter().map(Real::to_string).collect())
            .collect();
        json!(rows).to_string()
    };
    let short = v10::EventNetworkInferenceBundle {
        topic_id,
        nonce: signed(epoch),
        label_names: answer.columns.iter().map(|c| c.label.clone()).collect(),
        combined_value: by_label(answer.columns.iter().map(|c| c.combined).collect()),
        naive_value: by_label(answer.columns.iter().map(|c| c.naive).collect()),
        inferer_values: "[]".into(),
        forecaster_values: "[]".into(),
        one_out_inferer_values: "[]".into(),
        one_out_forecaster_values: "[]".into(),
        one_in_forecaster_values: "[]".into(),
        outlier_resistant,
        ..Default::default()
    };
    if answer.parts.len() * answer.columns.len() > MEMBERS_TOLD {
        return short;
    }
    let names = |forecaster| of_role(&answer.parts, forecaster).iter().map(|p| name(&p.account)).collect();
    let whole = v10::EventNetworkInferenceBundle {
        inferer_addresses: names(false),
        forecaster_addresses: names(true),
        inferer_values: by_member(false, &|p| &p.values),
        forecaster_values: by_member(true, &|p| &p.values),
        one_out_inferer_values: by_member(false, &|p| &p.one_out),
        one_out_forecaster_values: by_member(true, &|p| &p.one_out),
        one_in_forecaster_values: by_member(true, &|p| &p.one_in),
        ..short.clone()
    };
    if whole.encoded_len() > BUNDLE_BYTES { short } else { whole }
}

/// Everything told about an epoch that was scored.
pub(super) struct Scored<'a> {
    /// The topic, as the epoch leaves it.
    pub topic: &'a Topic,
    pub nonce: u64,
    pub height: u64,
    pub judged: &'a Judged,
    /// Inferers, then forecasters.
    pub parts: &'a [Part],
    pub reports: &'a [Reported],
    /// Merits after the epoch: of the parts, then of the reputers.
    pub merits: Vec<(Key, Merit)>,
    pub regrets: Option<&'a RegretState>,
    pub paid: u128,
}

pub(super) fn epoch_scored(of: &Scored) -> Event {
    let (topic_id, judged) = (of.topic.id, of.judged);
    let truth: Vec<String> = judged.truth.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let block_height = signed(of.nonce);
    let reputers: Vec<Key> = of.reports.iter().map(|r| r.account).collect();
    let event = Event::new("epoch_scored")
        .with("topic_id", topic_id)
        .with("nonce", of.nonce)
        .with("truth", truth.join(" "))
        .with("loss", judged.sums.network)
        .with("reward", of.paid)
        .telling(v10::EventReputerSubmissionWindowClosed { topic_id, nonce_block_height: block_height })
        .telling_all(chunks(reputers.iter().map(|a| (*a, String::new())).collect(), |addresses, _| {
            v10::EventActiveReputersSet { topic_id, addresses, nonce_block_height: block_height }
        }))
        .telling(v10::EventReputerLastCommitSet {
            topic_id,
            block_height: signed(of.height),
            nonce: nonce(of.nonce),
        });
    let event = rewards(scores(event, of), of);
    let event = losses(event, of);
    if of.parts.len() > MEMBERS_TOLD { event } else { memory(event, of) }
}

/// The three roles as published clients and as we name them.
const ROLES: [(v10::ActorType, u8); 3] = [
    (v10::ActorType::InfererUnspecified, part::INFERER),
    (v10::ActorType::Forecaster, part::FORECASTER),
    (v10::ActorType::Reputer, part::REPUTER),
];

/// A value of each member of a part that has one.
fn of_part<T: ToString>(
    of: &Scored,
    part: u8,
    members: impl Fn(usize) -> Option<T>,
    reputers: impl Fn(usize) -> Option<T>,
) -> Vec<(Key, String)> {
    if part == part::REPUTER {
        let all = of.reports.iter().enumerate();
        return all.filter_map(|(i, r)| Some((r.account, reputers(i)?.to_string()))).collect();
    }
    let forecaster = part == part::FORECASTER;
    let all = of.parts.iter().enumerate().filter(|(_, p)| p.forecaster == forecaster);
    all.filter_map(|(i, p)| Some((p.account, members(i)?.to_string()))).collect()
}

fn scores(mut event: Event, of: &Scored) -> Event {
    let (topic_id, block_height, judged) = (of.topic.id, signed(of.nonce), of.judged);
    for (actor, part) in ROLES {
        let actor_type = actor.into();
        let scores = of_part(of, part, |i| judged.scores[i], |i| judged.reputer_scores.get(i).copied());
        event = event.telling_all(chunks(scores, |addresses, scores| v10::EventScoresSet {
            actor_type,
            topic_id,
            block_height,
            addresses,
            scores,
        }));
        let merit = |i: usize| of.merits.get(i).map(|(_, merit)| merit.score);
        let merits = of_part(of, part, merit, |i| merit(of.parts.len() + i));
        event = event.telling_all(chunks(merits, |addresses, scores| v10::EventEmaScoresSet {
            actor_type,
            topic_id,
            nonce: block_height,
            // Everybody scored here was admitted.
            is_active: vec![true; addresses.len()],
            addresses,
            scores,
        }));
        let initial = of.topic.admission(part).initial;
        event = event.telling(v10::EventTopicInitialEmaScoreSet {
            actor_type,
            topic_id,
            block_height,
            score: initial.to_string(),
        });
    }
    event
}

fn rewards(mut event: Event, of: &Scored) -> Event {
    let topic_id = of.topic.id;
    for (actor, part) in ROLES {
        let pay =
            of_part(of, part, |i| of.judged.pay.get(i).copied(), |i| of.judged.reputer_pay.get(i).copied());
        event = event.telling_all(chunks(pay, |addresses, rewards| v10::EventRewardsSettled {
            actor_type: actor.into(),
            topic_id,
            block_height: signed(of.nonce),
            addresses,
            rewards,
            block_height_tx: signed(of.height),
        }));
    }
    event.telling(v10::EventTopicRewardsSet { topic_ids: vec![topic_id], rewards: vec![of.paid.to_string()] })
}

fn losses(event: Event, of: &Scored) -> Event {
    let compared = &of.judged.compared;
    let utility = Real::new(compared.naive.get() - compared.combined.get()).unwrap_or(Real::ZERO);
    event
        .telling(v10::EventNetworkLossSet {
            topic_id: of.topic.id,
            block_height: signed(of.height),
            // The same once more in the words of an older version: the bundle below says it all.
            value_bundle: None,
            nonce: signed(of.nonce),
            bundle: Some(value_bundle(compared, of.parts)),
        })
        .telling(v10::EventForecastTaskScoreSet {
            topic_id: of.topic.id,
            score: utility.to_string(),
            nonce_block_height: signed(of.nonce),
        })
}

/// What the topic remembers of its members.
fn memory(mut event: Event, of: &Scored) -> Event {
    let (topic_id, block_height) = (of.topic.id, signed(of.nonce));
    if of.topic.spec.truth_mode == TruthMode::Losses {
        let listening = of_part(of, part::REPUTER, |_| None, |i| of.judged.listening.get(i).copied());
        event = event.telling_all(chunks(listening, |addresses, coefficients| {
            v10::EventListeningCoefficientsSet {
                actor_type: v10::ActorType::Reputer.into(),
                topic_id,
                block_height,
                addresses,
                coefficients,
            }
        }));
    }
    let Some(state) = of.regrets else { return event };
    let of_parts = |forecaster: bool, regrets: &BTreeMap<Key, Real>| {
        let members = of_role(of.parts, forecaster).into_iter();
        members.filter_map(|p| Some((p.account, regrets.get(&p.account)?.to_string()))).collect::<Vec<_>>()
    };
    event
        .telling_all(chunks(of_parts(false, &state.inferers), |addresses, regrets| {
            v10::EventInfererNetworkRegretSet { topic_id, block_height, addresses, regrets }
        }))
        .telling_all(chunks(of_parts(true, &state.forecasters), |addresses, regrets| {
            v10::EventForecasterNetworkRegretSet { topic_id, block_height, addresses, regrets }
        }))
        .telling_all(chunks(of_parts(false, &state.naive), |addresses, regrets| {
            v10::EventNaiveInfererNetworkRegretSet { topic_id, block_height, addresses, regrets }
        }))
        .telling(v10::EventRegretStdNormSet { topic_id, block_height, stdnorm: state.scale.to_string() })
        .telling(v10::EventTopicInitialRegretSet {
            topic_id,
            block_height,
            regret: state.initial.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_come_in_several_events_and_none_is_lost() {
        let members: Vec<(Key, String)> = (0..2_500u32)
            .map(|i| {
                let mut key = Key::default();
                key[..4].copy_from_slice(&i.to_be_bytes());
                (key, i.to_string())
            })
            .collect();
        let events = chunks(members.clone(), |addresses, rewards| v10::EventRewardsSettled {
            addresses,
            rewards,
            ..Default::default()
        });
        assert_eq!(events.iter().map(|e| e.rewards.len()).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        let rewards: Vec<String> = events.iter().flat_map(|e| e.rewards.clone()).collect();
        assert_eq!(rewards, members.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>());
        assert!(events.iter().all(|e| e.encoded_len() < 100_000));
        assert!(chunks(Vec::new(), |_, _| ()).is_empty());
    }

    #[test]
    fn a_bundle_that_is_too_long_is_told_without_its_lists() {
        let part = |i: u32, forecaster: bool| {
            let mut account = Key::default();
            account[..4].copy_from_slice(&i.to_be_bytes());
            Part {
                account,
                forecaster,
                values: vec![Real::ONE],
                weight: Real::ONE,
                one_out: Vec::new(),
                one_in: Vec::new(),
                loss: None,
                score: None,
                reward: 0,
            }
        };
        let losses = |count: usize, digits: f64| Losses {
            combined: Real::ONE,
            naive: Real::ZERO,
            inferers: vec![Real::new(digits).ok(); count],
            forecasters: Vec::new(),
            one_out_inferers: vec![Real::new(digits).ok(); count],
            one_out_forecasters: Vec::new(),
            one_in_forecasters: Vec::new(),
            one_out_inferer_forecaster: vec![vec![Real::new(digits).ok(); count]; 64],
        };
        let parts = |count: u32| (0..count).map(|i| part(i, false)).collect::<Vec<_>>();
        let few = value_bundle(&losses(3, 1.0), &parts(3));
        assert_eq!((few.inferer_addresses.len(), few.inferer_values.len()), (3, 3));
        for many in [900, 5_000] {
            let cut = value_bundle(&losses(many, 1.234_567_890_123), &parts(many as u32));
            assert!(cut.encoded_len() <= BUNDLE_BYTES && cut.inferer_addresses.is_empty());
            assert_eq!(cut.combined_value, "1");
        }
    }
}
