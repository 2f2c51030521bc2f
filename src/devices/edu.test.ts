import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { NO_PASID } from '../iommu/pasid.js';
import type { DeviceModel } from './device-model.js';
import createEdu from './edu.js';
import { FakeHost, settle } from './fake-host.js';

const LIVENESS = 0x04;
const FACTORIAL = 0x08;
const STATUS = 0x20;
const CAUSES = 0x24;
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;
const SOURCE = 0x80;
const DESTINATION = 0x88;
const COUNT = 0x90;
const COMMAND = 0x98;
const BUFFER = 0x40000;

function read(model: DeviceModel, offset: number, size = 4): bigint {
  const bytes = Buffer.alloc(8);
  model.readBar(0, offset, bytes.subarray(0, size));
  return bytes.readBigUInt64LE();
}

function write(model: DeviceModel, offset: number, value: number | bigint, size = 4): void {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  model.writeBar(0, offset, bytes.subarray(0, size));
}

function startDma(
  model: DeviceModel,
  source: number | bigint,
  destination: number | bigint,
  count: number | bigint,
  command: number,
): void {
  write(model, SOURCE, source, 8);
  write(model, DESTINATION, destination, 8);
  write(model, COUNT, count, 8);
  write(model, COMMAND, command, 8);
}

describe('edu: registers', () => {
  test('identification is 0x010000ed and cannot be written', () => {
    const edu = new FakeHost().make(createEdu);
    write(edu, 0, 7);
    assert.equal(read(edu, 0), 0x010000edn);
  });

  test('the liveness register reads back inverted', () => {
    const edu = new FakeHost().make(createEdu);
    write(edu, LIVENESS, 0x12345678);
    assert.equal(read(edu, LIVENESS), 0xedcba987n);
  });

  test('a factorial computes while its status bit is set, and only then is the result there', () => {
    const host = new FakeHost();
    const edu = host.make(createEdu);
    write(edu, FACTORIAL, 10);
    assert.equal(read(edu, STATUS), 1n);
    write(edu, FACTORIAL, 3);
    settle(edu);
    assert.equal(read(edu, STATUS), 0n);
    assert.equal(read(edu, FACTORIAL), 3628800n);
    assert.deepEqual(host.interrupts, []);
  });

  test('a factorial is modulo 2^32, for every 32-bit number in bounded time', () => {
    const edu = new FakeHost().make(createEdu);
    for (const n of [0, 1, 12, 13, 33, 34, 0xffffffff]) {
      let expected = 1n;
      for (let factor = 2n; factor <= BigInt(Math.min(n, 40)); factor++)
        expected = (expected * factor) & 0xffffffffn;
      write(edu, FACTORIAL, n);
      settle(edu);
      assert.equal(read(edu, FACTORIAL), expected, `${n}!`);
    }
  });

  test('a factorial raises cause 1 when status bit 0x80 is set; other status bits cannot be written', () => {
    const host = new FakeHost();
    const edu = host.make(createEdu);
    write(edu, STATUS, 0xffffffff);
    assert.equal(read(edu, STATUS), 0x80n);
    write(edu, FACTORIAL, 5);
    settle(edu);
    assert.deepEqual(host.interrupts, [0]);
    assert.equal(read(edu, CAUSES), 1n);
  });

  test('raise sets causes and interrupts, acknowledge clears them', () => {
    const host = new FakeHost();
    const edu = host.make(createEdu);
    write(edu, RAISE, 0x80000005);
    assert.equal(read(edu, CAUSES), 0x80000005n);
    write(edu, ACKNOWLEDGE, 0x80000001);
    assert.equal(read(edu, CAUSES), 4n);
    assert.deepEqual(host.interrupts, [0]);
  });

  test('the INTx line is high from the first cause until the last one is acknowledged', () => {
    const host = new FakeHost();
    const edu = host.make(createEdu);
    const levels = [
      [RAISE, 0],
      [RAISE, 3],
      [ACKNOWLEDGE, 1],
      [RAISE, 4],
      [ACKNOWLEDGE, 2],
      [ACKNOWLEDGE, 4],
    ].map(([register, causes]) => {
      write(edu, register!, causes!);
      return host.line;
    });
    assert.deepEqual(levels, [false, true, true, true, true, false]);
    startDma(edu, 0, BUFFER, 16, 5);
    assert.equal(host.line, false);
    settle(edu);
    assert.equal(host.line, true);
  });

  test('raising nothing with no cause pending does not interrupt', () => {
    const host = new FakeHost();
    write(host.make(createEdu), RAISE, 0);
    assert.deepEqual(host.interrupts, []);
  });

  test('only 4-byte accesses reach registers below 0x80; 4 and 8 above', () => {
    const edu = new FakeHost().make(createEdu);
    assert.equal(read(edu, 0, 8), 0xffffffffffffffffn);
    assert.equal(read(edu, 0, 2), 0n);
    write(edu, LIVENESS, 1, 2);
    assert.equal(read(edu, LIVENESS), 0n);
    write(edu, SOURCE, 0x1122334455667788n, 8);
    assert.equal(read(edu, SOURCE, 8), 0x1122334455667788n);
    assert.equal(read(edu, SOURCE, 4), 0x55667788n);
    write(edu, SOURCE, 0x99, 4);
    assert.equal(read(edu, SOURCE, 8), 0x99n);
    write(edu, SOURCE, 0x42, 2);
    assert.equal(read(edu, SOURCE, 8), 0x99n);
  });

  test('what is no readable register reads as all ones', () => {
    const edu = new FakeHost().make(createEdu);
    for (const offset of [0x02, 0x0c, RAISE, ACKNOWLEDGE, 0x7c, 0x84, 0xa0, BUFFER, 0xffffc]) {
      assert.equal(read(edu, offset), 0xffffffffn, `offset ${offset}`);
    }
  });
});

