/**
 * A submission queue (NVM Express Base 2.0 §3.3.1): the driver moves the tail, the controller the head as it
 * fetches commands. Nothing is fetched past the tail that the driver has said, and each entry once; of the
 * commands under way no two have the same identifier.
 */
import { COMMAND_BYTES, type Command } from './command.js';
import type { CompletionQueue } from './completion-queue.js';
import type { Doorbell } from './doorbell.js';
import type { Memory } from './memory.js';
import type { QueueMemory } from './queue-memory.js';

/** Entries that are read at a time, from a multiple of so many on: half a page, which is there or is not. */
const BATCH = 32;

export class SubmissionQueue {
  readonly id: number;
  /** Entries. */
  readonly size: number;
  readonly completions: CompletionQueue;
  doorbell: Doorbell | undefined;
  /** It is being deleted: nothing is fetched any more. */
  closing = false;
  readonly #memory: QueueMemory;
  /** A bit for each identifier of a command: is it in use? And how many are. */
  readonly #used = new Uint8Array(2 ** 16 / 8);
  #outstanding = 0;
  #head = 0;
  #tail = 0;
  /** Entries, each at its index modulo BATCH, of which `#ahead` from the head on have been read. */
  readonly #entries = new Uint32Array((BATCH * COMMAND_BYTES) / 4);
  readonly #bytes = new Uint8Array(this.#entries.buffer);
  #ahead = 0;

  constructor(id: number, size: number, memory: QueueMemory, completions: CompletionQueue) {
    this.id = id;
    this.size = size;
    this.completions = completions;
    this.#memory = memory;
  }

  /** Commands that were fetched and have not completed. */
  get outstanding(): number {
    return this.#outstanding;
  }

  get head(): number {
    return this.#head;
  }

  get tail(): number {
    return this.#tail;
  }

  /** Is there a command that may be fetched? Not while what has completed finds no room. */
  get ready(): boolean {
    return this.#head !== this.#tail && !this.closing && !this.completions.hasBacklog;
  }

  /** The driver has written commands up to `tail`. @returns false when there is no room for so many. */
  advance(tail: number): boolean {
    if (tail >= this.size) return false;
    const added = (tail - this.#tail + this.size) % this.size;
    const used = (this.#tail - this.#head + this.size) % this.size;
    if (added + used >= this.size) return false;
    this.#tail = tail;
    return true;
  }

  /**
   * The register was written. What the driver has stored in memory is as new, or newer: a write of the
   * register may arrive after what was stored later. @returns false when that cannot be.
   */
  ring(tail: number): boolean {
    this.doorbell?.heard(this.completions.head);
    return tail < this.size && this.advance(this.doorbell?.value() ?? tail);
  }

  /**
   * Takes note of what the driver has stored in memory, when all is fetched. @returns false when it cannot
   * be.
   */
  look(): boolean {
    if (this.doorbell === undefined || this.#head !== this.#tail) return true;
    this.doorbell.ask(this.#tail);
    const tail = this.doorbell.value();
    return tail === undefined || this.advance(tail);
  }

  /** Fetches the next command. @returns false when its memory is not there. */
  fetch(memory: Memory, command: Command): boolean {
    if (this.#ahead === 0 && !this.#readAhead(memory)) return false;
    command.copy(this.#entries, this.#head % BATCH);
    this.#ahead--;
    this.#head = this.#head + 1 === this.size ? 0 : this.#head + 1;
    return true;
  }

  #readAhead(memory: Memory): boolean {
    const at = this.#head % BATCH;
    const written = (this.#head < this.#tail ? this.#tail : this.size) - this.#head;
    const count = Math.min(written, BATCH - at);
    const iova = this.#memory.iova(this.#head);
    if (!memory.read(iova, this.#bytes, at * COMMAND_BYTES, count * COMMAND_BYTES)) return false;
    this.#ahead = count;
    return true;
  }

  /** Command `id` is under way from now on. @returns false when one of that identifier is already. */
  begin(id: number): boolean {
    const bit = 1 << (id & 7);
    if ((this.#used[id >>> 3]! & bit) !== 0) return false;
    this.#used[id >>> 3]! |= bit;
    this.#outstanding++;
    return true;
  }

  /** Command `id`, which was begun, is over. */
  end(id: number): void {
    this.#used[id >>> 3]! &= ~(1 << (id & 7));
    this.#outstanding--;
  }
}
