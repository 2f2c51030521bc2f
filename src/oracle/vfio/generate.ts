/**
 * The generator: sequences of calls on a VFIO device, its group and its container.
 *
 * As with iommufd, a sequence is a list of steps on a scene. Each keeps to one device and to one or two
 * parts, so that what belongs together meets.
 */
import fc from 'fast-check';
import type { Sequence } from '../language.js';
import { mostly } from '../numbers.js';
import { devices, type OracleDevice } from './machine.js';
import { DeviceScene, type DeviceStep, mapMemory, openDevice, openFiles, settle } from './scene.js';
import {
  askContainer,
  containerInfo,
  deviceFd,
  dirtyPages,
  dma,
  files,
  groupStatus,
  mapDma,
  setContainer,
  setIommu,
  unmapDma,
  unsetContainer,
} from './steps-container.js';
import {
  deviceInfo,
  feature,
  hotReset,
  ioeventfd,
  lowPower,
  regionInfo,
  reset,
  unknownCall,
} from './steps-device.js';
import {
  allocate,
  look,
  mapFile,
  parts,
  readNext,
  resize,
  seek,
  sync,
  transferOther,
} from './steps-files.js';
import {
  acknowledge,
  actOn,
  controlXhci,
  enable,
  irqInfo,
  lookForSignals,
  messageControl,
  pendingBits,
  raise,
  setIrqs,
  unmaskByEventfd,
} from './steps-irqs.js';
import { badPointer, otherEventfd, otherFile, otherName, secondFile, withSize } from './steps-misuse.js';
import { besides, busInfo, power, resetBus, resetFunction } from './steps-ports.js';
import {
  command,
  msixTable,
  oddPlace,
  readBar,
  readConfig,
  vectored,
  writeBar,
  writeConfig,
} from './steps-regions.js';

export const MAX_STEPS = 25;

const steps = {
  irqs: [
    [1, irqInfo],
    [4, setIrqs],
    [4, enable],
    [5, actOn],
    [2, unmaskByEventfd],
    [1, pendingBits],
    [2, messageControl],
    [2, ioeventfd],
    [2, lookForSignals],
    [1, otherEventfd],
    [1, secondFile],
    [6, raise],
    [3, acknowledge],
    [2, controlXhci],
    [2, command],
  ],
  bars: [
    [5, readBar],
    [4, writeBar],
    [3, vectored],
    [2, msixTable],
    [2, oddPlace],
    [1, command],
  ],
  config: [
    [4, readConfig],
    [6, writeConfig],
    [1, oddPlace],
    [1, command],
  ],
  device: [
    [1, deviceInfo],
    [2, regionInfo],
    [4, feature],
    [2, lowPower],
    [1, reset],
    [3, hotReset],
    [2, ioeventfd],
    [1, unknownCall],
    [2, otherFile],
    [2, withSize],
    [2, badPointer],
    [1, otherName],
  ],
  container: [
    [6, mapDma],
    [5, unmapDma],
    [3, dirtyPages],
    [2, containerInfo],
    [2, askContainer],
    [2, setIommu],
    [2, groupStatus],
    [2, setContainer],
    [2, unsetContainer],
    [2, deviceFd],
    [3, files],
    [5, dma],
  ],
  ports: [
    [4, besides],
    [2, busInfo],
    [6, resetBus],
    [2, resetFunction],
    [2, power],
    [2, enable],
    [2, raise],
    [1, command],
    [1, lowPower],
  ],
  files: [
    [1, sync],
    [2, resize],
    [2, allocate],
    [2, seek],
    [1, transferOther],
    [2, readNext],
    [1, look],
    [3, mapFile],
    [4, parts],
    [1, command],
  ],
} as const satisfies Record<string, readonly (readonly [number, fc.Arbitrary<DeviceStep>])[]>;

export type DevicePart = keyof typeof steps;
/** Those that real files alone answer are the last. */
export const servedPartNames = Object.keys(steps) as readonly DevicePart[];
export const partNames = servedPartNames.filter((name) => name !== 'files');

/** nvme and igb take a fifth of a second to open and close, because they are reset by then. */
const weights: Readonly<Record<OracleDevice['name'], number>> = {
  edu: 10,
  rocker: 9,
  nvme: 1,
  xhci: 10,
  igb: 2,
};

/** What an xHC is there for: it has none of USB, and is no such function here. */
const xhciParts: readonly DevicePart[] = ['irqs', 'bars', 'container'];

/** One or two of `chosen`. Those on ports are few: each opening and reset of a bus takes half a second. */
function partsOf(chosen: readonly DevicePart[]): fc.Arbitrary<readonly DevicePart[]> {
  const others = chosen.filter((part) => part !== 'ports');
  if (others.length === 0) return fc.constant(chosen);
  const few = fc.subarray(others, { minLength: 1, maxLength: Math.min(2, others.length) });
  if (others.length === chosen.length) return few;
  const onPorts = fc.subarray(others, { maxLength: 1 }).map((beside): DevicePart[] => ['ports', ...beside]);
  return mostly(few, onPorts, 24);
}

/**
 * Of parts one device has all; it lies behind a port when that is one of them. An igb is a card on its bus,
 * and nothing else.
 */
function deviceFor(used: readonly DevicePart[]): fc.Arbitrary<OracleDevice> {
  const fitting = devices.filter(({ name, bus }) => {
    if (used.includes('ports') !== (bus !== undefined)) return false;
    if (name === 'xhci') return used.every((part) => xhciParts.includes(part));
    return name !== 'igb' || used.every((part) => part === 'ports');
  });
  return fc.oneof(...fitting.map((each) => ({ weight: weights[each.name], arbitrary: fc.constant(each) })));
}

/** How far a program is when a sequence begins. */
const start = mostly(
  fc.record({ type: fc.constantFrom(1, 3), mapped: fc.boolean() }),
  fc.constant(undefined),
  9,
);

export function sequences(chosen: readonly DevicePart[]): fc.Arbitrary<Sequence> {
  return partsOf(chosen).chain((used) => {
    const taken = fc.array(fc.oneof(...used.map(stepsOf)), {
      minLength: 1,
      maxLength: MAX_STEPS,
      size: 'max',
    });
    return fc.tuple(deviceFor(used), start, taken).map(([device, chosen, taken]) => {
      // The capabilities of an xHC must be found: its registers are not all here.
      const begun = device.name === 'xhci' ? { type: 1, ...chosen, mapped: true } : chosen;
      const scene = new DeviceScene(device);
      openFiles(scene);
      if (begun !== undefined) {
        openDevice(scene, begun.type);
        if (begun.mapped) mapMemory(scene);
        settle(scene);
      }
      for (const step of taken) step(scene);
      return { name: 'generated', lines: scene.lines };
    });
  });
}

function stepsOf(part: DevicePart): fc.Arbitrary<DeviceStep> {
  return fc.oneof(
    ...steps[part].map(([weight, arbitrary]) => ({
      weight,
      arbitrary: arbitrary as fc.Arbitrary<DeviceStep>,
    })),
  );
}
