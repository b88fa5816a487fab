// What signs: a test wallet whose key never leaves this tab, or Keplr. A file of its own, loaded when somebody signs.
// Curve and hashes are the audited noble libraries; the few messages that can be sent are written here byte by byte.
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { ripemd160 } from "@noble/hashes/legacy.js";
import { sha256 } from "@noble/hashes/sha2.js";

/** A message: its type, and its fields in the order of their numbers. */
export interface Deed { type: string; fields: Named[] }
/** A field as the schema has it; `small` is a number of 32 bits, `coin` an amount of the chain's token with its name. */
type Named = { at: number; name: string } & ({ text: string } | { whole: number } | { small: number } | { coin: bigint });
/** A field as it is written. */
type Field = { at: number; text: string } | { at: number; whole: number | bigint } | { at: number; bytes: Uint8Array };

export interface Account { account_number: string | number; sequence: string | number }
export interface Terms { chainId: string; account: Account; gas: number; gasPrice: number }

export interface Signer {
  name: string;
  address: string;
  sign(deed: Deed, terms: Terms): Promise<Uint8Array>;
}

/** What Keplr puts into a page, as far as it is used here. */
export interface Keplr {
  experimentalSuggestChain(card: unknown): Promise<void>;
  enable(chainId: string): Promise<void>;
  getKey(chainId: string): Promise<{ bech32Address: string; pubKey: Uint8Array; name: string; isNanoLedger?: boolean }>;
  signAmino(chainId: string, address: string, doc: AminoDoc, options?: { preferNoSetFee?: boolean }): Promise<{ signed: AminoDoc; signature: { signature: string } }>;
  signDirect(chainId: string, address: string, doc: { bodyBytes: Uint8Array; authInfoBytes: Uint8Array; chainId: string; accountNumber: bigint },
    options?: { preferNoSetFee?: boolean }): Promise<{ signed: { bodyBytes: Uint8Array; authInfoBytes: Uint8Array }; signature: { signature: string } }>;
}

/** A transaction as JSON, which hardware wallets show and sign; the rules are in docs/protocol/signing.md. */
export interface AminoDoc {
  account_number: string; chain_id: string; fee: { amount: { amount: string; denom: string }[]; gas: string }; memo: string;
  msgs: { type: string; value: Record<string, unknown> }[]; sequence: string;
}

const KEPT = "dodona-test-key";
/** How a signature was made, in the numbers of the wire. */
const DIRECT = 1;
const AMINO = 127;

function varint(value: number | bigint): number[] {
  const out: number[] = [];
  let left = BigInt(value);
  do {
    out.push(Number(left & 127n) | (left > 127n ? 128 : 0));
    left >>= 7n;
  } while (left > 0n);
  return out;
}

/** Fields as protobuf writes them; what is empty is left out. */
export function encode(fields: Field[]): Uint8Array {
  const out: number[] = [];
  for (const field of fields) {
    if ("whole" in field) {
      if (BigInt(field.whole) !== 0n) out.push(...varint(field.at << 3), ...varint(field.whole));
      continue;
    }
    const bytes = "text" in field ? new TextEncoder().encode(field.text) : field.bytes;
    if (bytes.length > 0 || "bytes" in field) out.push(...varint((field.at << 3) | 2), ...varint(bytes.length), ...bytes);
  }
  return Uint8Array.from(out);
}

const coin = (amount: bigint | string) => encode([{ at: 1, text: "uallo" }, { at: 2, text: String(amount) }]);
const any = (type: string, value: Uint8Array) => encode([{ at: 1, text: type }, { at: 2, bytes: value }]);

/** A field of a message as it is written. */
function written(field: Named): Field {
  const { at } = field;
  if ("text" in field) return { at, text: field.text };
  if ("coin" in field) return { at, bytes: coin(field.coin) };
  return { at, whole: "whole" in field ? field.whole : field.small };
}

interface Fee { uallo: string; gas: bigint }
const feeOf = (terms: Terms): Fee => ({ uallo: String(Math.ceil(terms.gas * terms.gasPrice)), gas: BigInt(terms.gas) });

/** Body and authorisation of a transaction of one message, signed in one of the two modes. */
function parts(deed: Deed, sequence: bigint, publicKey: Uint8Array, mode: number, { uallo, gas }: Fee, memo = ""): { body: Uint8Array; auth: Uint8Array } {
  const body = encode([{ at: 1, bytes: any(deed.type, encode(deed.fields.map(written))) }, { at: 2, text: memo }]);
  const key = any("/cosmos.crypto.secp256k1.PubKey", encode([{ at: 1, bytes: publicKey }]));
  const signer = encode([{ at: 1, bytes: key }, { at: 2, bytes: encode([{ at: 1, bytes: encode([{ at: 1, whole: mode }]) }]) }, { at: 3, whole: sequence }]);
  const fee = encode([{ at: 1, bytes: coin(uallo) }, { at: 2, whole: gas }]);
  return { body, auth: encode([{ at: 1, bytes: signer }, { at: 2, bytes: fee }]) };
}

