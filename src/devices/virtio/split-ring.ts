/**
 * The split ring (virtio 1.3 §2.7): a descriptor table, an available ring of heads, a used ring.
 *
 * Both indexes run modulo 2^16 and their difference is never above the size. Heads are read many at a time,
 * and with many of them the whole table: all that they name was written before the index that we have seen.
 */
import type { Chain } from './chain.js';
import { fence } from './fence.js';
import {
  DESCRIPTOR_BYTES,
  DESCRIPTOR_INDIRECT,
  DESCRIPTOR_NEXT,
  DESCRIPTOR_WRITE,
  Descriptors,
  IndirectTable,
  longestChain,
  type Ring,
  type RingLayout,
  wantsEvent,
} from './ring.js';
import type { RingMemory } from './ring-memory.js';

/** Heads that are read, and used elements that are written, at a time. */
const BATCH = 64;
/** The table is read as a whole when that is not more than so many descriptors for each head. */
const TABLE_PER_HEAD = 32;
/** Descriptors of one chain that are read one by one, before the table is. */
const SINGLES = 8;
const NO_INTERRUPT = 1;
const ELEMENT_BYTES = 8;

export class SplitRing implements Ring {
  readonly #memory: RingMemory;
  readonly #layout: RingLayout;
  readonly #mask: number;
  /** The driver's index as last read, and the number of the next buffer to take. */
  #available: number;
  #next: number;
  /** Heads [#next, #fetched) are in #heads, from #at on. */
  readonly #heads = new Uint8Array(BATCH * 2);
  #fetched: number;
  #at = 0;
  readonly #table: Descriptors;
  #tableIsRead = false;
  readonly #one = new Descriptors(1);
  readonly #indirect: IndirectTable;
  /** Used elements that the driver has not been shown: their bytes, and the index of the first. */
  readonly #elements = new Uint8Array(BATCH * ELEMENT_BYTES);
  readonly #elementView = new DataView(this.#elements.buffer);
  #pending = 0;
  #used: number;
  /** The used index at the last decision on an interrupt. */
  #told: number;
  readonly #word = new Uint8Array(8);

  /** @param base the number of the next buffer to take, which is also that of the next to use. */
  constructor(memory: RingMemory, layout: RingLayout, base: number) {
    this.#memory = memory;
    this.#layout = layout;
    this.#mask = layout.size - 1;
    this.#available = this.#next = this.#fetched = this.#used = this.#told = base & 0xffff;
    this.#table = new Descriptors(layout.size);
    this.#indirect = new IndirectTable(memory, longestChain(layout.size));
  }

  get base(): number {
    return this.#next;
  }

