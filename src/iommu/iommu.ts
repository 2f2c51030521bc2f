/**
 * The IOMMU: for each requester id a PASID table, and behind its entries page tables.
 *
 * A Requester is one requester id (RID), as a PCI function presents it with each DMA. Its PASID table says
 * which page table a PASID stands for, a PageTable or a NestedTable; no entry, no access. It knows numbers
 * and tables only: not who asked for an entry, nor why. Nothing is cached here (an IOTLB does not pay in
 * front of a one-stage walk; nested tables have their own), so an entry that is withdrawn is gone for the
 * very next DMA.
 */

import { effortOfAccesses } from '../linux/access-cost.js';
import { hex, refuse } from '../linux/errno.js';
import { broken, CHECKED } from '../linux/invariant.js';
import { Ranges } from '../linux/ranges.js';
import type { ScatterList } from '../linux/scatter-list.js';
import { type Access, NO_ENTRY, NO_RIGHT, NOT_MAPPED, noAccess, READ, WRITE } from './access.js';
import type { DirtyLog } from './dirty-log.js';
import { WatchedLog } from './event-log.js';
import { type DmaFault, FaultLog, type Transfer } from './fault-log.js';
import type { Memory } from './memory.js';
import { MemoryTable } from './memory-table.js';
import { NestedTable, type Translation } from './nested-table.js';
import { ADDRESS_BITS, PageTable } from './page-table.js';
import { PASID_BITS, type Pasid } from './pasid.js';
import type { Quota } from './quota.js';
import { Scattered, shortOf, type Translating } from './scattered.js';
import { foundIn, LAST_HI, MAPPING_WORDS, MEMORY, OFFSET_HI, START_HI, TableMemory } from './table-memory.js';
import { TwoStageTable } from './two-stage-table.js';
import { effortOfWords } from './word-accesses.js';

export { type Access, MEMORY_WRITABLE, READ, RIGHTS, WRITE } from './access.js';

/** DMA that is kept for who looks at it: he does after each turn of the server's loop. */
const TRANSFERS_KEPT = 1 << 14;

export class Iommu {
  readonly faults = new FaultLog();
  /** The DMA that went through. */
  readonly transfers = new WatchedLog<Transfer>(TRANSFERS_KEPT);
  readonly memories = new MemoryTable();
  readonly tables = new TableMemory();
  readonly #requesters = new Map<string, Requester>();

  /** Brings a requester id into being. `rid` is `0000:6a:01.0`. @throws Refusal EEXIST when it is taken. */
  requester(rid: string): Requester {
    if (this.#requesters.has(rid)) refuse('EEXIST', `requester id ${rid} is taken already`);
    const requester = new Requester(this, rid);
    this.#requesters.set(rid, requester);
    return requester;
  }

  /** An empty page table, whose tree counts in `pages`. */
  pageTable(pages?: Quota): PageTable {
    return new PageTable(this.tables, pages);
  }
}

const ADDRESS_LIMIT = 2 ** ADDRESS_BITS;
const NO_WORDS = new Int32Array(new SharedArrayBuffer(0));

/**
 * An entry of a PASID table: the page table, the log of what is written by this entry, and how often it was
 * granted.
 */
interface PasidEntry {
  readonly table: Translation;
  readonly log: DirtyLog | undefined;
  grants: number;
}

export class Requester implements Translating {
  readonly rid: string;
  readonly #iommu: Iommu;
  readonly #tables: TableMemory;
  // Its tables, at hand. (A field that has always been such an array is not looked at before it is used.)
  #words = NO_WORDS;
  readonly #entries = new Map<Pasid, PasidEntry>();
  // The PASID table as the walk wants it: for each PASID the root of its tree, 0 when there is none (yet), as
  // always with a nested table. Untouched pages cost nothing, and in shared memory V8 does not count them,
  // for which it would collect garbage over and over.
  readonly #roots = new Int32Array(new SharedArrayBuffer(4 * 2 ** PASID_BITS));
  // Many requests of one PASID come in turn: the last one, the second table of its root, and its page table
  // once a tree alone did not do.
  #recent = -1;
  #recentLow = 0;
  #recentTable: Translation | undefined;
  // Entries that have a log. Most often there is none, and a write asks no more than that.
  #logs = 0;
  /** Does its program attach page tables to it, as iommufd's do, rather than authorize it for PASIDs? */
  attaches = false;
  /** What `locate` has found: the byte in the memory of the mapping, high and low 32 bits (int32). */
  byteHi = 0;
  byteLo = 0;
  readonly #scattered = new Scattered(this);
  /** A transfer of one range, which several mappings have. */
  readonly #whole = new Ranges();

  constructor(iommu: Iommu, rid: string) {
    this.#iommu = iommu;
    this.#tables = iommu.tables;
    this.#words = iommu.tables.tables;
    this.rid = rid;
  }

