/**
 * The interrupts of completion queues (NVM Express over PCIe 1.0 §3.5). Said in both ways, as the host knows
 * which one the driver uses: messages for what was posted, once for all that one step has posted; and a line
 * that is high while a queue has entries which the driver has not taken.
 *
 * The mask (INTMS and INTMC) holds back the line, and messages until they are unmasked. It has no meaning for
 * MSI-X, with which drivers leave it alone.
 */
import type { DeviceHost } from '../device-model.js';
import type { CompletionQueue } from './completion-queue.js';

/** Vectors that the mask has. */
const MASKED_VECTORS = 32;

export class Interrupts {
  readonly #host: DeviceHost;
  readonly #posted = new Set<CompletionQueue>();
  #mask = 0;
  #line = false;

  constructor(host: DeviceHost) {
    this.#host = host;
  }

  /** `queue` has new entries, of which `tell` tells. */
  note(queue: CompletionQueue): void {
    if (queue.interrupts) this.#posted.add(queue);
  }

  /** One bit for each vector that is held back. @param queues all that there are. */
  setMask(mask: number, queues: Iterable<CompletionQueue>): void {
    this.#mask = mask;
    this.tell(queues);
  }

  /** Sends what is owed, and drives the line. @param queues all that there are. */
  tell(queues: Iterable<CompletionQueue>): void {
    for (const queue of this.#posted) {
      queue.look();
      if (this.#isMasked(queue)) continue;
      this.#posted.delete(queue);
      this.#host.interrupt(queue.vector);
    }
    let level = false;
    for (const queue of queues) level ||= queue.interrupts && queue.hasEntries && !this.#isMasked(queue);
    if (level === this.#line) return;
    this.#line = level;
    this.#host.intx(level);
  }

  /** `queue` is gone. */
  forget(queue: CompletionQueue): void {
    this.#posted.delete(queue);
  }

  /** There is no queue any more, and nothing is masked. */
  reset(): void {
    this.#mask = 0;
    this.#posted.clear();
    if (this.#line) this.#host.intx(false);
    this.#line = false;
  }

  #isMasked({ vector }: CompletionQueue): boolean {
    return vector < MASKED_VECTORS && ((this.#mask >>> vector) & 1) !== 0;
  }
}
