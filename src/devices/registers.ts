/**
 * Registers: a table of what a BAR has, and the values behind it.
 *
 * The values lie in one byte image at their own offsets, little-endian. An access is cut into the registers
 * that it touches, in ascending order; each is read or written by the bytes that the access covers, as its
 * row says. So sixteen bits of a register, or two registers at once, need no code in a model.
 *
 * A program changes the image only through the access of its row; the model, by `set` and `reset`, as it
 * likes. Accesses allocate nothing. Rules in full: docs/devices.md, "Registers as a table".
 */
import { hex, refuse } from '../linux/errno.js';
import { describe } from './checks.js';
import { checkTable, type RegisterDescription, type RegisterRow } from './register-table.js';

export type { RegisterAccess, RegisterDescription } from './register-table.js';

/** The registers of a BAR, as a table and their values (docs/devices.md, "Registers as a table"). */
export class Registers {
  readonly #rows: readonly RegisterRow[];
  /** For each byte, 1 + the number of its row, or 0. */
  readonly #owners: Uint16Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #nothing: number;
  /** What is written of one register, at its place in it, and ones where it is written. */
  readonly #written = new DataView(new ArrayBuffer(8));
  readonly #mask = new DataView(new ArrayBuffer(8));

  /**
   * Registers with the values of a reset.
   * @param nothing what is read where there is no register.
   * @throws Refusal EINVAL naming the register that cannot be as it is described.
   */
  constructor(table: readonly RegisterDescription[], nothing: 'zeros' | 'ones' = 'zeros') {
    const { rows, owners } = checkTable(table);
    if (nothing !== 'zeros' && nothing !== 'ones')
      refuse('EINVAL', `where there is no register ${describe(nothing)} is read, not "zeros" or "ones"`);
    this.#rows = rows;
    this.#owners = owners;
    this.#bytes = new Uint8Array(owners.length);
    this.#view = new DataView(this.#bytes.buffer);
    this.#nothing = nothing === 'ones' ? 0xff : 0;
    this.reset();
  }

  /** The value of the register at `offset`, unsigned; one of 64 bits is inexact from 2^53 on. */
  get(offset: number): number {
    return this.low(offset) + this.high(offset) * 2 ** 32;
  }

  /** The lower 32 bits of the register at `offset`, unsigned. */
  low(offset: number): number {
    return this.#word(this.#beginningAt(offset), offset);
  }

  /** The upper 32 bits of the register at `offset`, unsigned; 0 when it has no more than 32. */
  high(offset: number): number {
    return this.#beginningAt(offset).width === 8 ? this.#view.getUint32(offset + 4, true) : 0;
  }

  /**
   * Stores a value as the device itself: no access rule applies, no handler is called, and what does not fit
   * is cut off. A number from 2^32 on brings its upper word with it.
   */
  set(offset: number, low: number, high = low < 2 ** 32 ? 0 : Math.floor(low / 2 ** 32)): void {
    const { width } = this.#beginningAt(offset);
    this.#store(offset, width, low, high);
  }

  /** Gives the registers that begin in [from, to) their reset values; all, when nothing is said. */
  reset(from = 0, to = this.#bytes.length): void {
    for (const row of this.#rows) {
      for (let index = 0, at = row.offset; index < row.count; index++, at += row.stride)
        if (at >= from && at < to) this.#store(at, row.width, row.resetLow, row.resetHigh);
    }
  }

  /** What the byte at `offset` belongs to, for traces: `STATUS`, `WQCFG[3].SIZE`, `STATUS+2`. */
  nameOf(offset: number): string | undefined {
    const row = this.#rowAt(offset);
    if (row === undefined) return undefined;
    const index = Math.floor((offset - row.offset) / row.stride);
    const within = (offset - row.offset) % row.stride;
    return row.description.name.replace('[]', `[${index}]`) + (within === 0 ? '' : `+${within}`);
  }

