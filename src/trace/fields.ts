/**
 * The fields of a struct as data, by the tables of `uapi`: nothing about any struct is known here.
 */
import { hex } from '../linux/errno.js';
import {
  type FieldType,
  getBig,
  getU32,
  getU64,
  type Meaning,
  type Names,
  type Struct,
  u64,
} from '../uapi/struct.js';
import type { Fields, FieldValue, NamedDescriptor } from './event.js';

/** High words of 64-bit fields below it make numbers that are exact. */
const HIGH = 2 ** 21;

/** What a descriptor of the caller's is, when the call has found out. */
export type Describe = (fd: number) => string | undefined;

/** A field of a struct, and where it lies. */
interface Place {
  readonly name: string;
  readonly at: number;
  readonly end: number;
  /** What is reserved is worth a word only when it is wrong. */
  readonly reserved: boolean;
  readonly type: FieldType;
}

const places = new WeakMap<Struct, readonly Place[]>();

function placesOf(struct: Struct): readonly Place[] {
  const known = places.get(struct);
  if (known !== undefined) return known;
  const found = Object.entries(struct.types).map(([name, type]) => {
    const at = struct.at[name]!;
    return { name, at, end: at + type.size, reserved: /^(reserved|pad)/.test(name), type };
  });
  places.set(struct, found);
  return found;
}

/** The fields that lie in the first `known` bytes of `data`. */
export function fieldsOf(struct: Struct, data: Uint8Array, known: number, describe: Describe): Fields {
  const fields: Record<string, FieldValue> = {};
  for (const place of placesOf(struct)) {
    if (place.end > known) break;
    if (!place.reserved || !isZero(data, place)) fields[place.name] = valueAt(data, place, describe);
  }
  return fields;
}

/** The fields of `after` that are not as in `before`; undefined when all are. */
export function changedFields(
  struct: Struct,
  before: Uint8Array,
  after: Uint8Array,
  describe: Describe,
): Fields | undefined {
  let changed: Record<string, FieldValue> | undefined;
  for (const place of placesOf(struct)) {
    if (place.end > after.length) break;
    if (place.end <= before.length && isSame(before, after, place)) continue;
    if (place.reserved && isZero(after, place)) continue;
    changed ??= {};
    changed[place.name] = valueAt(after, place, describe);
  }
  return changed;
}

function isZero(data: Uint8Array, { at, end }: Place): boolean {
  for (let n = at; n < end; n++) if (data[n] !== 0) return false;
  return true;
}

function isSame(one: Uint8Array, other: Uint8Array, { at, end }: Place): boolean {
  for (let n = at; n < end; n++) if (one[n] !== other[n]) return false;
  return true;
}

function valueAt(data: Uint8Array, { at, type }: Place, describe: Describe): FieldValue {
  // Most fields of 64 bits are addresses, for which no bigint has to be made.
  if (type.get === u64.get) return hex(getU32(data, at + 4) < HIGH ? getU64(data, at) : getBig(data, at));
  return fieldValue(type.get(data, at), type.meaning, describe);
}

/** A value as its meaning has it. */
export function fieldValue(value: unknown, meaning: Meaning | undefined, describe: Describe): FieldValue {
  if (typeof value === 'bigint') return hex(value);
  if (value instanceof Uint8Array) return meaning?.kind === 'bytes' ? bytesOf(value) : textOf(value);
  const number = Number(value);
  if (meaning?.kind === 'descriptor') return namedDescriptor(number, describe);
  if (meaning?.kind === 'value')
    return saidBefore(meaning, number, () => nameOf(meaning.names, number) ?? number);
  if (meaning?.kind === 'flags') return saidBefore(meaning, number, () => flagsOf(meaning, number));
  return number;
}

export function namedDescriptor(fd: number, describe: Describe): NamedDescriptor {
  const is = describe(fd);
  return is === undefined ? { fd } : { fd, is };
}

/** A text up to its NUL. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
}

/** In hexadecimal, up to the last that is not 0. */
function bytesOf(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes)
    .toString('hex')
    .replace(/(?<=..)(00)+$/, '')}`;
}

function nameOf(names: Names, value: number): string | undefined {
  return Object.keys(names).find((name) => names[name] === value);
}

/** Of most fields there are few values: what each says is made once. */
const MOST_SAID = 64;
const said = new WeakMap<Meaning, Map<number, FieldValue>>();

function saidBefore(meaning: Meaning, value: number, make: () => FieldValue): FieldValue {
  const values = said.get(meaning) ?? new Map<number, FieldValue>();
  const known = values.get(value);
  if (known !== undefined) return known;
  const made = make();
  if (values.size >= MOST_SAID) values.clear();
  said.set(meaning, values.set(value, made));
  return made;
}

/** What stands above the flags, those by their names, and what is left over as a number, last. */
function flagsOf({ names, above }: Meaning & { kind: 'flags' }, whole: number): string[] {
  if (above !== undefined) {
    const [high, low] = [whole >>> above.bit, whole & (2 ** above.bit - 1)];
    return [nameOf(above.names, high) ?? hex(high), ...flagsOf({ kind: 'flags', names }, low)];
  }
  return setFlags(names, whole);
}

function setFlags(names: Names, value: number): string[] {
  const set = Object.entries(names).filter(([, flag]) => flag !== 0 && (value & flag) === flag);
  const rest = set.reduce((left, [, flag]) => left & ~flag, value) >>> 0;
  return [...set.map(([name]) => name), ...(rest === 0 ? [] : [hex(rest)])];
}
