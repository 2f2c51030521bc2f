/**
 * The generator: sequences of calls on a vhost-vdpa file, with what its rings answer.
 *
 * As with iommufd, a sequence is a list of steps on a scene. Each keeps to one device and to one or two
 * parts, so that what belongs together meets.
 */
import fc from 'fast-check';
import type { Sequence } from '../language.js';
import { devices } from './machine.js';
import { openFiles, own, startDevice, VdpaScene, type VdpaStep } from './scene.js';
import {
  ask,
  askUnseen,
  backendFeatures,
  configCall,
  features,
  files,
  otherCall,
  readConfig,
  reset,
  resume,
  setOwner,
  status,
  suspend,
  unknownCall,
  writeConfig,
} from './steps-device.js';
import { batch, map, mapWhole, unmap, wildRange, wrongLength, wrongType } from './steps-messages.js';
import { command, disk, frame } from './steps-requests.js';
import {
  addresses,
  askBase,
  askQueue,
  badArgument,
  base,
  busyLoop,
  enable,
  eventfd,
  groupAsid,
  kick,
  sameAddresses,
  setUp,
  size,
} from './steps-rings.js';

export const MAX_STEPS = 20;

const parts = {
  device: [
    [4, ask],
    [1, askUnseen],
    [4, features],
    [3, backendFeatures],
    [5, status],
    [2, reset],
    [2, setOwner],
    [3, files],
    [2, otherCall],
    [2, unknownCall],
  ],
  config: [
    [4, readConfig],
    [4, writeConfig],
    [2, configCall],
    [1, status],
  ],
  rings: [
    [3, size],
    [3, base],
    [2, askBase],
    [3, addresses],
    [1, sameAddresses],
    [4, eventfd],
    [3, enable],
    [3, askQueue],
    [1, busyLoop],
    [3, groupAsid],
    [1, badArgument],
    [1, suspend],
    [1, resume],
    [2, status],
  ],
  messages: [
    [8, map],
    [5, unmap],
    [4, batch],
    [1, wrongType],
    [1, wrongLength],
    [1, wildRange],
    [2, mapWhole],
    [1, backendFeatures],
    [1, reset],
  ],
  requests: [
    [8, disk],
    [6, frame],
    [3, command],
    [1, kick],
    [1, askBase],
    [1, suspend],
    [1, resume],
    [1, enable],
    [1, reset],
    [1, setUp],
    [1, mapWhole],
    [1, unmap],
  ],
} as const satisfies Record<string, readonly (readonly [number, fc.Arbitrary<VdpaStep>])[]>;

export type VdpaPart = keyof typeof parts;
export const partNames = Object.keys(parts) as readonly VdpaPart[];

/** How far a program is when a sequence begins. */
const start = fc.constantFrom('opened', 'owned', 'owned', 'running', 'running', 'running');

export function sequences(chosen: readonly VdpaPart[]): fc.Arbitrary<Sequence> {
  return fc.subarray([...chosen], { minLength: 1, maxLength: Math.min(2, chosen.length) }).chain((used) => {
    const steps = fc.array(fc.oneof(...used.map(stepsOf)), {
      minLength: 1,
      maxLength: MAX_STEPS,
      size: 'max',
    });
    return fc.tuple(fc.constantFrom(...devices), start, steps).map(([device, begun, steps]) => {
      const scene = new VdpaScene(device);
      openFiles(scene);
      if (begun !== 'opened') own(scene);
      if (begun === 'running') startDevice(scene);
      for (const step of steps) step(scene);
      return { name: 'generated', lines: scene.lines };
    });
  });
}

function stepsOf(part: VdpaPart): fc.Arbitrary<VdpaStep> {
  return fc.oneof(
    ...parts[part].map(([weight, arbitrary]) => ({
      weight,
      arbitrary: arbitrary as fc.Arbitrary<VdpaStep>,
    })),
  );
}
