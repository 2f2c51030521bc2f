/**
 * Creation of I/O queues (NVM Express Base 2.0 §5.4, §5.5): what a command asks for is checked, and then the
 * queue is there.
 */

import { COMMAND_BYTES, type Command } from './command.js';
import { COMPLETION_BYTES, CompletionQueue } from './completion-queue.js';
import type { PrpWalk } from './prp.js';
import { QueueMemory } from './queue-memory.js';
import type { Queues } from './queues.js';
import { Status } from './status.js';
import { SubmissionQueue } from './submission-queue.js';

/** Entries of a queue, zero-based (CAP.MQES). */
export const MAX_QUEUE_ENTRIES = 0xffff;
const CONTIGUOUS = 1;
const INTERRUPTS = 2;

/** log2 of the bytes of entries, as the driver has set them in CC. */
export interface EntrySizes {
  readonly submission: number;
  readonly completion: number;
}

export class QueueCreation {
  readonly #queues: Queues;
  readonly #prp: PrpWalk;
  readonly #vectors: number;
  readonly #sizes: () => EntrySizes;

  constructor(queues: Queues, prp: PrpWalk, vectors: number, sizes: () => EntrySizes) {
    this.#queues = queues;
    this.#prp = prp;
    this.#vectors = vectors;
    this.#sizes = sizes;
  }

  /** Create I/O Completion Queue. @param page bytes of a memory page. */
  completion(command: Command, page: number): Status {
    const id = command.dword(10) & 0xffff;
    const size = (command.dword(10) >>> 16) + 1;
    const vector = command.dword(11) >>> 16;
    if (!this.#isId(id) || this.#queues.completion(id) !== undefined) return Status.INVALID_QUEUE_IDENTIFIER;
    if (size < 2 || 2 ** this.#sizes().completion !== COMPLETION_BYTES) return Status.INVALID_QUEUE_SIZE;
    if (vector >= this.#vectors) return Status.INVALID_INTERRUPT_VECTOR;
    const memory = this.#place(command, size, COMPLETION_BYTES, page);
    if (typeof memory === 'number') return memory;
    const interrupts = (command.dword(11) & INTERRUPTS) !== 0;
    this.#queues.createCompletion(new CompletionQueue(id, size, memory, vector, interrupts));
    return Status.SUCCESS;
  }

  /** Create I/O Submission Queue, as above. */
  submission(command: Command, page: number): Status {
    const id = command.dword(10) & 0xffff;
    const size = (command.dword(10) >>> 16) + 1;
    const completionsId = command.dword(11) >>> 16;
    const completions = completionsId === 0 ? undefined : this.#queues.completion(completionsId);
    if (!this.#isId(id) || this.#queues.submission(id) !== undefined) return Status.INVALID_QUEUE_IDENTIFIER;
    if (completions === undefined)
      return this.#isId(completionsId) ? Status.INVALID_COMPLETION_QUEUE : Status.INVALID_QUEUE_IDENTIFIER;
    if (size < 2 || 2 ** this.#sizes().submission !== COMMAND_BYTES) return Status.INVALID_QUEUE_SIZE;
    const memory = this.#place(command, size, COMMAND_BYTES, page);
    if (typeof memory === 'number') return memory;
    this.#queues.createSubmission(new SubmissionQueue(id, size, memory, completions));
    return Status.SUCCESS;
  }

  #isId(id: number): boolean {
    return id > 0 && id <= this.#queues.limit;
  }

  /** Where the entries are: from PRP entry 1 on, or in the pages of the list there. */
  #place(command: Command, size: number, entry: number, page: number): QueueMemory | Status {
    const base = command.prp1;
    if (base % page !== 0) return Status.INVALID_PRP_OFFSET;
    if ((command.dword(11) & CONTIGUOUS) !== 0) return new QueueMemory(entry, base);
    const pages = new Float64Array(Math.ceil((size * entry) / page));
    const status = this.#prp.walkEntries(base, pages.length, page, (index, iova) => {
      pages[index] = iova;
    });
    return status === Status.SUCCESS ? new QueueMemory(entry, base, pages, page) : status;
  }
}
