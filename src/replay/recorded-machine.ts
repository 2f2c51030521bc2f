/** A machine like the one that was recorded. */
import { Outside } from '../devices/outside.js';
import { Machine, type MachineOptions } from '../machine/machine.js';
import type { RecordedMachine, RecordedOptions } from '../trace/raw.js';
import type { Answers } from './answers.js';
import { CannotReplay } from './cannot-replay.js';
import { replayedClock } from './replayed-clock.js';
import type { ReplayedDisks } from './replayed-disks.js';

/** @throws CannotReplay, Refusal one sentence: why there is none. */
export async function machineLike(
  { made }: RecordedMachine,
  answers: Answers,
  disks: ReplayedDisks,
): Promise<Machine> {
  if (made === undefined) throw new CannotReplay('its devices were made by functions, not by arguments');
  checkDevices(made);
  const outside = new Outside(disks);
  const options = made as unknown as MachineOptions;
  return await Machine.create({ ...options, clock: replayedClock(answers), outside });
}

/** @throws CannotReplay the devices are no arguments. */
function checkDevices({ devices }: RecordedOptions): void {
  if (!Array.isArray(devices)) throw new CannotReplay('it does not say which devices there were');
  for (const device of devices as unknown[]) {
    const spec = typeof device === 'object' && device !== null && 'spec' in device ? device.spec : device;
    if (typeof spec !== 'string') throw new CannotReplay('a device of it is no argument');
  }
}
