/** The rules of virtio 1.3 §2.7 and §2.8 for devices, one by one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { tryRing } from '../../testkit/bad-rings.js';
import { FlatMemory } from '../../testkit/flat-memory.js';
import { Random } from '../../testkit/random.js';
import { type DriverOptions, drivers, type RingDriver, writeDescriptor } from '../../testkit/ring-driver.js';
import { Effort } from '../effort.js';
import type { Chain } from './chain.js';
import type { VirtioPort } from './ring-memory.js';
import { Virtqueue } from './virtqueue.js';

const BUFFER = 0x8000;
const formats = ['split', 'packed'] as const;
const toRead = { iova: BUFFER, length: 8, write: false };
const toWrite = { iova: BUFFER + 0x100, length: 8, write: true };

interface Scene {
  readonly memory: FlatMemory;
  readonly driver: RingDriver;
  readonly queue: Virtqueue;
}

/** @param between makes the port of the queue; undefined: the memory itself. */
function scene(
  format: (typeof formats)[number],
  options: DriverOptions,
  between?: (memory: FlatMemory, driver: RingDriver) => VirtioPort,
): Scene {
  const memory = new FlatMemory(0x10000);
  const driver = new drivers[format](memory, options);
  const queue = new Virtqueue(between?.(memory, driver) ?? memory, new Effort(memory));
  queue.base = driver.base;
  queue.budget = Number.POSITIVE_INFINITY;
  queue.start(driver.setup);
  return { memory, driver, queue };
}

/** Uses `count` buffers, with a flush after each. @returns after which of them the driver was interrupted. */
function interruptsOf({ driver, queue }: Scene, count: number): number[] {
  const raised: number[] = [];
  for (let n = 0; n < count; n++) {
    driver.offer([toWrite]);
    driver.publish();
    const before = queue.interrupts;
    queue.put(queue.take()!);
    queue.flush();
    if (queue.interrupts > before) raised.push(n);
  }
  return raised;
}

