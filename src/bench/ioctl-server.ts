/**
 * Our side of the benchmark `ioctl`: a machine behind a FUSE mount, as `ioasid serve` has it. Argument: where
 * to mount. Prints a line when it can be used; ends when its stdin ends.
 */
import { FuseServer } from '../devfs/fuse-server.js';
import { runLoop } from '../linux/event-loop.js';
import { mountFuse } from '../linux/fuse-mount.js';
import { Machine } from '../machine/machine.js';

const machine = await Machine.create({ devices: ['dsa'] });
const fd = mountFuse(process.argv[2]!, { allowOther: false });
const server = new FuseServer(fd, machine.nodes);
process.stdin.on('end', () => process.exit(0)).resume();
console.log('serving');
await runLoop([{ fd, ready: () => server.serve() }], () => machine.step());
