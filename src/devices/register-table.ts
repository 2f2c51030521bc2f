/**
 * The rows of a table of registers as a model writes them, and as `Registers` uses them: checked, with masks
 * as pairs of 32-bit words.
 *
 * Past `checkTable` no two rows share a byte, every row ends below `TABLE_LIMIT`, and names are unique.
 */
import { hex, refuse } from '../linux/errno.js';
import { checkFlag, checkKeys, describe, isRecord, type NamesOf } from './checks.js';

/**
 * What a program may do with a register:
 *
 * - `ro`: it is read; writes are dropped.
 * - `rw`: it is read and written.
 * - `wo`: it is written; reads find nothing there. It keeps no value: `write` is all that it has.
 * - `w1c`: it is read; ones that are written clear bits, zeros leave them.
 * - `rc`: the bytes that are read are 0 afterwards; writes go to `write`, or are dropped.
 */
export type RegisterAccess = 'ro' | 'rw' | 'wo' | 'w1c' | 'rc';

/** One register, or an array of `count` registers, `stride` bytes apart. */
export interface RegisterDescription {
  /** Unique. In the name of an array, `[]` is where the index goes: `WQCFG[].SIZE`. */
  readonly name: string;
  /** Bytes from the start of the BAR; of the first one of an array. */
  readonly offset: number;
  /** Bytes. Values are little-endian. */
  readonly width: 1 | 2 | 4 | 8;
  /** What a program may do with it. */
  readonly access: RegisterAccess;
  /** The value after a reset, unsigned; 0 when absent. */
  readonly reset?: number | bigint;
  /** The bits that writes may change (`rw`, `w1c`) or reach `write` with (`wo`, `rc`); absent: all. */
  readonly bits?: number | bigint;
  /** How many, of an array. */
  readonly count?: number;
  /** Bytes from one register of an array to the next, at least `width`, which it is when absent. */
  readonly stride?: number;
  /**
   * The lengths of accesses that reach it, and then only when they begin at its offset. For others it is not
   * there. Absent: every access that touches it reaches it.
   */
  readonly sizes?: readonly number[];
  /** Writes that cover only a part of it are dropped: doorbells, commands. */
  readonly whole?: boolean;
  /** While true, writes are dropped. Not for `ro`. */
  locked?(index: number): boolean;
  /** Called before bytes of it are read: it may `set` what will be found. Not for `wo`. */
  read?(index: number): void;
  /**
   * Called with its new value, in two unsigned words (`high` is 0 below 64 bits), instead of storing it: who
   * wants it stored calls `set`. For `wo` and `rc` the value is what was written, with zeros for the bytes
   * that were not. Not for `ro`.
   * @returns false when the device cannot take the write now; nothing has changed then.
   */
  write?(low: number, high: number, index: number): boolean | void;
}

/** A row as `Registers` uses it. */
export interface RegisterRow {
  readonly description: RegisterDescription;
  readonly offset: number;
  readonly width: number;
  readonly access: RegisterAccess;
  readonly count: number;
  readonly stride: number;
  readonly bitsLow: number;
  readonly bitsHigh: number;
  readonly resetLow: number;
  readonly resetHigh: number;
}

/** Bytes of a BAR that a table can describe. */
export const TABLE_LIMIT = 16 * 1024 * 1024;

const rowKeys: NamesOf<RegisterDescription> = {
  name: 0,
  offset: 0,
  width: 0,
  access: 0,
  reset: 0,
  bits: 0,
  count: 0,
  stride: 0,
  sizes: 0,
  whole: 0,
  locked: 0,
  read: 0,
  write: 0,
};
/** Of accesses that reach a model; 64 of them in a portal. */
const LENGTHS: readonly unknown[] = [1, 2, 4, 8, 64];
const HANDLERS = ['locked', 'read', 'write'] as const;
const ROW_LIMIT = 0xffff;
const WORD = 0xffffffffn;

/**
 * The rows of `table`, and the owner of each byte up to the end of the last register: 1 + the number of its
 * row, or 0.
 * @throws Refusal EINVAL naming the register that cannot be as it is described.
 */