  /** A program reads `target.length` bytes at `offset`. Fills all of `target`. */
  read(offset: number, target: Uint8Array): void {
    const end = offset + target.length;
    for (let at = offset; at < end; ) {
      const row = this.#rowAt(at);
      const start = row === undefined ? at : startOf(row, at);
      const stop = row === undefined ? at + 1 : Math.min(start + row.width, end);
      if (row !== undefined && row.access !== 'wo' && reaches(row, start, offset, target.length))
        this.#readPart(row, start, at, stop, target, at - offset);
      else target.fill(this.#nothing, at - offset, stop - offset);
      at = stop;
    }
  }

  /**
   * A program writes `source` at `offset`. What belongs to no register is dropped.
   * @returns false when a register cannot take it now: it and those after it are as before.
   */
  write(offset: number, source: Uint8Array): boolean {
    const end = offset + source.length;
    for (let at = offset; at < end; ) {
      const row = this.#rowAt(at);
      const start = row === undefined ? at : startOf(row, at);
      const stop = row === undefined ? at + 1 : Math.min(start + row.width, end);
      if (row !== undefined && reaches(row, start, offset, source.length)) {
        if (!this.#writePart(row, start, at, stop, source, at - offset)) return false;
      }
      at = stop;
    }
    return true;
  }

  /** The bytes [at, stop) of the register that begins at `start`. */
  #readPart(
    row: RegisterRow,
    start: number,
    at: number,
    stop: number,
    target: Uint8Array,
    place: number,
  ): void {
    row.description.read?.((start - row.offset) / row.stride);
    for (let i = at; i < stop; i++) {
      target[place + i - at] = this.#bytes[i]!;
      if (row.access === 'rc') this.#bytes[i] = 0;
    }
  }

  /** As #readPart. @returns false when the register cannot take it now. */
  #writePart(
    row: RegisterRow,
    start: number,
    at: number,
    stop: number,
    source: Uint8Array,
    place: number,
  ): boolean {
    const { description, width, access } = row;
    const index = (start - row.offset) / row.stride;
    if (description.whole === true && stop - at < width) return true;
    if (description.locked?.(index) === true) return true;
    this.#takeBytes(start, at, stop, source, place);
    const low = this.#newWord(row, start, 0, row.bitsLow);
    const high = width === 8 ? this.#newWord(row, start, 4, row.bitsHigh) : 0;
    if (description.write !== undefined) return description.write(low, high, index) !== false;
    if (access === 'rw' || access === 'w1c') this.#store(start, width, low, high);
    return true;
  }

  /** Puts bytes [at, stop) of the register at `start` into #written, and which they are into #mask. */
  #takeBytes(start: number, at: number, stop: number, source: Uint8Array, place: number): void {
    for (let i = 0; i < 8; i++) {
      const covered = start + i >= at && start + i < stop;
      this.#written.setUint8(i, covered ? source[place + start + i - at]! : 0);
      this.#mask.setUint8(i, covered ? 0xff : 0);
    }
  }

  /** The word at byte `half` of a register after the write, unsigned. */
  #newWord(row: RegisterRow, start: number, half: number, bits: number): number {
    const written = this.#written.getUint32(half, true) & bits;
    if (row.access === 'wo' || row.access === 'rc') return written >>> 0;
    const old = this.#word(row, start + half);
    if (row.access === 'w1c') return (old & ~written) >>> 0;
    const mask = this.#mask.getUint32(half, true) & bits;
    return ((old & ~mask) | written) >>> 0;
  }

  /** The word at `at`, or as much of it as the register has. */
  #word(row: RegisterRow, at: number): number {
    if (row.width === 1) return this.#view.getUint8(at);
    return row.width === 2 ? this.#view.getUint16(at, true) : this.#view.getUint32(at, true);
  }

  #store(at: number, width: number, low: number, high: number): void {
    if (width === 1) this.#view.setUint8(at, low);
    else if (width === 2) this.#view.setUint16(at, low, true);
    else this.#view.setUint32(at, low, true);
    if (width === 8) this.#view.setUint32(at + 4, high, true);
  }

  #rowAt(offset: number): RegisterRow | undefined {
    const owner = this.#owners[offset];
    return owner === undefined || owner === 0 ? undefined : this.#rows[owner - 1];
  }

  /** @throws RangeError when no register begins there: the model asks for one that it has not described. */
  #beginningAt(offset: number): RegisterRow {
    const row = this.#rowAt(offset);
    if (row === undefined || (offset - row.offset) % row.stride !== 0)
      throw new RangeError(`no register begins at offset ${hex(offset)}`);
    return row;
  }
}

/** Where the register of `row` begins that has the byte `at`. */
function startOf(row: RegisterRow, at: number): number {
  return at - ((at - row.offset) % row.stride);
}

/** Does an access of `length` bytes at `offset` reach the register that begins at `start`? */
function reaches(row: RegisterRow, start: number, offset: number, length: number): boolean {
  const { sizes } = row.description;
  return sizes === undefined || (offset === start && sizes.includes(length));
}
