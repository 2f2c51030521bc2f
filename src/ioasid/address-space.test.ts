import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { finish, finished } from '../file/work.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { Quota, tableQuota } from '../iommu/quota.js';
import { Errno, type ErrnoName, Refusal, refuse } from '../linux/errno.js';
import type { Locker } from '../linux/locked-memory.js';
import { AddressSpace } from './address-space.js';
import { FreeIovas } from './free-iovas.js';
import { LAST_IOVA } from './iova-ranges.js';
import { IovaRules } from './iova-rules.js';

const PAGE = 4096n;
const RW = READ | WRITE;
const QUOTA = 10;
const LOCKED = 10;

/** Where IOVAs lie: low, on both sides of the signs of their halves, and at the end. */
const PLACES = [0n, 2n ** 32n, 2n ** 63n];
const near = fc
  .record({
    place: fc.constantFrom(...PLACES),
    page: fc.integer({ min: -8, max: 7 }),
    odd: fc.constantFrom(0n, 0n, 0n, 1n, 0xfffn),
  })
  .map(({ place, page, odd }) => BigInt.asUintN(64, place + BigInt(page) * PAGE + odd));
const before = fc.constantFrom(...PLACES).map((place) => BigInt.asUintN(64, place - 1n));
const iova = fc.oneof({ weight: 3, arbitrary: near }, { weight: 1, arbitrary: before });
const length = fc.oneof(
  { weight: 6, arbitrary: fc.nat(5).map((pages) => BigInt(pages) * PAGE) },
  { weight: 2, arbitrary: fc.nat(3 * 4096).map(BigInt) },
  { weight: 1, arbitrary: fc.constantFrom(2n ** 32n, 2n ** 63n, 2n ** 63n + PAGE, LAST_IOVA) },
);
const step = fc.record({
  kind: fc.constantFrom(
    'map',
    'map',
    'map',
    'copy',
    'copy',
    'copy',
    'unmap',
    'below',
    'split',
    'unlock',
    'lock',
  ),
  into: fc.nat(1),
  source: fc.nat(1),
  iova,
  /** A step is about one of the mappings: begins in it, or behind it to map. Or it is about `iova`. */
  nth: fc.option(fc.nat(QUOTA), { freq: 2 }),
  within: fc.oneof(fc.constant(0n), iova),
  /** What is copied goes to the end of all that lie side by side, but for so many bytes. */
  less: fc.option(fc.constantFrom(0n, 0n, 1n, PAGE), { freq: 4 }),
  length,
  offset: fc.oneof(fc.constant(0n), fc.nat(3 * 4096).map(BigInt), fc.constant(2n ** 52n)),
  access: fc.constantFrom(READ, WRITE, RW),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function made(kind: Step['kind'], iova: bigint, fields: Partial<Step> = {}): Step {
  const unsaid = {
    into: 0,
    source: 0,
    nth: null,
    within: 0n,
    less: null,
    length: PAGE,
    offset: 0n,
    access: RW,
  };
  return { ...unsaid, ...fields, kind, iova };
}

/**
 * Tried each time, and not by chance: mappings that meet where a half ends, and where a page does not; and a
 * copy of which the last part is too much to be locked.
 */
const EXAMPLES = [
  ...[2n ** 32n, 2n ** 63n].map((place) => [
    made('map', place - PAGE),
    made('map', place),
    made('copy', 0n, { into: 1, nth: 0, less: 0n }),
  ]),
  [
    made('map', 0n),
    made('unlock', 0n),
    made('split', 99n),
    made('copy', 0n, { into: 1, within: 0n, length: PAGE }),
  ],
  [
    made('unlock', 0n),
    ...[0n, 4n, 8n].map((page) => made('map', page * PAGE, { length: 4n * PAGE })),
    made('copy', 0n, { into: 1, nth: 0, less: 0n }),
  ],
];

/** A mapping, as a list has it: all of it by bigints. */
interface Entry {
  readonly start: bigint;
  readonly last: bigint;
  readonly memory: string;
  readonly offset: bigint;
  readonly access: number;
}

/** Counts pages, of which it has LOCKED. */
class Pages implements Locker {
  locked = 0;

  lock(pages: number): void {
    if (this.locked + pages > LOCKED) refuse('ENOMEM', 'too many');
    this.locked += pages;
  }

  unlock(pages: number): void {
    this.locked -= pages;
  }
}

/** Lengths and addresses that an IOVA is chosen for. */
const CHOSEN = [
  [PAGE, 0n],
  [2n * PAGE, PAGE],
  [3n * PAGE, 0x800n],
  [16n, 0n],
] as const;

const REFUSED = Symbol('refused');

/** What a call answers; REFUSED with the errno `due`, if there is one, or where too much would be locked. */
function asked<T>(due: ErrnoName | undefined, call: () => T): T | typeof REFUSED {
  try {
    const result = call();
    assert.equal(due, undefined);
    return result;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    assert.equal(error.errno, due === undefined ? Errno.ENOMEM : Errno[due]);
    return REFUSED;
  }
}

function noRange(iova: bigint, length: bigint): ErrnoName | undefined {
  if (length === 0n) return 'EINVAL';
  return iova + length - 1n > LAST_IOVA ? 'EOVERFLOW' : undefined;
}

/** Two address spaces, and what should be in them. */
class Scene {
  readonly iommu = new Iommu();
  readonly quota = new Quota(QUOTA, 'mappings', 'ENOSPC');
  readonly spaces = ['one', 'other'].map(
    (name) => new AddressSpace(this.iommu, name, this.quota, tableQuota()),
  );
  readonly lists: Entry[][] = [[], []];
  readonly locks = [true, true];
  readonly pages = new Pages();
  /** Memories that were mapped, those whose pages are counted, and how many are closed. */
  made = 0;
  readonly real = new Set<string>();
  closed = 0;

  do(step: Step): void {
    const { kind, into } = step;
    const named = this.#named(into, step.nth);
    const [iova, length] = named === undefined ? [step.iova, step.length] : [named.start, sumOf([named])];
    if (kind === 'map') this.#map(step);
    else if (kind === 'copy') this.#copy(step);
    else if (kind === 'unmap') this.#unmap(into, iova, length);
    else if (kind === 'below') this.#unmapBelow(into, iova, length);
    else if (kind === 'split') this.#split(step);
    else if (kind === 'unlock') {
      if (this.locks[into]) this.spaces[into]!.unlock();
      this.locks[into] = false;
    } else if (!this.locks[into]) {
      this.locks[into] = asked(undefined, () => finish(this.spaces[into]!.lock())) !== REFUSED;
    }
  }

  /** The mapping that a step names. */
  #named(space: number, nth: number | null): Entry | undefined {
    const list = this.lists[space]!;
    return nth === null ? undefined : list[nth % Math.max(list.length, 1)];
  }

  /** What is mapped at [iova, iova+length). */
  #within(space: number, iova: bigint, length: bigint): Entry[] {
    return this.lists[space]!.filter((entry) => touches(entry, iova, iova + length - 1n));
  }

  /** What refuses `count` mappings more, at that IOVA. */
  #due(space: number, iova: bigint, length: bigint, count: number): ErrnoName | undefined {
    const taken = this.#within(space, iova, length).length > 0 ? 'EEXIST' : undefined;
    return noRange(iova, length) ?? taken ?? (this.quota.used + count > QUOTA ? 'ENOSPC' : undefined);
  }

  #map({ into, iova: anywhere, nth, length, offset: wanted, access }: Step): void {
    const space = this.spaces[into]!;
    const offset = wanted + length > LAST_IOVA ? 0n : wanted;
    const before = this.#named(into, nth);
    const iova = BigInt.asUintN(64, before === undefined ? anywhere : before.last + 1n);
    // What nobody can have is not locked.
    const isReal = offset + length < 2n ** 53n;
    const memory = new BufferMemory(new Uint8Array(0), `${this.made}`);
    memory.close = () => this.closed++;
    const done = asked(this.#due(into, iova, length, 1), () => {
      const at = finished(space.iovas.find(length, offset, iova));
      this.quota.check(1);
      this.made++;
      space.map(at, length, memory, offset, access, isReal ? this.pages : undefined);
    });
    if (done === REFUSED) return;
    if (isReal) this.real.add(memory.description);
    this.#add(into, { start: iova, last: iova + length - 1n, memory: memory.description, offset, access });
  }

  #copy({ into, source, iova, nth, within, less, length: anyLength, access }: Step): void {
    const [from, to] = [this.spaces[source]!, this.spaces[into]!];
    const chosen = this.#named(source, nth);
    const begin = chosen === undefined ? within : chosen.start + (within % sumOf([chosen]));
    let end = begin;
    for (const { start, last } of this.lists[source]!) if (start <= end && end <= last) end = last + 1n;
    const length = less !== null && end - begin > less ? end - begin - less : anyLength;
    const last = begin + length - 1n;
    const pieces = this.#within(source, begin, length).map((entry) => {
      const [start, end] = [entry.start < begin ? begin : entry.start, entry.last > last ? last : entry.last];
      return { ...entry, start, last: end, offset: entry.offset + start - entry.start };
    });
    // The quota is asked while the source is gone over, up to where nothing is mapped.
    const count = pieces.filter(({ start }) => start < end).length;
    const tooMany = this.quota.used + count > QUOTA ? 'ENOSPC' : undefined;
    const due = noRange(begin, length) ?? tooMany ?? (end <= last ? 'ENOENT' : undefined);
    const done = asked(due ?? this.#due(into, iova, length, pieces.length), () => {
      const survey = finish(from.survey(begin, length, this.quota));
      const at = finished(to.iovas.find(length, survey.offset, iova));
      assert.deepEqual([survey.count, survey.offset], [pieces.length, pieces[0]!.offset]);
      finish(to.copy(at, from, begin, length, access));
    });
    const shift = iova - begin;
    for (const piece of done === REFUSED ? [] : pieces)
      this.#add(into, { ...piece, start: piece.start + shift, last: piece.last + shift, access });
  }

  #unmap(into: number, iova: bigint, length: bigint): void {
    const hit = this.#within(into, iova, length);
    const cut = hit.some(({ start, last }) => start < iova || last >= iova + length) ? 'ENOENT' : undefined;
    const bytes = asked(noRange(iova, length) ?? cut, () => finished(this.spaces[into]!.unmap(iova, length)));
    if (bytes === REFUSED) return;
    assert.equal(bytes, sumOf(hit));
    this.#remove(into, hit);
  }

  #unmapBelow(into: number, iova: bigint, length: bigint): void {
    const hit = this.#within(into, iova, length);
    const cut = hit.findIndex(({ start, last }) => start < iova || last >= iova + length);
    const gone = cut === -1 ? hit : hit.slice(0, cut);
    const unmapped = asked(noRange(iova, length), () =>
      finish(this.spaces[into]!.unmapBelowCut(iova, length)),
    );
    if (unmapped === REFUSED) return;
    assert.deepEqual([unmapped.bytes, unmapped.refusal?.errno], [sumOf(gone), cut === -1 ? undefined : 2]);
    this.#remove(into, gone);
  }

  #split({ into, iova: anywhere, nth, within }: Step): void {
    const named = this.#within(into, anywhere, 1n).length > 0 ? undefined : this.#named(into, nth);
    const iova = named === undefined ? anywhere : named.start + (within % sumOf([named]));
    const entry = this.lists[into]!.find(({ start, last }) => start < iova && iova < last);
    const due = entry !== undefined && this.quota.used === QUOTA ? 'ENOSPC' : undefined;
    // Pages that are locked are not cut in two.
    if (this.locks[into] && entry !== undefined && (iova + 1n - entry.start + entry.offset) % PAGE !== 0n)
      return;
    const done = asked(due, () => this.spaces[into]!.split(iova));
    if (entry === undefined || done === REFUSED) return;
    this.#remove(into, [entry]);
    this.#add(into, { ...entry, last: iova });
    this.#add(into, { ...entry, start: iova + 1n, offset: entry.offset + iova + 1n - entry.start });
  }

  #add(into: number, entry: Entry): void {
    this.lists[into] = [...this.lists[into]!, entry].sort((a, b) => (a.start < b.start ? -1 : 1));
  }

  #remove(into: number, gone: readonly Entry[]): void {
    this.lists[into] = this.lists[into]!.filter((entry) => !gone.includes(entry));
  }

  /** Both are what the lists say, and so is what is counted of them. */
  check(): void {
    for (const [n, space] of this.spaces.entries()) {
      const views = [...space.views()].map(({ iova, length, memory, offset, access }) => {
        return { start: iova, last: iova + length - 1n, memory, offset, access };
      });
      assert.deepEqual(views, this.lists[n]);
      const odd = views.find(
        ({ start, last, offset }) => ((start | (last + 1n) | offset) & (PAGE - 1n)) !== 0n,
      );
      assert.match(
        `${answer(() => finish(space.iovas.checkAligned(PAGE)))}`,
        odd === undefined
          ? /^undefined$/
          : new RegExp(`mapping at 0x${odd.start.toString(16)} of .* is not aligned`),
      );
      const afresh = new FreeIovas(space, new IovaRules());
      for (const [length, address] of CHOSEN) {
        const [found, first] = [space.iovas, afresh].map((iovas) =>
          answer(() => finished(iovas.find(length, address, undefined))),
        );
        assert.equal(found, first);
      }
    }
    const all = this.lists.flat();
    assert.equal(this.quota.used, all.length);
    assert.equal(this.iommu.tables.slotCount, all.length);
    assert.equal(this.closed, this.made - new Set(all.map(({ memory }) => memory)).size);
    const locked = new Set<string>();
    for (const [n, list] of this.lists.entries())
      for (const { memory, offset, start, last } of this.locks[n] ? list : [])
        if (this.real.has(memory))
          for (let page = offset / PAGE; page <= (offset + last - start) / PAGE; page++)
            locked.add(`${memory}:${page}`);
    assert.equal(this.pages.locked, locked.size);
  }
}

/** What a call answers, or the reason why it is refused. */
function answer<T>(call: () => T): T | string {
  try {
    return call();
  } catch (error) {
    if (error instanceof Refusal) return error.message;
    throw error;
  }
}

function touches({ start, last }: Entry, first: bigint, end: bigint): boolean {
  return start <= end && first <= last;
}

function sumOf(entries: readonly { start: bigint; last: bigint }[]): bigint {
  return entries.reduce((sum, { start, last }) => sum + last - start + 1n, 0n);
}

test('copies, unmaps and splits leave what lists of mappings say, and a refusal all as it was', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      const scene = new Scene();
      for (const each of steps) {
        scene.do(each);
        scene.check();
      }
      for (const space of scene.spaces) finish(space.close());
      scene.lists.fill([]);
      scene.check();
    }),
    { numRuns: 300, examples: EXAMPLES.map((steps) => [steps]) },
  );
});