describe('edu: DMA', () => {
  test('a block goes from memory to the buffer and back, without PASID, while the run bit says so', () => {
    const host = new FakeHost();
    const memory = new Uint8Array(4096).map((_, i) => i * 7);
    host.map(NO_PASID, 0x10000, memory);
    const edu = host.make(createEdu);
    startDma(edu, 0x10000, BUFFER + 8, 100, 1);
    assert.equal(read(edu, COMMAND), 1n);
    assert.equal(edu.busy?.(), true);
    settle(edu);
    assert.equal(read(edu, COMMAND), 0n);
    startDma(edu, BUFFER + 8, 0x10000 + 200, 100, 3);
    settle(edu);
    assert.equal(read(edu, COMMAND), 2n);
    assert.deepEqual(memory.subarray(200, 300), memory.subarray(0, 100));
    assert.deepEqual(host.interrupts, []);
  });

  test('command bit 4 raises cause 0x100 at the end', () => {
    const host = new FakeHost();
    host.map(NO_PASID, 0, new Uint8Array(4096));
    const edu = host.make(createEdu);
    startDma(edu, 0, BUFFER, 4096, 5);
    assert.deepEqual(host.interrupts, []);
    settle(edu);
    assert.deepEqual(host.interrupts, [0]);
    assert.equal(read(edu, CAUSES), 0x100n);
  });

  test('the DMA registers keep their values while a DMA runs', () => {
    const edu = new FakeHost().make(createEdu);
    startDma(edu, 0x1000, BUFFER, 16, 1);
    write(edu, SOURCE, 0x5000, 8);
    write(edu, COMMAND, 7, 8);
    assert.equal(read(edu, SOURCE, 8), 0x1000n);
    assert.equal(read(edu, COMMAND, 8), 1n);
  });

  test('a command without the run bit is ignored', () => {
    const edu = new FakeHost().make(createEdu);
    write(edu, COMMAND, 6, 8);
    assert.equal(read(edu, COMMAND, 8), 0n);
  });

  test('a DMA that faults ends with the run bit cleared and its interrupt raised', () => {
    const host = new FakeHost();
    const edu = host.make(createEdu);
    startDma(edu, BUFFER, 0x3000, 64, 7);
    settle(edu);
    assert.equal(read(edu, COMMAND), 6n);
    assert.deepEqual(host.interrupts, [0]);
    assert.equal(host.faults.length, 1);
    assert.equal(host.faults[0]?.iova, 0x3000);
  });

  test('a DMA outside the internal buffer touches no memory', () => {
    const host = new FakeHost();
    const edu = host.make(createEdu);
    const outside: [bigint, bigint][] = [
      [0n, 16n],
      [0x3ffffn, 16n],
      [0x40001n, 4096n],
      [0x41000n, 1n],
      [0x40000n, 0n],
      [0xffffffffffffffffn, 0x40002n],
      [0x40000n, 0xffffffffffffffffn],
    ];
    for (const [at, count] of outside) {
      startDma(edu, at, 0x1000, count, 3);
      settle(edu);
      assert.equal(read(edu, COMMAND), 2n);
    }
    assert.deepEqual(host.faults, []);
  });

  test('memory addresses are cut to the DMA mask: 28 bits, or what dma-mask says', () => {
    const iovaWith = (options: Record<string, string>) => {
      const host = new FakeHost();
      const edu = host.make(createEdu, options);
      startDma(edu, 0xabcd_1234_5678n, BUFFER, 1, 1);
      settle(edu);
      return host.faults[0]?.iova;
    };
    assert.equal(iovaWith({}), 0x2345678);
    assert.equal(iovaWith({ 'dma-mask': '0xffffffff' }), 0x12345678);
    assert.equal(iovaWith({ 'dma-mask': '0xffffffffffffffff' }), 0xabcd12345678);
    assert.equal(iovaWith({ 'dma-mask': '4095' }), 0x678);
  });

  test('reset drops a running DMA and clears the registers', () => {
    const host = new FakeHost();
    const edu = host.make(createEdu);
    startDma(edu, 0x1000, BUFFER, 16, 5);
    write(edu, FACTORIAL, 4);
    edu.reset();
    assert.equal(edu.busy?.(), false);
    settle(edu);
    assert.equal(read(edu, SOURCE, 8), 0n);
    assert.equal(read(edu, 0), 0x010000edn);
    assert.deepEqual([host.faults, host.interrupts], [[], []]);
  });
});

