/**
 * Benchmark `translate`: one random IOVA, looked up by requester id and PASID, against a 4-level radix table
 * in C (bench/translate.c).
 *
 * `translate` says which mapping it is and that it gives the right; `locate` says also which byte of the
 * memory the IOVA leads to, as a transfer wants it. Both are compared with the reference's physical address,
 * and the second once more where two PASIDs take turns, as those of two processes on one device. Each pass
 * over the queries is preceded by one that brings the caches back, and its sum is checked.
 */
import { Iommu, READ, type Requester, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { pasidOf } from '../iommu/pasid.js';
import { TWO_32 } from '../iommu/table-memory.js';
import { timed } from './reference.js';
import type { Row } from './row.js';
import { Random, Regions } from './workload.js';

export const PASID = pasidOf(7);
const OTHER = pasidOf(8);
const QUERIES = 1 << 20;
// The queries of the next pass, by the halves of their IOVAs. The engine knows where constants of this module
// are, as the reference knows where its arrays are: to find that out for each query took as many loads as the
// walk that is measured.
const queryHi = new Int32Array(QUERIES);
const queryLo = new Int32Array(QUERIES);
/** From here on the expectation holds: a smaller table lies in the first-level cache as a whole. */
const EXPECTED_FROM = 1024;
const MOST = 3.5;
/** With the byte: regions, and the most that the ratio may be. */
const EXPECTED_TO_THE_BYTE: ReadonlyMap<number, number> = new Map([
  [1024, 2.2],
  [65_536, 1.9],
  [1 << 20, 1.9],
]);

export function translate(quick: boolean): Row[] {
  return (quick ? [1, 16, 1024, 65_536] : [1, 16, 1024, 65_536, 1 << 20]).flatMap((count) => {
    const name = `translate, ${count} region${count === 1 ? '' : 's'}`;
    const maxRatio = count >= EXPECTED_FROM ? MOST : undefined;
    return [
      rowOf(name, count, (side) => side.slots(), maxRatio),
      rowOf(`${name}, and the byte`, count, (side) => side.offsets(), EXPECTED_TO_THE_BYTE.get(count)),
      ...(count === EXPECTED_FROM
        ? [rowOf(`${name}, PASIDs in turn`, count, (side) => side.turns(), MOST, 2)]
        : []),
    ];
  });
}

/** `pasids` take turns. */
function rowOf(
  name: string,
  count: number,
  pass: (side: Side) => number,
  maxRatio: number | undefined,
  pasids = 1,
): Row {
  return {
    name,
    maxRatio,
    rounds: count > 100_000 ? 5 : 11,
    begin: (references) => {
      const side = new Side(count);
      return {
        pass: () => pass(side),
        reference: () => references.start('translate', count, QUERIES, pasids),
      };
    },
  };
}

/** Our side: an IOMMU with one address space of `count` regions, and the queries. */
class Side {
  readonly #iommu = new Iommu();
  readonly #requester = this.#iommu.requester('0000:6a:01.0');
  readonly #hi = new Int32Array(QUERIES);
  readonly #lo = new Int32Array(QUERIES);
  #slotSum = 0;
  #offsetSum = 0;

  constructor(count: number) {
    const random = new Random();
    const regions = new Regions(count, random);
    const start = this.#map(regions);
    for (let i = 0; i < QUERIES; i++) {
      const at = random.next() % count;
      const offset = random.next() % regions.length[at]!;
      const iova = regions.iova[at]! + offset;
      this.#hi[i] = Math.floor(iova / TWO_32);
      this.#lo[i] = iova >>> 0;
      this.#slotSum = (this.#slotSum + at) | 0;
      this.#offsetSum = (this.#offsetSum + ((start[at]! + offset) >>> 0)) | 0;
    }
  }

  /** Nanoseconds of one lookup of a mapping. */
  slots(): number {
    prepare(this.#hi, this.#lo);
    return measured(this.#slotSum, () => sumOfSlots(this.#requester));
  }

  /** Nanoseconds of one lookup of a byte in a memory. */
  offsets(): number {
    prepare(this.#hi, this.#lo);
    return measured(this.#offsetSum, () => sumOfOffsets(this.#requester));
  }

  /** As `offsets`, of two PASIDs in turn. */
  turns(): number {
    prepare(this.#hi, this.#lo);
    return measured(this.#offsetSum, () => sumOfTurns(this.#requester));
  }

  /**
   * Maps the regions to one memory, one after the other from its second page on; region i is slot i. @returns
   * where each begins.
   */
  #map(regions: Regions): Float64Array {
    const memory = this.#iommu.memories.acquire(new BufferMemory(new Uint8Array(0)));
    const table = this.#iommu.pageTable();
    const start = new Float64Array(regions.count);
    let offset = 4096;
    for (let i = 0; i < regions.count; i++) {
      start[i] = offset;
      table.map(BigInt(regions.iova[i]!), BigInt(regions.length[i]!), memory, BigInt(offset), READ | WRITE);
      offset += regions.length[i]!;
    }
    this.#requester.grant(PASID, table);
    this.#requester.grant(OTHER, table);
    return start;
  }
}

/** Nanoseconds of one query in the second of two passes, whose sums must be `expected`. */
export function measured(expected: number, pass: () => number): number {
  let sum = pass();
  const ns = timed(QUERIES, () => {
    sum += pass();
  });
  if (sum !== 2 * expected)
    throw new Error(`translate: the sum of two passes is ${sum}, not ${2 * expected}`);
  return ns;
}

/** The queries of the next passes are those with these halves of their IOVAs. */
export function prepare(hi: Int32Array, lo: Int32Array): void {
  queryHi.set(hi);
  queryLo.set(lo);
}

function sumOfSlots(requester: Requester): number {
  const pasid = PASID;
  const access = WRITE;
  let sum = 0;
  for (let i = 0; i < QUERIES; i++) {
    const slot = requester.translate(pasid, queryHi[i]!, queryLo[i]!, access);
    if (slot < 0) return Number.NaN;
    sum = (sum + slot) | 0;
  }
  return sum;
}

export function sumOfOffsets(requester: Requester): number {
  const pasid = PASID;
  const access = WRITE;
  let sum = 0;
  for (let i = 0; i < QUERIES; i++) {
    const slot = requester.locate(pasid, queryHi[i]!, queryLo[i]!, access);
    if (slot < 0) return Number.NaN;
    sum = (sum + requester.byteLo) | 0;
  }
  return sum;
}

function sumOfTurns(requester: Requester): number {
  const access = WRITE;
  let sum = 0;
  for (let i = 0; i < QUERIES; i++) {
    const slot = requester.locate((i & 1) === 0 ? PASID : OTHER, queryHi[i]!, queryLo[i]!, access);
    if (slot < 0) return Number.NaN;
    sum = (sum + requester.byteLo) | 0;
  }
  return sum;
}
