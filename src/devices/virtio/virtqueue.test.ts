/** The virtqueue against a driver written from the specification: nothing is lost, changed or invented. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { FlatMemory } from '../../testkit/flat-memory.js';
import { madeBytes } from '../../testkit/made-bytes.js';
import { type DriverOptions, drivers, type Part, type RingDriver } from '../../testkit/ring-driver.js';
import { Effort } from '../effort.js';
import type { Chain } from './chain.js';
import { Virtqueue } from './virtqueue.js';

type Format = keyof typeof drivers;
const formats: readonly Format[] = ['split', 'packed'];

const TABLES = 0x4000;
const BUFFERS = 0x8000;
const MEMORY = 0x19000;

/** A step of the driver, or of the device. */
type Action =
  | {
      readonly kind: 'offer';
      readonly parts: readonly { length: number; write: boolean }[];
      readonly indirect: boolean;
    }
  | { readonly kind: 'publish' }
  | { readonly kind: 'take' }
  | { readonly kind: 'peek'; readonly count: number }
  | { readonly kind: 'put'; readonly which: number; readonly written: number }
  | { readonly kind: 'flush' }
  | { readonly kind: 'collect' };

const parts = fc
  .array(fc.record({ length: fc.integer({ min: 0, max: 70 }), write: fc.boolean() }), {
    minLength: 1,
    maxLength: 5,
  })
  .map((list) => [...list].sort((a, b) => Number(a.write) - Number(b.write)));
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('offer' as const), parts, indirect: fc.boolean() }) },
  fc.record({ kind: fc.constant('publish' as const) }),
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('take' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('put' as const), which: fc.nat(), written: fc.nat(400) }),
  },
  fc.record({ kind: fc.constant('peek' as const), count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ kind: fc.constant('flush' as const) }),
  fc.record({ kind: fc.constant('collect' as const) }),
);
const options = fc.record({
  size: fc.constantFrom(1, 2, 4, 8, 32, 128),
  eventIndex: fc.boolean(),
  inOrder: fc.boolean(),
});

interface Offered {
  readonly id: number;
  readonly cell: number;
  readonly parts: readonly Part[];
  /** The bytes that the device is to read. */
  readonly content: Uint8Array;
  /** The bytes that it has written. */
  answer: Uint8Array;
}

/** A driver, a device, and what should have happened between them. */
class Scene {
  /** The device may touch what the ring and the buffers in it let it touch, and faults elsewhere. */
  readonly memory = new FlatMemory(MEMORY, 0);
  readonly driver: RingDriver;
  readonly queue: Virtqueue;
  /** Offered, not published; published, not taken; taken, not put; put, not shown; shown, not collected. */
  readonly offered: Offered[] = [];
  readonly available: Offered[] = [];
  readonly out: { chain: Chain; is: Offered; used: number }[] = [];
  readonly used: { is: Offered; length: number }[] = [];
  readonly shown: { is: Offered; length: number }[] = [];
  /** Places for buffers: more than a ring has entries. */
  readonly #cells = Array.from({ length: 130 }, (_, i) => i);
  #salt = 0;

  constructor(format: Format, options: DriverOptions) {
    this.driver = new drivers[format](this.memory, options);
    const { descriptors, driver, device, size, packed } = this.driver.setup;
    this.memory.rights.fill(packed ? 3 : 1, descriptors, descriptors + size * 16);
    this.memory.rights.fill(1, driver, device);
    this.memory.rights.fill(2, device, device + (packed ? 4 : 6 + size * 8));
    this.queue = new Virtqueue(this.memory, new Effort(this.memory));
    this.queue.base = this.driver.base;
    this.queue.start(this.driver.setup);
  }

