//! The datatypes that votes are about: heights, validators, proposals, parts.
//! All of them are ours; the engine knows them only through the traits of `core-types`,
//! and everything with an encoding is borsh, so that bytes and hashes stay under our control.

use std::fmt;
use std::io;

use arc_malachitebft_core_types as core_types;
use borsh::{BorshDeserialize, BorshSerialize};
use core_types::{NilOrVal, Round, SignedExtension, VoteType};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::signing::{Ed25519, PublicKey, Signature};

/// A SHA-256 digest, 32 bytes.
pub type Hash32 = [u8; 32];

/// SHA-256 over length-prefixed parts, so that no two lists of parts collide by concatenation.
pub fn sha256(parts: &[&[u8]]) -> Hash32 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Number of a block, from 1; 0 stands for the state of genesis.
#[derive(
    Copy, Clone, Default, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct Height(pub u64);

impl Height {
    /// The height after this one.
    pub fn next(self) -> Self {
        Height(self.0.saturating_add(1))
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl core_types::Height for Height {
    const ZERO: Self = Height(0);
    const INITIAL: Self = Height(1);

    fn increment_by(&self, n: u64) -> Self {
        Height(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Height)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// Name of a validator in consensus: the first 20 bytes of a tagged hash of its public key.
#[derive(Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Address(pub [u8; 20]);

impl Address {
    /// The address that belongs to a public key.
    pub fn of(key: &PublicKey) -> Self {
        let hash = sha256(&[b"address", key.as_bytes()]);
        let mut address = [0; 20];
        address.copy_from_slice(&hash[..20]);
        Address(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", hex::encode(&self.0[..4]))
    }
}

impl core_types::Address for Address {}

/// One member of a validator set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// Always [`Address::of`] the public key; a set refuses anything else.
    pub address: Address,
    /// Verifies votes and proposals.
    pub public_key: PublicKey,
    /// Weight in every quorum, in whole tokens.
    pub voting_power: u64,
}

impl Validator {
    /// A validator whose address follows from its key.
    pub fn new(public_key: PublicKey, voting_power: u64) -> Self {
        Self { address: Address::of(&public_key), public_key, voting_power }
    }
}

impl core_types::Validator<Ctx> for Validator {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn voting_power(&self) -> u64 {
        self.voting_power
    }
}

/// Why a list of validators is no validator set.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum ValidatorSetError {
    /// Nobody has any power, so no block could ever be decided.
    #[error("the validator set has no voting power")]
    Empty,
    /// The powers add up to [`ValidatorSet::POWER_LIMIT`] or more.
    #[error("the total voting power reaches 2^62")]
    TooMuchPower,
    /// One address occurs twice.
    #[error("validator {0} is listed twice")]
    Duplicate(Address),
    /// An address does not belong to its key.
    #[error("address {0} does not belong to its public key")]
    ForeignAddress(Address),
    /// Encoded sets carry exactly one order and no zero powers.
    #[error("the encoded validator set is not in canonical order")]
    NotCanonical,
}

/// The validators that decide one height.
///
/// Sorted by power (descending), then by address; no zero power, no address twice, never empty,
/// and a total below 2^62 (the quorum arithmetic of the engine multiplies powers by three in u64).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet {
    validators: Vec<Validator>,
    total: u64,
}

impl ValidatorSet {
    /// Exclusive bound of the total voting power.
    pub const POWER_LIMIT: u64 = 1 << 62;

    /// Drops zero powers, sorts, and checks.
    ///
    /// # Errors
    /// See [`ValidatorSetError`].
    pub fn new(mut validators: Vec<Validator>) -> Result<Self, ValidatorSetError> {
        validators.retain(|v| v.voting_power > 0);
        if validators.is_empty() {
            return Err(ValidatorSetError::Empty);
        }
        let mut total = 0u64;
        for v in &validators {
            total = total.checked_add(v.voting_power).ok_or(ValidatorSetError::TooMuchPower)?;
            if v.address != Address::of(&v.public_key) {
                return Err(ValidatorSetError::ForeignAddress(v.address));
            }
        }
        if total >= Self::POWER_LIMIT {
            return Err(ValidatorSetError::TooMuchPower);
        }
        validators.sort_by_key(|v| v.address);
        if let Some(pair) = validators.windows(2).find(|w| w[0].address == w[1].address) {
            return Err(ValidatorSetError::Duplicate(pair[0].address));
        }
        validators.sort_by_key(|v| std::cmp::Reverse(v.voting_power));
        Ok(Self { validators, total })
    }

    /// The members, strongest first.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// Sum of all voting powers, 1 ..= 2^62 - 1.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The member with this address.
    pub fn get(&self, address: &Address) -> Option<&Validator> {
        self.validators.iter().find(|v| v.address == *address)
    }

    /// What headers commit to.
    pub fn hash(&self) -> Hash32 {
        let bytes = borsh::to_vec(self).expect("writing to memory does not fail");
        sha256(&[b"validators", &bytes])
    }

    /// Whose turn it is: a draw weighted by power, a pure function of set, height and round. Nobody is drawn twice before
    /// everybody has been, so that as many rounds fail in a row as proposers are down, and not by chance more.
    pub fn proposer(&self, height: Height, round: u32) -> &Validator {
        // Never 0: there is no set without a member, and there are few of them.
        let count = self.validators.len() as u32;
        let (lap, turn) = (round / count, round % count);
        let mut left: Vec<&Validator> = self.validators.iter().collect();
        let mut total = self.total;
        for drawn in 0..turn {
            let gone = left.remove(draw(&left, total, height, lap * count + drawn));
            total -= gone.voting_power;
        }
        left[draw(&left, total, height, round)]
    }

    /// Whether it was this member's turn in this round of a height, or in an earlier one: a block that found a majority
    /// once is proposed again by others. After as many rounds as there are members everybody had a turn.
    pub fn had_turn(&self, member: &Address, height: Height, round: u32) -> bool {
        if round as usize + 1 >= self.validators.len() {
            return self.get(member).is_some();
        }
        (0..=round).any(|earlier| self.proposer(height, earlier).address == *member)
    }
}

/// The place of a member drawn by power from those left, whose powers add up to `total`.
fn draw(left: &[&Validator], total: u64, height: Height, round: u32) -> usize {
    let seed = sha256(&[b"proposer", &height.0.to_le_bytes(), &round.to_le_bytes()]);
    let mut head = [0; 8];
    head.copy_from_slice(&seed[..8]);
    let mut ticket = u64::from_le_bytes(head) % total;
    for (place, v) in left.iter().enumerate() {
        if ticket < v.voting_power {
            return place;
        }
        ticket -= v.voting_power;
    }
    unreachable!("the ticket is below the total power")
}

// The address follows from the key and the total from the powers, so neither is written.
impl BorshSerialize for ValidatorSet {
    fn serialize<W: io::Write>(&self, w: &mut W) -> io::Result<()> {
        (self.validators.len() as u32).serialize(w)?;
        for v in &self.validators {
            (v.public_key, v.voting_power).serialize(w)?;
        }
        Ok(())
    }
}

impl BorshDeserialize for ValidatorSet {
    fn deserialize_reader<R: io::Read>(r: &mut R) -> io::Result<Self> {
        let invalid = |e: ValidatorSetError| io::Error::new(io::ErrorKind::InvalidData, e);
        let listed = Vec::<(PublicKey, u64)>::deserialize_reader(r)?;
        let listed: Vec<_> = listed.into_iter().map(|(key, power)| Validator::new(key, power)).collect();
        let set = Self::new(listed.clone()).map_err(invalid)?;
        if set.validators != listed {
            return Err(invalid(ValidatorSetError::NotCanonical));
        }
        Ok(set)
    }
}

impl core_types::ValidatorSet<Ctx> for ValidatorSet {
    fn count(&self) -> usize {
        self.validators.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.total
    }

    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.get(address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.validators.get(index)
    }
}

/// What votes carry: the hash of a header. The block itself travels in parts.
#[derive(Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct BlockId(pub Hash32);

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockId({})", hex::encode(&self.0[..6]))
    }
}

