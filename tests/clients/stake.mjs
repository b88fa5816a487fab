// CosmJS as a delegator, signing once as programs do and once as hardware wallets do: stakes, sees rewards grow, collects
// them, takes half back, changes its mind; and every query of staking, distribution and slashing is read by its strict
// decoders. Usage: node stake.mjs http://HOST:PORT; prints what failed, and last how many steps there were.
import { Secp256k1HdWallet } from "@cosmjs/amino";
import { DirectSecp256k1HdWallet } from "@cosmjs/proto-signing";
import {
  GasPrice, QueryClient, SigningStargateClient, setupDistributionExtension, setupSlashingExtension, setupStakingExtension,
} from "@cosmjs/stargate";
import { Comet38Client } from "@cosmjs/tendermint-rpc";

const [endpoint] = process.argv.slice(2);
const ALLO = 10n ** 18n;
const coin = (amount) => ({ denom: "uallo", amount: (amount * ALLO).toString() });
const failed = [];
let steps = 0;

async function step(name, run, holds = () => true) {
  steps += 1;
  try {
    const got = await run();
    if (!holds(got)) {
      throw new Error(`unexpected answer ${JSON.stringify(got, (_, v) => (typeof v === "bigint" ? `${v}` : v))}`.slice(0, 600));
    }
    return got;
  } catch (error) {
    failed.push(`${name}: ${error}`);
  }
}

/** Asks until it holds, for half a minute. */
async function until(run, holds) {
  const end = Date.now() + 30_000;
  for (;;) {
    const got = await run();
    if (holds(got) || Date.now() > end) return got;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

const base = await Comet38Client.connect(endpoint);
const query = QueryClient.withExtensions(
  base, setupStakingExtension, setupDistributionExtension, setupSlashingExtension,
);
const { validators } = await query.staking.validators("BOND_STATUS_BONDED");
const validator = validators[0].operatorAddress;
await step("validator", () => query.staking.validator(validator), (a) => BigInt(a.validator.tokens) >= ALLO);
await step("pool", () => query.staking.pool(), (a) => BigInt(a.pool.bondedTokens) >= ALLO);
await step("params", () => query.staking.params(), (a) => a.params.bondDenom === "uallo" && a.params.unbondingTime.seconds > 0n);
await step("slashing params", () => query.slashing.params(), (a) => a.params.signedBlocksWindow > 0n);
const infos = await step("signing infos", () => query.slashing.signingInfos(), (a) => a.info.length >= 1);
await step("signing info", () => query.slashing.signingInfo(infos.info[0].address), (a) => !a.valSigningInfo.tombstoned);
await step("distribution params", () => query.distribution.params(), (a) => a.params.withdrawAddrEnabled);
await step("community pool", () => query.distribution.communityPool());
await step("outstanding", () => query.distribution.validatorOutstandingRewards(validator), (a) => a.rewards.rewards.length === 1);
await step("commission", () => query.distribution.validatorCommission(validator));
await step("slashes", () => query.distribution.validatorSlashes(validator, 0, 0), (a) => a.slashes.length === 0);

const kinds = { direct: DirectSecp256k1HdWallet, amino: Secp256k1HdWallet };
for (const [kind, Wallet] of Object.entries(kinds)) {
  const wallet = await Wallet.generate(12, { prefix: "allo" });
  const [{ address: me }] = await wallet.getAccounts();
  const client = await SigningStargateClient.createWithSigner(base, wallet, { gasPrice: GasPrice.fromString("1uallo") });
  const does = (name, ...rest) => step(`${kind} ${name}`, ...rest);
  const done = (sent) => sent.code === 0;
  const rewards = async () => BigInt((await query.distribution.delegationRewards(me, validator)).rewards[0]?.amount ?? 0);
  await does("purse", () => client.getBalance(me, "uallo"), (a) => BigInt(a.amount) > 0n);
  await does("getDelegation of nobody", () => client.getDelegation(me, validator), (a) => a === null);
  await does("delegateTokens", () => client.delegateTokens(me, validator, coin(100n), 2), done);
  await does("getDelegation", () => client.getDelegation(me, validator), (a) => a.amount === coin(100n).amount);
  await does("getBalanceStaked", () => client.getBalanceStaked(me), (a) => a.amount === coin(100n).amount);
  const first = await does("rewards", () => until(rewards, (r) => r > 0n), (r) => r > 0n);
  await does("rewards grow", () => until(rewards, (r) => r > first), (r) => r > first);
  await does("delegationTotalRewards", () => query.distribution.delegationTotalRewards(me), (a) => a.rewards.length === 1);
  await does("delegatorValidators", () => query.distribution.delegatorValidators(me), (a) => a.validators[0] === validator);
  await does("withdrawRewards", () => client.withdrawRewards(me, validator, 2), (sent) => done(sent) &&
    sent.events.some((e) => e.type === "withdraw_rewards" && e.attributes.some((a) => a.key === "amount" && a.value !== "0uallo")));
  const half = await does("undelegateTokens", () => client.undelegateTokens(me, validator, coin(50n), 2), done);
  await does("unbondingDelegation", () => query.staking.unbondingDelegation(me, validator),
    (a) => a.unbond.entries[0].balance === coin(50n).amount && Number(a.unbond.entries[0].creationHeight) === half.height);
  await does("delegatorUnbondingDelegations", () => query.staking.delegatorUnbondingDelegations(me),
    (a) => a.unbondingResponses.length === 1);
  const send = (typeUrl, value) => client.signAndBroadcast(me, [{ typeUrl, value }], 2);
  await does("cancel", () => send("/cosmos.staking.v1beta1.MsgCancelUnbondingDelegation", {
    delegatorAddress: me, validatorAddress: validator, amount: coin(20n), creationHeight: BigInt(half.height),
  }), done);
  await does("staked again", () => client.getDelegation(me, validator), (a) => a.amount === coin(70n).amount);
  await does("setWithdrawAddress", () => send("/cosmos.distribution.v1beta1.MsgSetWithdrawAddress", {
    delegatorAddress: me, withdrawAddress: me,
  }), done);
  await does("delegatorWithdrawAddress", () => query.distribution.delegatorWithdrawAddress(me), (a) => a.withdrawAddress === me);
  await does("redelegations", () => query.staking.redelegations(me, "", ""), (a) => a.redelegationResponses.length === 0);
  await does("delegatorDelegations", () => query.staking.delegatorDelegations(me), (a) => a.delegationResponses.length === 1);
  await does("delegatorValidators of staking", () => query.staking.delegatorValidators(me), (a) => a.validators.length === 1);
  await does("delegatorValidator", () => query.staking.delegatorValidator(me, validator), (a) => a.validator.operatorAddress === validator);
  await does("validatorDelegations", () => query.staking.validatorDelegations(validator), (a) => a.delegationResponses.length >= 2);
  await does("validatorUnbondingDelegations", () => query.staking.validatorUnbondingDelegations(validator),
    (a) => a.unbondingResponses.length >= 1);
}
base.disconnect();
for (const line of failed) console.log(line);
console.log(`${steps} steps`);
process.exit(failed.length === 0 ? 0 : 1);