  offer(list: readonly { length: number; write: boolean }[], indirect: boolean): void {
    const cell = this.#cells[0]!;
    let iova = BUFFERS + cell * 0x200;
    const parts = list.map(({ length, write }) => {
      const part = { iova, length, write };
      iova += length + 3;
      return part;
    });
    const table = TABLES + cell * 0x60;
    const id = this.driver.offer(parts, indirect ? table : undefined);
    if (id === -1) return;
    this.#cells.shift();
    if (indirect) this.memory.rights.fill(1, table, table + parts.length * 16);
    const content: number[] = [];
    for (const { iova: at, length, write } of parts) {
      this.memory.rights.fill(write ? 2 : 1, at, at + length);
      for (let i = 0; i < length; i++) {
        this.memory.bytes[at + i] = ++this.#salt;
        if (!write) content.push(this.#salt & 0xff);
      }
    }
    this.offered.push({ id, cell, parts, content: Uint8Array.from(content), answer: new Uint8Array() });
  }

  publish(): boolean {
    this.available.push(...this.offered.splice(0));
    return this.driver.publish();
  }

  take(): boolean {
    this.queue.budget = 1;
    const chain = this.queue.take();
    assert.equal(this.queue.broken, undefined);
    const is = this.available.shift();
    assert.equal(chain !== undefined, is !== undefined, 'a buffer is taken when there is one');
    if (chain === undefined || is === undefined) return false;
    const read = new Uint8Array(chain.readable);
    assert.equal(chain.read(0, read), chain.readable);
    assert.deepEqual(read, is.content, 'what is read is what was offered, in the order of offers');
    const writable = is.parts.filter(({ write }) => write).reduce((sum, { length }) => sum + length, 0);
    assert.equal(chain.writable, writable);
    this.out.push({ chain, is, used: -1 });
    return true;
  }

  /** Takes some and gives them back untouched. */
  peek(count: number): void {
    this.queue.budget = count;
    const taken: Chain[] = [];
    for (let chain = this.queue.take(); chain !== undefined; chain = this.queue.take()) taken.push(chain);
    const expected = this.available.slice(0, count).map(({ id }) => id);
    assert.deepEqual(
      taken.map(({ id }) => id),
      expected,
    );
    for (const chain of taken.reverse()) this.queue.untake(chain);
  }

  put(which: number, written: number): void {
    const waiting = this.out.filter(({ used }) => used === -1);
    if (waiting.length === 0) return;
    const entry = waiting[which % waiting.length]!;
    const { chain, is } = entry;
    is.answer = madeBytes(Math.min(written, chain.writable), () => ++this.#salt);
    assert.equal(chain.write(0, is.answer), is.answer.length);
    entry.used = is.answer.length;
    this.queue.put(chain);
    if (!this.driver.setup.inOrder) this.#done(this.out.splice(this.out.indexOf(entry), 1)[0]!);
    else while (this.out[0] !== undefined && this.out[0].used !== -1) this.#done(this.out.shift()!);
  }

  flush(): boolean {
    const before = this.queue.interrupts;
    this.queue.flush();
    this.shown.push(...this.used.splice(0));
    return this.queue.interrupts > before;
  }

  collect(): boolean {
    const got = this.driver.collect();
    const want = this.shown.shift();
    if (got === undefined && want === undefined) return false;
    // A full batch is shown before it is flushed.
    const expected = want ?? this.used.shift()!;
    assert.deepEqual(got, { id: expected.is.id, length: expected.length });
    const { answer, parts, cell } = expected.is;
    this.memory.rights.fill(0, BUFFERS + cell * 0x200, BUFFERS + cell * 0x200 + 0x200);
    this.memory.rights.fill(0, TABLES + cell * 0x60, TABLES + cell * 0x60 + 0x60);
    this.#cells.push(cell);
    let at = 0;
    for (const { iova, length } of parts.filter(({ write }) => write)) {
      const n = Math.min(length, answer.length - at);
      assert.deepEqual(this.memory.bytes.slice(iova, iova + n), answer.slice(at, at + n));
      at += n;
    }
    return true;
  }

  #done({ is, used }: { is: Offered; used: number }): void {
    this.used.push({ is, length: used });
  }
}

function run(scene: Scene, actions: readonly Action[]): void {
  for (const each of actions) {
    if (each.kind === 'offer') scene.offer(each.parts, each.indirect);
    else if (each.kind === 'put') scene.put(each.which, each.written);
    else if (each.kind === 'peek') scene.peek(each.count);
    else scene[each.kind]();
  }
}

for (const format of formats)
  describe(`a ${format} virtqueue`, () => {
    test('in whatever order both sides act, buffers arrive as offered and come back as used', () => {
      fc.assert(
        fc.property(options, fc.array(action, { maxLength: 300, size: 'max' }), (settings, actions) => {
          run(new Scene(format, settings), actions);
        }),
        { numRuns: 300 },
      );
    });

    test('with sleeping on both sides nothing waits for ever (§2.7.7, §2.7.10; §2.8.10)', () => {
      fc.assert(
        fc.property(
          options,
          fc.array(fc.array(parts, { maxLength: 9 }), { maxLength: 60, size: 'max' }),
          (settings, rounds) => {
            const scene = new Scene(format, settings);
            let offered = 0;
            for (const round of rounds) {
              for (const list of round) scene.offer(list, list.length > 2);
              offered += scene.offered.length;
              scene.driver.ask('all');
              if (!scene.publish())
                assert.equal(scene.available.length, 0, 'the device has not asked for a kick');
              while (scene.take()) scene.put(0, 10);
              if (!scene.flush()) continue;
              while (scene.collect()) offered--;
            }
            assert.equal(offered, 0, 'the driver was not told of all');
          },
        ),
      );
    });
  });