impl core_types::Value for BlockId {
    type Id = BlockId;

    fn id(&self) -> BlockId {
        *self
    }
}

/// "At this height and round I propose this block."
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// Height of the block.
    pub height: Height,
    /// Round of the proposal.
    pub round: Round,
    /// The proposed block.
    pub value: BlockId,
    /// Round of an earlier two-thirds prevote for the same block, or nil.
    pub pol_round: Round,
    /// The author.
    pub proposer: Address,
}

impl core_types::Proposal<Ctx> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockId {
        &self.value
    }

    fn take_value(self) -> BlockId {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Address {
        &self.proposer
    }
}

/// A prevote or a precommit, for a block or for nil.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteType,
    /// Height voted on.
    pub height: Height,
    /// Round voted in.
    pub round: Round,
    /// The block, or nil.
    pub value: NilOrVal<BlockId>,
    /// The author.
    pub voter: Address,
    /// Signed on its own, and outside the signature of the vote.
    pub extension: Option<SignedExtension<Ctx>>,
}

impl core_types::Vote<Ctx> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<Ctx>> {
        self.extension.as_ref()
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Ctx>> {
        self.extension.take()
    }

    fn extend(self, extension: SignedExtension<Ctx>) -> Self {
        Self { extension: Some(extension), ..self }
    }
}

/// Opaque bytes a validator may attach to its precommit. Switched off at every height for now.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Extension(pub Vec<u8>);

impl core_types::Extension for Extension {
    fn size_bytes(&self) -> usize {
        self.0.len()
    }
}

/// A piece of a block on its way through the network.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Part {
    /// Opens the stream.
    Init(PartInit),
    /// The next bytes of the encoded block.
    Data(Vec<u8>),
}

/// The first part of a block, signed by the proposer of the round, so that nobody else can
/// make a node collect, execute and store a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PartInit {
    /// Height of the block.
    pub height: Height,
    /// Round in which the block is proposed, possibly not for the first time.
    pub round: u32,
    /// Proposer of that round.
    pub proposer: Address,
    /// The block that follows.
    pub id: BlockId,
    /// Length of the encoded block in bytes.
    pub total_len: u32,
    /// Of the proposer, over all fields above; see [`crate::signing::Domain::part_init`].
    pub signature: Signature,
}

