/** Operations that take several steps: slices, and how a program resumes after a fault. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { mdev, RECORD, submit } from '../../testkit/dsa-program.js';
import { madeBytes } from '../../testkit/made-bytes.js';
import { type Fields, PAGE, SparseHost } from '../../testkit/sparse-host.js';
import type { DmaFault } from '../device-model.js';
import { settle } from '../fake-host.js';
import { Opcode, Status } from './descriptor.js';
import createDsa from './index.js';

const PASID = 3;

describe('dsa: operations of several slices', () => {
  it('resumes a move, a fill and a CRC from what a page fault reported', () => {
    const host = new SparseHost([PASID]);
    host.map(PASID, 0, 4 * PAGE);
    host.map(PASID, 8 * PAGE, PAGE);
    host.poke(
      PASID,
      0,
      madeBytes(4 * PAGE, (i) => i * 7),
    );
    const model = mdev(host);
    const run = (fields: Fields): DataView => {
      host.poke(PASID, 8 * PAGE, new Uint8Array(32));
      submit(model, { ...fields, pasid: PASID, flags: RECORD, completion: 8 * PAGE });
      settle(model);
      return new DataView(host.peek(PASID, 8 * PAGE, 32).buffer);
    };
    const fault = run({ opcode: Opcode.CRC_GENERATION, a: 100, size: 4 * PAGE });
    assert.deepEqual(
      [fault.getUint8(0), fault.getUint32(4, true), fault.getUint32(8, true)],
      [3, 4 * PAGE - 100, 4 * PAGE],
    );
    host.map(PASID, 4 * PAGE, PAGE);
    const done = fault.getUint32(4, true);
    const seed = [...new Uint8Array(fault.buffer, 16, 4)];
    const rest = run({ opcode: Opcode.CRC_GENERATION, a: 100 + done, size: 100, rest: seed });
    const whole = run({ opcode: Opcode.CRC_GENERATION, a: 100, size: 4 * PAGE });
    assert.equal(rest.getUint32(16, true), whole.getUint32(16, true));
    const data = host.peek(PASID, 0, 4 * PAGE);
    const backwards = run({ opcode: Opcode.MEMMOVE, a: 0, b: 2 * PAGE, size: 4 * PAGE });
    assert.deepEqual(
      [backwards.getUint8(0), backwards.getUint8(1), backwards.getUint32(4, true)],
      [0x83, 1, 0],
    );
    host.map(PASID, 5 * PAGE, PAGE);
    const ended = run({
      opcode: Opcode.MEMMOVE,
      a: 0,
      b: 2 * PAGE,
      size: 4 * PAGE - backwards.getUint32(4, true),
    });
    assert.equal(ended.getUint8(0), Status.SUCCESS);
    assert.deepEqual(host.peek(PASID, 2 * PAGE, 4 * PAGE), data);
  });

  it('moves a slice backwards by two accesses, where the port has many together', () => {
    const host = new SparseHost([PASID]);
    host.map(PASID, 0, 64 * PAGE);
    const data = madeBytes(60 * PAGE, (i) => i % 251);
    host.poke(PASID, 0, data);
    const { dma } = host;
    let [made, parts] = [0, 0];
    dma.move = (pasid, { count, addresses, lengths }, buffer, at, write) => {
      made++;
      for (let part = 0, done = at; part < count; done += lengths[part++]!)
        dma[write ? 'write' : 'read'](pasid, addresses[part]!, buffer, done, lengths[part]!);
      parts += count;
      return undefined;
    };
    const model = mdev(host);
    submit(model, { pasid: PASID, opcode: Opcode.MEMMOVE, a: 1, b: PAGE + 2, size: 60 * PAGE - 1 });
    settle(model);
    assert.deepEqual(host.peek(PASID, PAGE + 2, 60 * PAGE - 1), data.slice(1));
    assert.deepEqual(host.peek(PASID, 0, PAGE + 2), data.slice(0, PAGE + 2));
    assert.ok(made <= 2 * 5 && parts > 2 * 60, `${made} of ${parts} parts`);
  });

  it('does what is the same in the end where accesses end early, behind any page', () => {
    const bytes = 40 * PAGE;
    const [from, to, other, record, completion] = [0, 64 * PAGE, 128 * PAGE, 192 * PAGE, 255 * PAGE];
    const delta = new Uint8Array(new BigUint64Array([BigInt(record), BigInt(60 * PAGE)]).buffer).slice(0, 12);
    const asked: readonly Fields[] = [
      { opcode: Opcode.MEMMOVE, a: from + 3, b: to + 100, size: bytes },
      { opcode: Opcode.MEMMOVE, a: from, b: from + PAGE + 2, size: bytes },
      { opcode: Opcode.FILL, b: to + 1, size: bytes, a: 0x7060504030201 },
      { opcode: Opcode.DUALCAST, a: from + 1, b: to, size: bytes, c: other },
      { opcode: Opcode.COMPARE, a: from, b: to, size: bytes },
      { opcode: Opcode.CRC_GENERATION, a: from + 9, size: bytes },
      { opcode: Opcode.COPY_CRC, a: from, b: to + 5, size: bytes },
      { opcode: Opcode.CREATE_DELTA, a: from, b: to, size: 8 * PAGE, rest: [...delta] },
      { opcode: Opcode.CACHE_FLUSH, b: to + 7, size: bytes },
    ];
    const run = (early: boolean): Uint8Array[] => {
      const host = new SparseHost([PASID]);
      host.map(PASID, 0, 256 * PAGE);
      host.poke(
        PASID,
        0,
        madeBytes(64 * PAGE, (i) => (i * 7) % 251),
      );
      const { dma } = host;
      let calls = 0;
      if (early)
        dma.moveSome = (pasid, { addresses, lengths }, buffer, at, write) => {
          calls++;
          const [iova, length] = [addresses[0]!, Math.min(lengths[0]!, PAGE - (addresses[0]! % PAGE))];
          return dma[write ? 'write' : 'read'](pasid, iova, buffer, at, length) ?? length;
        };
      const model = mdev(host);
      for (const [n, fields] of asked.entries()) {
        submit(model, { ...fields, pasid: PASID, flags: RECORD, completion: completion + 32 * n });
        settle(model);
      }
      assert.equal(calls > 40, early);
      return [host.peek(PASID, 0, 255 * PAGE), host.peek(PASID, completion, 32 * asked.length)];
    };
    const [memory, records] = run(true);
    const [expected, expectedRecords] = run(false);
    assert.ok(Buffer.from(memory!).equals(expected!));
    assert.deepEqual(records, expectedRecords);
    assert.deepEqual(
      asked.map((_, n) => records![32 * n]),
      asked.map(() => Status.SUCCESS),
    );
  });

  it('faults where it does whether or not the port can copy, ahead of what it reports too', () => {
    const [from, to, record] = [0, 64 * PAGE, 128 * PAGE];
    const run = (copies: boolean, missing: readonly number[], fields: Fields) => {
      const host = new SparseHost([PASID]);
      host.map(PASID, 0, 129 * PAGE);
      host.poke(
        PASID,
        0,
        madeBytes(128 * PAGE, (i) => (i * 7) % 251),
      );
      for (const page of missing) host.unmap(PASID, page * PAGE);
      const { dma } = host;
      const faults: unknown[] = [];
      const { read, write } = dma;
      const noted = (fault: DmaFault | undefined) => {
        if (fault !== undefined) faults.push(fault.iova, fault.write);
        return fault;
      };
      dma.read = (...given) => noted(read(...given));
      dma.write = (...given) => noted(write(...given));
      if (!copies) delete dma.copy;
      const model = mdev(host);
      submit(model, { ...fields, pasid: PASID, flags: RECORD, completion: record });
      settle(model);
      return { faults, record: host.peek(PASID, record, 32), memory: host.peek(PASID, 0, 128 * PAGE) };
    };
    // Near the end of a slice, and of one that began a page or two later.
    const source = fc.oneof(fc.integer({ min: 14, max: 18 }), fc.integer({ min: 30, max: 36 }));
    fc.assert(
      fc.property(source, fc.nat(16), fc.nat(PAGE), (page, behind, within) => {
        const missing = [from / PAGE + page, to / PAGE + Math.max(0, page - behind)];
        const fields: Fields = { opcode: Opcode.MEMMOVE, a: from + within, b: to + 100, size: 40 * PAGE };
        assert.deepEqual(run(true, missing, fields), run(false, missing, fields));
      }),
      { numRuns: 60 },
    );
  });

  it('ends a step by its accesses after any engine, and the next one goes on', () => {
    const host = new SparseHost();
    host.map(1, 0, 1024 * PAGE);
    let made = 0;
    const { dma } = host;
    const { read } = dma;
    dma.read = (...given) => {
      made++;
      return read(...given);
    };
    Object.defineProperty(dma, 'effort', { get: () => 100 * made });
    const model = createDsa(host, { ready: '1' });
    const engines = 4;
    for (let n = 0; n < engines; n++)
      submit(model, {
        pasid: 1,
        opcode: Opcode.CACHE_FLUSH,
        flags: RECORD,
        b: PAGE,
        size: 512 * PAGE,
        completion: 32 * n,
      });
    const ended = () => Array.from({ length: engines }, (_, n) => host.peek(1, 32 * n, 1)[0]);
    for (let before = made; model.busy!(); before = made) {
      assert.deepEqual(new Set(ended()), new Set([0]), 'none is done long before another');
      for (let step = 0; step < engines; step++, before = made) {
        model.step!();
        assert.ok(made - before <= 16, `${made - before} accesses`);
      }
    }
    assert.deepEqual(new Set(ended()), new Set([Status.SUCCESS]));
  });

  it('writes a dualcast of several slices to both destinations', () => {
    const host = new SparseHost([PASID]);
    host.map(PASID, 0, 3 * 0x30000);
    const data = madeBytes(0x2f001, (i) => i % 251);
    host.poke(PASID, 0, data);
    const model = mdev(host);
    submit(model, { pasid: PASID, opcode: Opcode.DUALCAST, a: 0, b: 0x30000, size: data.length, c: 0x60000 });
    settle(model);
    assert.deepEqual(host.peek(PASID, 0x30000, data.length), data);
    assert.deepEqual(host.peek(PASID, 0x60000, data.length), data);
  });

  it('does a bounded slice of a large move in one step, and the whole of it in the end', () => {
    const host = new SparseHost([PASID]);
    const length = 0x200000;
    host.map(PASID, 0, 2 * length);
    host.poke(PASID, length - 8, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    const model = mdev(host);
    submit(model, { pasid: PASID, opcode: Opcode.MEMMOVE, a: 0, b: length, size: length });
    let steps = 0;
    for (; model.busy!(PASID); steps++) model.step!();
    assert.ok(steps >= length / 0x50000, `${steps} steps`);
    assert.deepEqual(host.peek(PASID, 2 * length - 8, 8), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  });
});
