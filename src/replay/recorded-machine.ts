/** A machine like the one that was recorded. */
import { Outside } from '../devices/outside.js';
import { Machine, type MachineOptions } from '../machine/machine.js';
import type { RecordedMachine, RecordedOptions } from '../trace/raw.js';
import type { Answers } from './answers.js';
import { CannotReplay } from './cannot-replay.js';
import { replayedClock } from './replayed-clock.js';
import type { ReplayedDisks } from './replayed-disks.js';

/** What a device has of the outside that is not in a recording, by what its argument says. */
const missing: readonly (readonly [RegExp, string])[] = [
  [/,idxd/, 'programs use it by files below /sys, which are not recorded'],
];

/** @throws CannotReplay, Refusal one sentence: why there is none. */
export async function machineLike(
  { made }: RecordedMachine,
  answers: Answers,
  disks: ReplayedDisks,
): Promise<Machine> {
  if (made === undefined) throw new CannotReplay('its devices were made by functions, not by arguments');
  for (const spec of specsOf(made))
    for (const [pattern, why] of missing)
      if (pattern.test(spec)) throw new CannotReplay(`device "${spec}" cannot be replayed: ${why}`);
  const outside = new Outside(disks);
  const options = made as unknown as MachineOptions;
  return await Machine.create({ ...options, clock: replayedClock(answers), outside });
}

/** The arguments of its devices. @throws CannotReplay they are none. */
function specsOf({ devices }: RecordedOptions): string[] {
  if (!Array.isArray(devices)) throw new CannotReplay('it does not say which devices there were');
  return devices.map((device: unknown) => {
    const spec = typeof device === 'object' && device !== null && 'spec' in device ? device.spec : device;
    if (typeof spec === 'string') return spec;
    throw new CannotReplay('a device of it is no argument');
  });
}
