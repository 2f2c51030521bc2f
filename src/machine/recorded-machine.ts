/** A machine, as the first record of a recording has it. */
import type { RecordedMachine } from '../trace/raw.js';
import type { Machine } from './machine.js';

/** With all that it takes to make it again. */
export function recordedMachine(machine: Machine, withoutContents: boolean): RecordedMachine {
  const { made, outside, wires } = machine;
  const disks = outside.disks.map(({ path, size }) => ({ path, size }));
  const random = outside.drawn.map((bytes) => Buffer.from(bytes).toString('hex'));
  const links = wires.outsides.map(({ name, turns }) => ({ name, turns }));
  return {
    ...(made && { made }),
    ...(disks.length + random.length + links.length > 0 && { outside: { disks, random, links } }),
    ...(withoutContents && { withoutContents }),
    devices: devicesOf(machine),
  };
}

/** Its devices alone. */
export function devicesOf({ devices }: Machine): RecordedMachine['devices'] {
  return devices.map(({ driver: { life }, spec }) => ({ name: life.name, rid: life.rid, spec }));
}
