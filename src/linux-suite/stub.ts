/**
 * Runs the program that its arguments name with a `/dev/iommu` that does nothing and answers 0 to every call,
 * with 1 for each id that a call returns (so that a case is not saved by its first look at an id): what
 * passes with it proves nothing.
 */
import { hostDev } from '../cli/host-dev.js';
import { environment, inheritedDescriptors, lastArguments, softFileLimit } from '../cli/inheritance.js';
import { LauncherProcess } from '../cli/launcher-process.js';
import { FuseServer } from '../devfs/fuse-server.js';
import type { DeviceNode } from '../file/device-node.js';
import type { Caller, IoctlCall, OpenFile } from '../file/open-file.js';
import { runLoop } from '../linux/event-loop.js';
import { IOMMUFD_TYPE } from '../uapi/iommufd/command.js';
import { iommufdIoctls } from '../uapi/iommufd.js';
import type { Struct } from '../uapi/struct.js';

const ONE = Uint8Array.of(1, 0, 0, 0);
const TEST_CMD = 0x3ba0;
/**
 * IOMMU_TEST_CMD: where the operation stands, and the operations that make a mock domain, with the places of
 * their ids.
 */
const OPERATION = 4;
const MOCK_DOMAIN = [2, 12];
const MOCK_DOMAIN_IDS = [16, 20, 24];

/** By ioctl number: the places of the ids that it returns. */
const outputs = new Map<number, readonly number[]>(
  Object.values(iommufdIoctls).map(({ nr, struct }) => [(IOMMUFD_TYPE << 8) | nr, idsOf(struct)]),
);

function idsOf({ fields }: Struct): number[] {
  const ids = Object.entries(fields).filter(([name]) => /^out_.*_id$/.test(name));
  return ids.map(([, { offset }]) => offset);
}

function testIds(caller: Caller, arg: number): readonly number[] {
  const operation = new Uint8Array(1);
  caller.readMemory(arg + OPERATION, operation);
  return MOCK_DOMAIN.includes(operation[0]!) ? MOCK_DOMAIN_IDS : [];
}

class Nothing implements OpenFile {
  readonly object = this;
  readonly lastRefusal = undefined;

  ioctl(caller: Caller, { cmd, arg }: IoctlCall): number {
    const ids = cmd === TEST_CMD ? testIds(caller, arg) : outputs.get(cmd);
    for (const at of ids ?? []) caller.writeMemory(arg + at, ONE);
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
const serve = (between: () => boolean) => server.serve(between);
void runLoop([{ fd: fuse, ready: serve }], (hurried) => server.step(hurried));
const argv = lastArguments(process.argv.length - 2);
launcher.proceed({
  binds: host.binds,
  sysfs: [],
  argv,
  env: environment(),
  softFiles: softFileLimit(),
});
const { status } = await launcher.ending;
process.exit(status ?? 1);
