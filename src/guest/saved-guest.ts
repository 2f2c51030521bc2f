/**
 * A guest that has booted and waits for its devices, as a file: QEMU takes it from there in a fraction of a
 * second, and gets the devices afterwards, as when they are plugged in. It has slots for three.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Duplex, Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandOf, type Memory, type Release, script } from './machine.js';
import { monitor, Qmp } from './qmp.js';

/** What a guest says when it is ready for its devices. */
const READY = /^guest: waiting/;
const MONITOR_FD = 3;
const LOOK_MS = 50;
const slots = [0, 1, 2].flatMap((n) => ['-device', `pcie-root-port,id=slot${n},chassis=${n + 1}`]);

/** What QEMU is told of a device: a command, with its arguments. */
export type Plug = readonly [command: string, words: Readonly<Record<string, string>>];

/** Paths, and which QEMU. */
export interface Boot {
  readonly kernel: string;
  readonly initrd: string;
  readonly release: Release;
}

/** A QEMU whose guest runs. */
export interface Running {
  readonly process: ChildProcess;
  readonly qmp: Qmp;
  readonly console: Readable;
  readonly keyboard: Writable;
}

function run(
  boot: Boot,
  memory: Memory,
  words: Readonly<Record<string, string>>,
  options: string[],
): Running {
  const qemu = script('qemu/fetch.sh', boot.release);
  const devices = [...slots, ...monitor(MONITOR_FD), ...options];
  const [file, ...args] = commandOf({ ...boot, qemu, memory, devices, words });
  const child = spawn(file!, args, { stdio: ['pipe', 'pipe', 'inherit', 'pipe'] });
  // Of one that is killed while it is spoken to.
  child.stdin!.on('error', () => undefined);
  const qmp = new Qmp(child.stdio[MONITOR_FD] as Duplex);
  void qmp.ask('qmp_capabilities');
  return { process: child, qmp, console: child.stdout!, keyboard: child.stdin! };
}

/** Boots a guest with `words` until it is ready, and saves it in `file`. */
export async function save(boot: Boot, words: Readonly<Record<string, string>>, file: string): Promise<void> {
  const { process, qmp, console } = run(boot, 'private', words, []);
  try {
    await new Promise<void>((resolve, reject) => {
      createInterface(console).on('line', (line) => READY.test(line) && resolve());
      process.on('close', () => reject(new Error('QEMU has ended before its guest was ready')));
    });
    await qmp.ask('migrate', { uri: `file:${file}` });
    for (;;) {
      const { status } = (await qmp.ask('query-migrate')) as { status: string };
      if (status === 'completed') return;
      if (status === 'failed') throw new Error('the guest cannot be saved');
      await sleep(LOOK_MS);
    }
  } finally {
    process.kill('SIGKILL');
    await once(process, 'close');
  }
}

/** A QEMU that goes on with the guest in `file`: it runs after the event RESUME. */
export function resume(boot: Boot, memory: Memory, file: string): Running {
  return run(boot, memory, {}, ['-incoming', `file:${file}`]);
}

/** In slot 0: the disk that is the first device of the `ioasid run` around QEMU. */
export const plugDisk: readonly Plug[] = [
  ['device_add', { driver: 'vhost-vdpa-device-pci', vhostdev: '/dev/vhost-vdpa-0', bus: 'slot0' }],
];

/** In slot `index`: a network device that is number `index`. */
export const plugCard = (index: number): readonly Plug[] => [
  ['netdev_add', { type: 'vhost-vdpa', id: `net${index}`, vhostdev: `/dev/vhost-vdpa-${index}` }],
  ['device_add', { driver: 'virtio-net-pci', netdev: `net${index}`, romfile: '', bus: `slot${index}` }],
];
