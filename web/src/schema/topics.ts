// Written by web/schema.mjs from proto/dodona/topics: change that, and run `npm run schema`.

export interface QueryTopicRequest {
  topic_id: number;
}

export interface QueryTopicResponse {
  topic_id: number;
  creator: string;
  spec: TopicSpec | null;
  created: number;
  stake: string;
  funded: string;
  pot: string;
  paid: string;
  epochs_opened: number;
  epochs_scored: number;
  epochs_void: number;
  workers: number;
  reputers: number;
  active: boolean;
  inactive_reason: string;
  mean_loss_network: number;
  mean_loss_mean: number;
  mean_loss_median: number;
  next_epoch_block: number;
  revenue: string;
  weight: number;
  weight_target: number;
  total_weight: number;
  min_weight: number;
  runs_dry_epochs: number;
  reward_per_epoch: number;
  error_scale: number;
  max_inferers: number;
  max_forecasters: number;
  max_reputers: number;
  roles: RoleState[];
  last_combined_block: number;
  last_combined_nonce: number;
  last_scored_block: number;
  last_scored_nonce: number;
  initial_regret: number;
  regret_scale: number;
  forecasters: number;
  inferers: number;
}

export interface RoleState {
  role: string;
  quantile_score: number;
  initial_score: number;
  lowest_merit: number | null;
}

export interface QueryTopicsRequest {
  after_id: number;
  limit: number;
  due_block: number;
}

export interface QueryTopicsResponse {
  topics: QueryTopicResponse[];
}

export interface QueryWindowsRequest {
  topic_id: number;
}

export interface Window {
  nonce: number;
  epoch: number;
  state: string;
  worker_first: number;
  worker_last: number;
  truth_first: number;
  truth_last: number;
  seal_last: number;
}

export interface QueryWindowsResponse {
  height: number;
  windows: Window[];
  next_epoch_block: number;
}

export interface Interval {
  p2: number;
  p16: number;
  p50: number;
  p84: number;
  p98: number;
}

export interface Part {
  address: string;
  name: string;
  forecaster: boolean;
  value: number;
  weight: number;
  one_out: number | null;
  loss: number | null;
  score: number | null;
  reward: string;
  values: number[];
  one_outs: number[];
  one_in: number | null;
  one_ins: number[];
}

export interface LabelNumber {
  label: string;
  value: number;
}

export interface TruthReport {
  address: string;
  name: string;
  value: number;
  score: number;
  reward: string;
  values: LabelNumber[];
  stake: string;
  combined_loss: number | null;
}

export interface Column {
  label: string;
  combined: number;
  naive: number;
  mean: number;
  median: number;
  interval: Interval | null;
  truth: number | null;
}

export interface QueryEpochRequest {
  topic_id: number;
  nonce: number;
  resistant: boolean;
}

export interface QueryEpochResponse {
  topic_id: number;
  nonce: number;
  epoch: number;
  state: string;
  void_reason: string;
  combined: number;
  naive: number;
  mean: number;
  median: number;
  interval: Interval | null;
  parts: Part[];
  truth: number | null;
  network_loss: number | null;
  mean_loss: number | null;
  median_loss: number | null;
  truths: TruthReport[];
  reward: string;
  combined_at: number;
  scored_at: number;
  columns: Column[];
  resistant: Column[];
  outliers: string[];
  worker_last: number;
  truth_first: number;
  truth_last: number;
  open_trail: string;
  judge_trail: string;
  topic_reward: string;
}

export interface QueryEpochsRequest {
  topic_id: number;
  from_epoch: number;
  limit: number;
}

export interface QueryEpochsResponse {
  epochs: QueryEpochResponse[];
}

export interface QueryLeaderboardRequest {
  topic_id: number;
  start_after: string;
  limit: number;
}

export interface LeaderboardRow {
  address: string;
  name: string;
  role: string;
  owner: string;
  submitted: number;
  missed: number;
  mean_loss: number;
  running_loss: number;
  weight: number;
  score: number;
  earned: string;
  stake: string;
  merit: number;
  delegated: string;
}

export interface QueryLeaderboardResponse {
  rows: LeaderboardRow[];
  next: string;
}

export type QueryParamsRequest = Record<string, never>;

export interface QueryParamsResponse {
  params: Parameter[];
}

export interface QueryMemberRequest {
  topic_id: number;
  address: string;
}

export interface MemberPart {
  role: string;
  heard: number;
  scored: number;
  last_block: number;
  mean_loss: number;
  running_loss: number;
  weight: number;
  score: number;
  earned: string;
  merit: number;
  merit_nonce: number;
  inclusions: number;
  reward_fraction: number | null;
  listening: number;
  lowest_merit: number | null;
  missed: number;
}