export function checkTable(table: readonly RegisterDescription[]): {
  readonly rows: readonly RegisterRow[];
  readonly owners: Uint16Array;
} {
  if (!Array.isArray(table)) refuse('EINVAL', `a table of registers is ${describe(table)}, not an array`);
  if (table.length > ROW_LIMIT) refuse('EINVAL', `a table of ${table.length} rows, more than ${ROW_LIMIT}`);
  const rows = table.map(checkRow);
  const owners = new Uint16Array(rows.reduce((end, row) => Math.max(end, endOf(row)), 0));
  const names = new Set<string>();
  for (const [i, row] of rows.entries()) {
    const { name } = row.description;
    if (names.has(name)) refuse('EINVAL', `two registers are called "${name}"`);
    names.add(name);
    for (let index = 0; index < row.count; index++) {
      const start = row.offset + index * row.stride;
      for (let byte = start; byte < start + row.width; byte++) {
        const taken = owners[byte]!;
        if (taken !== 0)
          refuse('EINVAL', `registers "${rows[taken - 1]!.description.name}" and "${name}" overlap`);
        owners[byte] = i + 1;
      }
    }
  }
  return { rows, owners };
}

function endOf(row: RegisterRow): number {
  return row.offset + (row.count - 1) * row.stride + row.width;
}

function checkRow(description: RegisterDescription, place: number): RegisterRow {
  const which = `row ${place} of the table of registers`;
  if (!isRecord(description)) refuse('EINVAL', `${which} is ${describe(description)}, not a register`);
  const { name, offset, width, access, count = 1, stride = width, whole } = description;
  if (typeof name !== 'string' || name === '') refuse('EINVAL', `${which} has no name`);
  checkKeys(`register "${name}"`, description, rowKeys);
  checkFlag(`whole of register "${name}"`, whole);
  if (![1, 2, 4, 8].includes(width)) wrong(name, `width ${width} is not 1, 2, 4 or 8 bytes`);
  if (!['ro', 'rw', 'wo', 'w1c', 'rc'].includes(access))
    wrong(name, `access "${access}" is not ro, rw, wo, w1c or rc`);
  checkInteger(name, 'offset', offset, 0);
  checkInteger(name, 'count', count, 1);
  checkInteger(name, 'stride', stride, width);
  if ((description.count === undefined) === name.includes('[]'))
    wrong(name, 'an array, and nothing else, has a count, and [] in its name for the index');
  checkHandlers(description);
  const [bitsLow, bitsHigh] = words(description, 'bits', -1);
  const [resetLow, resetHigh] = words(description, 'reset', 0);
  const row = { description, offset, width, access, count, stride, bitsLow, bitsHigh, resetLow, resetHigh };
  if (endOf(row) > TABLE_LIMIT)
    wrong(name, `it ends at ${hex(endOf(row))}, beyond the ${hex(TABLE_LIMIT)} bytes of a table`);
  return row;
}

/** Every handler that is there can be called, and every register does something. */
function checkHandlers(description: RegisterDescription): void {
  const { name, access, sizes, locked, read, write } = description;
  for (const kind of HANDLERS) {
    const handler: unknown = description[kind];
    if (handler !== undefined && typeof handler !== 'function') wrong(name, `${kind} is not a function`);
  }
  if (access === 'ro' && write !== undefined) wrong(name, 'it is ro, so its write would never be called');
  if (access === 'ro' && locked !== undefined) wrong(name, 'it is ro, so there is nothing to lock');
  if (access === 'wo' && read !== undefined) wrong(name, 'it is wo, so its read would never be called');
  if (access === 'wo' && write === undefined) wrong(name, 'it is wo, and has no write to be called');
  if (sizes !== undefined && !(Array.isArray(sizes) && sizes.some((size) => LENGTHS.includes(size))))
    wrong(name, 'its sizes name no length of an access that would reach it');
}

/** The low and the high word of a value of at most `width` bytes, as int32. Those of `absent` repeat. */
function words(
  description: RegisterDescription,
  field: 'bits' | 'reset',
  absent: 0 | -1,
): [low: number, high: number] {
  const { name, width, [field]: given } = description;
  if (given === undefined)
    return [width < 4 ? absent & (2 ** (8 * width) - 1) : absent, width < 8 ? 0 : absent];
  if (typeof given === 'number' && !Number.isSafeInteger(given))
    wrong(name, `${field} ${given} is not exact`);
  if (typeof given !== 'number' && typeof given !== 'bigint') wrong(name, `${field} is not a number`);
  const value = BigInt(given);
  if (BigInt.asUintN(8 * width, value) !== value)
    wrong(name, `${field} 0x${value.toString(16)} does not fit in ${width} bytes`);
  return [Number(value & WORD) | 0, Number(value >> 32n) | 0];
}

function checkInteger(name: string, field: string, value: unknown, least: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= TABLE_LIMIT) return;
  wrong(name, `${field} ${String(value)} is not an integer from ${least} to ${hex(TABLE_LIMIT)}`);
}

function wrong(name: string, what: string): never {
  return refuse('EINVAL', `register "${name}": ${what}`);
}
