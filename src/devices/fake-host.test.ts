import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FakeHost, settle } from './fake-host.js';

describe('FakeHost', () => {
  test('an access runs on through adjoining mappings of its PASID, and sees no other PASID', () => {
    const host = new FakeHost();
    host.map(1, 0x1000, Uint8Array.of(1, 2, 3));
    host.map(1, 0x1003, Uint8Array.of(4, 5));
    host.map(2, 0x1000, Uint8Array.of(9, 9, 9, 9, 9));
    const target = new Uint8Array(6);
    assert.equal(host.dma.read(1, 0x1001, target, 2, 4), undefined);
    assert.deepEqual([...target], [0, 0, 2, 3, 4, 5]);
    assert.deepEqual(host.faults, []);
  });

  test('a write that faults has written the bytes before the fault, and says how many', () => {
    const host = new FakeHost();
    const bytes = new Uint8Array(4);
    host.map(3, 0x1000, bytes);
    host.map(3, 0x1004, new Uint8Array(4), false);
    const fault = host.dma.write(3, 0x1002, Uint8Array.of(7, 8, 9, 10));
    assert.deepEqual([fault?.iova, fault?.done, fault?.pasid, fault?.write], [0x1004, 2, 3, true]);
    assert.deepEqual([...bytes], [0, 0, 7, 8]);
    assert.deepEqual(host.faults, [fault]);
  });

  test('page requests are kept for the test to answer, when somebody hears of them', () => {
    const host = new FakeHost();
    assert.equal(host.dma.requestPage(1, 0x2000, true), undefined);
    host.hearsPageRequests = true;
    const wait = host.dma.requestPage(1, 0x2000, true)!;
    assert.equal(wait.answer, 'pending');
    assert.deepEqual(host.pageRequests, [{ pasid: 1, iova: 0x2000, write: true, answer: 'pending' }]);
    host.pageRequests[0]!.answer = 'success';
    assert.equal(wait.answer, 'success');
  });

  test('it admits any PASID, or those of its list', () => {
    assert.equal(new FakeHost().dma.admits(5), true);
    assert.equal(new FakeHost([4]).dma.admits(4), true);
    assert.equal(new FakeHost([4]).dma.admits(5), false);
  });
});

describe('settle', () => {
  test('a model that waits for pages only is left alone', () => {
    settle({ step: () => false, busy: () => true }, 10);
  });

  test('a model that does not come to rest is an error', () => {
    assert.throws(() => settle({ step() {}, busy: () => true }, 10), /still busy after 10 slices/);
  });
});
