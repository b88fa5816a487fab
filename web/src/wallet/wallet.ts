// What signs: a test wallet whose key never leaves this tab, or Keplr. A file of its own, loaded when somebody signs.
// Curve and hashes are the audited noble libraries; the few messages that can be sent are written here byte by byte.
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { ripemd160 } from "@noble/hashes/legacy.js";
import { sha256 } from "@noble/hashes/sha2.js";

/** A message: its type, and its fields in the order of their numbers. */
export interface Deed { type: string; fields: Field[] }
export type Field = { at: number; text: string } | { at: number; whole: number | bigint } | { at: number; bytes: Uint8Array };

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
  getKey(chainId: string): Promise<{ bech32Address: string; pubKey: Uint8Array; name: string }>;
  signDirect(chainId: string, address: string, doc: { bodyBytes: Uint8Array; authInfoBytes: Uint8Array; chainId: string; accountNumber: bigint },
    options?: { preferNoSetFee?: boolean }): Promise<{ signed: { bodyBytes: Uint8Array; authInfoBytes: Uint8Array }; signature: { signature: string } }>;
}

const KEPT = "dodona-test-key";

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

const coin = (amount: bigint) => encode([{ at: 1, text: "uallo" }, { at: 2, text: String(amount) }]);
const any = (type: string, value: Uint8Array) => encode([{ at: 1, text: type }, { at: 2, bytes: value }]);

/** Body and authorisation of a transaction of one message, to be signed directly. */
function parts(deed: Deed, terms: Terms, publicKey: Uint8Array): { body: Uint8Array; auth: Uint8Array } {
  const body = encode([{ at: 1, bytes: any(deed.type, encode(deed.fields)) }]);
  const key = any("/cosmos.crypto.secp256k1.PubKey", encode([{ at: 1, bytes: publicKey }]));
  const mode = encode([{ at: 1, bytes: encode([{ at: 1, whole: 1 }]) }]);
  const signer = encode([{ at: 1, bytes: key }, { at: 2, bytes: mode }, { at: 3, whole: BigInt(terms.account.sequence) }]);
  const fee = encode([{ at: 1, bytes: coin(BigInt(Math.ceil(terms.gas * terms.gasPrice))) }, { at: 2, whole: terms.gas }]);
  return { body, auth: encode([{ at: 1, bytes: signer }, { at: 2, bytes: fee }]) };
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
      const { body, auth } = parts(deed, terms, key);
      const doc = encode([{ at: 1, bytes: body }, { at: 2, bytes: auth }, { at: 3, text: terms.chainId }, { at: 4, whole: BigInt(terms.account.account_number) }]);
      // Signs the SHA-256 of the document; the lower of the two s, as chains of this family want it.
      return raw(body, auth, secp256k1.sign(doc, secret, { prehash: true, lowS: true }));
    },
  };
}

/** Keplr, told about this chain first where it does not know it. */
export async function keplrSigner(keplr: Keplr, chainId: string, card: unknown): Promise<Signer> {
  await keplr.experimentalSuggestChain(card);
  await keplr.enable(chainId);
  const { bech32Address: address, pubKey, name } = await keplr.getKey(chainId);
  return {
    name: `Keplr, ${name}`,
    address,
    sign: async (deed, terms) => {
      const { body, auth } = parts(deed, terms, pubKey);
      const doc = { bodyBytes: body, authInfoBytes: auth, chainId: terms.chainId, accountNumber: BigInt(terms.account.account_number) };
      const { signed, signature } = await keplr.signDirect(chainId, address, doc, { preferNoSetFee: true });
      return raw(signed.bodyBytes, signed.authInfoBytes, Uint8Array.from(atob(signature.signature), (c) => c.charCodeAt(0)));
    },
  };
}

const ALLO = 10n ** 18n;

/** What was typed as ALLO, in uallo; none if it is no amount. */
export function amount(text: string): bigint | null {
  const found = /^(\d{1,12})(?:[.,](\d{1,18}))?$/.exec(text.trim());
  if (!found) return null;
  const value = BigInt(found[1] ?? "0") * ALLO + BigInt((found[2] ?? "").padEnd(18, "0"));
  return value > 0n ? value : null;
}

export const fund = (sender: string, topic: number, uallo: bigint): Deed =>
  ({ type: "/dodona.topics.v1.MsgFundTopic", fields: [{ at: 1, text: sender }, { at: 2, whole: topic }, { at: 3, text: String(uallo) }] });
export const backReputer = (sender: string, topic: number, reputer: string, uallo: bigint): Deed =>
  ({ type: "/dodona.topics.v1.MsgDelegateStake", fields: [{ at: 1, text: sender }, { at: 2, whole: topic }, { at: 3, text: reputer }, { at: 4, text: String(uallo) }] });
export const delegate = (sender: string, operator: string, uallo: bigint): Deed =>
  ({ type: "/cosmos.staking.v1beta1.MsgDelegate", fields: [{ at: 1, text: sender }, { at: 2, text: operator }, { at: 3, bytes: coin(uallo) }] });
export const stake = (sender: string, hotkey: string, netuid: number, uallo: bigint): Deed =>
  ({ type: "/dodona.subnets.v1.MsgStake", fields: [{ at: 1, text: sender }, { at: 2, text: hotkey }, { at: 3, whole: netuid }, { at: 4, text: String(uallo) }] });
export const undelegate = (sender: string, operator: string, uallo: bigint): Deed =>
  ({ type: "/cosmos.staking.v1beta1.MsgUndelegate", fields: [{ at: 1, text: sender }, { at: 2, text: operator }, { at: 3, bytes: coin(uallo) }] });
export const collectReward = (sender: string, operator: string): Deed =>
  ({ type: "/cosmos.distribution.v1beta1.MsgWithdrawDelegatorReward", fields: [{ at: 1, text: sender }, { at: 2, text: operator }] });
export const leaveReputer = (sender: string, topic: number, reputer: string, uallo: bigint): Deed =>
  ({ type: "/dodona.topics.v1.MsgRemoveDelegateStake", fields: [{ at: 1, text: sender }, { at: 2, whole: topic }, { at: 3, text: reputer }, { at: 4, text: String(uallo) }] });
export const collectFromReputer = (sender: string, topic: number, reputer: string): Deed =>
  ({ type: "/dodona.topics.v1.MsgClaimDelegateRewards", fields: [{ at: 1, text: sender }, { at: 2, whole: topic }, { at: 3, text: reputer }] });
