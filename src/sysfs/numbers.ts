/**
 * Numbers as Linux reads them from text and writes them as text in sysfs (lib/kstrtox.c, lib/bitmap-str.c).
 *
 * A text that is no such number is undefined, or the errno where Linux has two of them.
 */

const WIDE = 64;
const CHUNK_DIGITS = 8;
const CHUNK_BITS = 32n;

/** What a text may be besides a number. */
export type NoNumber = 'EINVAL' | 'ERANGE';

/**
 * A whole number, with a sign if one likes, and a newline at its end. Base 0 takes 0x for hexadecimal and 0
 * for octal numbers, base 10 decimal ones alone.
 */
function integer(text: string, base: 0 | 10): bigint | undefined {
  const [, sign, digits] = /^([+-]?)(0x[0-9a-f]+|[0-9]+)\n?$/i.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const isHex = /x/i.test(digits);
  const isOctal = base === 0 && !isHex && digits.startsWith('0');
  if (base === 10 ? isHex : isOctal && !/^[0-7]+$/.test(digits)) return undefined;
  const value = BigInt(isOctal ? `0o${digits}` : digits);
  return sign === '-' ? -value : value;
}

/** kstrtoul, kstrtou64: 0 to 2^64 - 1. */
export function unsigned(text: string, base: 0 | 10 = 10): bigint | undefined {
  const value = text.startsWith('-') ? undefined : integer(text, base);
  return value === undefined || value >= 2n ** BigInt(WIDE) ? undefined : value;
}

/** kstrtol: -2^63 to 2^63 - 1. As a number, which is near enough for what is far out of any range. */
export function signed(text: string): number | undefined {
  const value = integer(text, 10);
  const bound = 2n ** BigInt(WIDE - 1);
  return value === undefined || value < -bound || value >= bound ? undefined : Number(value);
}

/** kstrtouint: 0 to 2^32 - 1. */
export function unsigned32(text: string, base: 0 | 10 = 10): number | NoNumber {
  const value = text.startsWith('-') ? undefined : integer(text, base);
  if (value === undefined) return 'EINVAL';
  return value >= 2n ** CHUNK_BITS ? 'ERANGE' : Number(value);
}

/** kstrtobool: only how it begins counts. */
export function truth(text: string): boolean | undefined {
  if (/^([eyt1]|on)/i.test(text)) return true;
  return /^([dnf0]|of)/i.test(text) ? false : undefined;
}

/** sysfs_streq: one of `words`, with or without a newline. */
export function word<T extends string>(text: string, words: readonly T[]): T | undefined {
  return words.find((each) => text === each || text === `${each}\n`);
}

/**
 * bitmap_parse: 32 bits in hexadecimal at a time, the highest first, with commas or spaces between them; an
 * empty one is 0. Linux does not look at a character before eight digits that is none.
 */
export function bitmap(text: string, bits: number): bigint | 'EINVAL' | 'EOVERFLOW' {
  const line = text.split('\n', 1)[0]!;
  let end = line.length;
  let value = 0n;
  for (let chunk = 0; ; chunk++) {
    while (end > 0 && isBetween(line[end - 1]!)) end--;
    if (end === 0) return value;
    if (chunk * Number(CHUNK_BITS) >= bits) return 'EOVERFLOW';
    let start = end;
    while (start > 0 && end - start < CHUNK_DIGITS && !isBetween(line[start - 1]!)) start--;
    if (!/^[0-9a-f]+$/i.test(line.slice(start, end))) return 'EINVAL';
    value |= BigInt(`0x${line.slice(start, end)}`) << (CHUNK_BITS * BigInt(chunk));
    const before = line[start - 1];
    if (before !== undefined && !isBetween(before)) {
      if (/[0-9a-f]/i.test(before)) return 'EOVERFLOW';
      start--;
    }
    end = start;
  }
}

/** Is it between two numbers of a bitmap? */
function isBetween(character: string): boolean {
  return /[\s,]/.test(character);
}

/** `%*pb`: `bits` of `value` in hexadecimal, 32 of them at a time, the highest first. */
export function bitmapText(value: bigint, bits: number): string {
  const digits = value.toString(16).padStart(Math.ceil(bits / 4), '0');
  return digits.replace(/(?<=.)(?=(.{8})+$)/g, ',');
}

/** `%*pbl`: the numbers of the bits of `value`, `0-3,8`. */
export function rangesText(value: bigint): string {
  const runs = [...value.toString(2).split('').reverse().join('').matchAll(/1+/g)];
  return runs
    .map(({ 0: run, index }) => (run.length === 1 ? `${index}` : `${index}-${index + run.length - 1}`))
    .join(',');
}

/** `%#x`. */
export function hexText(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
