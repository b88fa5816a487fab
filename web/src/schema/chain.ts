// Written by web/schema.mjs from proto/dodona/chain: change that, and run `npm run schema`.

export type QueryStatusRequest = Record<string, never>;

export interface QueryStatusResponse {
  chain_id: string;
  height: number;
  block_id: string;
  app_hash: string;
  time_ms: number;
  txs: number;
  supply: string;
  minted: string;
  mempool_txs: number;
  version: string;
  accounts: number;
  min_gas_price: string;
  gas_price: string;
}

export type QueryGasRequest = Record<string, never>;

export interface QueryGasResponse {
  price: string;
  learning_rate: string;
  window: number[];
  index: number;
}

export interface QueryAccountRequest {
  address: string;
}

export interface QueryAccountResponse {
  address: string;
  exists: boolean;
  account_number: number;
  sequence: number;
  balance: string;
}

export interface QueryTxRequest {
  hash: string;
}

export interface Attribute {
  key: string;
  value: string;
}

export interface Event {
  kind: string;
  attributes: Attribute[];
}

export interface TxReceipt {
  hash: string;
  height: number;
  index: number;
  codespace: string;
  code: number;
  log: string;
  gas_wanted: number;
  gas_used: number;
  events: Event[];
}

export interface QueryBlockRequest {
  height: number;
}

export interface QueryBlockResponse {
  chain_id: string;
  height: number;
  block_id: string;
  parent: string;
  app_hash: string;
  proposer: string;
  time_ms: number;
  tx_hashes: string[];
  signatures: number;
  events: Event[];
}

export interface QueryTrustRequest {
  height: number;
}

export interface QueryTrustResponse {
  document: string;
}
