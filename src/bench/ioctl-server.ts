/**
 * Our side of the benchmark `ioctl`: a machine behind a FUSE mount, as `ioasid serve` has it. Arguments:
 * `traced`, or not, and where to mount. Prints a line when it can be used; ends when its stdin ends.
 */
import { Telling } from '../cli/telling.js';
import { FuseServer } from '../devfs/fuse-server.js';
import { runLoop } from '../linux/event-loop.js';
import { mountFuse } from '../linux/fuse-mount.js';
import { Machine } from '../machine/machine.js';

const machine = await Machine.create({ devices: ['dsa'] });
const fd = mountFuse(process.argv.at(-1)!, { allowOther: false });
const server = new FuseServer(fd, machine.nodes, { trace: machine.trace });
const telling = process.argv[2] === 'traced' ? Telling.of({ output: '/dev/null' }) : undefined;
telling?.begin(machine);
process.stdin.on('end', () => process.exit(0)).resume();
console.log('serving');
await runLoop([{ fd, ready: () => server.serve() }], () => {
  const more = machine.step();
  telling?.tell();
  return more;
});
