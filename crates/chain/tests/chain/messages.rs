//! Messages the kit has no word for: losses, relays, lists, and what happens to stake later.

use dodona_chain::{
    Step,
    topics::{
        judge::{self, OpenInput},
        state::Opening,
    },
};
use dodona_mechanism::{
    Real,
    topic::{
        combine::{LossForm, Losses, Truth},
        loss::Loss,
    },
};
use dodona_proto::{
    Address,
    sign::AccountKey,
    topics::{
        ForecasterLosses, List, MemberLoss, MsgCancelRemoveDelegateStake, MsgCancelRemoveStake,
        MsgClaimDelegateRewards, MsgEditList, MsgRecalculateEmission, MsgRelay, MsgRemoveDelegateStake,
        MsgReportLosses, MsgSetTopicLists, MsgUnregister, MsgUpdateParams, MsgUpdateTopic, Parameter, Role,
    },
    tx::pack,
    url,
};
use prost::Message;

use super::kit::*;

/// A delegator's rewards.
pub fn claim(from: &str, topic_id: u64, reputer: &str) -> Tx {
    let message = MsgClaimDelegateRewards { sender: text(from), topic_id, reputer: text(reputer) };
    Tx::new(from, vec![pack(url::CLAIM_DELEGATE_REWARDS, &message)])
}

/// Delegated stake back.
pub fn undelegate(from: &str, topic_id: u64, reputer: &str, amount: u128) -> Tx {
    let (sender, reputer, amount) = (text(from), text(reputer), amount.to_string());
    let message = MsgRemoveDelegateStake { sender, topic_id, reputer, amount };
    Tx::new(from, vec![pack(url::REMOVE_DELEGATE_STAKE, &message)])
}

/// Own stake stays after all.
pub fn keep(from: &str, topic_id: u64) -> Tx {
    let message = MsgCancelRemoveStake { sender: text(from), topic_id };
    Tx::new(from, vec![pack(url::CANCEL_REMOVE_STAKE, &message)])
}

/// Delegated stake stays after all.
pub fn keep_delegated(from: &str, topic_id: u64, reputer: &str) -> Tx {
    let message = MsgCancelRemoveDelegateStake { sender: text(from), topic_id, reputer: text(reputer) };
    Tx::new(from, vec![pack(url::CANCEL_REMOVE_DELEGATE_STAKE, &message)])
}

/// Leaves a topic.
pub fn unregister(from: &str, topic_id: u64, role: Role) -> Tx {
    let message = MsgUnregister { sender: text(from), topic_id, role: role.into() };
    Tx::new(from, vec![pack(url::UNREGISTER, &message)])
}

/// Changes a list.
pub fn edit(from: &str, list: List, topic_id: u64, add: &[&str], remove: &[&str]) -> Tx {
    let texts = |names: &[&str]| names.iter().map(|name| text(name)).collect();
    let message = MsgEditList {
        sender: text(from),
        list: list.into(),
        topic_id,
        add: texts(add),
        remove: texts(remove),
    };
    Tx::new(from, vec![pack(url::EDIT_LIST, &message)])
}

/// Switches a topic's lists.
pub fn lists(from: &str, topic_id: u64, worker_list: Option<bool>, reputer_list: Option<bool>) -> Tx {
    let message = MsgSetTopicLists { sender: text(from), topic_id, worker_list, reputer_list };
    Tx::new(from, vec![pack(url::SET_TOPIC_LISTS, &message)])
}

/// Other parameters, by anybody.
pub fn params_by(from: &str, set: &[(&str, &str)]) -> Tx {
    let parameter =
        |(name, value): &(&str, &str)| Parameter { name: name.to_string(), value: value.to_string() };
    let message = MsgUpdateParams { sender: text(from), set: set.iter().map(parameter).collect() };
    Tx::new(from, vec![pack(url::UPDATE_PARAMS, &message)])
}

