/**
 * The memory table: the Memory objects that mappings name, each under a small number.
 *
 * Page tables are typed arrays and can hold numbers only. Each distinct Memory is in the table once, with a
 * count of the mappings that name it; it is closed when the count falls to zero. Invariant: a number in a
 * live mapping is always a live entry here.
 */
import { broken } from '../linux/invariant.js';
import type { Memory } from './memory.js';

export class MemoryTable {
  readonly #entries: (Memory | undefined)[] = [];
  readonly #users: number[] = [];
  readonly #free: number[] = [];
  readonly #ids = new Map<Memory, number>();

  /** Takes over one reference to `memory` for one mapping. @returns its number. */
  acquire(memory: Memory): number {
    const known = this.#ids.get(memory);
    if (known !== undefined) {
      memory.close();
      return this.retain(known);
    }
    const id = this.#free.pop() ?? this.#entries.length;
    this.#entries[id] = memory;
    this.#users[id] = 1;
    this.#ids.set(memory, id);
    return id;
  }

  /** Counts one more mapping of `id`. */
  retain(id: number): number {
    if (!(this.#users[id]! > 0)) broken(`memory ${id} is retained, and nothing holds it`);
    this.#users[id]!++;
    return id;
  }

  /** One mapping of `id` has gone. */
  release(id: number): void {
    if (!(this.#users[id]! > 0)) broken(`memory ${id} is released by more mappings than name it`);
    if (--this.#users[id]! > 0) return;
    const memory = this.get(id);
    this.#entries[id] = undefined;
    this.#ids.delete(memory);
    this.#free.push(id);
    memory.close();
  }

  get(id: number): Memory {
    return this.#entries[id]!;
  }

  /** Memories that are held. */
  get size(): number {
    return this.#ids.size;
  }
}
