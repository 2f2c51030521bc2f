/**
 * HwQueue: a queue of a vIOMMU (commands, events) that the hardware itself works on, in the virtual machine's
 * memory.
 *
 * Invariant: as long as the queue is there its memory is held by an access that no unmapping ends, and lies
 * in one stretch.
 */

import { READ } from '../iommu/iommu.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import { hex, refuse } from '../linux/errno.js';
import { release } from '../linux/invariant.js';
import { Access, type Reach } from './access.js';
import type { HardwareQueue } from './hardware.js';
import { IommufdObject, type ObjectTable } from './objects.js';
import type { Viommu } from './viommu.js';

const PAGE = BigInt(PAGE_SIZE);
/** A longer list of pages is more than the kernel allocates at once: INT_MAX bytes of pointers. */
const MOST_PAGES = (2n ** 31n - 1n) / 8n;
const LAST_LENGTH = 2n ** 64n - 1n;

/** Where a queue lies: `length` bytes from `iova` on. */
export interface QueuePlace {
  readonly iova: bigint;
  readonly length: bigint;
}

export class HwQueue extends IommufdObject implements HardwareQueue {
  readonly kind = 'hardware queue';
  readonly viommu: Viommu;
  /** Its number in the vIOMMU. */
  readonly index: number;
  #access: Access | undefined;
  #after: HardwareQueue | undefined;
  #started = false;

  /**
   * Queue `index` of type `type` (IOMMU_HW_QUEUE_TYPE_*) of a vIOMMU, to be started. @throws Refusal
   * EOPNOTSUPP the vIOMMU has no queues of the type.
   */
  constructor(viommu: Viommu, type: number, index: number) {
    super();
    if (!viommu.hardware.queueTypes?.includes(type))
      refuse('EOPNOTSUPP', `vIOMMU ${viommu.id} has no queues of type ${hex(type)}`);
    this.viommu = viommu;
    this.index = index;
    viommu.hold();
  }

  /**
   * The hardware begins to work on it. Its memory is held by an access, which is put into `objects`.
   * @throws Refusal ERANGE, ENOMEM too long; EPERM, EINVAL, EADDRINUSE memory that cannot be held; ENOENT
   * nothing is mapped there; EFAULT memory that is not there or in several stretches; and what the vIOMMU
   * refuses the index with. Then it is to be destroyed.
   */
  start(objects: ObjectTable, place: QueuePlace): void {
    const { iova, length } = wholePages(place);
    this.#access = Access.open(objects, this.viommu.parent.ioas, { pinsPages: true, locks: true });
    requireOneStretch(this.#access.reach(iova, length, READ));
    this.#access.pin(iova, length);
    const after = this.viommu.hardware.startQueue?.(this);
    this.#started = true;
    this.#after = after;
    after?.hold();
  }

  destroy(): void {
    release([
      () => this.#started && this.viommu.hardware.stopQueue?.(this),
      () => this.#after?.drop(),
      () => this.#access?.close(),
      () => this.viommu.drop(),
    ]);
  }
}

function wholePages({ iova, length }: QueuePlace): QueuePlace {
  const start = iova - (iova % PAGE);
  const end = iova - start + length + PAGE - 1n;
  if (end > LAST_LENGTH) refuse('ERANGE', `a queue of ${hex(length)} bytes has no whole pages`);
  const pages = end / PAGE;
  if (pages > MOST_PAGES) refuse('ENOMEM', `a queue of ${pages} pages is too long`);
  return { iova: start, length: pages * PAGE };
}

function requireOneStretch(parts: readonly Reach[]): void {
  for (const [n, part] of parts.entries()) {
    const before = parts[n - 1];
    if (
      before !== undefined &&
      (before.memory !== part.memory || before.offset + before.length !== part.offset)
    )
      refuse(
        'EFAULT',
        `${part.memory.description} at ${hex(part.offset)} does not follow what is mapped before it`,
      );
  }
}