/// A topic's description, changed where the message says something.
pub fn update(from: &str, topic_id: u64, change: MsgUpdateTopic) -> Tx {
    let message = MsgUpdateTopic { sender: text(from), topic_id, ..change };
    Tx::new(from, vec![pack(url::UPDATE_TOPIC, &message)])
}

/// The emission anew.
pub fn recalculate(from: &str) -> Tx {
    let message = MsgRecalculateEmission { sender: text(from) };
    Tx::new(from, vec![pack(url::RECALCULATE_EMISSION, &message)])
}

/// Losses as they are.
pub fn losses(from: &str, message: &MsgReportLosses) -> Tx {
    let message = MsgReportLosses { sender: text(from), ..message.clone() };
    Tx::new(from, vec![pack(url::REPORT_LOSSES, &message)])
}

/// What a signed word looks like when somebody else brings it.
pub fn relayed(
    payer: &str,
    author: &AccountKey,
    chain: &str,
    type_url: &str,
    message: &impl Message,
) -> MsgRelay {
    let bytes = message.encode_to_vec();
    let signed = dodona_chain::topics::handle::relay_bytes(chain, type_url, &bytes);
    MsgRelay {
        sender: text(payer),
        type_url: type_url.into(),
        message: bytes,
        public_key: author.public().to_vec(),
        signature: author.sign(&signed).to_vec(),
    }
}

/// The same as a transaction.
pub fn relay(payer: &str, message: &MsgRelay) -> Tx {
    Tx::new(payer, vec![pack(url::RELAY, message)])
}

/// Decimal logarithms of squared errors of everything published for an epoch, had `truth` happened; all of them
/// `shift` too high. Complete: exactly what a reputer has to report.
pub fn bundle(net: &Net, topic_id: u64, nonce: u64, truth: f64, shift: f64) -> MsgReportLosses {
    let trail = net
        .trails
        .iter()
        .find(|t| t.topic == topic_id && t.nonce == nonce && t.step == Step::Open)
        .expect("the epoch has an answer");
    let input: OpenInput = borsh::from_slice(&trail.bytes).unwrap();
    let bundle = match judge::open(&input).unwrap() {
        Opening::Power(o) => o.bundle(),
        Opening::Regret(o) => o.bundle(),
        Opening::Plain(synthesis, columns) => synthesis.bundle(&columns),
    };
    let truth = Truth::known(&[Real::new(truth).unwrap()]);
    let losses = Losses::of(&bundle.unwrap(), &truth, Loss::Squared, LossForm::Log10).unwrap();
    let losses = losses.map(|loss| loss + shift).unwrap();
    let inferers: Vec<String> = input.inferers.iter().map(|(who, _)| Address(*who).to_string()).collect();
    let forecasters: Vec<String> =
        input.forecasters.iter().map(|(who, ..)| Address(*who).to_string()).collect();
    let list = |values: &[Option<Real>], names: &[String]| -> Vec<MemberLoss> {
        let known = values.iter().zip(names).filter_map(|(value, name)| Some((name, (*value)?)));
        known.map(|(name, value)| MemberLoss { address: name.clone(), loss: value.to_string() }).collect()
    };
    let pairs = losses.one_out_inferer_forecaster.iter().zip(&forecasters);
    MsgReportLosses {
        sender: String::new(),
        topic_id,
        nonce,
        combined: losses.combined.to_string(),
        naive: losses.naive.to_string(),
        inferers: list(&losses.inferers, &inferers),
        forecasters: list(&losses.forecasters, &forecasters),
        one_out_inferers: list(&losses.one_out_inferers, &inferers),
        one_out_forecasters: list(&losses.one_out_forecasters, &forecasters),
        one_in_forecasters: list(&losses.one_in_forecasters, &forecasters),
        one_out_inferer_forecaster: pairs
            .map(|(row, forecaster)| ForecasterLosses {
                forecaster: forecaster.clone(),
                without: list(row, &inferers),
            })
            .filter(|row| !row.without.is_empty())
            .collect(),
    }
}
