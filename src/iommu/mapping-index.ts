/**
 * A mapping index: the slots of all mappings of one page table, sorted by IOVA.
 *
 * They are in chunks of at most 128, so that one that comes or goes moves few others. Where there are several
 * chunks, `lasts` has the last IOVA of each, one beside the other: a search that looked for it in the chunks
 * and in the mappings would wait for memory at each step.
 *
 * A search leaves its position, and the next one looks there first, and one further: what is looked for is
 * often what was looked for just now (to be taken out, put back, entered into the tree), or follows it. What
 * is taken out leaves its place open until something else is looked for: often another comes in its stead,
 * for which nothing has to move.
 *
 * Invariants: mappings do not overlap, so that they are sorted by their first and by their last IOVA alike;
 * no chunk is empty but for an open place. IOVAs are pairs of int32, which are compared without sign.
 */
import { LAST_HI, MAPPING_WORDS, NONE, START_HI, type TableMemory } from './table-memory.js';

const CHUNK = 128;
/** With this bit turned, words without sign are in the order of int32. */
const SIGN = 1 << 31;

/** What was taken out together: the slots by rising IOVA, and those beside them, or NONE. */
export interface Run {
  readonly slots: readonly number[];
  readonly before: number;
  readonly next: number;
  /** There may be more of them below. */
  readonly more: boolean;
}

export class MappingIndex {
  readonly #memory: TableMemory;
  readonly #most: number;
  readonly #chunks: number[][] = [];
  // For each chunk but the last the halves of its last IOVA, with SIGN turned (of the last any), once there
  // are two.
  #lasts: number[] | undefined;
  #count = 0;
  // The position: a chunk, and a place in it or right behind its last one.
  #chunk = 0;
  #place = 0;
  // The position is an open place: what it has is in the index no more.
  #open = false;

  /** @param most slots of a chunk */
  constructor(memory: TableMemory, most = CHUNK) {
    this.#memory = memory;
    this.#most = most;
  }

  /** Mappings. */
  get count(): number {
    return this.#count;
  }

