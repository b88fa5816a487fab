// Written by web/schema.mjs from proto/dodona/subnets: change that, and run `npm run schema`.

export interface QuerySubnetsRequest {
  after: number;
  limit: number;
}

export interface QuerySubnetsResponse {
  subnets: Subnet[];
  height: number;
  create_cost: string;
  create_from_block: number;
  replaces: number;
  limit: number;
}

export interface QuerySubnetRequest {
  netuid: number;
}

export interface Subnet {
  netuid: number;
  name: string;
  owner: string;
  owner_hotkey: string;
  registered: number;
  started: number;
  state: string;
  neurons: number;
  registrations: number;
  price: string;
  average_price: string;
  pool_tao: string;
  pool_alpha: string;
  pool_weight: string;
  alpha_out: string;
  alpha_protocol: string;
  alpha_burned: string;
  alpha_pending: string;
  alpha_claimable: string;
  tao_per_block: string;
  alpha_per_block: string;
  epochs: number;
  last_epoch: number;
  next_epoch: number;
  registration_cost: string;
  withheld: string;
  deregistration_rank: number;
  deregistration_of: number;
  prunable_from: number;
  hyperparameters: Setting[];
  symbol: string;
  identity: Identity | null;
}

export interface QueryMetagraphRequest {
  netuid: number;
  mechanism: number;
  weights: boolean;
}

export interface Entry {
  uid: number;
  value: number;
}

export interface Endpoint {
  block: number;
  version: number;
  ip: string;
  port: number;
  protocol: number;
}

export interface OpenCommit {
  digest: string;
  epoch: number;
  reveal_epoch: number;
  block: number;
}

export interface Commitment {
  block: number;
  fields: string[];
}

export interface Neuron {
  uid: number;
  hotkey: string;
  coldkey: string;
  registered: number;
  active: boolean;
  permit: boolean;
  last_update: number;
  alpha_stake: string;
  root_stake: string;
  stake_weight: string;
  stake: number;
  consensus: number;
  trust: number;
  dividends: number;
  incentive: number;
  emission: string;
  axon: Endpoint | null;
  prometheus: Endpoint | null;
  weights: Entry[];
  bonds: Entry[];
  eviction_rank: number;
  eviction_of: number;
  immune_until: number;
  protected: boolean;
  open_commits: number;
  children: Child[];
  parents: Child[];
  children_pending: Child[];
  children_pending_from: number;
  childkey_take: number;
  commits: OpenCommit[];
  commitment: Commitment | null;
  identity: Identity | null;
}

export interface QueryMetagraphResponse {
  subnet: Subnet | null;
  neurons: Neuron[];
  height: number;
}

export interface QueryNeuronRequest {
  netuid: number;
  hotkey: string;
  mechanism: number;
}

export interface QueryHoldingsRequest {
  coldkey: string;
  hotkey: string;
  netuid: number;
  limit: number;
}

export interface Holding {
  netuid: number;
  hotkey: string;
  coldkey: string;
  amount: string;
  worth: string;
  claimable: string;
}

export interface QueryHoldingsResponse {
  holdings: Holding[];
  root_claim: string;
  root_keep_in: number[];
}

export interface QueryQuoteRequest {
  netuid: number;
  sell: boolean;
  amount: string;
  limit_price: string;
}

export interface QueryQuoteResponse {
  price: string;
  taken: string;
  output: string;
  fee: string;
  returned: string;
  price_after: string;
}

export type QueryRulesRequest = Record<string, never>;

export interface QueryRulesResponse {
  rules: Setting[];
}

export interface QueryColdkeySwapRequest {
  coldkey: string;
}

export interface QueryColdkeySwapResponse {
  announced: number;
  from_block: number;
  digest: string;
  disputed: boolean;
  again_from: number;
}

export interface QueryLocksRequest {
  netuid: number;
  coldkey: string;
}

export interface StakeLock {
  netuid: number;
  hotkey: string;
  mass: string;
  conviction: string;
  perpetual: boolean;
  free: string;
}

export interface Standing {
  hotkey: string;
  coldkey: string;
  mass: string;
  conviction: string;
}

