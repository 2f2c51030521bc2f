/**
 * The packed ring (virtio 1.3 §2.8): one ring of descriptors that both sides write, and in which two bits say
 * whose turn an entry is. Which values mean "available" and "used" changes with each pass through the ring:
 * that is the wrap counter, one for each direction.
 *
 * Entries are read many at a time, twice: what the first reading finds available was complete before it, so
 * the second has it whole. Used entries are written backwards in effect: the driver does not look past the
 * first one, whose flags come last.
 */
import { Ranges } from '../../linux/ranges.js';
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

const AVAILABLE = 1 << 7;
const USED = 1 << 15;
/** Entries that are read at a time, and used ones that are kept back. */
const BATCH = 64;
/** Event suppression structures (§2.8.10): all events, none, the one at an offset. */
const EVENTS_OFF = 1;
const EVENTS_AT = 2;
/** Bits of a used entry from its length on: length, id, flags. */
const USED_AT = 8;
const FLAGS_AT = 14;

/** Where used entries go that are shown with an earlier one. */
const places = new Ranges();

export class PackedRing implements Ring {
  readonly #memory: RingMemory;
  readonly #layout: RingLayout;
  /** The entry to take next, and whether the driver is in an odd pass (its counter is 1). */
  #next: number;
  #nextWrap: boolean;
  /** The entry to mark used next. */
  #used: number;
  #usedWrap: boolean;
  /** Entries [#from, #from + #count) as they are; the first #known of them are known to be available. */
  readonly #flags: Descriptors;
  readonly #entries: Descriptors;
  #from = 0;
  #count = 0;
  #known = 0;
  /** Of the next pass, or further on than those: entries [#moreFrom, #moreFrom + BATCH), for one chain. */
  readonly #more: Descriptors;
  #moreFrom = 0;
  #moreCount = 0;
  readonly #indirect: IndirectTable;
  /** Used entries that the driver was not shown: bytes 8 to 15 of each, and where they go. */
  readonly #pendingBytes = new Uint8Array(BATCH * 8);
  readonly #pendingView = new DataView(this.#pendingBytes.buffer);
  readonly #pendingAt = new Uint16Array(BATCH);
  #pending = 0;
  /** Entries used since the last decision on an interrupt. */
  #untold = 0;
  readonly #event = new Uint8Array(4);
  readonly #eventView = new DataView(this.#event.buffer);

  /**
   * @param base where to go on, as VHOST_SET_VRING_BASE says it: bits 0 to 14 the entry to take and bit 15
   * its wrap counter, bits 16 to 31 the same of the entry to use.
   */
  constructor(memory: RingMemory, layout: RingLayout, base: number) {
    this.#memory = memory;
    this.#layout = layout;
    this.#next = (base & 0x7fff) % layout.size;
    this.#nextWrap = (base & 0x8000) !== 0;
    this.#used = ((base >>> 16) & 0x7fff) % layout.size;
    this.#usedWrap = base >>> 31 === 1;
    this.#flags = new Descriptors(Math.min(BATCH, layout.size));
    this.#entries = new Descriptors(Math.min(BATCH, layout.size));
    this.#more = new Descriptors(Math.min(BATCH, layout.size));
    this.#indirect = new IndirectTable(memory, longestChain(layout.size));
  }

