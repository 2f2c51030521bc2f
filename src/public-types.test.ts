/**
 * The public types: what a model, an option or a machine may not be does not compile.
 *
 * Each `@ts-expect-error` is a test of `npm run build`, which fails where there is none. Each has the right
 * thing beside it, so that it is the wrong part that is refused.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { integer, type OptionValues, parseOptions } from './devices/options.js';
import { Registers } from './devices/registers.js';
import {
  type DeviceFactory,
  type DeviceHost,
  type DeviceModel,
  Machine,
  type MachineOptions,
  type PciDescription,
  type VirtioFactory,
  type VirtioModel,
} from './index.js';

const bars = [{ index: 0, size: 4096 }] as const;
const pci: PciDescription = { vendorId: 1, deviceId: 2, classCode: 0, bars, pasidBits: 20 };
const methods = { readBar() {}, writeBar() {}, reset() {} };

export const right: readonly DeviceModel[] = [
  { pci, ...methods },
  { pci, ...methods, step: () => false, busy: (vpasid) => vpasid === 7, drain: () => true },
  { pci, ...methods, mdev: { max: 2, create: (_index, _host) => ({ pci, ...methods }) } },
];

export const wrongModels: readonly DeviceModel[] = [
  // @ts-expect-error readBar is missing
  { pci, writeBar() {}, reset() {} },
  // @ts-expect-error a method that no model has
  { pci, ...methods, setp() {} },
  // @ts-expect-error nobody waits for it
  { pci, ...methods, step: async () => true },
  // @ts-expect-error a step that says nothing about its work
  { pci, ...methods, step: () => 'done' },
  // @ts-expect-error busy that never answers
  { pci, ...methods, busy: () => {} },
  // @ts-expect-error a PASID is a number
  { pci, ...methods, busy: (vpasid: string) => vpasid === '7' },
  // @ts-expect-error what is read is filled in, not returned by an offset alone
  { pci, ...methods, readBar: (_bar: number, _offset: number, _target: Uint8Array, _more: number) => {} },
  // @ts-expect-error mediated devices without a maximum
  { pci, ...methods, mdev: { create: () => ({ pci, ...methods }) } },
];

export const wrongDescriptions: readonly PciDescription[] = [
  // @ts-expect-error no vendor
  { deviceId: 2, classCode: 0, bars },
  // @ts-expect-error a typo
  { ...pci, pasidbits: 20 },
  // @ts-expect-error there is no BAR 6
  { ...pci, bars: [{ index: 6, size: 4096 }] },
  // @ts-expect-error a BAR without a size
  { ...pci, bars: [{ index: 0 }] },
  // @ts-expect-error numbers are numbers
  { ...pci, vendorId: '0x8086' },
  // @ts-expect-error MSI-X has a place for its table
  { ...pci, msix: { vectors: 2, bar: 0 } },
  // @ts-expect-error conventional is yes, no or strict
  { ...pci, conventional: 'always' },
];

/** What a factory does with its host. None of it is called. */
export const factory: DeviceFactory = (host, options) => {
  const speed: string | undefined = options.speed;
  // @ts-expect-error options are texts
  const queues: number = options.queues;
  // @ts-expect-error options are not changed
  options.speed = 'fast';
  // @ts-expect-error a fault is no exception, and no boolean
  const done: boolean = host.dma.read(0, 0, new Uint8Array(8));
  // @ts-expect-error DMA is of bytes
  host.dma.write(0, 0, 'hello');
  // @ts-expect-error an IOVA is a number
  host.dma.read(0, 0n, new Uint8Array(8));
  // @ts-expect-error a timer calls something
  host.after(50);
  // @ts-expect-error a note is a sentence
  host.note(7);
  // @ts-expect-error a host does not change
  host.dma = undefined;
  // @ts-expect-error there is nobody else to call
  host.iommu;
  return { pci, ...methods, step: () => void [speed, queues, done] };
};

// @ts-expect-error a factory answers at once
export const later: DeviceFactory = async () => ({ pci, ...methods });
// @ts-expect-error a class is no factory
export const made: DeviceFactory = class {};

const virtio = { deviceId: 4, features: 0n, queues: 1 };
const config = new Uint8Array(0);
export const entropy: VirtioFactory = () => ({ virtio, config, serve() {}, reset() {} });
export const wrongVirtio: readonly VirtioModel[] = [
  // @ts-expect-error a virtio device serves its queues
  { virtio, config, reset() {} },
  // @ts-expect-error features are 64 bits and more
  { virtio: { ...virtio, features: 0 }, config, serve() {}, reset() {} },
  // @ts-expect-error a configuration space is bytes
  { virtio, config: {}, serve() {}, reset() {} },
];

test('options are of the types that their table gives them', () => {
  const table = { queues: integer('queues', 1, 1, 8) };
  const values: OptionValues<typeof table> = parseOptions('x', table, { queues: '2' });
  const queues: number = values.queues;
  // @ts-expect-error there is no such option
  const speed = values.speed;
  assert.deepEqual([queues, speed], [2, undefined]);
});

test('a register has a width and an access that there are', () => {
  assert.ok(new Registers([{ name: 'A', offset: 0, width: 4, access: 'rw' }]));
  // @ts-expect-error three bytes
  assert.throws(() => new Registers([{ name: 'A', offset: 0, width: 3, access: 'rw' }]));
});

test('a machine is made of specs, paths and factories, and of nothing else', async () => {
  const create: DeviceFactory = (_host: DeviceHost) => ({ pci, ...methods });
  const machine = await Machine.create({ devices: [create, 'edu', (host) => create(host, {})] });
  const names = machine.snapshot().devices.map(({ spec }) => spec);
  assert.deepEqual(names, ['create', 'edu', 'devices[2]']);
  // @ts-expect-error a model is made by the machine
  const model: MachineOptions = { devices: [{ pci, ...methods }] };
  await assert.rejects(Machine.create(model), /EINVAL: devices\[0\] is an object, not a factory or a text/);
  // @ts-expect-error a container is one of two
  const container: MachineOptions = { devices: ['edu'], container: 'iommufdd' };
  assert.ok(container);
});
