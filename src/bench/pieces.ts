/**
 * Benchmark `pieces`: 1 GiB of an IOAS in mappings of 4 KiB. Each is mapped and then looked up, as by a DMA;
 * all are copied into a second IOAS by one call, and looked up there; the second is closed, and the first
 * unmapped by one call. Each of the four is a row, of the time for one mapping; lookups do not count.
 *
 * The reference is a sixteenth of it, in turns: the ratio says whether the time grows with their number.
 */
import { finish, finished } from '../file/work.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import type { PageTable } from '../iommu/page-table.js';
import { pasidOf } from '../iommu/pasid.js';
import { Quota, tableQuota } from '../iommu/quota.js';
import { TWO_32 } from '../iommu/table-memory.js';
import { Ioas } from '../iommufd/ioas.js';
import { type Side, timed } from './reference.js';
import type { Row } from './row.js';

const PAGE = 4096;
const PIECES = 2 ** 30 / PAGE;
const QUICK_PIECES = 2 ** 26 / PAGE;
const SHARE = 16;
const ROUNDS = 9;
const BASE = 2 ** 32;
const PASIDS = [pasidOf(7), pasidOf(8)] as const;
/** Nanoseconds that each step may take for a mapping. */
const MAX = 300;

const steps = ['map', 'copy', 'close', 'unmap'] as const;
type Step = (typeof steps)[number];
const names: Readonly<Record<Step, (count: number) => string>> = {
  map: (count) => `map of 4 KiB, each of ${count}`,
  copy: (count) => `IOAS_COPY of ${count} mappings, each`,
  close: (count) => `close of ${count} mappings, each`,
  unmap: (count) => `unmap of ${count} mappings at once, each`,
};

export function pieces(quick: boolean): Row[] {
  const count = quick ? QUICK_PIECES : PIECES;
  return steps.map((step) => ({
    name: names[step](count),
    max: MAX,
    rounds: ROUNDS,
    begin: () => ({ ...passes(step, count), reference: () => passes(step, count / SHARE) }),
  }));
}

/** Whole rounds, of which `step` counts. */
function passes(step: Step, count: number): Side {
  const side = new Pieces(count);
  return { pass: () => side.round()[step] };
}

class Pieces {
  readonly #iommu = new Iommu();
  readonly #requester = this.#iommu.requester('0000:6a:01.0');
  readonly #count: number;
  readonly #quota: Quota;
  readonly #memory: BufferMemory;

  constructor(count: number) {
    this.#count = count;
    this.#quota = new Quota(2 * count, 'mappings', 'ENOMEM');
    this.#memory = new BufferMemory(new Uint8Array(0));
  }

  /** The nanoseconds of each step for one mapping. */
  round(): Record<Step, number> {
    const [first, second] = [this.#ioas(), this.#ioas()];
    const length = BigInt(this.#count * PAGE);
    const whole = { length, access: READ | WRITE, iova: BigInt(BASE) };
    const map = this.#timed(() => this.#map(first));
    this.#reach(PASIDS[0], first.space.table);
    const copy = this.#timed(() => finish(second.copy(whole, first, BigInt(BASE))));
    this.#reach(PASIDS[1], second.space.table);
    const close = this.#timed(() => finish(second.destroy()));
    const unmap = this.#timed(() => {
      const { bytes } = finish(first.unmapAll());
      if (bytes !== length) throw new Error(`pieces: ${bytes} bytes were unmapped, not ${length}`);
    });
    finish(first.destroy());
    return { map, copy, close, unmap };
  }

  #ioas(): Ioas {
    return new Ioas(this.#iommu, this.#quota, tableQuota(), 'user');
  }

  #timed(step: () => void): number {
    return timed(this.#count, step);
  }

  #map(ioas: Ioas): void {
    for (let i = 0; i < this.#count; i++) {
      // Backwards in the memory: what lies beside each other in both would be one page of 2 MiB.
      const offset = (this.#count - 1 - i) * PAGE;
      const range = { memory: this.#memory, offset };
      const request = { length: BigInt(PAGE), access: READ | WRITE, iova: BigInt(BASE + i * PAGE) };
      finished(ioas.map(request, BigInt(offset), range));
    }
  }

  /** Each page is looked up once, so that the tree has an entry of it. */
  #reach(pasid: (typeof PASIDS)[number], table: PageTable): void {
    this.#requester.grant(pasid, table);
    for (let i = 0; i < this.#count; i++) {
      const iova = BASE + i * PAGE;
      const slot = this.#requester.translate(pasid, Math.floor(iova / TWO_32), iova >>> 0, WRITE);
      if (slot < 0) throw new Error(`pieces: mapping ${i} is not found`);
    }
    this.#requester.withdraw(pasid);
  }
}
