/**
 * An address space: what a mapped PASID of the native ABI and an IOAS of iommufd both are.
 *
 * It owns a page table, and knows which IOVAs are free in it. Each method checks everything before it changes
 * anything. The rules, their order and their errnos are those of Linux's iommufd for both ABIs. What can take
 * long is Work: mappings are taken out, looked at and copied a chunk at a time.
 *
 * Invariant: each mapping counts in the quota of the context that the address space is in, and holds one
 * reference to its memory.
 */
import { after, releasing, type Sliced, type Work, workOf } from '../file/work.js';
import { type Access, type Iommu, MEMORY_WRITABLE, READ, RIGHTS, WRITE } from '../iommu/iommu.js';
import { LockedPages } from '../iommu/locked-pages.js';
import type { Memory } from '../iommu/memory.js';
import type { PageTable } from '../iommu/page-table.js';
import type { Pasid } from '../iommu/pasid.js';
import type { Quota } from '../iommu/quota.js';
import { ACCESS, MAPPING_WORDS, MEMORY, NONE } from '../iommu/table-memory.js';
import { Errno, hex, Refusal, refuse } from '../linux/errno.js';
import type { Locker } from '../linux/locked-memory.js';
import { Covering, lastOf, type Piece, pieceOf } from './covering.js';
import { FreeIovas } from './free-iovas.js';
import { LAST_IOVA } from './iova-ranges.js';
import { IovaRules } from './iova-rules.js';
import { Space } from './space.js';

/** Mappings that are looked at or made before others have their turn. */
const CHUNK = 64;

/** One mapping, as `ls` shows it. Bytes. */
export interface MappingView {
  readonly iova: bigint;
  readonly length: bigint;
  readonly access: Access;
  readonly memory: string;
  /** It is memory of a process. */
  readonly ofProcess: boolean;
  readonly offset: bigint;
}

/** What lies in a range that is mapped as a whole. */
export interface Survey {
  /** Mappings. */
  readonly count: number;
  /** Where the range begins in the memory of the first. */
  readonly offset: bigint;
  /** The rights that all of them give, and MEMORY_WRITABLE. */
  readonly access: Access;
}

/** What an unmap has done: the bytes that were mapped, and why it stopped there. */
export interface Unmapped {
  readonly bytes: bigint;
  readonly refusal: Refusal | undefined;
}

export class AddressSpace extends Space {
  readonly table: PageTable;
  readonly iovas: FreeIovas;
  /** Are the pages of what is mapped locked for devices, and counted? */
  #locks = true;
  readonly #iommu: Iommu;
  readonly #quota: Quota;

  /** Its mappings count in `quota`, its tables in `pages`. Which IOVAs it has is as `rules` say. */
  constructor(
    iommu: Iommu,
    name: string | Pasid,
    quota: Quota,
    pages: Quota,
    rules: IovaRules = new IovaRules(),
  ) {
    super(name);
    this.#iommu = iommu;
    this.#quota = quota;
    this.table = iommu.pageTable(pages);
    this.iovas = new FreeIovas(this, rules);
  }

  get kind() {
    return 'mapped' as const;
  }