  /**
   * Makes entry (RID, PASID) that table, and has writes by it recorded in `log` while that is on. Grants of
   * the same are counted, because the mediated devices of one function share its RID.
   * @throws Refusal EBUSY when the entry is another table, or has another log.
   */
  grant(pasid: Pasid, table: Translation, log?: DirtyLog): void {
    const entry = this.#entries.get(pasid);
    if (entry === undefined) {
      this.#entries.set(pasid, { table, log, grants: 1 });
      table.enter();
      if (log !== undefined) this.#logs++;
    } else if (entry.table === table && entry.log === log) entry.grants++;
    else refuse('EBUSY', `PASID ${pasid} of requester ${this.rid} is another address space already`);
  }

  /** Takes one grant back. With the last the entry is gone: each DMA with that PASID faults from here on. */
  withdraw(pasid: Pasid): void {
    const entry =
      this.#entries.get(pasid) ??
      broken(`PASID ${pasid} of requester ${this.rid} is withdrawn, and not granted`);
    if (--entry.grants > 0) return;
    this.#entries.delete(pasid);
    this.#recent = -1;
    this.#recentTable = undefined;
    entry.table.leave();
    if (entry.log !== undefined) this.#logs--;
    this.#roots[pasid] = 0;
  }

  /**
   * What accesses to memory by requests of all requesters have come to, those of walks of users' tables
   * included: 1 each, more where a helper process makes it, where that has waited, for each word of a
   * device's registers, and where it was looked whose filesystem a page is of. It grows.
   */
  get effort(): number {
    return this.#iommu.memories.accesses + effortOfAccesses() + effortOfWords();
  }

