/**
 * Steps on devices behind ports, whose bus can be reset: who shows which groups, what is reset, and what is
 * left after it.
 */
import fc from 'fast-check';
import { descriptor, number, plain, type Value } from '../language.js';
import { mostly, oneIn } from '../numbers.js';
import { besideOf } from './machine.js';
import {
  BESIDE_FD,
  BESIDE_NAME_AT,
  CONFIG,
  DEVICE_FD,
  type DeviceScene,
  type DeviceStep,
  EVENTFDS,
  getDeviceFd,
  inCapability,
} from './scene.js';

/** The group of the function beside this one. */
const BESIDE_GROUP = 'h';

/** Opens what lies beside the device, as far as it goes, or closes it. */
export const besides: fc.Arbitrary<DeviceStep> = fc
  .record({
    group: mostly(fc.constant(true), fc.constant(false)),
    join: oneIn(2),
    device: oneIn(2),
    close: fc.constantFrom(undefined, undefined, BESIDE_GROUP, BESIDE_FD, 'g', DEVICE_FD),
  })
  .map(({ group, join, device, close }) => (scene) => {
    if (close !== undefined) return scene.add(plain('close', close));
    const beside = besideOf(scene.device);
    if (group) scene.add(plain('open', BESIDE_GROUP, `/dev/vfio/${beside.group}`));
    if (join) scene.call('VFIO_GROUP_SET_CONTAINER', { fd: descriptor('c') }, { fd: BESIDE_GROUP });
    if (device) getDeviceFd(scene, BESIDE_FD, BESIDE_GROUP, BESIDE_NAME_AT);
  });

const asked = mostly(fc.constant(DEVICE_FD), fc.constant(BESIDE_FD), 6);

export const busInfo: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: asked,
    argsz: mostly(fc.constantFrom(20, 28, 36), fc.constantFrom(12, 19, 27, 11, 0, 0xffffffff), 3),
    flags: fc.constantFrom(0, 0xffffffff),
  })
  .map(({ fd, ...fields }) => (scene) => {
    scene.call('VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', fields, { fd });
    scene.call('VFIO_DEVICE_GET_INFO', { argsz: 20 }, { fd });
  });

const listed: fc.Arbitrary<Value> = mostly(
  fc.constantFrom<Value>(descriptor('g'), descriptor('g'), descriptor(BESIDE_GROUP)),
  fc.constantFrom<Value>(number(0xffffffffn), number(999), descriptor('c'), descriptor(DEVICE_FD)),
  8,
);

export const resetBus: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: asked,
    argsz: mostly(fc.constantFrom(12, 20), fc.constant(11), 12),
    flags: mostly(fc.constant(0), fc.constant(1), 12),
    count: mostly(fc.constantFrom(1, 1, 2, 2, 2), fc.constantFrom(0, 3, 0x80000001), 8),
    wrong: fc.boolean(),
    fd0: listed,
    fd1: listed,
  })
  .map(({ fd, wrong, ...fields }) => (scene) => {
    leaveTraces(scene);
    const rightFields = wrong ? undefined : showAll(scene);
    scene.call('VFIO_DEVICE_PCI_HOT_RESET', rightFields ?? fields, { fd });
    lookAround(scene);
  });

/** All groups that a hot reset of the device asks for, in its struct; they are open then. */
function showAll(scene: DeviceScene) {
  const beside = besideOf(scene.device);
  const [own, other] = ['g', BESIDE_GROUP].map(descriptor);
  if (beside.bus !== scene.device.bus) return { argsz: 16, count: 1, fd0: own! };
  scene.add(plain('open', BESIDE_GROUP, `/dev/vfio/${beside.group}`));
  return { argsz: 20, count: 2, fd0: other!, fd1: own! };
}

/** A reset of the function alone, which takes the bus when there is no other way and nobody else on it. */
export const resetFunction: fc.Arbitrary<DeviceStep> = asked.map((fd) => (scene) => {
  leaveTraces(scene);
  scene.call('VFIO_DEVICE_RESET', {}, { fd });
  lookAround(scene);
});

/** Registers that a reset clears, and configuration that is put back after it. */
function leaveTraces(scene: DeviceScene): void {
  scene.write(CONFIG + 0x0cn, 0x10n, 1);
  scene.write(CONFIG + 0x3cn, 0x77n, 1);
  if (scene.device.name !== 'rocker') return;
  scene.write(0x10n, 0x11223344n, 4);
  for (const at of [0x18n, 0x28n]) scene.write(at, 0x1000n, 8);
}

/** What a reset may leave or change: power, the command register, addresses, interrupts. */
function lookAround(scene: DeviceScene): void {
  scene.read(CONFIG + 0x04n, 4);
  scene.read(CONFIG + 0x10n, 4);
  scene.read(CONFIG + 0x0cn, 1);
  scene.read(CONFIG + 0x3cn, 2);
  if (scene.device.capabilities.includes('pm')) scene.read(inCapability('pm', 4), 2);
  if (scene.device.name === 'rocker') for (const at of [0x10n, 0x18n, 0x28n]) scene.read(at, 8);
  for (const each of EVENTFDS) scene.add(plain('read', each, 8));
}

/** D3hot and back, a reset of the bus in between or not. */
export const power: fc.Arbitrary<DeviceStep> = fc.constantFrom(3n, 3n, 0n, 1n).map((state) => (scene) => {
  if (!scene.device.capabilities.includes('pm')) return;
  scene.write(inCapability('pm', 4), state, 2);
  scene.read(inCapability('pm', 4), 2);
});
