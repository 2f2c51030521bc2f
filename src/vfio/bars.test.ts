import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { DeviceHost, DeviceModel, PciDescription } from '../devices/device-model.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu } from '../iommu/iommu.js';
import { madeBytes } from '../testkit/made-bytes.js';
import { refused } from '../testkit/refused.js';
import { CONFIG_REGION, type VfioDevice } from './device.js';
import { makeDevices } from './make-devices.js';

const SIZE = 0x400;
const PORTALS = { offset: 0x100, size: 0x200 };

type Access = readonly [write: boolean, offset: number, bytes: readonly number[]];

/** A device whose model has a byte of its own at each offset, and notes how it is asked. */
function setUp({ portals, strict, full }: { portals?: boolean; strict?: boolean; full?: number } = {}) {
  const accesses: Access[] = [];
  const pci: PciDescription = {
    vendorId: 0x1234,
    deviceId: 1,
    classCode: 0,
    bars: [{ index: 0, size: SIZE, ...(portals === true && { portals: PORTALS }) }],
  };
  const model: DeviceModel = {
    pci,
    readBar(_bar, offset, target) {
      for (let n = 0; n < target.length; n++) target[n] = (offset + n) & 0xff;
      accesses.push([false, offset, [...target]]);
    },
    writeBar(_bar, offset, source) {
      accesses.push([true, offset, [...source]]);
      return offset !== full;
    },
    reset() {},
  };
  const iommu = new Iommu();
  const request = {
    rid: '0000:6a:01.0',
    make: () => model,
    mdevs: 0,
    firstIndex: 0,
    strict: strict === true,
  };
  const [device] = makeDevices(iommu, new IoasidSubsystem(iommu).pasids, request) as [VfioDevice];
  device.life.open(1);
  device.writeRegion(CONFIG_REGION, 4, Uint8Array.of(2, 0));
  return { device, accesses };
}

const shapes = (accesses: readonly Access[]) => accesses.map(([, offset, { length }]) => [offset, length]);

describe('a transfer from or to a BAR', () => {
  it('is cut into aligned accesses of 8, 4, 2 and 1 bytes, in order', () => {
    const { device, accesses } = setUp();
    device.readRegion(0, 4, new Uint8Array(12));
    device.writeRegion(0, 0x80, new Uint8Array(24));
    device.readRegion(0, 1, new Uint8Array(7));
    assert.deepEqual(shapes(accesses), [
      ...[
        [4, 4],
        [8, 8],
      ],
      ...[
        [0x80, 8],
        [0x88, 8],
        [0x90, 8],
      ],
      ...[
        [1, 1],
        [2, 2],
        [4, 4],
      ],
    ]);
  });

  it('reaches each byte once, by the largest accesses that alignment allows', () => {
    const transfer = fc.record({ offset: fc.nat(SIZE - 1), length: fc.integer({ min: 1, max: 100 }) });
    fc.assert(
      fc.property(transfer, fc.boolean(), ({ offset, length }, write) => {
        const { device, accesses } = setUp();
        const bytes = madeBytes(length, (n) => (offset + n) & 0xff);
        const target = new Uint8Array(length);
        const done = write ? device.writeRegion(0, offset, bytes) : device.readRegion(0, offset, target);
        assert.equal(done, Math.min(length, SIZE - offset));
        if (!write) assert.deepEqual(target.subarray(0, done), bytes.subarray(0, done));
        let at = offset;
        for (const [, start, touched] of accesses) {
          const size = touched.length;
          assert.equal(start, at);
          assert.ok([1, 2, 4, 8].includes(size) && start % size === 0);
          const twice = size < 8 && start % (2 * size) === 0 && start + 2 * size <= offset + done;
          assert.ok(!twice, `${size} bytes at ${start} could have been twice as many`);
          assert.deepEqual(touched, [...bytes.subarray(at - offset, at - offset + size)]);
          at += size;
        }
        assert.equal(at, offset + done);
      }),
    );
  });

  it('ends before the access that the device cannot take now, and is EAGAIN when that is the first', () => {
    const { device, accesses } = setUp({ full: 0x10 });
    assert.equal(device.writeRegion(0, 4, new Uint8Array(28)), 12);
    assert.deepEqual(shapes(accesses), [
      [4, 4],
      [8, 8],
      [0x10, 8],
    ]);
    refused(() => device.writeRegion(0, 0x10, new Uint8Array(8)), 'EAGAIN', /write it again/);
  });
});

