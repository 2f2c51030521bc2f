/**
 * Our side of the benchmark `ioctl`: a machine behind a FUSE mount, as `ioasid serve` has it. Arguments:
 * `traced`, `recorded`, or neither, and where to mount. Prints a line when it can be used; ends when its
 * stdin ends.
 */
import { Telling } from '../cli/telling.js';
import { FuseServer } from '../devfs/fuse-server.js';
import { runLoop } from '../linux/event-loop.js';
import { mountFuse } from '../linux/fuse-mount.js';
import { Machine } from '../machine/machine.js';

const target = process.argv.at(-1)!;
const machine = await Machine.create({ devices: ['dsa,ready=1'] });
const fd = mountFuse(target, { allowOther: false });
const server = new FuseServer(fd, machine.nodes, { trace: machine.trace });
const telling = tellingAs(process.argv[2]!);
telling?.begin(machine);
process.stdin.on('end', () => process.exit(0)).resume();
console.log('serving');
await runLoop([{ fd, ready: () => server.serve() }], (hurried) => {
  const goesOn = server.step(hurried);
  const more = machine.step();
  telling?.tell();
  return goesOn || more;
});

function tellingAs(how: string): Telling | undefined {
  if (how === 'traced') return Telling.of({ output: '/dev/null' });
  return how === 'recorded' ? Telling.of({ record: `${target}.recording` }) : undefined;
}
