/** Batches and drains: descriptors that are about other descriptors. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LIST, mdev, putBatch, RECORD, submit, swerr } from '../../testkit/dsa-program.js';
import { type Fields, PAGE, SparseHost } from '../../testkit/sparse-host.js';
import type { DeviceModel } from '../device-model.js';
import { settle } from '../fake-host.js';
import { Flag, Opcode, Status } from './descriptor.js';
import createDsa from './index.js';

describe('dsa: batches and drains', () => {
  function runBatch(
    descriptors: readonly Fields[],
    count = descriptors.length,
  ): { host: SparseHost; model: DeviceModel; record: DataView } {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    host.map(1, LIST, PAGE);
    putBatch(host, descriptors);
    const model = mdev(host);
    submit(model, { pasid: 1, opcode: Opcode.BATCH, flags: RECORD, completion: PAGE, a: LIST, size: count });
    settle(model);
    return { host, model, record: new DataView(host.peek(1, PAGE, 32).buffer) };
  }

  const noop: Fields = { opcode: Opcode.NOOP };
  const bad: Fields = { opcode: 0x7f };

  it('a batch executes its descriptors and counts them', () => {
    const { record, host } = runBatch([{ opcode: Opcode.FILL, a: 7, b: PAGE + 0x100, size: 8 }, noop, noop]);
    assert.deepEqual([record.getUint8(0), record.getUint32(4, true)], [Status.SUCCESS, 3]);
    assert.equal(host.peek(1, PAGE + 0x100, 1)[0], 7);
  });

  it('a failed descriptor fails the batch, which goes on', () => {
    const { record, model } = runBatch([noop, bad, noop]);
    assert.deepEqual([record.getUint8(0), record.getUint32(4, true)], [Status.BATCH_FAILED, 3]);
    assert.deepEqual([swerr(model).error, swerr(model).batchIndex], [Status.UNSUPPORTED_OPCODE, 1]);
  });

  it('a fence after a failure abandons the rest', () => {
    const fill: Fields = { opcode: Opcode.FILL, flags: Flag.FENCE, a: 7, b: PAGE + 0x100, size: 8 };
    const { record, host } = runBatch([noop, bad, fill, noop]);
    assert.deepEqual([record.getUint8(0), record.getUint32(4, true)], [Status.BATCH_FAILED, 2]);
    assert.equal(host.peek(1, PAGE + 0x100, 1)[0], 0);
    assert.equal(runBatch([noop, fill]).record.getUint8(0), Status.SUCCESS);
  });

  it('a false predicate fails the batch', () => {
    const compare: Fields = {
      opcode: Opcode.COMPARE,
      flags: RECORD | Flag.CHECK_RESULT,
      completion: PAGE + 0x40,
      a: PAGE + 0x200,
      b: PAGE + 0x300,
      size: 16,
      rest: [1],
    };
    const { record, host } = runBatch([compare, noop]);
    assert.equal(record.getUint8(0), Status.BATCH_FAILED);
    assert.equal(host.peek(1, PAGE + 0x40, 1)[0], Status.SUCCESS_FALSE_PREDICATE);
  });

  it('neither a batch nor a drain may be in a batch', () => {
    const inner: Fields = { opcode: Opcode.BATCH, flags: RECORD, completion: PAGE + 0x40, a: LIST, size: 2 };
    const { host } = runBatch([
      inner,
      { ...inner, opcode: Opcode.DRAIN, a: 0, size: 0, completion: PAGE + 0x60 },
    ]);
    assert.equal(host.peek(1, PAGE + 0x40, 1)[0], Status.UNSUPPORTED_OPCODE);
    assert.equal(host.peek(1, PAGE + 0x60, 1)[0], Status.UNSUPPORTED_OPCODE);
  });

  it('a batch has from 2 descriptors to the maximum, at a multiple of 64', () => {
    assert.equal(runBatch([noop]).record.getUint8(0), Status.DESCRIPTOR_COUNT);
    assert.equal(runBatch([noop], 1025).record.getUint8(0), Status.DESCRIPTOR_COUNT);
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    const model = mdev(host);
    submit(model, { pasid: 1, opcode: Opcode.BATCH, flags: RECORD, completion: PAGE, a: LIST + 32, size: 2 });
    settle(model);
    assert.equal(host.peek(1, PAGE, 1)[0], Status.DESCRIPTOR_LIST_ALIGNMENT);
  });

  it('a page fault in the list of a batch ends it there', () => {
    const { record } = runBatch(
      Array.from({ length: 64 }, () => noop),
      66,
    );
    assert.deepEqual([record.getUint8(0), record.getUint32(4, true)], [Status.BATCH_PAGE_FAULT, 64]);
    assert.equal(record.getUint32(8, true), LIST + PAGE);
  });

  it('the descriptors of a batch have the PASID of the batch, whatever they say', () => {
    const { host } = runBatch([{ ...noop, pasid: 2, flags: RECORD, completion: PAGE + 0x40 }, noop]);
    assert.equal(host.peek(1, PAGE + 0x40, 1)[0], Status.SUCCESS);
    assert.equal(host.peek(2, PAGE + 0x40, 1)[0], 0);
  });

  it('a drain descriptor ends after all that was submitted before it', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    host.map(1, 0x100000, 0x200000);
    const model = createDsa(host, { ready: '1', wqs: '1', engines: '4' });
    const long: Fields = { pasid: 1, opcode: Opcode.MEMMOVE, a: 0x100000, b: 0x200000, size: 0x100000 };
    submit(model, { ...long, flags: RECORD, completion: PAGE });
    submit(model, { pasid: 1, opcode: Opcode.DRAIN, flags: RECORD, completion: PAGE + 0x20 });
    submit(model, { pasid: 1, opcode: Opcode.NOOP, flags: RECORD, completion: PAGE + 0x40 });
    for (; host.peek(1, PAGE, 1)[0] === 0; model.step!()) {
      assert.equal(host.peek(1, PAGE + 0x20, 1)[0], 0);
      assert.equal(host.peek(1, PAGE + 0x40, 1)[0], 0);
    }
    settle(model);
    assert.equal(host.peek(1, PAGE + 0x20, 1)[0], Status.SUCCESS);
  });

  it('without a drain a short descriptor overtakes a long one on another engine', () => {
    const host = new SparseHost([1]);
    host.map(1, PAGE, PAGE);
    host.map(1, 0x100000, 0x200000);
    const model = createDsa(host, { ready: '1', wqs: '1', engines: '2' });
    submit(model, {
      pasid: 1,
      opcode: Opcode.MEMMOVE,
      flags: RECORD,
      completion: PAGE,
      a: 0x100000,
      b: 0x200000,
      size: 0x100000,
    });
    submit(model, { pasid: 1, opcode: Opcode.NOOP, flags: RECORD, completion: PAGE + 0x20 });
    model.step!();
    assert.deepEqual([host.peek(1, PAGE, 1)[0], host.peek(1, PAGE + 0x20, 1)[0]], [0, Status.SUCCESS]);
  });

  it('a drain in a shared work queue waits for its own PASID, and not for another', () => {
    const host = new SparseHost([1, 2]);
    host.map(1, 0x100000, 0x200000);
    for (const pasid of [1, 2]) host.map(pasid, PAGE, PAGE);
    const model = createDsa(host, { ready: '1', wqs: '1', engines: '4' });
    submit(model, { pasid: 1, opcode: Opcode.MEMMOVE, a: 0x100000, b: 0x200000, size: 0x100000 });
    submit(model, { pasid: 2, opcode: Opcode.DRAIN, flags: RECORD, completion: PAGE });
    submit(model, { pasid: 1, opcode: Opcode.DRAIN, flags: RECORD, completion: PAGE });
    model.step!();
    assert.deepEqual([host.peek(2, PAGE, 1)[0], host.peek(1, PAGE, 1)[0]], [Status.SUCCESS, 0]);
    settle(model);
    assert.equal(host.peek(1, PAGE, 1)[0], Status.SUCCESS);
  });
});
