/**
 * The MSI-X table and pending bit array (PBA) of a device, as they appear in its BAR (PCI Local Bus 3.0
 * §6.8.2).
 *
 * Kept here for every device model. The messages written into the table go nowhere, because interrupts are
 * delivered to the eventfds of SET_IRQS; what counts is the mask bit of each entry: a masked vector that is
 * raised becomes pending instead. A pending bit is set only for a vector whose entry is masked, except within
 * a write that unmasks it.
 */
import type { PciDescription } from '../devices/device-model.js';

const ENTRY = 16;
const VECTOR_CONTROL = 12;
const MASKED = 1;

export class MsixTable {
  readonly vectors: number;
  readonly #bar: number;
  readonly #table: Uint8Array;
  readonly #pba: Uint8Array;
  readonly #tableOffset: number;
  readonly #pbaOffset: number;
  /** Where the owner of a BAR's bytes changes, ascending. */
  readonly #boundaries: readonly number[];

  constructor(msix: NonNullable<PciDescription['msix']>) {
    this.vectors = msix.vectors;
    this.#bar = msix.bar;
    this.#table = new Uint8Array(msix.vectors * ENTRY);
    this.#pba = new Uint8Array(Math.ceil(msix.vectors / 64) * 8);
    this.#tableOffset = msix.tableOffset;
    this.#pbaOffset = msix.pbaOffset;
    const edges = [
      this.#tableOffset,
      this.#tableOffset + this.#table.length,
      this.#pbaOffset,
      this.#pbaOffset + this.#pba.length,
    ];
    this.#boundaries = edges.sort((a, b) => a - b);
    this.reset();
  }

  /** Is byte `offset` of `bar` one of the table or of the PBA? */
  owns(bar: number, offset: number): boolean {
    return (
      bar === this.#bar &&
      (within(offset, this.#tableOffset, this.#table) || within(offset, this.#pbaOffset, this.#pba))
    );
  }

  /** The first offset after `offset`, but at most `end`, at which `owns` may change its answer. */
  boundary(bar: number, offset: number, end: number): number {
    if (bar !== this.#bar) return end;
    return Math.min(this.#boundaries.find((edge) => edge > offset) ?? end, end);
  }

  /** Reads from BAR offset `offset`; all of `target` lies in the table, or all of it in the PBA. */
  read(offset: number, target: Uint8Array): void {
    const [bytes, start] = within(offset, this.#tableOffset, this.#table)
      ? [this.#table, this.#tableOffset]
      : [this.#pba, this.#pbaOffset];
    target.set(bytes.subarray(offset - start, offset - start + target.length));
  }

  /**
   * Writes at BAR offset `offset`, under the same condition; the PBA ignores it.
   * @returns the vectors that were pending and are not masked any more; their pending bits are cleared.
   */
  write(offset: number, source: Uint8Array): number[] {
    if (!within(offset, this.#tableOffset, this.#table)) return [];
    const start = offset - this.#tableOffset;
    for (let i = 0; i < source.length; i++) {
      this.#table[start + i] = source[i]! & writableBits((start + i) % ENTRY);
    }
    const due = [];
    for (let vector = Math.floor(start / ENTRY); vector * ENTRY < start + source.length; vector++) {
      if (this.#takePending(vector)) due.push(vector);
    }
    return due;
  }

  masked(vector: number): boolean {
    return (this.#table[vector * ENTRY + VECTOR_CONTROL]! & MASKED) !== 0;
  }

  /**
   * Clears the mask bit, as the host does for a vector that gets a handler. @returns true when the vector was
   * pending.
   */
  unmask(vector: number): boolean {
    this.#table[vector * ENTRY + VECTOR_CONTROL]! &= ~MASKED;
    return this.#takePending(vector);
  }

  mask(vector: number): void {
    this.#table[vector * ENTRY + VECTOR_CONTROL]! |= MASKED;
  }

  setPending(vector: number): void {
    this.#pba[vector >>> 3]! |= 1 << (vector & 7);
  }

  clearPending(): void {
    this.#pba.fill(0);
  }

  /** As after power-on: every vector masked, none pending. */
  reset(): void {
    this.#table.fill(0);
    this.clearPending();
    for (let vector = 0; vector < this.vectors; vector++) this.mask(vector);
  }

  #takePending(vector: number): boolean {
    const bit = 1 << (vector & 7);
    if (this.masked(vector) || (this.#pba[vector >>> 3]! & bit) === 0) return false;
    this.#pba[vector >>> 3]! &= ~bit;
    return true;
  }
}

function within(offset: number, start: number, bytes: Uint8Array): boolean {
  return offset >= start && offset < start + bytes.length;
}

/**
 * The bits of byte `index` of an entry that a program may set: message addresses are aligned to 4, vector
 * control is the mask bit alone.
 */
function writableBits(index: number): number {
  if (index === 0) return 0xfc;
  if (index < VECTOR_CONTROL) return 0xff;
  return index === VECTOR_CONTROL ? MASKED : 0;
}