/** Names that messages had before they had types; those of this chain are called by their type. */
const OLD_NAMES: Record<string, string> = {
  "/cosmos.staking.v1beta1.MsgDelegate": "cosmos-sdk/MsgDelegate",
  "/cosmos.staking.v1beta1.MsgUndelegate": "cosmos-sdk/MsgUndelegate",
  "/cosmos.distribution.v1beta1.MsgWithdrawDelegatorReward": "cosmos-sdk/MsgWithdrawDelegationReward",
};

/** The same transaction as JSON: numbers of 64 bits are text, what is empty is left out. */
function aminoDoc(deed: Deed, terms: Terms): AminoDoc {
  const value: Record<string, unknown> = {};
  for (const field of deed.fields) {
    const shown = "text" in field ? field.text : "coin" in field ? { amount: String(field.coin), denom: "uallo" } : "small" in field ? field.small : field.whole > 0 ? String(field.whole) : "";
    if (shown !== "" && shown !== 0) value[field.name] = shown;
  }
  const { uallo, gas } = feeOf(terms);
  return {
    account_number: String(terms.account.account_number), chain_id: terms.chainId, fee: { amount: [{ amount: uallo, denom: "uallo" }], gas: String(gas) },
    memo: "", msgs: [{ type: OLD_NAMES[deed.type] ?? deed.type, value }], sequence: String(terms.account.sequence),
  };
}

const raw = (body: Uint8Array, auth: Uint8Array, signature: Uint8Array) => encode([{ at: 1, bytes: body }, { at: 2, bytes: auth }, { at: 3, bytes: signature }]);

const LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/** BIP 173. */
export function bech32(prefix: string, bytes: Uint8Array): string {
  const words: number[] = [];
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      words.push((held >> bits) & 31);
    }
  }
  if (bits > 0) words.push((held << (5 - bits)) & 31);
  const chars = [...prefix].map((c) => c.charCodeAt(0));
  const expanded = [...chars.map((c) => c >> 5), 0, ...chars.map((c) => c & 31)];
  let sum = 1;
  for (const value of [...expanded, ...words, 0, 0, 0, 0, 0, 0]) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].forEach((factor, i) => { if ((top >> i) & 1) sum ^= factor; });
  }
  sum ^= 1;
  const check = Array.from({ length: 6 }, (_, i) => (sum >>> (5 * (5 - i))) & 31);
  return `${prefix}1${[...words, ...check].map((word) => LETTERS[word]).join("")}`;
}

const hex = (bytes: Uint8Array) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
const unhex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** Whether this tab has a test key already. */
export const hasTestKey = () => sessionStorage.getItem(KEPT) !== null;

/** A key of this tab alone, for development networks: it is gone when the tab is closed. */
export function testSigner(): Signer {
  const held = sessionStorage.getItem(KEPT);
  const secret = held && /^[0-9a-f]{64}$/.test(held) ? unhex(held) : secp256k1.utils.randomSecretKey();
  sessionStorage.setItem(KEPT, hex(secret));
  const key = secp256k1.getPublicKey(secret, true);
  const address = bech32("allo", ripemd160(sha256(key)));
  return {
    name: "test wallet of this tab",
    address,
    sign: async (deed, terms) => {
      const { body, auth } = parts(deed, BigInt(terms.account.sequence), key, DIRECT, feeOf(terms));
      const doc = encode([{ at: 1, bytes: body }, { at: 2, bytes: auth }, { at: 3, text: terms.chainId }, { at: 4, whole: BigInt(terms.account.account_number) }]);
      // Signs the SHA-256 of the document; the lower of the two s, as chains of this family want it.
      return raw(body, auth, secp256k1.sign(doc, secret, { prehash: true, lowS: true }));
    },
  };
}

/** Keplr, told about this chain first where it does not know it. A key on a Ledger signs JSON, any other bytes. */
export async function keplrSigner(keplr: Keplr, chainId: string, card: unknown): Promise<Signer> {
  await keplr.experimentalSuggestChain(card);
  await keplr.enable(chainId);
  const { bech32Address: address, pubKey, name, isNanoLedger } = await keplr.getKey(chainId);
  const bytes = (base64: string) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const direct = async (deed: Deed, terms: Terms) => {
    const { body, auth } = parts(deed, BigInt(terms.account.sequence), pubKey, DIRECT, feeOf(terms));
    const doc = { bodyBytes: body, authInfoBytes: auth, chainId: terms.chainId, accountNumber: BigInt(terms.account.account_number) };
    const { signed, signature } = await keplr.signDirect(chainId, address, doc, { preferNoSetFee: true });
    return raw(signed.bodyBytes, signed.authInfoBytes, bytes(signature.signature));
  };
  const amino = async (deed: Deed, terms: Terms) => {
    const { signed, signature } = await keplr.signAmino(chainId, address, aminoDoc(deed, terms), { preferNoSetFee: true });
    // What was signed is what is sent: the fee and the memo may have been changed in the wallet.
    const fee = { uallo: signed.fee.amount[0]?.amount ?? "0", gas: BigInt(signed.fee.gas) };
    const { body, auth } = parts(deed, BigInt(signed.sequence), pubKey, AMINO, fee, signed.memo);
    return raw(body, auth, bytes(signature.signature));
  };
  return { name: `Keplr, ${name}${isNanoLedger ? ", on a Ledger" : ""}`, address, sign: isNanoLedger ? amino : direct };
}

