/**
 * A completion queue (NVM Express Base 2.0 §3.3.1, §3.3.3.2): entries of 16 bytes, each with a phase that
 * changes with every pass over the queue, so that the driver sees which are new.
 *
 * Invariant: an entry is written only where the driver has said that it has seen the one before. What finds
 * no room waits in the backlog, in order, and while anything waits there, everything does.
 *
 * Entries that follow each other are written together, by `write`. Of such a copy the processor may store the
 * words in any order, but each of 8 bytes at once: of an entry the one that has the phase, and all else that
 * an I/O command tells.
 */
import type { Doorbell } from './doorbell.js';
import type { Memory } from './memory.js';
import type { QueueMemory } from './queue-memory.js';

export const COMPLETION_BYTES = 16;
/** Entries that are written at a time, from a multiple of so many on: they are in one page. */
const BATCH = 32;

/** What a completion says (§3.3.3.2): its dword 0, the queue and its head, the command, the status field. */
type Completion = readonly [result: number, sqHead: number, sqId: number, commandId: number, field: number];

export class CompletionQueue {
  readonly id: number;
  /** Entries. */
  readonly size: number;
  readonly vector: number;
  readonly interrupts: boolean;
  /** Submission queues that complete here. */
  users = 0;
  doorbell: Doorbell | undefined;
  readonly #memory: QueueMemory;
  /** Entries, each at its index modulo BATCH, of which `#unwritten` before the tail are not in memory yet. */
  readonly #entries = new Uint8Array(BATCH * COMPLETION_BYTES);
  readonly #view = new DataView(this.#entries.buffer);
  #unwritten = 0;
  #head = 0;
  #tail = 0;
  #phase = 1;
  #backlog: Completion[] = [];

  constructor(id: number, size: number, memory: QueueMemory, vector: number, interrupts: boolean) {
    this.id = id;
    this.size = size;
    this.vector = vector;
    this.interrupts = interrupts;
    this.#memory = memory;
  }

  /** Are there entries that the driver has not taken? */
  get hasEntries(): boolean {
    return this.#head !== this.#tail;
  }

  /** Entries that the driver has not taken. */
  get #used(): number {
    return (this.#tail - this.#head + this.size) % this.size;
  }

  get #isFull(): boolean {
    return this.#used === this.size - 1;
  }

  /** Does something wait for room? */
  get hasBacklog(): boolean {
    return this.#backlog.length > 0;
  }

  get head(): number {
    return this.#head;
  }

  /** The driver has taken the entries before `head`. @returns false when it cannot have. */
  advance(head: number): boolean {
    if (head >= this.size || (head - this.#head + this.size) % this.size > this.#used) return false;
    this.#head = head;
    return true;
  }

  /** As SubmissionQueue.ring. */
  ring(head: number): boolean {
    return head < this.size && this.advance(this.doorbell?.value() ?? head);
  }

  /** Takes note of what the driver has stored in memory, unless it cannot be. */
  look(): void {
    const { doorbell } = this;
    if (doorbell === undefined) return;
    doorbell.ask(this.#head);
    const head = doorbell.value();
    if (head !== undefined) this.advance(head);
  }

  /**
   * Posts a completion, for `write` to write, or keeps it. @param field the status field without the phase.
   * @returns false when its memory is not there.
   */
  post(
    memory: Memory,
    result: number,
    sqHead: number,
    sqId: number,
    commandId: number,
    field: number,
  ): boolean {
    if (this.#isFull) this.look();
    if (!this.hasBacklog && !this.#isFull) return this.#put(memory, result, sqHead, sqId, commandId, field);
    this.#backlog.push([result, sqHead, sqId, commandId, field]);
    return true;
  }

  /** Posts what has waited, as far as there is room. @returns false as `post`. */
  postBacklog(memory: Memory): boolean {
    let posted = 0;
    while (posted < this.#backlog.length && !this.#isFull)
      if (!this.#put(memory, ...this.#backlog[posted++]!)) return false;
    this.#backlog.splice(0, posted);
    return true;
  }

  /** A submission queue is gone, and what was to be said about its commands. */
  forget(sqId: number): void {
    this.#backlog = this.#backlog.filter(([, , id]) => id !== sqId);
  }

  /** Writes what was posted to memory. @returns false when that is not there. */
  write(memory: Memory): boolean {
    const count = this.#unwritten;
    if (count === 0) return true;
    this.#unwritten = 0;
    const first = (this.#tail === 0 ? this.size : this.#tail) - count;
    const at = (first % BATCH) * COMPLETION_BYTES;
    return memory.write(this.#memory.iova(first), this.#entries, at, count * COMPLETION_BYTES);
  }

  #put(
    memory: Memory,
    result: number,
    sqHead: number,
    sqId: number,
    commandId: number,
    field: number,
  ): boolean {
    const at = (this.#tail % BATCH) * COMPLETION_BYTES;
    this.#view.setUint32(at, result, true);
    this.#view.setUint16(at + 8, sqHead, true);
    this.#view.setUint16(at + 10, sqId, true);
    this.#view.setUint16(at + 12, commandId, true);
    this.#view.setUint16(at + 14, (field << 1) | this.#phase, true);
    this.#unwritten++;
    this.#tail++;
    if (this.#tail === this.size) {
      this.#tail = 0;
      this.#phase ^= 1;
    }
    return this.#tail % BATCH !== 0 || this.write(memory);
  }
}
