/**
 * The fields of a struct as data, by the tables of `uapi`: nothing about any struct is known here.
 */
import { hex } from '../linux/errno.js';
import type { Meaning, Names, Struct } from '../uapi/struct.js';
import type { Fields, FieldValue, NamedDescriptor } from './event.js';

/** What a descriptor of the caller's is, when the call has found out. */
export type Describe = (fd: number) => string | undefined;

/** The fields that lie in the first `known` bytes of `data`. */
export function fieldsOf(struct: Struct, data: Uint8Array, known: number, describe: Describe): Fields {
  const fields: Record<string, FieldValue> = {};
  for (const [name, type] of Object.entries(struct.types)) {
    const at = struct.at[name]!;
    if (at + type.size > known) break;
    // What is reserved is worth a word only when it is wrong.
    const value = type.get(data, at);
    if (/^(reserved|pad)/.test(name) && Number(value) === 0) continue;
    fields[name] = fieldValue(value, type.meaning, describe);
  }
  return fields;
}

/** The fields of `after` that are not as in `before`; undefined when all are. */
export function changedFields(before: Fields, after: Fields): Fields | undefined {
  const changed = Object.entries(after).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]),
  );
  return changed.length === 0 ? undefined : Object.fromEntries(changed);
}

/** A value as its meaning has it. */
export function fieldValue(value: unknown, meaning: Meaning | undefined, describe: Describe): FieldValue {
  if (typeof value === 'bigint') return hex(value);
  if (value instanceof Uint8Array) return meaning?.kind === 'bytes' ? bytesOf(value) : textOf(value);
  const number = Number(value);
  if (meaning?.kind === 'descriptor') return namedDescriptor(number, describe);
  if (meaning?.kind === 'value') return nameOf(meaning.names, number) ?? number;
  if (meaning?.kind === 'flags') return flagsOf(meaning, number);
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
