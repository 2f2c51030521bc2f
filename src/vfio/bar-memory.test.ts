import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DeviceHost, DeviceModel } from '../devices/device-model.js';
import { finish } from '../file/work.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { NO_PASID } from '../iommu/pasid.js';
import { refused } from '../testkit/refused.js';
import { CONFIG_REGION, type VfioDevice } from './device.js';
import { makeDevices } from './make-devices.js';
import { Type1Container } from './type1-container.js';

const PAGE = 4096;
const [MEMORY, PORTALS, REGISTERS] = [PAGE, 2 * PAGE, 3 * PAGE];
const BAR = { size: 4 * PAGE, portals: { offset: PORTALS, size: PAGE } };
/** Where the container has the BAR of device n. */
const iovaOf = (n: number) => 0x10_0000 * (n + 1);
/** What is written to this register is an IOVA, to which the device copies its buffer at once. */
const COPY = 8;

type Access = readonly [write: boolean, offset: number, length: number];

/** Devices in one container that do DMA in the middle of a register write. */
function setUp(count: number) {
  const iommu = new Iommu();
  const container = new Type1Container(iommu);
  container.join(false);
  container.setIommu(3n);
  const { pasids } = new IoasidSubsystem(iommu);
  const seen: Access[][] = [];
  const buffers: Uint8Array[] = [];
  const faults: (string | undefined)[] = [];
  const make =
    (n: number) =>
    ({ dma }: DeviceHost): DeviceModel => ({
      pci: {
        vendorId: 1,
        deviceId: 1,
        classCode: 0,
        bars: [{ index: 0, ...BAR, memory: { offset: MEMORY, bytes: new Uint8Array(PAGE) } }],
      },
      readBar: (_bar, offset, target) => void seen[n]!.push([false, offset, target.fill(0x50 + n).length]),
      writeBar: (_bar, offset, source) => {
        seen[n]!.push([true, offset, source.length]);
        if (offset !== COPY) return;
        const iova = new DataView(source.buffer).getUint32(0, true);
        faults.push(dma.write(NO_PASID, iova, buffers[n]!, 0, buffers[n]!.length)?.reason);
      },
      reset: () => undefined,
    });
  const devices = [...Array(count).keys()].map((n) => {
    const request = { rid: `0000:6a:0${n}.0`, make: make(n), mdevs: 0, firstIndex: n };
    const [device] = makeDevices(iommu, pasids, request) as [VfioDevice];
    open(device);
    container.attach(device);
    map(container, device, iovaOf(n));
    seen.push([]);
    buffers.push(Uint8Array.of(0));
    return device;
  });
  const copy = (n: number, iova: number, bytes: Uint8Array) => {
    buffers[n] = bytes;
    devices[n]!.writeRegion(0, COPY, word(iova));
    return faults.at(-1);
  };
  return { container, devices, seen, buffers, faults, copy };
}

function open(device: VfioDevice): void {
  device.life.open(1);
  device.writeRegion(CONFIG_REGION, 4, Uint8Array.of(6, 0));
}

