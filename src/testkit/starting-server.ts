/**
 * A server that starts a helper process while it has a file of its own open, which asks to be told of each
 * close: the program of src/cli/hostile/helper-start.test.ts. The argument is a folder to mount on.
 */
import { FuseServer } from '../devfs/fuse-server.js';
import { StandIn } from '../devfs/stand-in.js';
import { runLoop } from '../linux/event-loop.js';
import { mountedDevice } from '../linux/fd-identity.js';
import { libc } from '../linux/ffi.js';
import { mountFuse } from '../linux/fuse-mount.js';
import { HelperProcess } from '../linux/helper-process.js';
import { FakeFile } from './mounted.js';

const O_RDWR_CLOEXEC = 0o2000002;

const directory = process.argv[2]!;
const standIn = new StandIn();
const fuse = mountFuse(directory, { allowOther: true });
standIn.serve(fuse);
const node = { path: 'file', flushes: true, open: () => new FakeFile(1) };
const server = new FuseServer(fuse, [node], { device: mountedDevice(directory), standIn });
const serve = (between: () => boolean) => server.serve(between);
const sources = [fuse, standIn.bell].map((fd) => ({ fd, ready: serve }));
void runLoop(sources, (hurried) => server.step(hurried), { pulse: standIn });
standIn.untilAtWork();
libc().open.async(`${directory}/file`, O_RDWR_CLOEXEC, 0, () => {
  const first = new HelperProcess();
  const second = new HelperProcess();
  console.log(first.pid === second.pid ? 'one' : 'begun');
  for (const helper of [first, second]) helper.kill();
  process.exit(0);
});
