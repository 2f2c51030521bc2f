/**
 * Benchmark `unmap-map`: one 4 KiB mapping taken out, put back and looked up, against the same on the C radix
 * (bench/unmap-map.c).
 *
 * The lookup belongs to it: our tables are made when a DMA wants them, so without it half of the work would
 * be left out.
 */
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import type { PageTable } from '../iommu/page-table.js';
import { pasidOf } from '../iommu/pasid.js';
import { TWO_32 } from '../iommu/table-memory.js';
import { timed } from './reference.js';
import type { Row } from './row.js';
import { Random, Regions } from './workload.js';

const PASID = pasidOf(7);
const PAIRS = 100_000;
/** Mappings, and the nanoseconds that a pair may take among them. */
const EXPECTED = [
  [1024, 450],
  [65_536, 1000],
] as const;

export function unmapMap(): Row[] {
  return EXPECTED.map(([count, max]) => ({
    name: `unmap and map 4 KiB, ${count} mappings`,
    max,
    rounds: 9,
    begin: (references) => {
      const side = new Side(count);
      return {
        pass: () => timed(PAIRS, () => side.pass()),
        reference: () => references.start('unmap-map', count, PAIRS),
      };
    },
  }));
}

class Side {
  readonly #iommu = new Iommu();
  readonly #requester = this.#iommu.requester('0000:6a:01.0');
  readonly #table: PageTable = this.#iommu.pageTable();
  readonly #memory = this.#iommu.memories.acquire(new BufferMemory(new Uint8Array(0)));
  readonly #regions: Regions;
  readonly #order = new Int32Array(PAIRS);

  constructor(count: number) {
    const random = new Random();
    this.#regions = new Regions(count, random);
    for (let i = 0; i < count; i++) this.#map(BigInt(this.#regions.iova[i]!), i);
    for (let i = 0; i < PAIRS; i++) this.#order[i] = random.next() % count;
    this.#requester.grant(PASID, this.#table);
  }

  pass(): void {
    const table = this.#table;
    for (let i = 0; i < PAIRS; i++) {
      const at = this.#order[i]!;
      const iova = this.#regions.iova[at]!;
      // Once, as a caller decodes it.
      const big = BigInt(iova);
      table.unmap(table.find(big));
      const slot = this.#map(big, at);
      const found = this.#requester.translate(PASID, Math.floor(iova / TWO_32), iova >>> 0, WRITE);
      if (found !== slot) throw new Error(`unmap-map: found slot ${found}, not ${slot}`);
    }
  }

  #map(iova: bigint, at: number): number {
    return this.#table.map(iova, 4096n, this.#memory, BigInt((at + 1) * 4096), READ | WRITE);
  }
}
