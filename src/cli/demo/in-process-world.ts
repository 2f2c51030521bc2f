/** The world where there is no FUSE: the machine and the VMs are objects in this process. */
import { Machine } from '../../machine/machine.js';
import type { Actor } from './actor.js';
import { InProcessActor } from './in-process-actor.js';
import { Vm } from './vm.js';
import { storyDevices, type World } from './world.js';

/** What this world shows less of than real processes do. */
export const caveats = [
  'Steps 4 and 8 mean less here: an FD goes from table to table, and a kill closes what is in the table.',
  'Steps 3 and 5 show the rules, but no protection: both VMs are in the address space of the server.',
];

/** @param cast who plays `name`, given who would */
export async function makeInProcessWorld(
  cast: (actor: Actor, name: string) => Actor = (actor) => actor,
): Promise<World> {
  const machine = await Machine.create({ devices: storyDevices });
  const [alice, bob] = [new InProcessActor(machine), new InProcessActor(machine)];
  InProcessActor.connect(alice, bob);
  return {
    server: 'in-process: no files, no other processes',
    alice: new Vm('alice', cast(alice, 'alice')),
    bob: new Vm('bob', cast(bob, 'bob')),
    state: async () => {
      machine.step();
      return machine.snapshot();
    },
    close: async () => {},
  };
}
