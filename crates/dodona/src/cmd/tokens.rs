//! `dodona account`, `send` and `stake`: purses, and stake at topics. And what all commands that move tokens share:
//! trying before sending, and what is said afterwards.

use anyhow::{Context, Result, bail};
use dodona_client::{Client, Http, Wallet, staking};
use dodona_proto::{
    Address,
    cosmos::bank::v1beta1::MsgSend,
    topics::{
        MsgAddStake, MsgCancelRemoveDelegateStake, MsgCancelRemoveStake, MsgClaimDelegateRewards,
        MsgDelegateStake, MsgRemoveDelegateStake, MsgRemoveStake,
    },
    tx::pack,
    url,
};
use prost_types::Any;
use serde_json::{Value, json};

use super::{
    keys,
    net::{self, allo, amount},
};
use crate::{
    cli::{AccountArgs, Output, SendArgs, StakeCommand, TopicStakeArgs, TxArgs},
    output::print,
};

/// Gas of a transaction before and beside its messages, and of one message that moves tokens, with room.
const GAS: (u64, u64) = (100_000, 100_000);

/// A command that is about to sign: the node, and who it is.
pub(super) struct Desk<'a> {
    pub client: Client<Http>,
    pub address: Address,
    wallet: Wallet,
    args: &'a TxArgs,
}

impl<'a> Desk<'a> {
    pub fn open(args: &'a TxArgs) -> Result<Self> {
        let key = net::key(&args.sign.key, &args.sign.unlock)?;
        let wallet = Wallet::new(key);
        Ok(Self { client: net::client(&args.sign.node), address: wallet.address(), wallet, args })
    }

    /// Sends the messages as one transaction, waits for its block and tells it; or only tries.
    pub fn submit(mut self, what: &str, messages: Vec<Any>) -> Result<()> {
        let gas = GAS.0 + GAS.1 * messages.len() as u64;
        if self.args.dry_run {
            return self.tried(what, messages, gas);
        }
        let hash = self.wallet.send(&self.client, messages, gas)?;
        let receipt = dodona_participant::subnet::confirm(&self.client, hash)?;
        let hash = hex::encode_upper(hash);
        print(&match self.args.output {
            Output::Json => {
                let told = json!({
                    "what": what, "hash": hash, "height": receipt.height, "gas_used": receipt.gas_used,
                    "from": self.address.to_string(),
                });
                format!("{told}\n")
            }
            Output::Text => format!("{what}: done in block {}\ntransaction {hash}\n", receipt.height),
        })
    }

    fn tried(mut self, what: &str, messages: Vec<Any>, gas: u64) -> Result<()> {
        let signed = self.wallet.sign(&self.client, messages, gas)?;
        let used = self.client.transport().simulate(&signed.bytes)?;
        let balance: u128 = self.client.account(self.address.to_string())?.balance.parse().unwrap_or(0);
        print(&match self.args.output {
            Output::Json => {
                let told = json!({
                    "what": what, "sent": false, "gas_used": used, "gas_limit": gas,
                    "fee_uallo": signed.fee.to_string(), "balance_uallo": balance.to_string(),
                    "from": self.address.to_string(),
                });
                format!("{told}\n")
            }
            Output::Text => format!(
                "would {what}\nnot sent; it would use {used} of {gas} gas, for a fee of {} of the {} you have\n",
                allo(signed.fee),
                allo(balance)
            ),
        })
    }
}

pub fn account(args: AccountArgs) -> Result<()> {
    let address = keys::address(&args.who, None)?;
    let found = net::client(&args.node).account(address.to_string())?;
    let balance: u128 = found.balance.parse().unwrap_or(0);
    print(&match args.output {
        Output::Json => {
            let told = json!({
                "address": found.address, "exists": found.exists, "account_number": found.account_number,
                "sequence": found.sequence, "balance_uallo": found.balance,
            });
            format!("{told}\n")
        }
        Output::Text if !found.exists => {
            format!("{address} has no account yet: it comes into being with the first tokens it gets\n")
        }
        Output::Text => format!(
            "{address}\nbalance       {} ({balance} uallo)\ntransactions  {} sent, account number {}\n",
            allo(balance),
            found.sequence,
            found.account_number
        ),
    })
}