export interface QueryMemberResponse {
  worker: boolean;
  reputer: boolean;
  worker_owner: string;
  reputer_owner: string;
  name: string;
  parts: MemberPart[];
  stake: string;
  delegated: string;
  reward_per_share: string;
  removal: Removal | null;
  may_submit: boolean;
  may_report: boolean;
}

export interface QueryInputsRequest {
  topic_id: number;
  nonce: number;
  address: string;
}

export interface InferenceRow {
  address: string;
  values: LabelNumber[];
}

export interface ForecastElement {
  inferer: string;
  loss: number;
}

export interface ForecastRow {
  address: string;
  elements: ForecastElement[];
}

export interface SealRow {
  address: string;
  seal: string;
}

export interface QueryInputsResponse {
  nonce: number;
  open: boolean;
  inferences: InferenceRow[];
  forecasts: ForecastRow[];
  labels: string[];
  seals: SealRow[];
  unopened: string[];
}

export interface QueryLossesRequest {
  topic_id: number;
  nonce: number;
}

export interface LossBundle {
  reputer: string;
  stake: string;
  combined: number;
  naive: number;
  inferers: MemberNumber[];
  forecasters: MemberNumber[];
  one_out_inferers: MemberNumber[];
  one_out_forecasters: MemberNumber[];
  one_in_forecasters: MemberNumber[];
  one_out_inferer_forecaster: PairNumber[];
}

export interface MemberNumber {
  address: string;
  value: number;
}

export interface PairNumber {
  forecaster: string;
  inferer: string;
  value: number;
}

export interface QueryLossesResponse {
  nonce: number;
  logarithms: boolean;
  network: LossBundle | null;
  reports: LossBundle[];
}

export interface QueryRegretsRequest {
  topic_id: number;
  address: string;
}

export interface RegretRow {
  family: string;
  without: string;
  forecaster: boolean;
  regret: number;
}

export interface QueryRegretsResponse {
  rows: RegretRow[];
  initial: number;
  scale: number;
}

export interface Removal {
  topic_id: number;
  reputer: string;
  delegator: string;
  amount: string;
  block: number;
}

export interface QueryRemovalsRequest {
  until: number;
  limit: number;
}

export interface QueryRemovalsResponse {
  removals: Removal[];
}

export interface StakeRow {
  reputer: string;
  own: string;
  delegated: string;
  reward_per_share: string;
}

export interface QueryStakesRequest {
  topic_id: number;
  start_after: string;
  limit: number;
}

export interface QueryStakesResponse {
  rows: StakeRow[];
  topic_stake: string;
  total_stake: string;
}

export interface DelegationRow {
  topic_id: number;
  reputer: string;
  delegator: string;
  amount: string;
  pending: string;
}

export interface QueryDelegationsRequest {
  topic_id: number;
  reputer: string;
  delegator: string;
}

export interface QueryDelegationsResponse {
  rows: DelegationRow[];
}

export interface QueryListRequest {
  list: number;
  topic_id: number;
  address: string;
}

export interface QueryListResponse {
  members: string[];
  enabled: boolean;
  contains: boolean;
}

export interface QueryPermissionsRequest {
  address: string;
  topic_id: number;
}

export interface QueryPermissionsResponse {
  update_params: boolean;
  update_all_lists: boolean;
  update_global_workers: boolean;
  update_global_reputers: boolean;
  update_topic_lists: boolean;
  create_topic: boolean;
  submit: boolean;
  report: boolean;
}

export type QueryEmissionRequest = Record<string, never>;

export interface QueryEmissionResponse {
  enabled: boolean;
  fixed: boolean;
  block_emission: string;
  block_topics: string;
  block_validators: string;
  minted: string;
  ecosystem_balance: string;
  remaining_mintable: string;
  staked: string;
  circulating: string;
  locked: string;
  target: string;
  cap: string;
  smoothed: string;
  month: string;
  months_unlocked: number;
  start: number;
  next: number;
  reputers_share: string;
  max_supply: string;
  calculated: number;
  locked_preseed: string;
  locked_investors: string;
  locked_team: string;
  locked_foundation: string;
}

export interface QueryExplainRequest {
  topic_id: number;
  nonce: number;
  address: string;
}

export interface Line {
  name: string;
  value: string;
  note: string;
}

export interface ExplainedPart {
  role: string;
  took_part: boolean;
  verdict: string;
  lines: Line[];
  reward: string;
  would_have_earned: string;
}

export interface QueryExplainResponse {
  topic_id: number;
  nonce: number;
  state: string;
  parts: ExplainedPart[];
  topic: Line[];
}

export interface QueryTrailRequest {
  topic_id: number;
  nonce: number;
}

export interface QueryTrailResponse {
  open: string;
  judge: string;
}

export interface QueryProofRequest {
  topic_id: number;
  nonce: number;
  height: number;
  trusted_height: number;
  has_trusted_height: boolean;
}

export interface QueryProofResponse {
  document: string;
}

