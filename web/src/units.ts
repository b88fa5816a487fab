// How numbers are written: amounts with sensible digits and the exact value behind them, times, shares, names.

const UALLO = 10n ** 18n;

/** An amount in uallo as ALLO with four digits after the point, cut and never rounded up. */
export function allo(uallo: string | bigint): string {
  const amount = whole(uallo);
  const sign = amount < 0n ? "−" : "";
  const size = amount < 0n ? -amount : amount;
  const parts = (size % UALLO) / 10n ** 14n;
  const digits = parts.toString().padStart(4, "0");
  if (size > 0n && size < 10n ** 14n) return `${sign}<0.0001`;
  return `${sign}${group((size / UALLO).toString())}.${digits}`;
}

/** The amount to the last unit, for titles. */
export function exactAllo(uallo: string | bigint): string {
  const amount = whole(uallo);
  return `${amount / UALLO}.${(amount % UALLO).toString().padStart(18, "0")} ALLO = ${amount} uallo`;
}

/** An amount in 10^-9 of a token, as subnets count: four digits after the point, cut and never rounded up. */
export const token = (amount: string) => allo(whole(amount) * 10n ** 9n);

/** The same to the last unit, for titles. */
export function exactToken(text: string, unit: string): string {
  const amount = whole(text);
  return `${amount / 10n ** 9n}.${(amount % 10n ** 9n).toString().padStart(9, "0")} ${unit}`.trim();
}

export function whole(text: string | bigint): bigint {
  if (typeof text === "bigint") return text;
  return /^-?\d+$/.test(text) ? BigInt(text) : 0n;
}

function group(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** A measured number: five significant digits, or whole where it is large. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e9)) return value.toExponential(2).replace("e", "·10^").replace("+", "");
  const digits = size >= 10_000 ? 0 : size >= 100 ? 1 : size >= 1 ? 3 : 4;
  const [int = "", rest] = value.toFixed(digits).replace("-", "−").split(".");
  return rest === undefined ? group(int) : `${group(int)}.${rest}`;
}

export function percent(value: number | null | undefined, digits = 1): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const shown = value * 100;
  if (shown > 0 && shown < 0.05) return `<${(0.1).toFixed(digits)} %`;
  return `${shown.toFixed(digits)} %`;
}

/** The middle of a long name left out. */
export function short(text: string, head = 10, tail = 6): string {
  return text.length <= head + tail + 1 ? text : `${text.slice(0, head)}…${text.slice(-tail)}`;
}

/** Chain time, in UTC: the same for every reader. */
export function time(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