impl core_types::ProposalPart<Ctx> for Part {
    fn is_first(&self) -> bool {
        matches!(self, Part::Init(_))
    }

    // The end of a stream is a message of the streaming layer, not a part.
    fn is_last(&self) -> bool {
        false
    }
}

/// Ties the types together for the engine.
#[derive(Copy, Clone, Debug, Default)]
pub struct Ctx;

impl core_types::Context for Ctx {
    type Address = Address;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = ValidatorSet;
    type Timeouts = core_types::LinearTimeouts;
    type Value = BlockId;
    type Vote = Vote;
    type Extension = Extension;
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, set: &'a ValidatorSet, height: Height, round: Round) -> &'a Validator {
        set.proposer(height, round.as_u32().unwrap_or(0))
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        value: BlockId,
        pol_round: Round,
        proposer: Address,
    ) -> Proposal {
        Proposal { height, round, value, pol_round, proposer }
    }

    fn new_prevote(&self, height: Height, round: Round, value: NilOrVal<BlockId>, voter: Address) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, voter, extension: None }
    }

    fn new_precommit(&self, height: Height, round: Round, value: NilOrVal<BlockId>, voter: Address) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, voter, extension: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    fn key(seed: u8) -> PublicKey {
        PublicKey(SigningKey::from_bytes(&[seed; 32]).verifying_key())
    }

    #[test]
    fn sets_are_sorted_without_zeros_and_survive_the_codec() {
        let listed = vec![Validator::new(key(1), 5), Validator::new(key(2), 0), Validator::new(key(3), 9)];
        let set = ValidatorSet::new(listed).unwrap();
        assert_eq!(set.validators().iter().map(|v| v.voting_power).collect::<Vec<_>>(), [9, 5]);
        assert_eq!(set.total(), 14);
        let bytes = borsh::to_vec(&set).unwrap();
        assert_eq!(borsh::from_slice::<ValidatorSet>(&bytes).unwrap(), set);
    }

    #[test]
    fn sets_that_could_stop_or_break_the_engine_are_refused() {
        let set = |v: Vec<(u8, u64)>| {
            ValidatorSet::new(v.into_iter().map(|(k, p)| Validator::new(key(k), p)).collect())
                .map(|s| s.total())
        };
        assert_eq!(set(vec![]), Err(ValidatorSetError::Empty));
        assert_eq!(set(vec![(1, 0)]), Err(ValidatorSetError::Empty));
        assert_eq!(set(vec![(1, 1 << 62)]), Err(ValidatorSetError::TooMuchPower));
        assert_eq!(set(vec![(1, u64::MAX), (2, 2)]), Err(ValidatorSetError::TooMuchPower));
        assert_eq!(set(vec![(1, (1 << 62) - 1)]), Ok((1 << 62) - 1));
        let twice = Err(ValidatorSetError::Duplicate(Address::of(&key(1))));
        assert_eq!(set(vec![(1, 1), (2, 1), (1, 3)]), twice);
        let mut foreign = Validator::new(key(1), 1);
        foreign.address = Address([7; 20]);
        assert_eq!(
            ValidatorSet::new(vec![foreign]),
            Err(ValidatorSetError::ForeignAddress(Address([7; 20])))
        );
    }

    #[test]
    fn a_set_has_one_encoding() {
        let wrong_order = borsh::to_vec(&vec![(key(1), 1u64), (key(2), 2u64)]).unwrap();
        assert!(borsh::from_slice::<ValidatorSet>(&wrong_order).is_err());
        let zero = borsh::to_vec(&vec![(key(1), 1u64), (key(2), 0u64)]).unwrap();
        assert!(borsh::from_slice::<ValidatorSet>(&zero).is_err());
    }

    #[test]
    fn turns_to_propose_follow_the_power() {
        let set = ValidatorSet::new(vec![Validator::new(key(1), 75), Validator::new(key(2), 25)]).unwrap();
        let turns = (1..=4000).filter(|h| set.proposer(Height(*h), 0).voting_power == 75).count();
        assert!((2900..3100).contains(&turns), "{turns}");
    }

    #[test]
    fn everybody_has_a_turn_before_anybody_has_two() {
        let members = (1..=7).map(|n| Validator::new(key(n), u64::from(n) * 10)).collect();
        let set = ValidatorSet::new(members).unwrap();
        for height in 1..50 {
            for lap in [0, 1, 613_566_755] {
                let turns = (0..7).map(|turn| set.proposer(Height(height), lap * 7 + turn).address);
                assert_eq!(turns.collect::<std::collections::BTreeSet<_>>().len(), 7);
            }
            for round in 0..10 {
                let had = set.validators().iter().filter(|v| set.had_turn(&v.address, Height(height), round));
                assert_eq!(had.count(), 7.min(round as usize + 1));
                assert!(!set.had_turn(&Address([7; 20]), Height(height), round));
            }
        }
        // The last round there is: the lap that is not whole any more.
        set.proposer(Height(1), u32::MAX);
    }
}