  take(chain: Chain): boolean {
    if (this.#next === this.#fetched && !this.#fetch()) return false;
    const head = this.#heads[this.#at]! | (this.#heads[this.#at + 1]! << 8);
    chain.clear();
    chain.id = head;
    chain.slots = 1;
    if (!this.#walk(chain, head)) return false;
    this.#at += 2;
    this.#next = (this.#next + 1) & 0xffff;
    return true;
  }

  untake(): void {
    this.#next = this.#fetched = (this.#next - 1) & 0xffff;
  }

  use(chain: Chain, length: number): void {
    if (this.#pending === BATCH) this.#write();
    const at = this.#pending++ * ELEMENT_BYTES;
    this.#elementView.setUint32(at, chain.id, true);
    this.#elementView.setUint32(at + 4, length, true);
  }

  publish(): boolean {
    this.#write();
    const old = this.#told;
    this.#told = this.#used;
    if (old === this.#used) return false;
    // The driver asks for an interrupt and looks at the index; we write the index and look at what it asks.
    fence();
    const { driver, size, eventIndex } = this.#layout;
    const asked = this.#readWord(eventIndex ? driver + 4 + 2 * size : driver, 'available ring');
    if (asked < 0) return false;
    return eventIndex ? wantsEvent(asked, this.#used, old) : (asked & NO_INTERRUPT) === 0;
  }

  /** Reads more heads. @returns false when there are none, or the ring is broken. */
  #fetch(): boolean {
    if (this.#available === this.#next && !this.#look() && !this.#ask()) return false;
    const start = this.#next & this.#mask;
    const pending = (this.#available - this.#next) & 0xffff;
    const count = Math.min(pending, this.#layout.size - start, BATCH);
    fence();
    if (!this.#memory.read(this.#layout.driver + 4 + 2 * start, this.#heads, 2 * count, 'available ring'))
      return false;
    this.#at = 0;
    this.#fetched = (this.#next + count) & 0xffff;
    this.#tableIsRead = count * TABLE_PER_HEAD >= this.#layout.size;
    return !this.#tableIsRead || this.#readTable();
  }

  #readTable(): boolean {
    const { descriptors, size } = this.#layout;
    this.#tableIsRead = true;
    return this.#memory.read(descriptors, this.#table.bytes, size * DESCRIPTOR_BYTES, 'descriptor table');
  }

  /** Reads the driver's index. @returns whether there is something new. */
  #look(): boolean {
    const index = this.#readWord(this.#layout.driver + 2, 'available ring');
    if (index < 0) return false;
    const ahead = (index - this.#next) & 0xffff;
    if (ahead > this.#layout.size)
      return this.#memory.fail(
        `the available index ${index} is ${ahead} ahead of the device in a ring of ${this.#layout.size}`,
      );
    this.#available = index;
    return ahead > 0;
  }

  /** Asks for a kick at the next buffer, and looks once more: it may have come just before. */
  #ask(): boolean {
    const { device, size, eventIndex } = this.#layout;
    if (!eventIndex || this.#memory.broken !== undefined) return false;
    if (!this.#writeWord(device + 4 + ELEMENT_BYTES * size, this.#next)) return false;
    fence();
    return this.#look();
  }

  /** Follows a chain from descriptor `head` of the table. */
  #walk(chain: Chain, head: number): boolean {
    const { size } = this.#layout;
    let index = head;
    for (let seen = 0; seen < size; seen++) {
      if (index >= size)
        return this.#memory.fail(`descriptor ${index} is past the end of a table of ${size}`);
      if (!this.#tableIsRead && !(seen < SINGLES ? this.#readDescriptor(index) : this.#readTable()))
        return false;
      const from = this.#tableIsRead ? this.#table : this.#one;
      const at = this.#tableIsRead ? index : 0;
      const flags = from.third(at);
      if ((flags & DESCRIPTOR_INDIRECT) !== 0)
        return this.#walkIndirect(chain, from.iova(at), from.length(at), flags);
      if (!chain.add(from.iova(at), from.length(at), (flags & DESCRIPTOR_WRITE) !== 0)) return false;
      if ((flags & DESCRIPTOR_NEXT) === 0) return true;
      index = from.fourth(at);
    }
    return this.#memory.fail(`the chain at descriptor ${head} is longer than its table of ${size}: a loop`);
  }

  /** Follows the rest of a chain in an indirect table (§2.7.5.3). */
  #walkIndirect(chain: Chain, iova: number, length: number, flags: number): boolean {
    if ((flags & DESCRIPTOR_NEXT) !== 0)
      return this.#memory.fail(`a descriptor of chain ${chain.id} is both indirect and followed by another`);
    const table = this.#indirect.read(iova, length);
    if (table === undefined) return false;
    const count = length / DESCRIPTOR_BYTES;
    let index = 0;
    for (let seen = 0; seen < count; seen++) {
      if (index >= count)
        return this.#memory.fail(`descriptor ${index} is past the end of an indirect table of ${count}`);
      const here = table.third(index);
      if ((here & DESCRIPTOR_INDIRECT) !== 0)
        return this.#memory.fail(`descriptor ${index} of an indirect table is indirect`);
      if (!chain.add(table.iova(index), table.length(index), (here & DESCRIPTOR_WRITE) !== 0)) return false;
      if ((here & DESCRIPTOR_NEXT) === 0) return true;
      index = table.fourth(index);
    }
    return this.#memory.fail(`a chain is longer than its indirect table of ${count}: a loop`);
  }

  #readDescriptor(index: number): boolean {
    const iova = this.#layout.descriptors + index * DESCRIPTOR_BYTES;
    return this.#memory.read(iova, this.#one.bytes, DESCRIPTOR_BYTES, 'descriptor table');
  }

  /** Writes the pending elements, and then the index that shows them. */
  #write(): void {
    const pending = this.#pending;
    this.#pending = 0;
    if (pending === 0) return;
    const { device, size } = this.#layout;
    for (let done = 0; done < pending; ) {
      const slot = (this.#used + done) & this.#mask;
      const count = Math.min(pending - done, size - slot);
      const iova = device + 4 + slot * ELEMENT_BYTES;
      if (!this.#memory.write(iova, this.#elements, done * ELEMENT_BYTES, count * ELEMENT_BYTES, 'used ring'))
        return;
      done += count;
    }
    fence();
    const index = (this.#used + pending) & 0xffff;
    if (this.#writeWord(device + 2, index)) this.#used = index;
  }

  /** @returns the 16 bits at `iova`; -1 when they cannot be reached. */
  #readWord(iova: number, what: string): number {
    if (!this.#memory.read(iova, this.#word, 2, what)) return -1;
    return this.#word[0]! | (this.#word[1]! << 8);
  }

  #writeWord(iova: number, value: number): boolean {
    this.#word[0] = value;
    this.#word[1] = value >>> 8;
    return this.#memory.write(iova, this.#word, 0, 2, 'used ring');
  }
}
