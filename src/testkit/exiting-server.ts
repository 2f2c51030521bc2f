/**
 * A server that exits, by Node's own exit, as soon as it has asked itself which open file a descriptor means.
 * See src/devfs/fuse-server.test.ts.
 */

import { FuseServer } from '../devfs/fuse-server.js';
import type { DeviceNode } from '../file/device-node.js';
import type { Caller, IoctlCall } from '../file/open-file.js';
import type { Sliced } from '../file/work.js';
import { runLoop } from '../linux/event-loop.js';
import { mountedDevice } from '../linux/fd-identity.js';
import { mountFuse } from '../linux/fuse-mount.js';
import { FakeFile } from './mounted.js';

let asked = false;

class AskingFile extends FakeFile {
  override ioctl(caller: Caller, call: IoctlCall): Sliced<number> {
    asked = true;
    return super.ioctl(caller, call);
  }
}

const directory = process.argv[2]!;
const fd = mountFuse(directory, { allowOther: true });
const node: DeviceNode = { path: 'plain', flushes: false, open: () => new AskingFile(1) };
const server = new FuseServer(fd, [node], { device: mountedDevice(directory) });
const exitWhenAsked = () => (asked ? process.exit(3) : true);
process.send!('mounted');
await runLoop([{ fd, ready: () => server.serve(exitWhenAsked) }], (hurried) => server.step(hurried));