  /**
   * Maps `length` bytes of `memory` from byte `offset` on at an IOVA that `iovas.find` has given. Takes over
   * the reference to the memory. `locker`: who has its pages counted. @throws Refusal ENOMEM too many.
   */
  map(iova: bigint, length: bigint, memory: Memory, offset: bigint, access: Access, locker?: Locker): void {
    const rights = access & WRITE ? access | MEMORY_WRITABLE : access;
    const pages = locker && new LockedPages(locker);
    try {
      if (this.#locks) pages?.pin(offset, length);
    } catch (refusal) {
      memory.close();
      throw refusal;
    }
    this.#map(iova, length, this.#iommu.memories.acquire(memory, pages), offset, rights);
  }

  /**
   * Maps what `source` has at [from, from+length), all of it, at an IOVA that `iovas.find` has given for it.
   * @throws Refusal ENOMEM its pages are too many to be locked; that of the quota: then nothing is mapped.
   */
  *copy(iova: bigint, source: AddressSpace, from: bigint, length: bigint, access: Access): Work<void> {
    const shift = iova - from;
    const each = source.#covering(from, length);
    let [count, offset] = [0, 0n];
    while (each.next()) {
      if (count === 0) ({ offset } = each.piece());
      try {
        this.#quota.checkShared(1);
        this.#copyOne(each, shift, access);
      } catch (refusal) {
        if (count > 0) yield* workOf(this.#remove(iova, each.start + shift - 1n));
        throw refusal;
      }
      if (++count % CHUNK === 0) yield;
    }
    this.iovas.copied(source.iovas, iova, length, offset);
  }

  /** Copies what `each` has come to, `shift` bytes further on. @throws Refusal as `copy`. */
  #copyOne(each: Covering, shift: bigint, access: Access): void {
    const { tables, memories } = this.#iommu;
    const words = each.slot * MAPPING_WORDS;
    const memory = tables.mappings[words + MEMORY]!;
    const rights = access | (tables.mappings[words + ACCESS]! & MEMORY_WRITABLE);
    if (this.#locks && memories.pages(memory) !== undefined) this.#pin(each.piece());
    memories.retain(memory);
    if (each.whole) this.table.mapLike(each.slot, shift, rights);
    else {
      const { length, offset } = each.piece();
      this.table.map(each.start + shift, length, memory, offset, rights);
    }
    this.#quota.add(1);
  }

  /** From now on the pages of what is mapped are not locked for anybody: nothing uses them. */
  unlock(): void {
    if (this.#iommu.memories.counts) for (const piece of this.all()) this.#unpin(piece);
    this.#locks = false;
  }

  /** From now on they are. @throws Refusal ENOMEM they are too many; then they are not. */
  *lock(): Work<void> {
    let locked = 0;
    try {
      for (const piece of this.#iommu.memories.counts ? this.all() : []) {
        this.#pin(piece);
        if (++locked % CHUNK === 0) yield;
      }
      this.#locks = true;
    } catch (refusal) {
      for (const piece of this.all()) if (locked-- > 0) this.#unpin(piece);
      throw refusal;
    }
  }

  #pin({ memory, offset, length }: Piece): void {
    this.#iommu.memories.pages(memory)?.pin(offset, length);
  }

  #unpin({ memory, offset, length }: Piece): void {
    this.#iommu.memories.pages(memory)?.unpin(offset, length);
  }

  /**
   * What is mapped at [iova, iova+length), mapping by mapping.
   * @throws Refusal EINVAL, EOVERFLOW for no range; ENOENT when a part of it is not mapped, when it is come
   * to.
   */
  *pieces(iova: bigint, length: bigint): Generator<Piece, void> {
    for (const each = this.#covering(iova, length); each.next(); ) yield each.piece();
  }

  /** Each mapping, by rising IOVA. */
  *all(): Generator<Piece, void> {
    const { table } = this;
    for (const slot of table.slots())
      yield pieceOf(this.#iommu.tables, table, slot, table.start(slot), table.last(slot) + 1n);
  }

  /**
   * Looks at [iova, iova+length). @throws Refusal as `pieces`; that of the quota as soon as there are more
   * mappings than it has room for.
   */
  *survey(iova: bigint, length: bigint, quota: Quota): Work<Survey> {
    let [count, offset, access] = [0, 0n, ~0];
    for (const each = this.#covering(iova, length); each.next(); ) {
      if (count === 0) ({ offset } = each.piece());
      access &= this.#iommu.tables.mappings[each.slot * MAPPING_WORDS + ACCESS]!;
      quota.check(++count);
      if (count % CHUNK === 0) yield;
    }
    return { count, offset, access };
  }

  /**
   * Takes out all mappings in [iova, iova+length), which must not cut one in two. @returns the bytes that
   * were mapped; 0 is fine.
   * @throws Refusal EINVAL, EOVERFLOW for no range, ENOENT when a mapping lies across an end of it.
   */
  unmap(iova: bigint, length: bigint): Sliced<bigint> {
    const last = lastOf(iova, length);
    const cut = this.#cut(iova, last);
    if (cut !== undefined) throw this.#wouldSplit(iova, length, cut);
    return this.#remove(iova, last);
  }

  /**
   * As `unmap`, but as Linux does it: what lies below a mapping that would be cut is taken out, and only then
   * that one is refused. @throws Refusal EINVAL, EOVERFLOW for no range.
   */
  *unmapBelowCut(iova: bigint, length: bigint): Work<Unmapped> {
    const last = lastOf(iova, length);
    const cut = this.#cut(iova, last);
    if (cut === undefined) return { bytes: yield* workOf(this.#remove(iova, last)), refusal: undefined };
    const bytes = cut > iova ? yield* workOf(this.#remove(iova, cut - 1n)) : 0n;
    return { bytes, refusal: this.#wouldSplit(iova, length, cut) };
  }

  /**
   * Makes two mappings of the one that goes on behind IOVA `last`; what lies there, and in which memory,
   * stays. Nothing to do where nothing is mapped or the mapping begins or ends with `last`. @throws Refusal
   * EINVAL when the second would not be aligned.
   */
  split(last: bigint): void {
    const slot = this.table.find(last);
    if (slot === NONE) return;
    const [start, end] = [this.table.start(slot), this.table.last(slot)];
    if (last === start || last === end) return;
    const { tables, memories } = this.#iommu;
    const offset = this.table.offset(slot);
    const first = last + 1n - start;
    if (((start + first) | (offset + first)) & (this.iovas.alignment - 1n)) {
      const where = `at ${hex(start + first)}, which is not ${this.iovas.aligned}`;
      refuse('EINVAL', `the mapping at ${hex(start)} cannot be split ${where}`);
    }
    this.#quota.check(1);
    const access = tables.mappings[slot * MAPPING_WORDS + ACCESS]!;
    const memory = memories.retain(this.table.unmap(slot));
    this.table.map(start, first, memory, offset, access);
    this.table.map(last + 1n, end - last, memory, offset + first, access);
    this.iovas.taken(last + 1n, end - last, offset + first);
    this.#quota.add(1);
  }

  /** The rights that mapping `slot` of the table gives. */
  rights(slot: number): Access {
    return this.#iommu.tables.mappings[slot * MAPPING_WORDS + ACCESS]! & RIGHTS;
  }

  /** Takes out all mappings. @returns the bytes that were mapped; 0 is fine. */
  unmapAll(): Sliced<bigint> {
    return this.#remove(0n, LAST_IOVA);
  }

  *close(): Work<void> {
    yield* releasing([() => after(this.unmapAll(), () => undefined), () => this.table.close()]);
    this.requireUnused();
  }

  /** The mappings by rising IOVA, at most `limit`. */
  mappings(limit: number): MappingView[] {
    const views: MappingView[] = [];
    for (const view of this.views()) {
      if (views.length === limit) break;
      views.push(view);
    }
    return views;
  }

  /** The mappings by rising IOVA, one by one. */
  *views(): Generator<MappingView> {
    const { tables, memories } = this.#iommu;
    for (const slot of this.table.slots()) {
      const iova = this.table.start(slot);
      const memory = memories.get(tables.mappings[slot * MAPPING_WORDS + MEMORY]!);
      yield {
        iova,
        length: this.table.last(slot) - iova + 1n,
        access: this.rights(slot),
        memory: memory.description,
        ofProcess: memory.ofProcess,
        offset: this.table.offset(slot),
      };
    }
  }

  #covering(iova: bigint, length: bigint): Covering {
    return new Covering(this.#iommu.tables, this, iova, length);
  }

  /** Where the first mapping begins that lies across an end of [iova, last]. */
  #cut(iova: bigint, last: bigint): bigint | undefined {
    for (const end of [iova, last]) {
      const slot = this.table.find(end);
      if (slot !== NONE && (this.table.start(slot) < iova || this.table.last(slot) > last))
        return this.table.start(slot);
    }
    return undefined;
  }

  #wouldSplit(iova: bigint, length: bigint, cut: bigint): Refusal {
    const reason = `would split the mapping at ${hex(cut)} of ${this.name}`;
    return new Refusal(Errno.ENOENT, `iova range ${hex(iova)}+${hex(length)} ${reason}`);
  }

  /** Takes out the mappings that begin in [first, last], the highest first. */
  #remove(first: bigint, last: bigint): Sliced<bigint> {
    const { bytes, more } = this.#removeSome(first, last);
    return more ? this.#removeRest(first, last, bytes) : bytes;
  }

  *#removeRest(first: bigint, last: bigint, before: bigint): Work<bigint> {
    let bytes = before;
    for (let more = true; more; ) {
      yield;
      const some = this.#removeSome(first, last);
      bytes += some.bytes;
      more = some.more;
    }
    return bytes;
  }

  #removeSome(first: bigint, last: bigint): { readonly bytes: bigint; readonly more: boolean } {
    const before = this.table.count;
    let [hi, lo] = [0, 0];
    const { memories } = this.#iommu;
    const more = this.table.takeSome(first, last, (memory, lengthHi, lengthLo, offset) => {
      hi += lengthHi >>> 0;
      lo += lengthLo >>> 0;
      if (this.#locks) memories.pages(memory)?.unpin(BigInt(offset), sumOf(lengthHi >>> 0, lengthLo >>> 0));
      memories.release(memory);
    });
    this.#quota.remove(before - this.table.count);
    this.iovas.freed(first);
    return { bytes: sumOf(hi, lo), more };
  }

  #map(iova: bigint, length: bigint, memory: number, offset: bigint, access: Access): void {
    this.table.map(iova, length, memory, offset, access);
    this.iovas.taken(iova, length, offset);
    this.#quota.add(1);
  }
}

/** `hi` times 2^32 and `lo`, which may be more. */
function sumOf(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) + BigInt(lo);
}

/** The right that `given` lacks for `access`: as a word, or undefined. */
export function missingRight(given: Access, access: Access): string | undefined {
  if ((access & ~given & WRITE) !== 0) return 'write';
  return (access & ~given & READ) !== 0 ? 'read' : undefined;
}
