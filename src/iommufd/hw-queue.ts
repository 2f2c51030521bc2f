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
import { Access, type Reach } from './access.js';
import type { IommufdContext } from './context.js';
import { IommufdObject } from './objects.js';
import { Viommu } from './viommu.js';

const PAGE = BigInt(PAGE_SIZE);
/** A longer list of pages is more than the kernel allocates at once: INT_MAX bytes of pointers. */
const MOST_PAGES = (2n ** 31n - 1n) / 8n;
const LAST_LENGTH = 2n ** 64n - 1n;

/** Where a queue lies: `length` bytes from `iova` on. */
export interface QueuePlace {
  readonly iova: bigint;
  readonly length: bigint;
}

export class HwQueue extends IommufdObject {
  readonly kind = 'hardware queue';
  readonly viommu: Viommu;
  /** Its number in the vIOMMU. */
  readonly index: number;
  #access: Access | undefined;
  #after: HwQueue | undefined;
  #started = false;

  /** For `create`. */
  constructor(viommu: Viommu, index: number) {
    super();
    this.viommu = viommu;
    this.index = index;
    viommu.hold();
  }

  /**
   * Queue `index` of type `type` (IOMMU_HW_QUEUE_TYPE_*) of a vIOMMU.
   * @throws Refusal ENOENT no such vIOMMU, or nothing mapped there; EOPNOTSUPP it has no queues of the type;
   * ERANGE, ENOMEM too long; EPERM, EINVAL, EADDRINUSE memory that cannot be held; EFAULT memory that is not
   * there or in several stretches; and what the vIOMMU refuses the index with.
   */
  static create(
    context: IommufdContext,
    viommuId: number,
    type: number,
    index: number,
    place: QueuePlace,
  ): HwQueue {
    const viommu = context.objects.get(viommuId, Viommu);
    if (!viommu.hardware.queueTypes?.includes(type))
      refuse('EOPNOTSUPP', `vIOMMU ${viommuId} has no queues of type ${hex(type)}`);
    const queue = context.objects.add(new HwQueue(viommu, index));
    try {
      queue.#hold(context, wholePages(place));
      queue.#start();
    } catch (error) {
      context.objects.destroy(queue.id);
      throw error;
    }
    return queue;
  }

  destroy(): void {
    if (this.#started) this.viommu.hardware.stopQueue?.(this);
    this.#after?.drop();
    this.#access?.close();
    this.viommu.drop();
  }

  #hold(context: IommufdContext, { iova, length }: QueuePlace): void {
    this.#access = Access.internal(context, this.viommu.parent.ioas);
    requireOneStretch(this.#access.reach(iova, length, READ));
    this.#access.pin(iova, length);
  }

  #start(): void {
    const after = this.viommu.hardware.startQueue?.(this);
    this.#started = true;
    if (after === undefined) return;
    this.#after = after;
    after.hold();
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
