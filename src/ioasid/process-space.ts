/**
 * ProcessSpace: what a PASID of kind process stands for: the address space of a process (SVA). IOVAs are
 * addresses in it, and what is at an address now, with the rights that the process has there now, is the
 * memory's affair.
 *
 * Invariant: there is one mapping, of all of it, from the beginning to the end.
 */
import { releasing, type Work } from '../file/work.js';
import { type Iommu, MEMORY_WRITABLE, RIGHTS } from '../iommu/iommu.js';
import type { Memory } from '../iommu/memory.js';
import { ADDRESS_BITS, type PageTable } from '../iommu/page-table.js';
import type { Pasid } from '../iommu/pasid.js';
import type { Quota } from '../iommu/quota.js';
import { Space } from './space.js';

export class ProcessSpace extends Space {
  readonly table: PageTable;
  readonly #iommu: Iommu;
  readonly #slot: number;
  /** Whose it is, as the memory says. */
  readonly memory: string;

  /** Takes over the reference to `memory`. Its tables count in `pages`. */
  constructor(iommu: Iommu, pasid: Pasid, memory: Memory, pages: Quota) {
    super(pasid);
    this.#iommu = iommu;
    this.memory = memory.description;
    this.table = iommu.pageTable(pages);
    const all = 2n ** BigInt(ADDRESS_BITS);
    this.#slot = this.table.map(0n, all, iommu.memories.acquire(memory), 0n, RIGHTS | MEMORY_WRITABLE);
  }

  get kind() {
    return 'process' as const;
  }

  *close(): Work<void> {
    yield* releasing([
      () => this.#iommu.memories.release(this.table.unmap(this.#slot)),
      () => this.table.close(),
    ]);
    this.requireUnused();
  }
}