const ALLO = 10n ** 18n;

/** What was typed as ALLO, in uallo; none if it is no amount. */
export function amount(text: string): bigint | null {
  const found = /^(\d{1,12})(?:[.,](\d{1,18}))?$/.exec(text.trim());
  if (!found) return null;
  const value = BigInt(found[1] ?? "0") * ALLO + BigInt((found[2] ?? "").padEnd(18, "0"));
  return value > 0n ? value : null;
}

/** What was typed of a subnet's token, in 10^-9 of it; none if it is no amount or has more digits than there are. */
export function units(text: string): bigint | null {
  const value = amount(text);
  return value !== null && value % 10n ** 9n === 0n ? value / 10n ** 9n : null;
}

const from = (sender: string, name = "sender"): Named => ({ at: 1, name, text: sender });
const ofTopic = (topic: number): Named => ({ at: 2, name: "topic_id", whole: topic });
const reputerAmount = (reputer: string, uallo: bigint): Named[] => [{ at: 3, name: "reputer", text: reputer }, { at: 4, name: "amount", text: String(uallo) }];
const ofDelegator = (sender: string, operator: string): Named[] => [from(sender, "delegator_address"), { at: 2, name: "validator_address", text: operator }];
const trade = (sender: string, hotkey: string, netuid: number, amount: string, limit: string): Named[] => [
  from(sender), { at: 2, name: "hotkey", text: hotkey }, { at: 3, name: "netuid", small: netuid }, { at: 4, name: "amount", text: amount }, { at: 5, name: "limit_price", text: limit },
];

export const fund = (sender: string, topic: number, uallo: bigint): Deed =>
  ({ type: "/dodona.topics.v1.MsgFundTopic", fields: [from(sender), ofTopic(topic), { at: 3, name: "amount", text: String(uallo) }] });
export const backReputer = (sender: string, topic: number, reputer: string, uallo: bigint): Deed =>
  ({ type: "/dodona.topics.v1.MsgDelegateStake", fields: [from(sender), ofTopic(topic), ...reputerAmount(reputer, uallo)] });
export const leaveReputer = (sender: string, topic: number, reputer: string, uallo: bigint): Deed =>
  ({ type: "/dodona.topics.v1.MsgRemoveDelegateStake", fields: [from(sender), ofTopic(topic), ...reputerAmount(reputer, uallo)] });
export const collectFromReputer = (sender: string, topic: number, reputer: string): Deed =>
  ({ type: "/dodona.topics.v1.MsgClaimDelegateRewards", fields: [from(sender), ofTopic(topic), { at: 3, name: "reputer", text: reputer }] });
export const delegate = (sender: string, operator: string, uallo: bigint): Deed =>
  ({ type: "/cosmos.staking.v1beta1.MsgDelegate", fields: [...ofDelegator(sender, operator), { at: 3, name: "amount", coin: uallo }] });
export const undelegate = (sender: string, operator: string, uallo: bigint): Deed =>
  ({ type: "/cosmos.staking.v1beta1.MsgUndelegate", fields: [...ofDelegator(sender, operator), { at: 3, name: "amount", coin: uallo }] });
export const collectReward = (sender: string, operator: string): Deed =>
  ({ type: "/cosmos.distribution.v1beta1.MsgWithdrawDelegatorReward", fields: ofDelegator(sender, operator) });
/** Buys for so many uallo, at this price or lower; without one, at any. */
export const stake = (sender: string, hotkey: string, netuid: number, uallo: bigint, limit: string): Deed =>
  ({ type: "/dodona.subnets.v1.MsgStake", fields: trade(sender, hotkey, netuid, String(uallo), limit) });
/** Sells so many 10^-9 of the subnet's token, or without an amount all, at this price or higher; without one, at any. */
export const unstake = (sender: string, hotkey: string, netuid: number, amount: bigint | null, limit: string): Deed =>
  ({ type: "/dodona.subnets.v1.MsgUnstake", fields: trade(sender, hotkey, netuid, amount === null ? "" : String(amount), limit) });
