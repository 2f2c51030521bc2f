import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Refusal } from '../linux/errno.js';
import { Machine } from '../machine/machine.js';
import { madeHost } from '../testkit/made-host.js';
import { refusal } from '../testkit/refused.js';
import type { DeviceHost, DeviceModel } from './device-model.js';
import { FakeHost, settle } from './fake-host.js';

describe('FakeHost', () => {
  test('an access runs on through adjoining mappings of its PASID, and sees no other PASID', () => {
    const host = madeHost();
    host.map(1, 0x1000, Uint8Array.of(1, 2, 3));
    host.map(1, 0x1003, Uint8Array.of(4, 5));
    host.map(2, 0x1000, Uint8Array.of(9, 9, 9, 9, 9));
    const target = new Uint8Array(6);
    assert.equal(host.dma.read(1, 0x1001, target, 2, 4), undefined);
    assert.deepEqual([...target], [0, 0, 2, 3, 4, 5]);
    assert.deepEqual(host.faults, []);
  });

  test('a write that faults has written the bytes before the fault, and says how many', () => {
    const host = madeHost();
    const bytes = new Uint8Array(4);
    host.map(3, 0x1000, bytes);
    host.map(3, 0x1004, new Uint8Array(4), false);
    const fault = host.dma.write(3, 0x1002, Uint8Array.of(7, 8, 9, 10));
    assert.deepEqual([fault?.iova, fault?.done, fault?.pasid, fault?.write], [0x1004, 2, 3, true]);
    assert.deepEqual([...bytes], [0, 0, 7, 8]);
    assert.deepEqual(host.faults, [fault]);
  });

  test('page requests are kept for the test to answer, when somebody hears of them', () => {
    const host = madeHost();
    assert.equal(host.dma.requestPage(1, 0x2000, true), undefined);
    host.hearsPageRequests = true;
    const wait = host.dma.requestPage(1, 0x2000, true)!;
    assert.equal(wait.answer, 'pending');
    assert.deepEqual(host.pageRequests, [{ pasid: 1, iova: 0x2000, write: true, answer: 'pending' }]);
    host.pageRequests[0]!.answer = 'success';
    assert.equal(wait.answer, 'success');
  });

  test('it admits any PASID, or those of its list', () => {
    assert.equal(madeHost().dma.admits(5), true);
    assert.equal(madeHost([4]).dma.admits(4), true);
    assert.equal(madeHost([4]).dma.admits(5), false);
  });
});

const pci = {
  vendorId: 1,
  deviceId: 2,
  classCode: 0,
  bars: [{ index: 0 as const, size: 4096 }],
  msi: 2,
};
const methods = { readBar() {}, writeBar() {}, reset() {} };

describe('FakeHost refuses as a machine does', () => {
  const uses: readonly [what: string, use: (host: DeviceHost) => unknown][] = [
    ['DMA in the factory', (host) => host.dma.read(0, 0, new Uint8Array(8))],
    ['a page request there', (host) => host.dma.requestPage(0, 0, true)],
    ['an interrupt there', (host) => host.interrupt(0)],
    ['the line there', (host) => host.intx(true)],
    ['a timer there', (host) => host.after(1, () => {})],
    ['memory of 100 bytes', (host) => host.memory(100)],
  ];
  for (const [what, use] of uses)
    test(what, async () => {
      const factory = (host: DeviceHost) => {
        use(host);
        return { pci, ...methods };
      };
      let said = '';
      assert.throws(
        () => new FakeHost().make(factory),
        (error: Error) => {
          said = error.message;
          return error instanceof RangeError;
        },
      );
      await assert.rejects(Machine.create({ devices: [factory] }), (error: Error) =>
        error.message.includes(said),
      );
    });

  const models: readonly [what: string, model: object][] = [
    ['a key that pci has not', { pci: { ...pci, pasidbits: 20 }, ...methods }],
    ['a BAR of 5000 bytes', { pci: { ...pci, bars: [{ index: 0, size: 5000 }] }, ...methods }],
    ['step without busy', { pci, ...methods, step() {} }],
    ['an async method', { pci, ...methods, reset: async () => {} }],
  ];
  for (const [what, model] of models)
    test(what, async () => {
      const factory = () => model as DeviceModel;
      const refused = refusal(() => new FakeHost().make(factory));
      await assert.rejects(
        Machine.create({ devices: [factory] }),
        (error: Refusal) => error.reason === `devices[0]: ${refused?.reason}`,
      );
    });

  test('a vector and a line that pci has not, and what is no DMA', () => {
    const host = new FakeHost();
    host.make(() => ({ pci, ...methods }));
    host.interrupt(1);
    assert.throws(() => host.interrupt(2), /interrupt vector 2 was raised, and its vectors are 0 to 1/);
    assert.throws(() => host.intx(true), /the INTx line was driven, and pci.intx is not true/);
    assert.throws(
      () => host.dma.write(0, 0, new Uint8Array(8), 4, 8),
      /a DMA of 8 bytes at 4 of a buffer of 8/,
    );
    host.hearsPageRequests = true;
    assert.equal(host.dma.requestPage(0, 0, true), undefined);
    assert.deepEqual([host.interrupts, host.faults], [[1], []]);
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
