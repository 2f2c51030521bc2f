import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  command,
  configure,
  execute,
  LIMITS,
  mdev,
  PASID_ENABLE,
  SHARED,
} from '../../testkit/dsa-program.js';
import { madeBytes } from '../../testkit/made-bytes.js';
import { type Fields, PAGE, SparseHost } from '../../testkit/sparse-host.js';
import { Flag, Opcode, Status } from './descriptor.js';
import createDsa from './index.js';
import { Command } from './registers.js';

const RECORD_AT = 0x100000;
const PAGES = 40;

function memory(): SparseHost {
  const host = new SparseHost([1]);
  host.map(1, RECORD_AT, PAGE);
  host.map(1, 0, PAGES * PAGE);
  host.poke(
    1,
    0,
    madeBytes(PAGES * PAGE, (i) => i),
  );
  return host;
}

describe('dsa: cache flush', () => {
  it('reaches the pages of its range and no others, stops at one that is missing, changes nothing', () => {
    const range = fc.tuple(fc.nat(PAGES * PAGE - 1), fc.integer({ min: 1, max: PAGES * PAGE }));
    fc.assert(
      fc.property(
        range,
        fc.nat(PAGES - 1),
        fc.constantFrom(0, Flag.CACHE_CONTROL),
        ([b, length], hole, flags) => {
          const size = Math.min(length, PAGES * PAGE - b);
          const host = memory();
          host.unmap(1, hole * PAGE);
          const before = host.peek(1, 0, PAGES * PAGE);
          const ended = execute(host, mdev(host), RECORD_AT, { opcode: Opcode.CACHE_FLUSH, flags, b, size });
          const stops = Math.floor(b / PAGE) <= hole && hole <= Math.floor((b + size - 1) / PAGE);
          const fault = Math.max(b, hole * PAGE);
          assert.deepEqual(
            [ended.status, ended.completed, ended.fault],
            stops ? [Status.PAGE_FAULT, fault - b, fault] : [Status.SUCCESS, 0, 0],
          );
          assert.deepEqual(host.peek(1, 0, PAGES * PAGE), before);
        },
      ),
    );
  });

  it('ends with the status of the rule that it breaks', () => {
    const host = memory();
    const model = mdev(host, { 'max-transfer': '4096' });
    const cases: [Partial<Fields>, number][] = [
      [{ size: 0 }, Status.TRANSFER_SIZE],
      [{ size: 4097 }, Status.TRANSFER_SIZE],
      [{ a: 8 }, Status.RESERVED_NOT_ZERO],
      [{ rest: [1] }, Status.RESERVED_NOT_ZERO],
      [{ flags: Flag.STRICT_ORDERING }, Status.INVALID_FLAGS],
    ];
    for (const [fields, status] of cases) {
      const flush = { opcode: Opcode.CACHE_FLUSH, b: 0, size: 64, ...fields };
      assert.equal(execute(host, model, RECORD_AT, flush).status, status, JSON.stringify(fields));
    }
  });

  it('is an operation above 31, which WQCFG allows in its second word', () => {
    for (const [allowed, status] of [
      [1, Status.SUCCESS],
      [0, Status.UNSUPPORTED_OPCODE],
    ] as const) {
      const host = memory();
      const model = createDsa(host, {});
      configure(model, [16, 16, SHARED + PASID_ENABLE, LIMITS, 0, 0, 0, 0, 0, allowed]);
      assert.deepEqual([command(model, Command.ENABLE_DEVICE), command(model, Command.ENABLE_WQ)], [0, 0]);
      const flush = { opcode: Opcode.CACHE_FLUSH, b: 0, size: 64 };
      assert.equal(execute(host, model, RECORD_AT, flush).status, status);
    }
  });
});