describe('a portal', () => {
  it('takes 64 bytes at a multiple of 64 whole, and is read like any register', () => {
    const { device, accesses } = setUp({ portals: true });
    assert.equal(device.writeRegion(0, 0x140, new Uint8Array(64)), 64);
    assert.deepEqual(shapes(accesses), [[0x140, 64]]);
    device.readRegion(0, 0x140, new Uint8Array(16));
    assert.deepEqual(shapes(accesses.slice(1)), [
      [0x140, 8],
      [0x148, 8],
    ]);
  });

  it('is written by single accesses too, and refuses what would be cut', () => {
    const { device, accesses } = setUp({ portals: true });
    device.writeRegion(0, 0x108, new Uint8Array(8));
    device.writeRegion(0, 0x104, new Uint8Array(4));
    assert.deepEqual(shapes(accesses), [
      [0x108, 8],
      [0x104, 4],
    ]);
    for (const [offset, length] of [
      [0x100, 32],
      [0x100, 128],
      [0x120, 64],
      [0x2ff, 2],
    ] as const)
      refused(
        () => device.writeRegion(0, offset, new Uint8Array(length)),
        'EINVAL',
        new RegExp(`^${length} bytes at 0x${offset.toString(16)} of BAR 0 of vfio0 are for a portal`),
      );
    assert.equal(accesses.length, 2);
  });

  it('is where it is declared and nowhere else', () => {
    const { device, accesses } = setUp({ portals: true });
    for (const offset of [0xc0, 0x300]) device.writeRegion(0, offset, new Uint8Array(64));
    assert.ok(accesses.length === 16 && accesses.every(([, , { length }]) => length === 8));
  });

  it('is a register like others under strict: 64 bytes are eight accesses', () => {
    const { device, accesses } = setUp({ portals: true, strict: true });
    assert.equal(device.writeRegion(0, 0x100, new Uint8Array(64)), 64);
    assert.deepEqual(
      shapes(accesses),
      Array.from({ length: 8 }, (_, n) => [0x100 + 8 * n, 8]),
    );
    assert.equal(device.writeRegion(0, 0x100, new Uint8Array(32)), 32);
  });
});

describe('memory of a BAR', () => {
  it('is read and written without the model, whose registers beside it are cut as ever', () => {
    const accesses: (readonly [offset: number, length: number])[] = [];
    let bytes = new Uint8Array(0);
    const make = (host: DeviceHost): DeviceModel => {
      bytes = host.memory(4096) as typeof bytes;
      return {
        pci: {
          vendorId: 0x1234,
          deviceId: 1,
          classCode: 0,
          bars: [{ index: 0, size: 0x4000, memory: { offset: 0x1000, bytes } }],
        },
        readBar: (_bar, offset, target) => void accesses.push([offset, target.length]),
        writeBar: (_bar, offset, source) => void accesses.push([offset, source.length]),
        reset() {},
      };
    };
    const iommu = new Iommu();
    const request = { rid: '0000:6a:01.0', make, mdevs: 0, firstIndex: 0 };
    const [device] = makeDevices(iommu, new IoasidSubsystem(iommu).pasids, request) as [VfioDevice];
    device.life.open(1);
    const source = madeBytes(4096 + 16, (n) => n);
    device.writeRegion(0, 0xff8, source);
    assert.deepEqual(bytes, source.subarray(8, 8 + 4096));
    bytes[1] = 0xee;
    const target = new Uint8Array(3);
    device.readRegion(0, 0x1000, target);
    assert.deepEqual([...target], [8, 0xee, 10]);
    device.readRegion(0, 0x1ffc, new Uint8Array(8));
    assert.deepEqual(accesses, [
      [0xff8, 8],
      [0x2000, 8],
      [0x2000, 4],
    ]);
    device.writeRegion(CONFIG_REGION, 4, Uint8Array.of(0, 0));
    refused(() => device.readRegion(0, 0x1000, target), 'EIO');
  });
});
