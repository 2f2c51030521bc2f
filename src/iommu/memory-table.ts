/**
 * The memory table: the Memory objects that mappings name, each under a small number.
 *
 * Page tables are typed arrays and can hold numbers only. Each distinct Memory is in the table once, with a
 * count of the mappings that name it; it is closed when the count falls to zero. Memory whose pages are
 * counted has a number for each time it was mapped, which its copies share. Invariant: a number in a live
 * mapping is always a live entry here.
 */
import { broken } from '../linux/invariant.js';
import type { LockedPages } from './locked-pages.js';
import type { Memory } from './memory.js';

export class MemoryTable {
  /** Accesses to memories by requests and walks, since the beginning. Whoever makes them counts them. */
  accesses = 0;
  readonly #entries: (Memory | undefined)[] = [];
  readonly #users: number[] = [];
  readonly #free: number[] = [];
  /** Of those whose pages are not counted. */
  readonly #ids = new Map<Memory, number>();
  readonly #pages = new Map<number, LockedPages>();

  /**
   * Takes over one reference to `memory` for one mapping; `pages`: its pages as they are counted. @returns
   * its number.
   */
  acquire(memory: Memory, pages?: LockedPages): number {
    const known = pages === undefined ? this.#ids.get(memory) : undefined;
    if (known !== undefined) {
      memory.close();
      return this.retain(known);
    }
    const id = this.#free.pop() ?? this.#entries.length;
    this.#entries[id] = memory;
    this.#users[id] = 1;
    if (pages === undefined) this.#ids.set(memory, id);
    else this.#pages.set(id, pages);
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
    if (!this.#pages.delete(id)) this.#ids.delete(memory);
    this.#free.push(id);
    memory.close();
  }

  get(id: number): Memory {
    return this.#entries[id]!;
  }

  /** The pages of memory `id`, when they are counted. */
  pages(id: number): LockedPages | undefined {
    return this.#pages.get(id);
  }

  /** Are the pages of any memory counted? */
  get counts(): boolean {
    return this.#pages.size > 0;
  }

  /** Memories that are held. */
  get size(): number {
    return this.#ids.size + this.#pages.size;
  }
}