pub fn send(args: SendArgs) -> Result<()> {
    let to: Address =
        args.to.parse().with_context(|| format!("`{}` is no address; write one such as allo1…", args.to))?;
    let sum = amount(&args.amount)?;
    if sum == 0 {
        bail!("nothing to send: the amount is 0");
    }
    let desk = Desk::open(&args.tx)?;
    let message = MsgSend {
        from_address: desk.address.to_string(),
        to_address: to.to_string(),
        amount: vec![staking::coin(sum)],
    };
    desk.submit(&format!("send {} to {to}", allo(sum)), vec![pack(url::SEND, &message)])
}

pub fn stake(command: StakeCommand) -> Result<()> {
    match command {
        StakeCommand::Add { amount: text, at } => at_topic(&at, |sender, topic_id, reputer| {
            let sum = amount(&text)?;
            let (told, amount) = (allo(sum), sum.to_string());
            Ok(match reputer {
                None => (
                    format!("stake {told} of your own at topic {topic_id}"),
                    pack(url::ADD_STAKE, &MsgAddStake { sender, topic_id, amount }),
                ),
                Some(reputer) => (
                    format!("stake {told} behind {reputer} at topic {topic_id}"),
                    pack(url::DELEGATE_STAKE, &MsgDelegateStake { sender, topic_id, reputer, amount }),
                ),
            })
        }),
        StakeCommand::Remove { amount: text, at } => at_topic(&at, |sender, topic_id, reputer| {
            let sum = amount(&text)?;
            let (told, amount) = (allo(sum), sum.to_string());
            Ok(match reputer {
                None => (
                    format!("ask for {told} of your own stake at topic {topic_id}"),
                    pack(url::REMOVE_STAKE, &MsgRemoveStake { sender, topic_id, amount }),
                ),
                Some(reputer) => (
                    format!("ask for {told} of your stake behind {reputer} at topic {topic_id}"),
                    pack(
                        url::REMOVE_DELEGATE_STAKE,
                        &MsgRemoveDelegateStake { sender, topic_id, reputer, amount },
                    ),
                ),
            })
        }),
        StakeCommand::Cancel { at } => at_topic(&at, |sender, topic_id, reputer| {
            Ok(match reputer {
                None => (
                    format!("leave your own stake at topic {topic_id} where it is"),
                    pack(url::CANCEL_REMOVE_STAKE, &MsgCancelRemoveStake { sender, topic_id }),
                ),
                Some(reputer) => (
                    format!("leave your stake behind {reputer} at topic {topic_id} where it is"),
                    pack(
                        url::CANCEL_REMOVE_DELEGATE_STAKE,
                        &MsgCancelRemoveDelegateStake { sender, topic_id, reputer },
                    ),
                ),
            })
        }),
        StakeCommand::Claim { at } => at_topic(&at, |sender, topic_id, reputer| {
            let reputer = reputer.context(
                "name the reputer with --reputer; your own stake's rewards come to your purse by themselves",
            )?;
            Ok((
                format!("take what your stake behind {reputer} at topic {topic_id} has earned"),
                pack(url::CLAIM_DELEGATE_REWARDS, &MsgClaimDelegateRewards { sender, topic_id, reputer }),
            ))
        }),
    }
}

/// One message about stake at a topic: sender, topic and, if somebody else's, the reputer's address.
fn at_topic(
    at: &TopicStakeArgs,
    message: impl FnOnce(String, u64, Option<String>) -> Result<(String, Any)>,
) -> Result<()> {
    let desk = Desk::open(&at.tx)?;
    let reputer = at.reputer.as_deref().map(|who| net::member(&desk.client, at.topic, who)).transpose()?;
    let (what, message) = message(desk.address.to_string(), at.topic, reputer)?;
    desk.submit(&what, vec![message])
}

/// Tokens in an answer of a wallet's page: `{"denom", "amount"}`, the amount whole or with a fraction that is cut.
pub(super) fn sum_of(coin: &Value) -> u128 {
    let text = coin["amount"].as_str().unwrap_or("0");
    text.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0)
}
