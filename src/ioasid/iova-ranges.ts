/**
 * Sets of IOVA ranges: what is reserved in an address space and by whom, what its user allows for choosing.
 *
 * Ranges of a set may overlap when different owners reserve them; `holes` sees their union. IOVAs are 64-bit,
 * `last` is inclusive, so that the whole space can be named.
 */
import { firstBehind } from '../iommu/sorted.js';

/** The last IOVA there is. */
export const LAST_IOVA = 2n ** 64n - 1n;

export interface IovaRange {
  readonly start: bigint;
  readonly last: bigint;
}

/** True when the two ranges have an IOVA in common. */
export function overlaps(a: IovaRange, b: IovaRange): boolean {
  return a.start <= b.last && b.start <= a.last;
}

/** Ranges by rising start, no two of which have an IOVA in common. */
export class DisjointRanges {
  readonly #all: IovaRange[] = [];

  get all(): readonly IovaRange[] {
    return this.#all;
  }

  get count(): number {
    return this.#all.length;
  }

  /** @returns false: it overlaps another one, and is not added. */
  add(range: IovaRange): boolean {
    const place = firstBehind(this.#all, ({ start }) => start > range.start);
    const [before, next] = [this.#all[place - 1], this.#all[place]];
    if (before !== undefined && overlaps(before, range)) return false;
    if (next !== undefined && overlaps(next, range)) return false;
    this.#all.splice(place, 0, range);
    return true;
  }
}

/** The parts of [start, last] that none of `ranges` covers, by rising IOVA. */
export function holes(ranges: readonly IovaRange[], start: bigint, last: bigint): IovaRange[] {
  const found: IovaRange[] = [];
  let next = start;
  for (const range of ranges.toSorted((a, b) => (a.start < b.start ? -1 : 1))) {
    if (range.start > last) break;
    if (range.start > next) found.push({ start: next, last: range.start - 1n });
    if (range.last >= next) next = range.last + 1n;
  }
  if (next <= last) found.push({ start: next, last });
  return found;
}

/** The same IOVAs by rising start, ranges that follow each other without a gap as one. */
export function joined(ranges: readonly IovaRange[]): IovaRange[] {
  const all: IovaRange[] = [];
  for (const range of ranges.toSorted((a, b) => (a.start < b.start ? -1 : 1))) {
    const before = all.at(-1);
    if (before !== undefined && before.last + 1n === range.start)
      all[all.length - 1] = { start: before.start, last: range.last };
    else all.push(range);
  }
  return all;
}

export function alignUp(value: bigint, alignment: bigint): bigint {
  return (value + alignment - 1n) & ~(alignment - 1n);
}

export function larger(a: bigint, b: bigint): bigint {
  return a < b ? b : a;
}

export function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
