/**
 * Mappings: what one address space maps, by rising IOVA. It is the truth, of which a tree that hardware walks
 * (page-table.ts) is a copy.
 *
 * A single mapping is its slot and nothing else: where there are a million PASIDs, that is what most of them
 * have. With the second comes an index (mapping-index.ts), which stays.
 *
 * Invariants: mappings do not overlap; there is an index, or at most one mapping, never both.
 */
import { Granted } from './granted.js';
import { isBelow, MappingIndex, type Run } from './mapping-index.js';
import { halves, LAST_HI, NONE, OFFSET_HI, START_HI, split, type TableMemory } from './table-memory.js';

const NOTHING: Run = { slots: [], before: NONE, next: NONE, more: false };

export abstract class Mappings extends Granted {
  protected readonly memory: TableMemory;
  #only = NONE;
  #index: MappingIndex | undefined;

  constructor(memory: TableMemory) {
    super();
    this.memory = memory;
  }

  /** Mappings in this table. */
  get count(): number {
    if (this.#index !== undefined) return this.#index.count;
    return this.#only === NONE ? 0 : 1;
  }

  /** The slot of the mapping that covers `iova` (bytes), or NONE; does not build tables. */
  find(iova: bigint): number {
    split(iova);
    return this.covering(halves[1]!, halves[0]!);
  }

  /** The same of IOVA (hi, lo). */
  slotAt(hi: number, lo: number): number {
    return this.covering(hi, lo);
  }

  /** The slot of the first mapping that ends at `iova` or above, or NONE. */
  firstFrom(iova: bigint): number {
    split(iova);
    return this.seek(halves[1]!, halves[0]!);
  }

  /** The first IOVA of a mapping. */
  start(slot: number): bigint {
    return this.memory.exact(slot, START_HI);
  }

  /** The last IOVA of a mapping. */
  last(slot: number): bigint {
    return this.memory.exact(slot, LAST_HI);
  }

  /** The byte of its memory that a mapping begins with. */
  offset(slot: number): bigint {
    return this.memory.exact(slot, OFFSET_HI);
  }

  /** The slot of the lowest mapping that has an IOVA of [first, last], pairs; or NONE. */
  overlapping(firstHi: number, firstLo: number, lastHi: number, lastLo: number): number {
    const slot = this.seek(firstHi, firstLo);
    if (slot === NONE) return NONE;
    const words = this.memory.mappings;
    return isBelow(lastHi, lastLo, words[slot * 8]!, words[slot * 8 + 1]!) ? NONE : slot;
  }

  /** The slots of all mappings by rising IOVA, beginning with the first that ends at `from` or above. */
  *slots(from = 0n): Generator<number, void> {
    split(from);
    const [hi, lo] = [halves[1]!, halves[0]!];
    if (this.#index !== undefined) return yield* this.#index.from(hi, lo);
    const slot = this.seek(hi, lo);
    if (slot !== NONE) yield slot;
  }

  /** The slot of the mapping that covers (hi, lo), or NONE. */
  protected covering(hi: number, lo: number): number {
    return this.overlapping(hi, lo, hi, lo);
  }

  /** The slot of the first mapping whose last IOVA is (hi, lo) or above, or NONE. */
  protected seek(hi: number, lo: number): number {
    const index = this.#index;
    if (index !== undefined) return index.seek(hi, lo);
    const slot = this.#only;
    if (slot === NONE) return NONE;
    const words = this.memory.mappings;
    return isBelow(words[slot * 8 + 2]!, words[slot * 8 + 3]!, hi, lo) ? NONE : slot;
  }

  /** Adds the mapping in `slot`, which overlaps no other. */
  protected insert(slot: number): void {
    if (this.#index !== undefined) this.#index.insert(slot);
    else if (this.#only === NONE) this.#only = slot;
    else {
      this.#index = new MappingIndex(this.memory);
      this.#index.insert(this.#only);
      this.#index.insert(slot);
      this.#only = NONE;
    }
  }

  /** Takes out the mapping that `seek` has just found. */
  protected remove(): void {
    if (this.#index !== undefined) this.#index.remove();
    else this.#only = NONE;
  }

  /** Takes out the highest mappings that begin in [first, last], pairs as in `seek`: a chunk of them. */
  protected takeHighest(firstHi: number, firstLo: number, lastHi: number, lastLo: number): Run {
    if (this.#index !== undefined) return this.#index.takeHighest(firstHi, firstLo, lastHi, lastLo);
    const slot = this.#only;
    if (slot === NONE) return NOTHING;
    const words = this.memory.mappings;
    const [hi, lo] = [words[slot * 8]!, words[slot * 8 + 1]!];
    if (isBelow(hi, lo, firstHi, firstLo) || isBelow(lastHi, lastLo, hi, lo)) return NOTHING;
    this.#only = NONE;
    return { ...NOTHING, slots: [slot] };
  }
}
