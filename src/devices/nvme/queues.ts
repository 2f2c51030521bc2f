/**
 * The queues of a controller, by their identifiers: 0 is the admin queues, the others are created by
 * commands.
 *
 * Invariant: the completion queue of a submission queue is there for as long as that is. A submission queue
 * that is being deleted fetches nothing, and is gone when the last of its commands has completed.
 */

import { COMMAND_BYTES } from './command.js';
import { COMPLETION_BYTES, CompletionQueue } from './completion-queue.js';
import { Doorbell, Keeping } from './doorbell.js';
import type { Interrupts } from './interrupts.js';
import type { Memory } from './memory.js';
import { QueueMemory } from './queue-memory.js';
import { Status } from './status.js';
import { SubmissionQueue } from './submission-queue.js';

/** Where shadow doorbells and event indices are, and whether those of the admin queues are kept up. */
interface Shadows {
  readonly doorbells: number;
  readonly eventIndices: number;
  readonly admin: Keeping;
}

export class Queues {
  /** I/O queues of each kind. */
  readonly limit: number;
  /** The next submission queue to be served. */
  #turn = 0;
  readonly #memory: Memory;
  readonly #interrupts: Interrupts;
  readonly #submission: (SubmissionQueue | undefined)[];
  readonly #completion: (CompletionQueue | undefined)[];
  /** The commands that wait for a queue to be gone. */
  readonly #deletions = new Map<SubmissionQueue, number>();
  #shadows: Shadows | undefined;

  constructor(limit: number, memory: Memory, interrupts: Interrupts) {
    this.limit = limit;
    this.#memory = memory;
    this.#interrupts = interrupts;
    this.#submission = new Array<SubmissionQueue | undefined>(limit + 1).fill(undefined);
    this.#completion = new Array<CompletionQueue | undefined>(limit + 1).fill(undefined);
  }

  submission(id: number): SubmissionQueue | undefined {
    return this.#submission[id];
  }

  completion(id: number): CompletionQueue | undefined {
    return this.#completion[id];
  }

  /** The admin queues; undefined while the controller is disabled. */
  get admin(): SubmissionQueue | undefined {
    return this.#submission[0];
  }

  /** Are there I/O queues? */
  get started(): boolean {
    return this.#completion.some((queue, id) => id > 0 && queue !== undefined);
  }

  /** All completion queues, that of admin commands last. */
  *completions(): Generator<CompletionQueue> {
    for (let id = this.limit; id >= 0; id--) {
      const queue = this.#completion[id];
      if (queue !== undefined) yield queue;
    }
  }

  /** The controller is enabled: the admin queues are at these addresses, of so many entries. */
  open(submissions: number, submissionSize: number, completions: number, completionSize: number): void {
    const memory = new QueueMemory(COMPLETION_BYTES, completions);
    const admin = new CompletionQueue(0, completionSize, memory, 0, true);
    this.createCompletion(admin);
    this.createSubmission(
      new SubmissionQueue(0, submissionSize, new QueueMemory(COMMAND_BYTES, submissions), admin),
    );
  }

  createCompletion(queue: CompletionQueue): void {
    this.#completion[queue.id] = queue;
    this.#shadow(queue.id, 1, queue);
  }

  createSubmission(queue: SubmissionQueue): void {
    this.#submission[queue.id] = queue;
    queue.completions.users++;
    this.#shadow(queue.id, 0, queue);
  }

  /** @returns what the command is answered with. */
  deleteCompletion(id: number): Status {
    const queue = id === 0 ? undefined : this.#completion[id];
    if (queue === undefined) return Status.INVALID_QUEUE_IDENTIFIER;
    if (queue.users > 0) return Status.INVALID_QUEUE_DELETION;
    this.#completion[id] = undefined;
    this.#interrupts.forget(queue);
    return Status.SUCCESS;
  }

  /**
   * Ends a submission queue, by command `commandId`. @returns what that is answered with; undefined: it will
   * be in `takeDeleted`, when the commands of the queue have completed.
   */
  deleteSubmission(id: number, commandId: number): Status | undefined {
    const queue = id === 0 ? undefined : this.#submission[id];
    if (queue === undefined || queue.closing) return Status.INVALID_QUEUE_IDENTIFIER;
    queue.closing = true;
    if (queue.outstanding === 0) {
      this.#remove(queue);
      return Status.SUCCESS;
    }
    this.#deletions.set(queue, commandId);
    return undefined;
  }

  /** A command that has waited until its queue was gone; undefined when there is none. */
  takeDeleted(): number | undefined {
    for (const [queue, commandId] of this.#deletions) {
      if (queue.outstanding > 0) continue;
      this.#deletions.delete(queue);
      this.#remove(queue);
      return commandId;
    }
    return undefined;
  }

  /** The next queue, in turn, that has a command to be fetched; undefined when none has. */
  nextReady(): SubmissionQueue | undefined {
    const count = this.#submission.length;
    for (let n = 0; n < count; n++) {
      this.#turn = this.#turn + 1 >= count ? 0 : this.#turn + 1;
      const queue = this.#submission[this.#turn];
      if (queue?.ready === true) return queue;
    }
    return undefined;
  }

  /** Has a queue a command that may be fetched? */
  get ready(): boolean {
    for (const queue of this.#submission) if (queue?.ready === true) return true;
    return false;
  }

  /** From now on the doorbells are in memory too, in pages at these addresses (§5.8). */
  useShadows(doorbells: number, eventIndices: number): void {
    this.#shadows = { doorbells, eventIndices, admin: new Keeping(this.#completion[0]!.head) };
    for (const [id, queue] of this.#submission.entries()) if (queue) this.#shadow(id, 0, queue);
    for (const [id, queue] of this.#completion.entries()) if (queue) this.#shadow(id, 1, queue);
  }

  /** The controller is disabled. */
  reset(): void {
    this.#submission.fill(undefined);
    this.#completion.fill(undefined);
    this.#deletions.clear();
    this.#shadows = undefined;
  }

  #remove(queue: SubmissionQueue): void {
    this.#submission[queue.id] = undefined;
    queue.completions.users--;
    queue.completions.forget(queue.id);
  }

  #shadow(id: number, kind: 0 | 1, queue: SubmissionQueue | CompletionQueue): void {
    if (this.#shadows === undefined) return;
    const offset = (2 * id + kind) * 4;
    const [shadow, eventIndex] = [this.#shadows.doorbells + offset, this.#shadows.eventIndices + offset];
    const first = kind === 0 ? (queue as SubmissionQueue).tail : queue.head;
    const keeping = id === 0 ? this.#shadows.admin : undefined;
    queue.doorbell = new Doorbell(this.#memory, shadow, eventIndex, first, keeping);
  }
}