export interface QueryLocksResponse {
  locks: StakeLock[];
  standings: Standing[];
  conviction: string;
  needed: string;
  from_block: number;
}

export interface MsgCreateSubnet {
  sender: string;
  hotkey: string;
  name: string;
  max_cost: string;
}

export interface MsgStartSubnet {
  sender: string;
  netuid: number;
}

export interface MsgRegisterNeuron {
  sender: string;
  netuid: number;
  hotkey: string;
  max_cost: string;
}

export interface MsgStake {
  sender: string;
  hotkey: string;
  netuid: number;
  amount: string;
  limit_price: string;
}

export interface MsgUnstake {
  sender: string;
  hotkey: string;
  netuid: number;
  amount: string;
  limit_price: string;
}

export interface MsgMoveStake {
  sender: string;
  hotkey: string;
  netuid: number;
  amount: string;
  to_hotkey: string;
  to_netuid: number;
  to_coldkey: string;
  limit_price: string;
  to_limit_price: string;
}

export interface MsgSetWeights {
  sender: string;
  netuid: number;
  mechanism: number;
  uids: number[];
  values: number[];
  version_key: number;
}

export interface MsgCommitWeights {
  sender: string;
  netuid: number;
  mechanism: number;
  digest: string;
}

export interface MsgRevealWeights {
  sender: string;
  netuid: number;
  mechanism: number;
  uids: number[];
  values: number[];
  salt: string;
  version_key: number;
}

export interface MsgSetTake {
  sender: string;
  hotkey: string;
  take: number;
}

export interface Setting {
  name: string;
  value: string;
}

export interface MsgSetHyperparameters {
  sender: string;
  netuid: number;
  set: Setting[];
}

export interface MsgSetSubnetRules {
  sender: string;
  set: Setting[];
}

export interface MsgServe {
  sender: string;
  netuid: number;
  prometheus: boolean;
  version: number;
  ip: string;
  port: number;
  protocol: number;
}

export interface MsgSetAutoStake {
  sender: string;
  netuid: number;
  hotkey: string;
}

export interface MsgClaimRoot {
  sender: string;
  hotkey: string;
  netuids: number[];
}

export interface MsgSetRootClaim {
  sender: string;
  kind: string;
  keep_in: number[];
}

export interface MsgLockStake {
  sender: string;
  netuid: number;
  hotkey: string;
  amount: string;
  perpetual: boolean;
}

export interface MsgMoveLock {
  sender: string;
  netuid: number;
  hotkey: string;
}

export interface MsgSetCommitment {
  sender: string;
  netuid: number;
  fields: string[];
  reset_bonds: boolean;
}

export interface Identity {
  name: string;
  description: string;
  url: string;
  repository: string;
  image: string;
  contact: string;
}

export interface MsgSetSubnetIdentity {
  sender: string;
  netuid: number;
  identity: Identity | null;
  symbol: string;
}

export interface MsgSetHotkeyIdentity {
  sender: string;
  hotkey: string;
  identity: Identity | null;
}

export interface Child {
  hotkey: string;
  fraction: number;
}

export interface MsgSetChildren {
  sender: string;
  netuid: number;
  hotkey: string;
  children: Child[];
}

export interface MsgSetChildkeyTake {
  sender: string;
  netuid: number;
  hotkey: string;
  take: number;
}

export interface MsgTriggerEpoch {
  sender: string;
  netuid: number;
}

export interface MsgDissolveSubnet {
  sender: string;
  netuid: number;
}

export interface MsgUnstakeAll {
  sender: string;
  hotkey: string;
  to_root: boolean;
}

export interface MsgTrimSubnet {
  sender: string;
  netuid: number;
  max_uids: number;
}

export interface MsgSwapHotkey {
  sender: string;
  hotkey: string;
  new_hotkey: string;
  netuid: number;
}

export interface MsgAnnounceColdkeySwap {
  sender: string;
  digest: string;
}

export interface MsgSwapColdkey {
  sender: string;
  new_coldkey: string;
}

export interface MsgDisputeColdkeySwap {
  sender: string;
}

export interface MsgResetColdkeySwap {
  sender: string;
  coldkey: string;
}