function map(container: Type1Container, device: VfioDevice, iova: number): void {
  const request = { iova: BigInt(iova), length: BigInt(BAR.size), address: 0n, access: READ | WRITE };
  finish(container.map(request, () => ({ memory: device.bars.memory(0), offset: 0 })));
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

describe('DMA to a BAR', () => {
  it('is made of aligned accesses to registers, of 64 bytes to a portal, and none to memory', () => {
    const { devices, seen, copy } = setUp(2);
    assert.equal(copy(0, iovaOf(1) + 0x14, new Uint8Array(14).fill(1)), undefined);
    assert.equal(copy(0, iovaOf(1) + PORTALS + 64, new Uint8Array(68).fill(2)), undefined);
    assert.equal(copy(0, iovaOf(1) + MEMORY, Uint8Array.of(3, 4, 5)), undefined);
    assert.deepEqual(seen[1], [
      [true, 0x14, 4],
      [true, 0x18, 8],
      [true, 0x20, 2],
      [true, PORTALS + 64, 64],
      [true, PORTALS + 128, 4],
    ]);
    const memory = new Uint8Array(4);
    devices[1]!.readRegion(0, MEMORY, memory);
    assert.deepEqual([...memory], [3, 4, 5, 0]);
  });

  it('makes 512 accesses to registers in one request, nested ones included; the next is a fault', () => {
    const { devices, seen, buffers, faults, copy } = setUp(3);
    const { requester } = devices[0]!.life.port;
    const before = requester.effort;
    const all = new Uint8Array(PAGE);
    assert.equal(copy(0, iovaOf(1) + REGISTERS, all), undefined);
    assert.equal(copy(0, iovaOf(1) + REGISTERS, all), undefined, 'each request may make as many');
    assert.equal(seen[1]!.length, 1024);
    assert.ok(requester.effort - before >= 1024, 'they are effort of the step');
    const most =
      /^a request makes 512 accesses to registers at most, and byte 0x3ff[08] of BAR 0 of vfio\d would/;
    assert.match(copy(0, iovaOf(1) + REGISTERS + 1, all.subarray(2)) ?? '', most);
    assert.equal(seen[1]!.length, 1024 + 512);
    // One access, by which the second device makes the others.
    buffers[1] = all;
    assert.equal(copy(0, iovaOf(1) + COPY, word(iovaOf(2) + REGISTERS)), undefined);
    assert.match(faults.at(-2) ?? '', most);
    assert.equal(seen[2]!.length, 511);
  });

  it('reaches memory of the device that does it, but no register while it is being called', () => {
    const { devices, seen, copy } = setUp(1);
    assert.match(copy(0, iovaOf(0), Uint8Array.of(1, 2)) ?? '', /in the middle of a call/);
    assert.equal(copy(0, iovaOf(0) + MEMORY + 8, Uint8Array.of(9)), undefined);
    const memory = new Uint8Array(1);
    devices[0]!.readRegion(0, MEMORY + 8, memory);
    assert.deepEqual([[...memory], seen[0]!.length], [[9], 2]);
  });

  it('from device to device and back ends at the one that has begun', () => {
    const { devices, seen, buffers, faults } = setUp(3);
    // What a device sends is where the next one sends to.
    for (const n of [0, 1, 2]) buffers[n] = word(iovaOf((n + 2) % 3) + COPY);
    devices[0]!.writeRegion(0, COPY, word(iovaOf(1) + COPY));
    assert.deepEqual(
      seen.map(({ length }) => length),
      [1, 1, 1],
    );
    assert.equal(faults.filter((reason) => reason !== undefined).length, 1);
    assert.match(faults[0] ?? '', /vfio0 is in the middle of a call/);
  });

  it('faults in low power, and what was exported is lost, until the device is awake', () => {
    const { devices, copy } = setUp(2);
    const exported = devices[1]!.bars.export(0, [{ offset: MEMORY, length: PAGE }]);
    const { memory } = exported.take(0, PAGE);
    const at = iovaOf(1) + MEMORY;
    devices[1]!.power.enter();
    assert.match(copy(0, at, Uint8Array.of(1)) ?? '', /low power/);
    refused(() => devices[1]!.bars.memory(0), 'EFAULT');
    refused(() => exported.take(0, PAGE), 'ENODEV');
    devices[1]!.power.exit();
    assert.equal(copy(0, at, Uint8Array.of(1)), undefined);
    assert.equal(memory.read(MEMORY, new Uint8Array(1), 0, 1), 0);
    assert.equal(exported.take(0, PAGE).memory.read(MEMORY, new Uint8Array(1), 0, 1), 1);
  });

  it('faults while the device does not decode, where its BAR ends, and when it was closed', () => {
    const { container, devices, copy } = setUp(2);
    const command = (value: number) => devices[1]!.writeRegion(CONFIG_REGION, 4, Uint8Array.of(value, 0));
    const at = iovaOf(1) + MEMORY;
    command(0);
    assert.match(copy(0, at, Uint8Array.of(1)) ?? '', /memory space is off/);
    refused(() => devices[1]!.bars.memory(0), 'EFAULT');
    command(6);
    assert.equal(copy(0, at, Uint8Array.of(1)), undefined);
    assert.match(copy(0, iovaOf(1) + BAR.size - 1, Uint8Array.of(1, 1)) ?? '', /not mapped/);
    finish(devices[1]!.close());
    open(devices[1]!);
    assert.match(copy(0, at, Uint8Array.of(2)) ?? '', /taken back/);
    map(container, devices[1]!, iovaOf(5));
    assert.equal(copy(0, iovaOf(5) + MEMORY, Uint8Array.of(3)), undefined);
  });
});