for (const format of formats)
  describe(`a ${format} virtqueue`, () => {
    test('goes round its numbers and stays right (§2.7.13.3, §2.8.1)', () => {
      const { driver, queue } = scene(format, { size: 4 });
      for (let n = 0; n < 70_000; n++) {
        const id = driver.offer([toRead, toWrite]);
        driver.publish();
        const chain = queue.take();
        assert.ok(chain, queue.broken);
        queue.put(chain, n & 0xff);
        queue.flush();
        assert.deepEqual(driver.collect(), { id, length: n & 0xff });
      }
    });

    test('has a long chain, and what was used, by few accesses', () => {
      const { memory, driver, queue } = scene(format, { size: 1024 });
      const made = (action: () => void) => {
        const before = memory.reads + memory.writes;
        action();
        return memory.reads + memory.writes - before;
      };
      for (let n = 0; n < 100; n++) driver.offer([toWrite]);
      const id = driver.offer(Array.from({ length: 900 }, () => toRead));
      driver.publish();
      const taken: Chain[] = [];
      const took = made(() => {
        for (let chain = queue.take(); chain !== undefined; chain = queue.take()) taken.push(chain);
      });
      assert.equal(taken.length, 101);
      assert.equal(taken.at(-1)!.readable, 8 * 900);
      assert.ok(took < 40, `${took}`);
      const used = made(() => {
        for (const chain of taken) queue.put(chain, 8);
        queue.flush();
      });
      assert.ok(used < 12, `${used}`);
      for (let n = 0; n < 100; n++) assert.equal(driver.collect()?.length, 8);
      assert.deepEqual(driver.collect(), { id, length: 8 });
    });

    test('interrupts for each flush that used something, when all are asked for', () => {
      const it = scene(format, { size: 8 });
      it.driver.ask('all');
      assert.deepEqual(interruptsOf(it, 5), [0, 1, 2, 3, 4]);
      it.queue.flush();
      assert.equal(it.queue.interrupts, 5);
    });

    test('does not interrupt a driver that asks for none (§2.7.7.2, §2.8.10)', () => {
      for (const eventIndex of [false, true]) {
        const it = scene(format, { size: 8, eventIndex });
        it.driver.ask('none');
        assert.deepEqual(interruptsOf(it, 5), []);
      }
    });

    test('with event indexes interrupts for the buffer asked for and no other (§2.7.7.2, §2.8.10)', () => {
      for (let lead = 0; lead < 8; lead++)
        for (let ahead = 0; ahead < 4; ahead++) {
          const it = scene(format, { size: 4, eventIndex: true });
          it.driver.ask('none');
          for (let n = 0; n < lead; n++) {
            interruptsOf(it, 1);
            it.driver.collect();
          }
          it.driver.ask(ahead);
          assert.deepEqual(interruptsOf(it, 4), [ahead], `${lead} used before, asked for ${ahead} ahead`);
        }
    });

    test('one interrupt stands for all that was used before the flush', () => {
      const { driver, queue } = scene(format, { size: 64, eventIndex: true });
      driver.ask(10);
      for (let n = 0; n < 64; n++) driver.offer([toWrite]);
      driver.publish();
      for (let chain = queue.take(); chain !== undefined; chain = queue.take()) queue.put(chain);
      queue.flush();
      assert.equal(queue.interrupts, 1);
      for (let n = 0; n < 64; n++) assert.ok(driver.collect());
    });

    test('a buffer that comes while the device asks for a kick is taken (§2.7.10.1, §2.8.10)', () => {
      const { queue } = scene(format, { size: 4, eventIndex: true }, (memory, driver) => ({
        read: (...access) => memory.read(...access),
        write: (...access) => {
          // The driver is quicker, and does not see yet that it is asked.
          if (driver.offer([toRead]) === 0 || format === 'packed') driver.publish();
          return memory.write(...access);
        },
      }));
      assert.ok(queue.take());
    });

    test('in order: what finishes early waits for what came before (§2.7.9, §2.8.8)', () => {
      const { driver, queue } = scene(format, { size: 8, inOrder: true });
      const ids = Array.from({ length: 3 }, () => driver.offer([toWrite]));
      driver.publish();
      const [first, second, third] = [queue.take()!, queue.take()!, queue.take()!];
      queue.put(third, 3);
      queue.put(second, 2);
      queue.flush();
      assert.equal(driver.collect(), undefined);
      queue.put(first, 1);
      queue.flush();
      assert.deepEqual(
        [driver.collect(), driver.collect(), driver.collect()],
        ids.map((id, n) => ({ id, length: n + 1 })),
      );
    });

    test('stopped and started again it goes on where it was', () => {
      const { driver, queue } = scene(format, { size: 4 });
      for (let n = 0; n < 7; n++) {
        const id = driver.offer([toRead, toWrite, toWrite]);
        driver.publish();
        queue.put(queue.take()!, n);
        queue.flush();
        queue.stop();
        assert.equal(queue.take(), undefined);
        queue.start(driver.setup);
        assert.deepEqual(driver.collect(), { id, length: n });
      }
    });

    test('a queue that is stopped gives nothing, and no buffer of before is touched or put back', () => {
      const { memory, driver, queue } = scene(format, { size: 4 });
      driver.offer([toWrite]);
      driver.publish();
      const chain = queue.take()!;
      queue.stop();
      queue.start(driver.setup);
      const before = memory.bytes.slice();
      assert.equal(chain.write(0, new Uint8Array(8)), 0);
      queue.put(chain, 8);
      queue.flush();
      assert.deepEqual(memory.bytes, before);
    });

    test('no more is taken in a slice than its budget', () => {
      const { driver, queue } = scene(format, { size: 8 });
      for (let n = 0; n < 4; n++) driver.offer([toRead]);
      driver.publish();
      queue.budget = 3;
      for (let n = 0; n < 3; n++) assert.ok(queue.take());
      assert.equal(queue.take(), undefined);
    });

    test('a data buffer that faults ends the access and does not break the ring', () => {
      const { memory, driver, queue } = scene(format, { size: 4 });
      driver.offer([toRead, toWrite]);
      driver.publish();
      memory.rights.fill(0, BUFFER + 4, BUFFER + 0x102);
      const chain = queue.take()!;
      assert.equal(chain.read(0, new Uint8Array(8)), 4);
      assert.equal(chain.write(0, new Uint8Array(8)), 0);
      assert.equal(queue.broken, undefined);
    });

    test('2,000 random rings, most of them broken: the buffers of the reference, no byte changed', () => {
      for (let seed = 1; seed <= 2_000; seed++) tryRing(new Random(seed), format === 'packed');
    });
  });

