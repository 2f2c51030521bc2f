import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { refusal } from '../testkit/refused.js';
import { checkModel } from './check-model.js';
import createEdu from './edu.js';
import { FakeHost } from './fake-host.js';
import { checkVirtioModel } from './virtio/check-virtio-model.js';

const methods = { readBar() {}, writeBar() {}, reset() {} };
const pci = { vendorId: 0x1234, deviceId: 1, classCode: 0, bars: [{ index: 0, size: 4096 }] };

function reasonFor(model: unknown): string {
  const error = refusal(() => checkModel(model));
  if (error === undefined) return 'accepted';
  assert.equal(error.code, 'EINVAL');
  assert.match(error.reason, /^[^\n]+[^.\n]$/);
  return error.reason;
}

const withPci = (change: object) => reasonFor({ ...methods, pci: { ...pci, ...change } });
const withBars = (...bars: unknown[]) => withPci({ bars });
const withMsix = (msix: object) =>
  withPci({ msix: { vectors: 8, bar: 0, tableOffset: 0x800, pbaOffset: 0xc00, ...msix } });

describe('checkModel accepts', () => {
  test('edu, and returns it', () => {
    const edu = new FakeHost().make(createEdu);
    assert.equal(checkModel(edu), edu);
  });

  test('every kind of BAR, interrupt and mediated device that PCI can express', () => {
    const full = {
      ...methods,
      step() {},
      busy: () => false,
      mdev: { max: 4, create() {} },
      pci: {
        ...pci,
        bars: [
          { index: 0, size: 2 ** 39, is64: true, prefetchable: true },
          { index: 2, size: 16 },
          { index: 3, size: 2 ** 31 },
          { index: 4, size: 65536, is64: true, portals: { offset: 0x9000, size: 0x7000 } },
        ],
        revision: 255,
        intx: true,
        msi: 32,
        msix: { vectors: 2048, bar: 4, tableOffset: 0, pbaOffset: 0x8000 },
        pasidBits: 20,
      },
    };
    assert.equal(reasonFor(full), 'accepted');
    assert.equal(reasonFor({ ...methods, pci: { ...pci, bars: [] } }), 'accepted');
  });
});

