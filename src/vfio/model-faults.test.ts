/** What a model may get wrong in a call, and whom it costs: its own device, until that is reset. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DeviceHost, DeviceModel, PciDescription } from '../devices/device-model.js';
import { finish } from '../file/work.js';
import { PasidSpace } from '../ioasid/pasid-space.js';
import { Iommu } from '../iommu/iommu.js';
import { FakeModel } from '../testkit/fake-model.js';
import { refused } from '../testkit/refused.js';
import { Touched } from '../testkit/touched.js';
import { CONFIG_REGION, type VfioDevice } from './device.js';
import { makeDevices } from './make-devices.js';

const pci = { vendorId: 1, deviceId: 2, classCode: 0, bars: [{ index: 0 as const, size: 4096 }] };

/** A device, open and with memory space on, whose model does `methods`. */
function device(methods: Partial<Record<'readBar' | 'writeBar' | 'step' | 'busy' | 'reset', unknown>>) {
  return deviceOf(() => ({ pci, readBar() {}, writeBar() {}, reset() {}, ...methods }) as DeviceModel);
}

/** As `device`, of what `make` makes. */
function deviceOf(make: (host: DeviceHost) => DeviceModel) {
  const request = { rid: '0000:6a:01.0', make, mdevs: 0, firstIndex: 0 };
  const [made] = makeDevices(new Iommu(), new PasidSpace(), request) as [VfioDevice];
  made.life.open(1);
  made.writeRegion(CONFIG_REGION, 4, Uint8Array.of(2, 0));
  return made;
}

const read = (of: VfioDevice, bytes = 4) => of.readRegion(0, 0, new Uint8Array(bytes));
const write = (of: VfioDevice) => of.writeRegion(0, 0, new Uint8Array(4));

describe('a method that answers with a promise', () => {
  it('has failed, and its later rejection is no second failure', async () => {
    const broken = device({
      readBar: () => Promise.resolve().then(() => assert.fail('later')),
    });
    refused(
      () => read(broken),
      'EIO',
      /^the device model of vfio0 \(.*\) failed: readBar returned a promise/,
    );
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(broken.life.work.calls.failures, 1);
    broken.reset();
    refused(() => read(broken), 'EIO', /readBar returned a promise/);
  });

  it('has failed, whichever it is', () => {
    const promise = () => Promise.resolve(true);
    refused(() => write(device({ writeBar: promise })), 'EIO', /writeBar returned a promise/);
    refused(() => device({ reset: promise }).reset(), 'EIO', /reset returned a promise/);
    for (const methods of [{ busy: promise }, { busy: () => true, step: promise }]) {
      const broken = device(methods);
      assert.deepEqual([broken.busy() && broken.step(), broken.busy()], ['step' in methods, false]);
      refused(() => read(broken), 'EIO', /returned a promise/);
    }
  });
});

describe('a buffer that a model is lent', () => {
  it('is zeros to read into, whatever the last one to be served has left in its own', () => {
    const target = new Uint8Array(4).fill(7);
    device({}).readRegion(0, 0, target);
    assert.deepEqual(target, new Uint8Array(4));
  });

  it('is a copy: kept, it shows and changes nothing of later calls, nor what lies around it', () => {
    const kept: Uint8Array[] = [];
    const keeps = (_bar: number, _offset: number, bytes: Uint8Array) => void kept.push(bytes);
    const lender = device({ readBar: keeps, writeBar: keeps });
    const shared = new Uint8Array(64).fill(1);
    lender.writeRegion(0, 0, shared.subarray(8, 16));
    lender.readRegion(0, 0, shared.subarray(8, 16));
    shared.fill(2);
    assert.deepEqual(
      kept.map((bytes) => [bytes.buffer.byteLength, bytes[0]]),
      [
        [8, 1],
        [8, 0],
      ],
    );
    for (const bytes of kept) new Uint8Array(bytes.buffer).fill(3);
    assert.deepEqual(shared, new Uint8Array(64).fill(2));
  });

  it('that readBar transfers is its failure, and the buffer of the caller is whole', () => {
    const transfers = (_bar: number, _offset: number, { buffer }: Uint8Array) =>
      void structuredClone(0, { transfer: [buffer as ArrayBuffer] });
    const target = new Uint8Array(4).fill(7);
    refused(() => device({ readBar: transfers }).readRegion(0, 0, target), 'EIO', /transferred the buffer/);
    assert.deepEqual(target, new Uint8Array(4).fill(7));
    const source = Uint8Array.of(1, 2, 3, 4);
    assert.equal(device({ writeBar: transfers }).writeRegion(0, 0, source), 4);
    assert.deepEqual(source, Uint8Array.of(1, 2, 3, 4));
  });
});

describe('an interrupt that the device has not', () => {
  /** A device whose step `raises` something. */
  const raising = (described: Partial<PciDescription>, raise: (host: DeviceHost) => void) =>
    deviceOf((host) => ({
      pci: { ...pci, ...described },
      readBar() {},
      writeBar: () => raise(host),
      reset() {},
    }));
  const msix = { vectors: 9, bar: 0, tableOffset: 0x400, pbaOffset: 0x800 };

  it('is its failure, by number, and those that it has are none', () => {
    for (const vector of [4, -1, 0.5, Number.NaN, '0' as unknown as number])
      refused(
        () => write(raising({ msi: 4 }, (host) => host.interrupt(vector))),
        'EIO',
        new RegExp(`interrupt vector ${vector} was raised, and its vectors are 0 to 3$`),
      );
    refused(
      () => write(raising({ intx: true }, (host) => host.interrupt(0))),
      'EIO',
      /interrupt vector 0 was raised, and the device has none$/,
    );
    for (const vector of [0, 3, 8])
      assert.equal(write(raising({ msi: 4, msix }, (host) => host.interrupt(vector))), 4);
  });

  it('is its failure on the line too', () => {
    refused(() => write(raising({ msi: 1 }, (host) => host.intx(true))), 'EIO', /pci.intx is not true$/);
    assert.equal(write(raising({ intx: true }, (host) => host.intx(true))), 4);
  });
});

describe('a model', () => {
  /** All that one has. */
  const members: Record<keyof DeviceModel, true> = {
    pci: true,
    mdev: true,
    readBar: true,
    writeBar: true,
    reset: true,
    step: true,
    busy: true,
    drain: true,
    registerName: true,
  };

  it('is touched nowhere but in its calls, whole or cut', () => {
    for (const mdevs of [0, 2]) {
      const touched = new Touched();
      const fake = (host: DeviceHost) => touched.watching(new FakeModel(host));
      const mdev = { max: 2, create: (_index: number, host: DeviceHost) => fake(host) };
      const make = (host: DeviceHost) => touched.watching(Object.assign(new FakeModel(host), { mdev }));
      const request = { rid: '0000:6a:01.0', make, mdevs, firstIndex: 0 };
      for (const made of makeDevices(new Iommu(), new PasidSpace(), request)) {
        made.life.open(1);
        made.writeRegion(CONFIG_REGION, 4, Uint8Array.of(6, 0));
        for (const region of [0, CONFIG_REGION]) made.readRegion(region, 0, new Uint8Array(64));
        made.writeRegion(0, 0, new Uint8Array(16));
        assert.equal(made.nameAt(0, 0), undefined);
        assert.deepEqual([made.busy(), made.step()], [false, true]);
        made.reset();
        finish(made.flush());
        finish(made.close());
      }
      assert.deepEqual([...touched.outside], []);
      for (const member of Object.keys(members)) assert.ok(touched.members.has(member), member);
    }
  });
});