/** What the device says of a ring into which `spoil` has written. */
function reasonFor(
  format: (typeof formats)[number],
  spoil: (
    scene: Scene,
    descriptor: (
      i: number,
      fields: { iova?: number; length?: number; flags?: number; next?: number },
    ) => void,
  ) => void,
): string {
  const it = scene(format, { size: 8 });
  it.driver.offer([toRead, toWrite]);
  spoil(it, (i, { iova = BUFFER, length = 8, flags = 0, next = 0 }) => {
    const marked = format === 'packed' ? flags | 0x80 : flags;
    const [third, fourth] = format === 'packed' ? [0, marked] : [marked, next];
    writeDescriptor(it.memory, i * 16, { iova, length }, third!, fourth!);
  });
  if (format === 'split') it.driver.publish();
  const before = it.memory.bytes.slice();
  assert.equal(it.queue.take(), undefined);
  it.queue.flush();
  assert.deepEqual(it.memory.bytes, before, 'a broken ring is left alone');
  return it.queue.broken ?? 'not broken';
}

describe('a broken ring says why', () => {
  const NEXT = 1;
  const WRITE = 2;
  const INDIRECT = 4;

  test('a loop', () => {
    assert.match(
      reasonFor('split', (_, put) => put(1, { flags: NEXT, next: 0 })),
      /chain at descriptor 0 is longer than its table of 8: a loop/,
    );
    assert.match(
      reasonFor('packed', (_, put) => {
        for (let i = 0; i < 8; i++) put(i, { flags: NEXT });
      }),
      /chain at entry 0 is longer than its ring of 8/,
    );
  });

  test('a descriptor past the table', () => {
    assert.match(
      reasonFor('split', (_, put) => put(0, { flags: NEXT, next: 8 })),
      /descriptor 8 is past the end of a table of 8/,
    );
    const head = ({ driver, memory }: Scene) => memory.view.setUint16(driver.setup.driver + 4, 99, true);
    assert.match(reasonFor('split', head), /descriptor 99 is past/);
  });

  test('an index that runs away', () => {
    const index = (it: Scene) => {
      const publish = it.driver.publish.bind(it.driver);
      it.driver.publish = () => {
        publish();
        it.memory.view.setUint16(it.driver.setup.driver + 2, 9, true);
        return true;
      };
    };
    assert.match(reasonFor('split', index), /available index 9 is 9 ahead of the device in a ring of 8/);
  });

  test('a buffer to read behind one to write, and more than 4 GiB', () => {
    for (const format of formats) {
      assert.match(
        reasonFor(format, (_, put) => {
          put(0, { flags: WRITE | NEXT, next: 1 });
          put(1, {});
        }),
        /8 bytes to read at 0x8000 follows one to write/,
      );
      assert.match(
        reasonFor(format, (_, put) => {
          put(0, { length: 2 ** 32 - 1, flags: NEXT, next: 1 });
          put(1, { length: 2 });
        }),
        /more than 4 GiB/,
      );
    }
  });

  test('indirect tables: odd, too long, chained, in each other, not there (§2.7.5.3, §2.8.7)', () => {
    for (const format of formats) {
      const table = (length: number, flags = 0, iova = 0xc000) =>
        reasonFor(format, ({ memory }, put) => {
          memory.rights.fill(0, 0xf000);
          const third = format === 'split' ? INDIRECT : 0;
          writeDescriptor(memory, 0xc000, toRead, third, INDIRECT);
          put(0, { iova, length, flags: INDIRECT | flags, next: 1 });
        });
      assert.match(table(0), /indirect table has 0 bytes/);
      assert.match(table(24), /indirect table has 24 bytes/);
      assert.match(table(1025 * 16), /has 1025 descriptors, more than 1024/);
      assert.match(table(16, NEXT), /both indirect and/);
      assert.match(table(16), /descriptor 0 of an indirect table is indirect/);
      assert.match(table(16, 0, 0xf000), /the indirect table cannot be reached at iova 0xf000: byte/);
    }
  });

  test('a ring that is not there', () => {
    const gone = ({ memory }: Scene) => memory.rights.fill(0);
    assert.match(reasonFor('split', gone), /the available ring cannot be reached at iova 0x/);
    assert.match(reasonFor('packed', gone), /the descriptor ring cannot be reached at iova 0x0/);
  });
});