  get base(): number {
    return (position(this.#next, this.#nextWrap) | (position(this.#used, this.#usedWrap) << 16)) >>> 0;
  }

  take(chain: Chain): boolean {
    if (this.#next - this.#from >= this.#known || this.#next < this.#from)
      if (!this.#fetch() && !this.#ask()) return false;
    chain.clear();
    if (!this.#walk(chain)) return false;
    this.#next += chain.slots;
    if (this.#next < this.#layout.size) return true;
    this.#next -= this.#layout.size;
    this.#nextWrap = !this.#nextWrap;
    this.#known = 0;
    return true;
  }

  untake(chain: Chain): void {
    this.#known = 0;
    this.#next -= chain.slots;
    if (this.#next >= 0) return;
    this.#next += this.#layout.size;
    this.#nextWrap = !this.#nextWrap;
  }

  use(chain: Chain, length: number): void {
    if (this.#pending === BATCH) this.#write();
    const at = this.#pending * 8;
    const marks = this.#usedWrap ? AVAILABLE | USED : 0;
    this.#pendingView.setUint32(at, length, true);
    this.#pendingView.setUint16(at + 4, chain.id, true);
    this.#pendingView.setUint16(at + 6, length > 0 ? marks | DESCRIPTOR_WRITE : marks, true);
    this.#pendingAt[this.#pending++] = this.#used;
    this.#untold += chain.slots;
    this.#used += chain.slots;
    if (this.#used < this.#layout.size) return;
    this.#used -= this.#layout.size;
    this.#usedWrap = !this.#usedWrap;
  }

  publish(): boolean {
    this.#write();
    const untold = this.#untold;
    this.#untold = 0;
    if (untold === 0) return false;
    // The driver asks for an interrupt and looks at the entries; we write those and look at what it asks.
    fence();
    if (!this.#memory.read(this.#layout.driver, this.#event, 4, 'driver event suppression')) return false;
    const flags = this.#eventView.getUint16(2, true) & 3;
    if (flags !== EVENTS_AT || !this.#layout.eventIndex) return flags !== EVENTS_OFF;
    const asked = this.#eventView.getUint16(0, true);
    const event = asked & 0x7fff;
    // An event of the pass before this one lies a whole ring back.
    const back = asked >>> 15 === (this.#usedWrap ? 1 : 0) ? event : event - this.#layout.size;
    return wantsEvent(back, this.#used, this.#used - untold);
  }

  /** Reads the entries from #next on. @returns whether the first is available. */
  #fetch(): boolean {
    if (this.#memory.broken !== undefined) return false;
    this.#known = 0;
    this.#from = this.#next;
    this.#count = Math.min(this.#layout.size - this.#next, BATCH);
    const iova = this.#layout.descriptors + this.#next * DESCRIPTOR_BYTES;
    const length = this.#count * DESCRIPTOR_BYTES;
    if (!this.#memory.read(iova, this.#flags.bytes, length, 'descriptor ring')) return false;
    let known = 0;
    while (known < this.#count && this.#isAvailable(this.#flags.fourth(known))) known++;
    if (known === 0) return false;
    fence();
    if (!this.#memory.read(iova, this.#entries.bytes, length, 'descriptor ring')) return false;
    this.#known = known;
    return true;
  }

  #isAvailable(flags: number): boolean {
    const marks = flags & (AVAILABLE | USED);
    return marks === (this.#nextWrap ? AVAILABLE : USED);
  }

  /** Asks for a kick at the next buffer, and looks once more: it may have come just before. */
  #ask(): boolean {
    if (!this.#layout.eventIndex || this.#memory.broken !== undefined) return false;
    this.#eventView.setUint16(0, position(this.#next, this.#nextWrap), true);
    this.#eventView.setUint16(2, EVENTS_AT, true);
    if (!this.#memory.write(this.#layout.device, this.#event, 0, 4, 'device event suppression')) return false;
    fence();
    return this.#fetch();
  }

  /** Collects the chain that begins at #next (§2.8.6); its id is that of the last descriptor. */
  #walk(chain: Chain): boolean {
    const { size } = this.#layout;
    this.#moreCount = 0;
    for (let slots = 1; slots <= size; slots++) {
      const index = (this.#next + slots - 1) % size;
      // Past the end of the ring begins the next pass, which was not read.
      const cached = index >= this.#next && index - this.#from < this.#count;
      if (!cached && !this.#readMore(index)) return false;
      const from = cached ? this.#entries : this.#more;
      const at = index - (cached ? this.#from : this.#moreFrom);
      const flags = from.fourth(at);
      chain.slots = slots;
      chain.id = from.third(at);
      const next = (flags & DESCRIPTOR_NEXT) !== 0;
      if ((flags & DESCRIPTOR_INDIRECT) !== 0) {
        if (next || slots > 1)
          return this.#memory.fail(`entry ${index} is both indirect and part of a chain of descriptors`);
        return this.#walkIndirect(chain, from.iova(at), from.length(at));
      }
      if (!chain.add(from.iova(at), from.length(at), (flags & DESCRIPTOR_WRITE) !== 0)) return false;
      if (!next) return true;
    }
    return this.#memory.fail(`the chain at entry ${this.#next} is longer than its ring of ${size}`);
  }

  /** All descriptors of an indirect table, one after the other (§2.8.7). */
  #walkIndirect(chain: Chain, iova: number, length: number): boolean {
    const table = this.#indirect.read(iova, length);
    if (table === undefined) return false;
    for (let index = 0; index < length / DESCRIPTOR_BYTES; index++) {
      const flags = table.fourth(index);
      if ((flags & DESCRIPTOR_INDIRECT) !== 0)
        return this.#memory.fail(`descriptor ${index} of an indirect table is indirect`);
      if (!chain.add(table.iova(index), table.length(index), (flags & DESCRIPTOR_WRITE) !== 0)) return false;
    }
    return true;
  }

  /** Has entry `index`, and those after it, in #more. */
  #readMore(index: number): boolean {
    if (index >= this.#moreFrom && index - this.#moreFrom < this.#moreCount) return true;
    this.#moreFrom = index;
    this.#moreCount = Math.min(this.#layout.size - index, BATCH);
    const iova = this.#layout.descriptors + index * DESCRIPTOR_BYTES;
    const length = this.#moreCount * DESCRIPTOR_BYTES;
    return this.#memory.read(iova, this.#more.bytes, length, 'descriptor ring');
  }

  /** Writes the pending entries, all but the flags of the first; then those, which show them all. */
  #write(): void {
    const pending = this.#pending;
    this.#pending = 0;
    if (pending === 0) return;
    const { descriptors } = this.#layout;
    places.clear();
    for (let i = 1; i < pending; i++)
      places.add(descriptors + this.#pendingAt[i]! * DESCRIPTOR_BYTES + USED_AT, 8);
    if (!this.#memory.writeAll(places, this.#pendingBytes, 8, 'descriptor ring')) return;
    const first = descriptors + this.#pendingAt[0]! * DESCRIPTOR_BYTES + USED_AT;
    if (!this.#memory.write(first, this.#pendingBytes, 0, 6, 'descriptor ring')) return;
    fence();
    this.#memory.write(
      descriptors + this.#pendingAt[0]! * DESCRIPTOR_BYTES + FLAGS_AT,
      this.#pendingBytes,
      6,
      2,
      'descriptor ring',
    );
  }
}

/** A place in the ring with its wrap counter in bit 15. */
function position(index: number, wrap: boolean): number {
  return index | (wrap ? 0x8000 : 0);
}