  /** The slot of the first mapping whose last IOVA is (hi, lo) or above, or NONE. The position is there. */
  seek(hi: number, lo: number): number {
    if (this.#open) this.#close();
    const slots = this.#chunks[this.#chunk];
    if (slots === undefined) return this.#search(hi, lo);
    let place = this.#place;
    if (place < slots.length && this.#endsBefore(slots[place]!, hi, lo)) place++;
    else if (!this.#isBehind(hi, lo, slots)) return this.#search(hi, lo);
    if (place === slots.length) {
      if (this.#chunk + 1 < this.#chunks.length) return this.#search(hi, lo);
      this.#place = place;
      return NONE;
    }
    if (this.#endsBefore(slots[place]!, hi, lo)) return this.#search(hi, lo);
    this.#place = place;
    return slots[place]!;
  }

  /** Adds the mapping in `slot`, which overlaps no other. */
  insert(slot: number): void {
    const at = slot * 8;
    const hi = this.#memory.mappings[at]!;
    const lo = this.#memory.mappings[at + 1]!;
    this.#count++;
    if (this.#open && this.#fits(hi, lo)) {
      this.#chunks[this.#chunk]![this.#place] = slot;
      this.#open = false;
    } else {
      this.seek(hi, lo);
      this.#put(slot);
    }
  }

  /** Takes out the mapping that `seek` has just found. */
  remove(): void {
    this.#count--;
    this.#open = true;
  }

  /** Takes out the highest mappings that begin in [first, last], pairs as in `seek`: those of one chunk. */
  takeHighest(firstHi: number, firstLo: number, lastHi: number, lastLo: number): Run {
    const end = this.#endOf(lastHi, lastLo);
    const chunk = this.#chunk;
    const slots = this.#chunks[chunk] ?? [];
    let from = end;
    while (from > 0 && !this.#beginsBefore(slots[from - 1]!, firstHi, firstLo)) from--;
    const before = slots[from - 1] ?? this.#chunks[chunk - 1]?.at(-1) ?? NONE;
    const next = slots[end] ?? this.#chunks[chunk + 1]?.[0] ?? NONE;
    const taken = slots.splice(from, end - from);
    this.#place = from;
    if (taken.length > 0) this.#shrunk(chunk);
    this.#count -= taken.length;
    return { slots: taken, before, next, more: from === 0 && chunk > 0 };
  }

  /** The slots from `seek(hi, lo)` on. */
  *from(hi: number, lo: number): Generator<number> {
    if (this.seek(hi, lo) === NONE) return;
    let place = this.#place;
    for (let chunk = this.#chunk; chunk < this.#chunks.length; chunk++, place = 0) {
      const slots = this.#chunks[chunk]!;
      for (; place < slots.length; place++) yield slots[place]!;
    }
  }

  /** Moves the position behind the last mapping that begins at (hi, lo) or below. @returns its place. */
  #endOf(hi: number, lo: number): number {
    const slot = this.seek(hi, lo);
    const at = slot * MAPPING_WORDS + START_HI;
    const { mappings } = this.#memory;
    if (slot !== NONE && !isBelow(hi, lo, mappings[at]!, mappings[at + 1]!)) this.#place++;
    else if (this.#place === 0 && this.#chunk > 0) {
      this.#chunk--;
      this.#place = this.#chunks[this.#chunk]!.length;
    }
    return this.#place;
  }

  /** Puts `slot` at the position. */
  #put(slot: number): void {
    const chunk = this.#chunk;
    const slots = this.#chunks[chunk];
    if (slots === undefined) this.#chunks.push([slot]);
    // Mappings that come by rising IOVA leave full chunks behind.
    else if (this.#place === this.#most) this.#addChunk(chunk + 1, [slot]);
    else {
      openGap(slots, this.#place, slot);
      if (slots.length > this.#most) this.#addChunk(chunk + 1, slots.splice(this.#most >> 1));
    }
  }

  /** Does a mapping that begins at (hi, lo) belong into the open place? Behind the last of a chunk: no. */
  #fits(hi: number, lo: number): boolean {
    const slots = this.#chunks[this.#chunk]!;
    const next = this.#place + 1;
    if (!this.#isBehind(hi, lo, slots)) return false;
    if (next < slots.length) return !this.#endsBefore(slots[next]!, hi, lo);
    return this.#chunk + 1 === this.#chunks.length;
  }

  /** Nothing comes into the open place. */
  #close(): void {
    this.#open = false;
    closeGap(this.#chunks[this.#chunk]!, this.#place);
    this.#shrunk(this.#chunk);
  }

  #search(hi: number, lo: number): number {
    const lasts = this.#lasts;
    this.#chunk = lasts === undefined ? 0 : chunkOf(lasts, hi ^ SIGN, lo ^ SIGN);
    this.#place = 0;
    const slots = this.#chunks[this.#chunk];
    if (slots === undefined) return NONE;
    let first = 0;
    let end = slots.length;
    while (first < end) {
      const middle = (first + end) >>> 1;
      if (this.#endsBefore(slots[middle]!, hi, lo)) first = middle + 1;
      else end = middle;
    }
    this.#place = first;
    return first < slots.length ? slots[first]! : NONE;
  }

  /** Does all that is before the position, which is in `slots`, end before (hi, lo)? */
  #isBehind(hi: number, lo: number, slots: readonly number[]): boolean {
    if (this.#place > 0) return this.#endsBefore(slots[this.#place - 1]!, hi, lo);
    if (this.#chunk === 0) return true;
    const lasts = this.#lasts!;
    const at = 2 * (this.#chunk - 1);
    return lasts[at] === (hi ^ SIGN) ? lasts[at + 1]! < (lo ^ SIGN) : lasts[at]! < (hi ^ SIGN);
  }

  #endsBefore(slot: number, hi: number, lo: number): boolean {
    const words = this.#memory.mappings;
    const at = slot * 8 + 2;
    return isBelow(words[at]!, words[at + 1]!, hi, lo);
  }

  #beginsBefore(slot: number, hi: number, lo: number): boolean {
    const words = this.#memory.mappings;
    const at = slot * 8;
    return isBelow(words[at]!, words[at + 1]!, hi, lo);
  }

  /** Puts a chunk in place `chunk`, behind another, which may have become smaller. */
  #addChunk(chunk: number, slots: number[]): void {
    this.#chunks.splice(chunk, 0, slots);
    if (this.#lasts === undefined) this.#lasts = [0, 0, 0, 0];
    else this.#lasts.splice(2 * chunk, 0, 0, 0);
    this.#noteLast(chunk - 1);
    this.#noteLast(chunk);
    this.#place = 0;
  }

  /** Something was taken out of a chunk, at the position. */
  #shrunk(chunk: number): void {
    const { length } = this.#chunks[chunk]!;
    if (length > 0) {
      if (this.#place === length && this.#lasts !== undefined) this.#noteLast(chunk);
      return;
    }
    this.#chunks.splice(chunk, 1);
    this.#lasts?.splice(2 * chunk, 2);
    this.#place = 0;
  }

  #noteLast(chunk: number): void {
    const at = this.#chunks[chunk]!.at(-1)! * MAPPING_WORDS + LAST_HI;
    this.#lasts![2 * chunk] = this.#memory.mappings[at]! ^ SIGN;
    this.#lasts![2 * chunk + 1] = this.#memory.mappings[at + 1]! ^ SIGN;
  }
}

/** The first chunk whose last IOVA, as `lasts` has it, is (hi, lo) or above; the last chunk when none is. */
function chunkOf(lasts: readonly number[], hi: number, lo: number): number {
  let low = 0;
  let high = (lasts.length >> 1) - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const last = lasts[2 * middle]!;
    if (last < hi || (last === hi && lasts[2 * middle + 1]! < lo)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Is IOVA (hi, lo) below (otherHi, otherLo)? */
export function isBelow(hi: number, lo: number, otherHi: number, otherLo: number): boolean {
  return hi === otherHi ? lo >>> 0 < otherLo >>> 0 : hi >>> 0 < otherHi >>> 0;
}

// In place of splice(), which makes a list of what it takes out.

/** Puts `slot` in place `place`, and what was from there on one further. */
function openGap(slots: number[], place: number, slot: number): void {
  slots.push(slot);
  for (let i = slots.length - 1; i > place; i--) slots[i] = slots[i - 1]!;
  slots[place] = slot;
}

/** Takes out what is in place `place`. */
function closeGap(slots: number[], place: number): void {
  for (let i = place + 1; i < slots.length; i++) slots[i - 1] = slots[i]!;
  slots.pop();
}