  /** The entries, for those who look: PASID, and the page table of it. */
  *table(): Generator<readonly [Pasid, Translation]> {
    for (const [pasid, { table }] of this.#entries) yield [pasid, table];
  }

  /** The page table of entry (RID, PASID), for those who look; undefined: there is no such entry. */
  tableOf(pasid: Pasid): Translation | undefined {
    return this.#entries.get(pasid)?.table;
  }

  /**
   * Translates IOVA (hi, lo) of `pasid` (0 <= pasid < 2^20) for `access`. @returns the slot of the mapping
   * that covers it (TableMemory.mappings; of a nested table the cached translation), or a negative
   * NOT_MAPPED, NO_RIGHT, NO_ENTRY, REFUSED. Records nothing.
   */
  translate(pasid: Pasid, hi: number, lo: number, access: Access): number {
    // Here and in `locate`: the walk of `TableMemory.entryOf` for the lowest 512 GiB, and anything else
    // elsewhere. `| 0` and literals: results stay machine words, and no constant of another module is looked
    // up.
    if (pasid !== this.#recent) this.#turnTo(pasid);
    if (hi >>> 7 === 0) {
      const tables = this.#words;
      let entry = tables[this.#recentLow | (hi << 3) | ((lo >>> 29) & 6)]!;
      if (entry > 0) {
        entry = tables[entry | ((lo >>> 20) & 1022)]!;
        if (entry > 0) {
          entry = tables[entry | ((lo >>> 11) & 1022)]!;
          if (entry < 0 && (entry & access) === 0) return (entry >>> 2) & 0x1ff_ffff;
        }
      }
    }
    return this.#resolve(pasid, hi, lo, access) | 0;
  }

  /**
   * As `translate`, for a transfer: when there is a mapping, (byteHi, byteLo) is where in its memory the IOVA
   * lies. The entry of a page says so by itself; otherwise the mapping is asked.
   */
  locate(pasid: Pasid, hi: number, lo: number, access: Access): number {
    if (pasid !== this.#recent) this.#turnTo(pasid);
    if (hi >>> 7 === 0) {
      const tables = this.#words;
      let entry = tables[this.#recentLow | (hi << 3) | ((lo >>> 29) & 6)]!;
      if (entry > 0) {
        entry = tables[entry | ((lo >>> 20) & 1022)]!;
        if (entry > 0) {
          const at = entry | ((lo >>> 11) & 1022);
          entry = tables[at]!;
          if (entry < 0 && (entry & access) === 0) {
            const page = tables[at | 1]!;
            this.byteHi = ((entry >>> 15) & 0xf000) | (page >>> 20);
            this.byteLo = (page << 12) | (lo & 4095);
            return (entry >>> 2) & 0x1ff_ffff;
          }
        }
      }
    }
    return this.#resolve(pasid, hi, lo, access) | 0;
  }

  /** Fills target[at..at+length) from `iova`. A fault is recorded in the log and returned. */
  read(pasid: Pasid, iova: number, target: Uint8Array, at: number, length: number): DmaFault | undefined {
    return this.#transfer(pasid, iova, target, at, length, READ);
  }

  /** Writes source[at..at+length) to `iova`. The bytes before a fault have been written. */
  write(pasid: Pasid, iova: number, source: Uint8Array, at: number, length: number): DmaFault | undefined {
    return this.#transfer(pasid, iova, source, at, length, WRITE);
  }

  /**
   * As `read`, from all parts of `ranges`, one after the other, and as `write` to them; or of as many as come
   * to an effort of `most`. Where no fault is returned, `moved` is how many bytes.
   */
  move(pasid: Pasid, ranges: Ranges, buffer: Uint8Array, at: number, write: boolean, most?: number) {
    const fault = this.#scattered.transfer(pasid, ranges, buffer, at, write ? WRITE : READ, most);
    if (fault === undefined && this.#iommu.transfers.on)
      for (let part = 0, left = this.moved; left > 0; left -= ranges.lengths[part++]!)
        this.#tell(pasid, ranges.addresses[part]!, Math.min(left, ranges.lengths[part]!), write);
    return fault;
  }

  get moved(): number {
    return this.#scattered.done;
  }

  /**
   * Adds to `places` where `write` would write `length` bytes, for them to be read there at once, without a
   * copy in between. @returns false when some cannot be written so, when to find them takes long, or somebody
   * looks at what is transferred: `write` is for those, and finds the fault. None is recorded here.
   */
  place(pasid: Pasid, iova: number, length: number, places: ScatterList): boolean {
    return !this.#iommu.transfers.on && this.#scattered.place(pasid, iova, length, places);
  }

  /** Copies bytes at `from` to `to` in the same way, with an effort of `most`. @returns how many. */
  copy(pasid: Pasid, from: number, to: number, length: number, most: number): number {
    return this.#iommu.transfers.on ? 0 : this.#scattered.copy(pasid, from, to, length, most);
  }

  #tell(pasid: Pasid, iova: number, length: number, write: boolean): void {
    this.#iommu.transfers.record({ rid: this.rid, pasid, iova, length, write });
  }

  #transfer(
    pasid: Pasid,
    iova: number,
    buffer: Uint8Array,
    at: number,
    length: number,
    access: Access,
  ): DmaFault | undefined {
    // Calls are written out: what the engine takes in here should be `locate` and the memory's copy.
    const slot = length > 0 ? this.find(pasid, iova, access) : 0;
    if (slot < 0) return this.fault(pasid, iova, 0, access, this.why(slot, pasid, iova, access));
    const { memories } = this.#iommu;
    const write = access === WRITE;
    if (length === 0 || length > this.#tables.wide(slot, LAST_HI) - iova + 1) {
      this.#whole.clear();
      if (length > 0) this.#whole.add(iova, length);
      return this.move(pasid, this.#whole, buffer, at, write);
    }
    if (CHECKED) this.#check(slot, pasid, iova);
    memories.accesses++;
    const memory = memories.get(this.#tables.mappings[slot * MAPPING_WORDS + MEMORY]!);
    const offset = (this.byteHi >>> 0) * 0x1_0000_0000 + (this.byteLo >>> 0);
    const moved = write ? memory.write(offset, buffer, at, length) : memory.read(offset, buffer, at, length);
    if (write && this.#logs > 0) this.written(pasid, this.logged(pasid, iova), moved);
    if (moved < length)
      return this.fault(pasid, iova + moved, moved, access, shortOf(memory, offset + moved));
    if (this.#iommu.transfers.on) this.#tell(pasid, iova, length, write);
    return undefined;
  }

  memoryOf(slot: number, pasid: Pasid, iova: number): Memory {
    if (CHECKED) this.#check(slot, pasid, iova);
    const { memories } = this.#iommu;
    memories.accesses++;
    return memories.get(this.#tables.mappings[slot * MAPPING_WORDS + MEMORY]!);
  }

  get offset(): number {
    return (this.byteHi >>> 0) * 0x1_0000_0000 + (this.byteLo >>> 0);
  }

  left(slot: number, iova: number): number {
    return this.#tables.wide(slot, LAST_HI) - iova + 1;
  }

  /** What `locate` has found is what the mapping says, and that is there. */
  #check(slot: number, pasid: Pasid, iova: number): void {
    const { tables, memories } = this.#iommu;
    const { offset } = this;
    const name = `slot ${slot} of the mappings, to which iova ${hex(iova)} of PASID ${pasid} leads,`;
    if (!tables.holds(slot)) broken(`${name} is free`);
    const start = tables.wide(slot, START_HI);
    if (iova < start || iova > tables.wide(slot, LAST_HI)) broken(`${name} is of other addresses`);
    const meant = tables.wide(slot, OFFSET_HI) + (iova - start);
    if (offset !== meant) broken(`${name} is byte ${hex(meant)} of its memory there, not ${hex(offset)}`);
    if (memories.get(tables.mappings[slot * MAPPING_WORDS + MEMORY]!) === undefined)
      broken(`${name} is of a memory that was released`);
  }

  /** The log is about addresses that mappings have: with two stages those of the second. */
  logged(pasid: Pasid, iova: number): number {
    const table = this.#logs > 0 ? this.#entries.get(pasid)!.table : undefined;
    return table instanceof TwoStageTable ? table.secondOf(iova) : iova;
  }

  written(pasid: Pasid, address: number, length: number): void {
    if (this.#logs > 0) this.#entries.get(pasid)!.log?.written(address, length);
  }

  /** Requests of `pasid` come now. Root 0, of a PASID that has no tree, leads into zeros. */
  #turnTo(pasid: Pasid): void {
    this.#recent = pasid;
    this.#recentLow = this.#roots[pasid]! + 1024;
    this.#recentTable = undefined;
  }

  /**
   * `locate` and `translate` of all that they do not find themselves for the recent PASID: a larger page,
   * what no tree has yet, and what is refused.
   *
   * `walk` and `TableMemory.locate` are written out, for the engine to leave this where it is: it takes what
   * has less than 460 bytes of its code into the callers, and more along with it, until these are too large
   * for theirs. Then each lookup is a call, and takes twice as long.
   */
  #resolve(pasid: Pasid, hi: number, lo: number, access: Access): number {
    const { tables } = this.#tables;
    const root = this.#roots[pasid]!;
    let entry = 0;
    if (root !== 0 && hi >>> 16 === 0)
      entry = hi >>> 7 === 0 ? (root + 1024) | 0 : tables[root | ((hi >>> 7) << 1)]!;
    if (entry > 0) {
      entry = tables[entry | ((hi & 127) << 3) | ((lo >>> 29) & 6)]!;
      if (entry > 0) {
        entry = tables[entry | ((lo >>> 20) & 1022)]!;
        if (entry > 0) entry = tables[entry | ((lo >>> 11) & 1022)]!;
      }
    }
    let found = entry < 0 ? foundIn(entry) : NOT_MAPPED;
    if (found < 0) {
      this.#recentTable ??= this.#entries.get(pasid)?.table;
      const table = this.#recentTable;
      if (table === undefined) return NO_ENTRY;
      found = table.lookup(hi, lo, access);
      if (found < 0) return found;
      this.#roots[pasid] = table.root;
      this.#recentLow = table.root + 1024;
    }
    if ((found & access) !== access) return NO_RIGHT;
    const slot = found >> 2;
    const words = this.#tables.mappings;
    const at = slot * MAPPING_WORDS;
    const startLo = words[at + 1]!;
    const offsetLo = words[at + 5]!;
    const byteLo = (offsetLo + ((lo - startLo) | 0)) | 0;
    const borrow = lo >>> 0 < startLo >>> 0 ? 1 : 0;
    const carry = byteLo >>> 0 < offsetLo >>> 0 ? 1 : 0;
    this.byteHi = (words[at + 4]! + hi - words[at]! - borrow + carry) | 0;
    this.byteLo = byteLo;
    return slot;
  }

  /**
   * `locate` for numbers that may be anything: those that are no PASID or no address must not be cut down to
   * one that is.
   */
  find(pasid: Pasid, iova: number, access: Access): number {
    // 2^20, 2^48 and 2^32, as literals for the reason given in `translate`.
    if ((pasid & 0xf_ffff) !== pasid) return NO_ENTRY;
    if (!(iova >= 0 && iova < 0x1_0000_0000_0000)) return NOT_MAPPED;
    return this.locate(pasid, Math.floor(iova / 0x1_0000_0000), iova >>> 0, access);
  }

  /** Why requests with `pasid` (0: without one) go nowhere when they have no entry. */
  noEntry(pasid: Pasid): string {
    return noAccess(this.attaches, `requester ${this.rid}`, pasid);
  }

  why(code: number, pasid: Pasid, iova: number, access: Access): string {
    if (code === NO_ENTRY) return this.noEntry(pasid);
    if (!(iova < ADDRESS_LIMIT)) return `iova ${hex(iova)} is wider than ${ADDRESS_BITS} bits`;
    const table = this.#entries.get(pasid)?.table;
    if (table instanceof NestedTable) return `iova ${hex(iova)} of PASID ${pasid}: ${table.refusal}`;
    const right = access === WRITE ? 'write' : 'read';
    const state = code === NO_RIGHT ? `mapped without the right to ${right}` : 'not mapped';
    return `iova ${hex(iova)} of PASID ${pasid} is ${state}`;
  }

  fault(pasid: Pasid, iova: number, done: number, access: Access, reason: string): DmaFault {
    const write = access === WRITE;
    this.#iommu.faults.record({ rid: this.rid, pasid, iova, write, reason });
    return { iova, done, pasid, write, reason };
  }
}