describe('edu: options', () => {
  test('an option that edu does not have, or a mask that is no number, is refused by name', () => {
    assert.throws(
      () => new FakeHost().make(createEdu, { wqs: '4' }),
      /edu has no option "wqs" \(it has dma-mask\)/,
    );
    for (const mask of ['', 'all', '-1', '0x', '0x11111111111111111', '1.5']) {
      assert.throws(
        () => new FakeHost().make(createEdu, { 'dma-mask': mask }),
        /is not a number of at most 64 bits/,
      );
    }
  });
});

test('edu never throws and always comes to rest, whatever a program reads and writes', () => {
  const size = fc.constantFrom(0, 1, 2, 3, 4, 4, 4, 5, 8, 8, 8, 16);
  const offset = fc.oneof(
    fc.constantFrom(0, LIVENESS, FACTORIAL, STATUS, CAUSES, RAISE, ACKNOWLEDGE),
    fc.constantFrom(SOURCE, DESTINATION, COUNT, COMMAND),
    fc.nat(0x100),
    fc.nat((1 << 20) - 1),
  );
  const access = fc.oneof(
    fc.record({ kind: fc.constant('read' as const), offset, bytes: size.map((n) => new Uint8Array(n)) }),
    fc.record({
      kind: fc.constant('write' as const),
      offset,
      bytes: size.chain((n) => fc.uint8Array({ minLength: n, maxLength: n })),
    }),
    fc.record({ kind: fc.constantFrom('step' as const, 'reset' as const) }),
  );
  fc.assert(
    fc.property(fc.array(access, { maxLength: 100 }), (accesses) => {
      const host = new FakeHost();
      host.map(NO_PASID, 0, new Uint8Array(4096));
      const edu = host.make(createEdu);
      for (const a of accesses) {
        if (a.kind === 'read') edu.readBar(0, a.offset, a.bytes);
        else if (a.kind === 'write') edu.writeBar(0, a.offset, a.bytes);
        else if (a.kind === 'step') edu.step?.();
        else edu.reset();
      }
      settle(edu, 2);
      assert.equal(read(edu, 0), 0x010000edn);
    }),
    { numRuns: 200 },
  );
});