describe('checkModel refuses', () => {
  test('what is no model', () => {
    assert.equal(reasonFor(undefined), 'the device factory returned undefined, not a device model');
    assert.equal(
      reasonFor(Promise.resolve()),
      'the device factory returned a promise, which nobody waits for, not a device model',
    );
    assert.equal(reasonFor({ ...methods, reset: 1, pci }), 'the device model has no method reset');
    assert.equal(reasonFor({ ...methods, step: true, pci }), 'step of the device model is not a method');
    assert.equal(reasonFor(methods), 'pci of the device model is undefined, not a PCI description');
  });

  test('a model whose module says that it is of the other transport', () => {
    assert.equal(
      reasonFor({ virtio: { deviceId: 4, features: 0n, queues: 1 }, serve() {}, reset() {} }),
      "the factory returned a virtio model, but its module does not export transport = 'virtio'",
    );
    assert.throws(
      () => checkVirtioModel({ pci, ...methods }),
      /the factory returned a PCI model, but its module exports transport = 'virtio'$/,
    );
  });

  test('numbers that their fields cannot hold', () => {
    assert.equal(withPci({ vendorId: 0xffff }), 'pci.vendorId is 0xffff, not an integer from 0 to 0xfffe');
    assert.equal(
      withPci({ deviceId: '0x11e8' }),
      'pci.deviceId is "0x11e8", not an integer from 0 to 0xffff',
    );
    assert.equal(
      withPci({ classCode: 0x1000000 }),
      'pci.classCode is 0x1000000, not an integer from 0 to 0xffffff',
    );
    assert.equal(withPci({ revision: -1 }), 'pci.revision is -1, not an integer from 0 to 0xff');
    assert.equal(withPci({ subsystemId: 0.5 }), 'pci.subsystemId is 0.5, not an integer from 0 to 0xffff');
    assert.equal(withPci({ pasidBits: 21 }), 'pci.pasidBits is 21, not an integer from 1 to 20');
    assert.equal(withPci({ pasidBits: 0 }), 'pci.pasidBits is 0, not an integer from 1 to 20');
    assert.match(
      withPci({ conventional: true, pasidBits: 20 }),
      /^PASIDs and page requests are of PCI Express/,
    );
    assert.match(withPci({ conventional: true, pageRequests: true }), /device is of conventional PCI$/);
    for (const conventional of [true, 'strict'])
      assert.equal(withPci({ conventional }), 'accepted', `${conventional}`);
    assert.match(withPci({ conventional: 'strict', pasidBits: 20 }), /device is of conventional PCI$/);
    assert.match(withPci({ conventional: 'always' }), /^pci.conventional is "always"/);
    assert.equal(withPci({ intx: 1 }), 'pci.intx is 1, not true or false');
    assert.equal(withPci({ msi: 3 }), 'pci.msi is 3, not 1, 2, 4, 8, 16 or 32 vectors');
  });

  test('names that are none of a description, or of a model', () => {
    assert.equal(withPci({ pasidbits: 20 }), 'pci has no key "pasidbits"; did you mean pasidBits?');
    assert.equal(withPci({ colour: 1 }), 'pci has no key "colour"');
    assert.equal(withBars({ index: 0, size: 16, is64bit: true }), 'BAR 0 has no key "is64bit"');
    assert.equal(withBars({ index: 0, size: 16, Is64: true }), 'BAR 0 has no key "Is64"; did you mean is64?');
    assert.match(withMsix({ vector: 1 }), /^pci.msix has no key "vector"; did you mean vectors\?/);
    const portals = { offset: 0, length: 64 };
    assert.equal(withBars({ index: 0, size: 4096, portals }), 'portals of BAR 0 has no key "length"');
    const model = { ...methods, pci };
    assert.equal(
      reasonFor({ ...model, setp() {} }),
      'the device model has no use for setp(); did you mean step?',
    );
    assert.equal(reasonFor({ ...model, helper() {} }), 'the device model has no use for helper()');
    const { readBar, ...rest } = model;
    assert.equal(
      reasonFor({ ...rest, readbar: readBar }),
      'the device model has no method readBar; is its readbar misspelt?',
    );
    assert.equal(
      reasonFor({ ...model, mdev: { max: 1, create() {}, min: 0 } }),
      'mdev has no key "min"; did you mean max?',
    );
  });

  test('methods whose promises nobody waits for, and generators', () => {
    const model = { ...methods, pci };
    assert.match(reasonFor({ ...model, step: async () => {} }), /^step of the device model is async/);
    assert.match(reasonFor({ ...model, async readBar() {} }), /^readBar of the device model is async/);
    assert.match(reasonFor({ ...model, *step() {} }), /^step of the device model is a generator/);
  });

  test('work that would never be done: step, or drain, without busy', () => {
    for (const method of ['step', 'drain'])
      assert.equal(
        reasonFor({ ...methods, pci, [method]() {} }),
        `the device model has ${method}, which is called while busy() is true, and no busy`,
      );
    assert.equal(reasonFor({ ...methods, pci, busy: () => false }), 'accepted');
  });

  test('a class may have methods of its own, but no step with its letters in another order', () => {
    class Model {
      pci = pci;
      registers = {};
      readBar() {}
      writeBar() {}
      reset() {}
      stop() {}
      helper() {}
    }
    class Typo extends Model {
      setp() {}
    }
    class Both extends Typo {
      step() {}
      busy() {}
    }
    assert.equal(reasonFor(new Model()), 'accepted');
    assert.equal(reasonFor(new Typo()), 'the device model has no use for setp(); did you mean step?');
    assert.equal(reasonFor(new Both()), 'accepted');
  });

  test('BARs that cannot be', () => {
    assert.equal(withPci({ bars: undefined }), 'pci.bars is undefined, not an array');
    assert.equal(withBars(4096), 'an element of pci.bars is 4096, not a BAR');
    assert.equal(withBars({ index: 6, size: 16 }), 'the index of a BAR is 6, not an integer from 0 to 5');
    assert.equal(
      withBars({ index: 1, size: 8 }),
      'the size of BAR 1 is 0x8, not an integer from 16 to 0x80000000',
    );
    assert.equal(
      withBars({ index: 1, size: 2 ** 32 }),
      'the size of BAR 1 is 0x100000000, not an integer from 16 to 0x80000000',
    );
    assert.equal(withBars({ index: 1, size: 5000 }), 'the size of BAR 1, 0x1388, is not a power of two');
    assert.equal(withBars({ index: 1, size: 16 }, { index: 1, size: 16 }), 'BAR 1 is described twice');
    const wide = { index: 1, size: 16, is64: true };
    assert.equal(withBars(wide, { index: 2, size: 16 }), 'BAR 2 lies in the upper half of 64-bit BAR 1');
    assert.equal(withBars({ index: 2, size: 16 }, wide), 'BAR 2 lies in the upper half of 64-bit BAR 1');
    assert.equal(
      withBars({ index: 5, size: 16, is64: true }),
      'BAR 5 is 64-bit, but there is no BAR 6 for its upper half',
    );
  });

  test('portals that are no multiples of 64, leave their BAR or lie on the MSI-X table', () => {
    const withPortals = (portals: unknown) => withBars({ index: 0, size: 4096, portals });
    assert.equal(withPortals({ offset: 0xfc0, size: 64 }), 'accepted');
    assert.equal(withPortals(true), 'portals of BAR 0 are true, not an offset and a size');
    assert.equal(
      withPortals({ offset: 0xfc0, size: 128 }),
      'the size of portals of BAR 0 is 0x80, not an integer from 1 to 0x40',
    );
    assert.equal(withPortals({ offset: 8, size: 64 }), '0x8 of portals of BAR 0 is not a multiple of 64');
    const bars = [{ index: 0, size: 4096, portals: { offset: 0x400, size: 0x800 } }];
    const msix = { vectors: 8, bar: 0, tableOffset: 0x800, pbaOffset: 0x300 };
    assert.equal(withPci({ bars, msix }), 'portals and the MSI-X table of BAR 0 overlap');
    assert.equal(
      withPci({ bars, msix: { ...msix, tableOffset: 0, pbaOffset: 0xbf8 } }),
      'portals and its pending bits of BAR 0 overlap',
    );
    assert.equal(withPci({ bars, msix: { ...msix, tableOffset: 0, pbaOffset: 0xc00 } }), 'accepted');
  });

  test('memory and doorbells that are no pages, leave their BAR or lie on something else', () => {
    const page = new Uint8Array(4096);
    const bar = { index: 0, size: 0x4000, memory: { offset: 0x2000, bytes: page } };
    const doorbells = { offset: 0x1000, size: 0x1000 };
    assert.equal(withBars({ ...bar, doorbells }), 'accepted');
    assert.equal(
      withBars({ ...bar, memory: { offset: 0, bytes: [0] } }),
      'the bytes of the memory of BAR 0 are an array, not a Uint8Array',
    );
    assert.match(withBars({ ...bar, memory: 1 }), /^the bytes of the memory of BAR 0 are undefined/);
    assert.equal(
      withBars({ ...bar, memory: { offset: 0x10, bytes: page } }),
      '0x10 of memory of BAR 0 is not a multiple of 4096',
    );
    assert.equal(
      withBars({ ...bar, doorbells: { offset: 0x1000, size: 0x800 } }),
      '0x800 of doorbells of BAR 0 is not a multiple of 4096',
    );
    assert.match(withBars({ ...bar, doorbells: { offset: 0x3000, size: 0x2000 } }), /^the size of doorbells/);
    assert.equal(
      withBars({ ...bar, doorbells: { offset: 0x1000, size: 0x2000 } }),
      'doorbells and memory of BAR 0 overlap',
    );
    const msix = { vectors: 8, bar: 0, tableOffset: 0x2800, pbaOffset: 0 };
    assert.equal(withPci({ bars: [bar], msix }), 'memory and the MSI-X table of BAR 0 overlap');
  });

  test('MSI-X tables outside their BAR, or in one another', () => {
    assert.equal(withMsix({}), 'accepted');
    assert.equal(withPci({ msix: 8 }), 'pci.msix is 8, not a description of MSI-X');
    assert.equal(withMsix({ vectors: 2049 }), 'pci.msix.vectors is 2049, not an integer from 1 to 2048');
    assert.equal(withMsix({ bar: 2 }), 'pci.msix.bar is 2, which is not the index of a BAR');
    assert.equal(withMsix({ tableOffset: 4 }), 'pci.msix.tableOffset 0x4 is not a multiple of 8');
    assert.equal(
      withMsix({ tableOffset: 0xff8 }),
      'pci.msix.tableOffset 0xff8 leaves no room for 128 bytes in BAR 0 of 0x1000',
    );
    assert.equal(
      withMsix({ pbaOffset: 0x1000 }),
      'pci.msix.pbaOffset 0x1000 leaves no room for 8 bytes in BAR 0 of 0x1000',
    );
    assert.equal(withMsix({ pbaOffset: 0x878 }), 'the MSI-X table and its pending bits of BAR 0 overlap');
  });

  test('mediated devices that cannot be made', () => {
    assert.equal(
      reasonFor({ ...methods, pci, mdev: { max: 0, create() {} } }),
      'mdev.max is 0, not an integer from 1 to 16777215',
    );
    assert.equal(
      reasonFor({ ...methods, pci, mdev: { max: 4 } }),
      'mdev of the device model has no method create',
    );
    assert.equal(
      reasonFor({ ...methods, pci, mdev: 4 }),
      'mdev of the device model is 4, not a description of its mediated devices',
    );
  });

  test('any value at all with one sentence, or accepts it', () => {
    const bar = fc.record(
      { index: fc.anything(), size: fc.anything(), is64: fc.anything() },
      { requiredKeys: [] },
    );
    const anyPci = fc.record(
      {
        ...Object.fromEntries(
          Object.entries(pci).map(([k, v]) => [k, fc.oneof(fc.constant(v), fc.anything())]),
        ),
        msix: fc.anything(),
        bars: fc.oneof(fc.array(bar), fc.anything()),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.anything(),
          anyPci.map((p) => ({ ...methods, pci: p })),
        ),
        (model) => {
          reasonFor(model);
        },
      ),
      { numRuns: 500 },
    );
  });
});
