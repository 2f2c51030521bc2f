/**
 * Requests at the disks, in the order in which they were begun, and those that are unused, with their
 * buffers.
 *
 * Invariant: a request is at one disk, or unused, or in the hands of the controller. After `abandon` nothing
 * is at a disk, and no request is used again whose buffer a disk may still be busy with; nothing is to be
 * started before the disks have settled, so that what was abandoned overtakes nothing.
 */
import type { Disk } from '../disk.js';
import type { Effort } from '../effort.js';
import { Job } from '../medium.js';
import type { IoRequest } from './io-request.js';

/**
 * Bytes that one step moves: about a millisecond, where memory is reached by way of another process
 * (linux/remote-reach.ts).
 */
const STEP_BYTES = 1 << 20;
/** Commands under way. Each may have a buffer of 128 KiB. */
const LIMIT = 256;
/** Requests that may be about to be aborted. */
export const ABORTS = 4;

export class InFlight {
  /** A drain goes on, during which nothing is begun. */
  draining = false;
  readonly #disks: readonly Disk[];
  readonly #effort: Effort;
  readonly #newRequest: () => IoRequest;
  #unused: IoRequest[] = [];
  readonly #active = new Map<Job, IoRequest>();
  /** What makes the disks keep what was written, and has not ended; undefined: nobody has asked for it. */
  #flushes: Set<Job> | undefined;
  /** Bytes that this step has moved: of what it has begun first, and then of what has ended. */
  #bytes = 0;

  constructor(disks: readonly Disk[], effort: Effort, newRequest: () => IoRequest) {
    this.#disks = disks;
    this.#effort = effort;
    this.#newRequest = newRequest;
  }

  get size(): number {
    return this.#active.size;
  }

  /** Does nothing go on at the disks that was abandoned? */
  get isSettled(): boolean {
    return this.#disks.every(({ settled }) => settled);
  }

  /** May another request be begun? */
  get hasRoom(): boolean {
    return this.size < LIMIT && this.isSettled && !this.draining;
  }

  /** May this step begin another? */
  get mayBegin(): boolean {
    return this.hasRoom && this.#mayMove;
  }

  /** May this step move more? */
  get #mayMove(): boolean {
    return this.#bytes < STEP_BYTES && !this.#effort.spent;
  }

  /** Has something ended that was not taken? */
  get hasEnded(): boolean {
    return this.#disks.some(({ hasFinished }) => hasFinished);
  }

  /** How many requests are to be aborted. */
  get aborting(): number {
    let count = 0;
    for (const { abortId } of this.#active.values()) if (abortId !== undefined) count++;
    return count;
  }

  unused(): IoRequest {
    return this.#unused.pop() ?? this.#newRequest();
  }

  /** `request` has ended and may be used again. */
  release(request: IoRequest): void {
    this.#unused.push(request);
  }

  start(request: IoRequest): void {
    this.#active.set(request.job, request);
    if (request.job.kind === 'read' || request.job.kind === 'write') this.#bytes += request.job.length;
    request.namespace.disk.start(request.job);
  }

  /** The request that does command `commandId` of submission queue `queueId`. */
  find(queueId: number, commandId: number): IoRequest | undefined {
    for (const request of this.#active.values())
      if (request.queue!.id === queueId && request.command.id === commandId) return request;
    return undefined;
  }

  beginStep(): void {
    this.#bytes = 0;
    this.#effort.begin();
  }

  /** The next request that has ended; undefined: none, or this step has done enough. */
  takeEnded(): IoRequest | undefined {
    for (const disk of this.#disks)
      while (this.#mayMove) {
        const job = disk.takeFinished();
        if (job === undefined) break;
        this.#bytes += job.length;
        const request = this.#active.get(job);
        if (request === undefined) this.#flushes?.delete(job);
        else if (request.goOn()) disk.start(job);
        else {
          this.#active.delete(job);
          return request;
        }
      }
    return undefined;
  }

  /** Makes the disks keep what was written; to be called until it is done. @returns whether it is. */
  flush(): boolean {
    if (this.#flushes === undefined) {
      this.#flushes = new Set();
      for (const disk of this.#disks) {
        const job = new Job();
        job.kind = 'sync';
        this.#flushes.add(job);
        disk.start(job);
      }
    }
    if (this.#flushes.size > 0) return false;
    this.#flushes = undefined;
    return true;
  }

  /**
   * Does the oldest request to its end, at once. @returns it, which is not to be used again; undefined when
   * there is none.
   */
  endOldest(): IoRequest | undefined {
    this.#letGo();
    const [request] = this.#active.values();
    if (request === undefined) return undefined;
    do request.namespace.disk.run(request.job);
    while (request.goOn());
    this.#active.delete(request.job);
    return request;
  }

  /** Nobody waits for what is under way any more. */
  abandon(): void {
    this.#letGo();
    this.#active.clear();
  }

  #letGo(): void {
    this.draining = false;
    for (const disk of this.#disks) disk.abandon();
    this.#flushes = undefined;
    this.#unused = [];
  }
}
