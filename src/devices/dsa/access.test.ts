/** What the engines ask the port for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DmaFault, DmaPort } from '../device-model.js';
import { Access } from './access.js';

test('an address of 64 bits is refused by the port, whose fault is that of the access', () => {
  const asked: string[] = [];
  const fault = (write: boolean, pasid: number, iova: number): DmaFault => {
    asked.push(`${write ? 'write' : 'read'} ${pasid} ${iova}`);
    return { iova, done: 0, pasid, write, reason: 'too wide' };
  };
  const access = new Access({
    read: (pasid, iova) => fault(false, pasid, iova),
    write: (pasid, iova) => fault(true, pasid, iova),
    requestPage: () => undefined,
    admits: () => true,
  } as DmaPort);
  const bytes = new Uint8Array(16);
  for (const iova of [2 ** 48, 2 ** 53, 2 ** 64 - 4096]) {
    assert.equal(access.read(1, iova, bytes, 16), 0);
    assert.deepEqual([access.faulted, access.faultAddress], [true, iova]);
    assert.equal(access.write(1, iova, bytes, 0, 16), 0);
    assert.deepEqual([access.faulted, access.faultAddress], [true, iova]);
    assert.deepEqual(asked.splice(0), [`read 1 ${iova}`, `write 1 ${iova}`]);
  }
});