export interface TopicSpec {
  title: string;
  target: string;
  unit: string;
  truth_source: string;
  rule: number;
  loss: number;
  epoch_length: number;
  worker_window: number;
  truth_lag: number;
  truth_window: number;
  kappa: number;
  alpha: string;
  cap: string;
  clamp: string;
  gain: string;
  log_pool: boolean;
  metadata: string;
  horizon: string;
  resolution: string;
  truth_mode: number;
  loss_parameter: string;
  loss_center: string;
  loss_scale: string;
  payout: number;
  p_norm: string;
  c_norm: string;
  alpha_regret: string;
  epsilon: string;
  allow_negative: boolean;
  merit_alpha: string;
  inferer_quantile: string;
  forecaster_quantile: string;
  reputer_quantile: string;
  max_inferers: number;
  max_forecasters: number;
  max_reputers: number;
  classification: boolean;
  multi: boolean;
  require_unity: boolean;
  unity_tolerance: string;
  max_labels: number;
  labels: string[];
  label_default: string;
  label_case_sensitive: boolean;
  worker_list: boolean;
  reputer_list: boolean;
  loss_method: string;
  reveal_window: number;
}

export interface MsgCreateTopic {
  creator: string;
  spec: TopicSpec | null;
}

export interface LabelList {
  labels: string[];
}

export interface MsgUpdateTopic {
  sender: string;
  topic_id: number;
  metadata: string | null;
  truth_source: string | null;
  resolution: string | null;
  alpha_regret: string | null;
  p_norm: string | null;
  c_norm: string | null;
  merit_alpha: string | null;
  max_labels: number | null;
  labels: LabelList | null;
  label_default: string | null;
  max_inferers: number | null;
  max_forecasters: number | null;
  max_reputers: number | null;
}

export interface MsgRegister {
  sender: string;
  topic_id: number;
  role: number;
  owner: string;
  name: string;
}

export interface MsgUnregister {
  sender: string;
  topic_id: number;
  role: number;
}

export interface MsgTransferOwnership {
  sender: string;
  topic_id: number;
  role: number;
  address: string;
  new_owner: string;
}

export interface MsgAddStake {
  sender: string;
  topic_id: number;
  amount: string;
}

export interface MsgRemoveStake {
  sender: string;
  topic_id: number;
  amount: string;
}

export interface MsgCancelRemoveStake {
  sender: string;
  topic_id: number;
}

export interface MsgDelegateStake {
  sender: string;
  topic_id: number;
  reputer: string;
  amount: string;
}

export interface MsgRemoveDelegateStake {
  sender: string;
  topic_id: number;
  reputer: string;
  amount: string;
}

export interface MsgCancelRemoveDelegateStake {
  sender: string;
  topic_id: number;
  reputer: string;
}

export interface MsgClaimDelegateRewards {
  sender: string;
  topic_id: number;
  reputer: string;
}

export interface MsgFundTopic {
  sender: string;
  topic_id: number;
  amount: string;
}

export interface LabelValue {
  label: string;
  value: string;
}

export interface MsgSubmitPayload {
  sender: string;
  topic_id: number;
  nonce: number;
  inference: string;
  forecast: Forecast[];
  values: LabelValue[];
}

export interface MsgSealPayload {
  sender: string;
  topic_id: number;
  nonce: number;
  seal: string;
}

export interface MsgOpenPayload {
  sender: string;
  payload: string;
  salt: string;
}

export interface Forecast {
  inferer: string;
  loss: string;
}

export interface MsgReportTruth {
  sender: string;
  topic_id: number;
  nonce: number;
  value: string;
  evidence: string;
  values: LabelValue[];
}

export interface MemberLoss {
  address: string;
  loss: string;
}

export interface ForecasterLosses {
  forecaster: string;
  without: MemberLoss[];
}

export interface MsgReportLosses {
  sender: string;
  topic_id: number;
  nonce: number;
  combined: string;
  naive: string;
  inferers: MemberLoss[];
  forecasters: MemberLoss[];
  one_out_inferers: MemberLoss[];
  one_out_forecasters: MemberLoss[];
  one_in_forecasters: MemberLoss[];
  one_out_inferer_forecaster: ForecasterLosses[];
}

export interface MsgRelay {
  sender: string;
  type_url: string;
  message: string;
  public_key: string;
  signature: string;
}

export interface MsgEditList {
  sender: string;
  list: number;
  topic_id: number;
  add: string[];
  remove: string[];
}

export interface MsgSetTopicLists {
  sender: string;
  topic_id: number;
  worker_list: boolean | null;
  reputer_list: boolean | null;
}

export interface Parameter {
  name: string;
  value: string;
}

export interface MsgUpdateParams {
  sender: string;
  set: Parameter[];
}

export interface MsgRecalculateEmission {
  sender: string;
}
