/**
 * The generator: sequences of reads and writes of /sys/bus/dsa, and of calls on /dev/dsa. As with iommufd, a
 * sequence is a list of steps on a scene, of one or two parts.
 */
import fc from 'fast-check';
import type { Sequence } from '../language.js';
import { begin, configureWq, DEVICE, IdxdScene, type IdxdStep, nameOf } from './scene.js';
import {
  configure,
  drive,
  driveRight,
  list,
  show,
  store,
  storeShown,
  storeSmall,
} from './steps-attributes.js';
import {
  batch,
  close,
  dup,
  hole,
  map,
  open,
  others,
  submit,
  wrongDescriptor,
  wrongLength,
} from './steps-files.js';

const MAX_STEPS = 20;

const parts = {
  attributes: [
    [8, store],
    [3, storeSmall],
    [3, show],
    [1, storeShown],
    [1, list],
    [2, configure],
    [2, driveRight],
  ],
  drivers: [
    [5, drive],
    [5, driveRight],
    [3, configure],
    [2, store],
    [2, storeSmall],
    [2, show],
    [1, list],
    [1, open],
  ],
  files: [
    [4, open],
    [2, close],
    [1, dup],
    [4, submit],
    [2, wrongLength],
    [2, wrongDescriptor],
    [1, batch],
    [2, map],
    [2, others],
    [1, hole],
    [1, driveRight],
    [1, show],
    [1, list],
  ],
} as const satisfies Record<string, readonly (readonly [number, fc.Arbitrary<IdxdStep>])[]>;

export type IdxdPart = keyof typeof parts;
export const partNames = Object.keys(parts) as readonly IdxdPart[];

/** How far a program is when a sequence begins. */
const start = fc.constantFrom('nothing', 'configured', 'enabled', 'shared', 'dedicated', 'both');

export function sequences(chosen: readonly IdxdPart[]): fc.Arbitrary<Sequence> {
  return fc.constantFrom(...chosen).chain((part) => {
    const steps = fc.array(stepsOf(part), { minLength: 1, maxLength: MAX_STEPS, size: 'max' });
    return fc.tuple(start, steps).map(([begun, steps]) => {
      const scene = new IdxdScene();
      begin(scene);
      if (begun !== 'nothing') setUp(scene, begun);
      for (const step of steps) step(scene);
      return { name: 'generated', lines: scene.lines };
    });
  });
}

function setUp(scene: IdxdScene, begun: string): void {
  configureWq(scene, nameOf('wq', 0), begun === 'dedicated' ? 'dedicated' : 'shared');
  if (begun === 'both') configureWq(scene, nameOf('wq', 1), 'dedicated');
  if (begun === 'configured') return;
  scene.drive('idxd', 'bind', DEVICE);
  if (begun === 'enabled') return;
  scene.drive('user', 'bind', nameOf('wq', 0));
  if (begun === 'both') scene.drive('user', 'bind', nameOf('wq', 1));
}

function stepsOf(part: IdxdPart): fc.Arbitrary<IdxdStep> {
  return fc.oneof(
    ...parts[part].map(([weight, arbitrary]) => ({
      weight,
      arbitrary: arbitrary as fc.Arbitrary<IdxdStep>,
    })),
  );
}
