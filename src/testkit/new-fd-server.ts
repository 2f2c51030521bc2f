/**
 * `ioasid run` with a device file that makes descriptors, `/dev/maker`, in place of a machine: the program of
 * src/cli/hostile/new-fd.test.ts.
 *
 * The arguments are the command. Ends with its status.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { hostDev } from '../cli/host-dev.js';
import { environment, inheritedDescriptors, lastArguments, softFileLimit } from '../cli/inheritance.js';
import { LauncherProcess } from '../cli/launcher-process.js';
import { FuseServer } from '../devfs/fuse-server.js';
import { StandIn } from '../devfs/stand-in.js';
import type { DeviceNode } from '../file/device-node.js';
import type { Caller, IoctlCall, OpenFile } from '../file/open-file.js';
import { finished } from '../file/work.js';
import { type Refusal, refuse } from '../linux/errno.js';
import { runLoop } from '../linux/event-loop.js';
import { newFdIoctls } from '../uapi/new-fd.js';

/** ioctls, the same numbers as in tests/c/newfd. */
const GET_DEVICE_FD = 0x3b6a;
const FAULT_QUEUE_ALLOC = 0x3b8e;
const NUMBER = 0x3b01;
const PRESENTED = 0x3b02;
const LIVING = 0x3b03;
const KEPT = 0x3b04;

/** Flags of FAULT_QUEUE_ALLOC. */
const KILL_BEFORE = 1;
const KILL_AFTER = 2;
const REFUSE = 4;
const TWICE = 8;
const BUG = 16;

let numbers = 0;
const living = new Set<MadeFile>();
/** Every file that was made, while it is in memory. */
const made = new Set<WeakRef<MadeFile>>();
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

class MadeFile implements OpenFile {
  readonly object = this;
  readonly number = ++numbers;
  lastRefusal: Refusal | undefined;

  constructor() {
    living.add(this);
    made.add(new WeakRef(this));
  }

  ioctl(caller: Caller, { cmd, arg }: IoctlCall): number {
    switch (cmd) {
      case NUMBER:
        return this.number;
      case PRESENTED:
        return (caller.presented(arg) as MadeFile).number;
      case LIVING:
        return living.size;
      case KEPT:
        collect();
        for (const each of made) if (each.deref() === undefined) made.delete(each);
        return made.size;
      case GET_DEVICE_FD:
        return this.#getDeviceFd(caller, arg);
      case FAULT_QUEUE_ALLOC:
        return this.#alloc(caller, arg);
      default:
        return refuse('ENOTTY', `no ioctl ${cmd}`);
    }
  }

  read(_caller: Caller, offset: number, target: Uint8Array): number {
    target[0] = this.number + offset;
    return 1;
  }

  write(_caller: Caller, _offset: number, source: Uint8Array): number {
    return source.length;
  }

  flush(): void {}

  release(): void {
    if (!living.delete(this)) console.error(`file ${this.number} was released twice`);
  }

  /** The argument is a name. */
  #getDeviceFd(caller: Caller, arg: number): number {
    const name = Buffer.alloc(6);
    caller.readMemory(arg, name);
    if (name.toString('latin1') !== 'device')
      refuse('ENODEV', `there is no device ${name.toString('latin1')}`);
    return finished(caller.install(new MadeFile()));
  }

  /** The argument is the address of {u32 size, u32 flags, u32 number, s32 fd}. */
  #alloc(caller: Caller, arg: number): number {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    caller.readMemory(arg, bytes);
    const flags = view.getUint32(4, true);
    if (flags & REFUSE) refuse('EBUSY', 'told to refuse');
    if (flags & BUG) throw new TypeError('told to break');
    caller.writeMemory(arg, bytes);
    if (flags & KILL_BEFORE) process.kill(caller.pid, 'SIGKILL');
    const file = new MadeFile();
    view.setInt32(12, finished(caller.install(file)), true);
    view.setUint32(8, file.number, true);
    if (flags & KILL_AFTER) process.kill(caller.pid, 'SIGKILL');
    if (flags & TWICE) finished(caller.install(new MadeFile()));
    caller.writeMemory(arg, bytes);
    return 0;
  }
}

const maker: DeviceNode = { path: 'maker', flushes: false, open: () => new MadeFile() };

const inherited = inheritedDescriptors();
const softFiles = softFileLimit();
const standIn = new StandIn({ alone: true });
const launcher = new LauncherProcess(inherited, newFdIoctls);
const { fuse, device, newFd, lifeline } = await launcher.connection;
const host = hostDev([maker.path]);
const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
standIn.serve(fuse, lifeline);
const server = new FuseServer(fuse, [maker], { device, owner, extra: host.entries, standIn });
const serve = (between: () => boolean) => server.serve(between);
const sources = [fuse, standIn.bell].map((fd) => ({ fd, ready: serve }));
const trapped = newFd === undefined ? [] : [server.trapped(newFd)];
void runLoop([...sources, ...trapped], (hurried) => server.step(hurried), { pulse: standIn });
launcher.proceed({
  binds: host.binds,
  sysfs: [],
  argv: lastArguments(process.argv.length - 2),
  env: environment(),
  softFiles,
});
const { status, signal, failure } = await launcher.ending;
if (failure !== undefined) console.error(failure.reason);
process.exit(signal === null ? (status ?? 125) : 128);
