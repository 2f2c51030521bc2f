/**
 * Runs the program that its arguments name with a `/dev/iommu` that answers 0 to every call and does nothing: what passes with it proves nothing.
 */
import { hostDev } from '../cli/host-dev.js';
import { environment, inheritedDescriptors, lastArguments, softFileLimit } from '../cli/inheritance.js';
import { LauncherProcess } from '../cli/launcher-process.js';
import { FuseServer } from '../devfs/fuse-server.js';
import { runLoop } from '../linux/event-loop.js';
import type { DeviceNode, OpenFile } from '../uapi/open-file.js';

class Nothing implements OpenFile {
  readonly object = this;
  readonly lastRefusal = undefined;

  ioctl(): number {
    return 0;
  }

  read(): number {
    return 0;
  }

  write(): number {
    return 0;
  }

  flush(): void {}

  release(): void {}
}

const node: DeviceNode = { path: 'iommu', flushes: false, open: () => new Nothing() };
const launcher = new LauncherProcess(inheritedDescriptors(), []);
const { fuse } = await launcher.connection;
const host = hostDev([node.path]);
const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
const server = new FuseServer(fuse, [node], { owner, extra: host.entries });
void runLoop([{ fd: fuse, ready: (between) => server.serve(between) }], () => false);
const argv = lastArguments(process.argv.length - 2);
launcher.proceed({ binds: host.binds, sysfs: [], argv, env: environment(), keep: [], softFiles: softFileLimit() });
const { status } = await launcher.ending;
process.exit(status ?? 1);
