/**
 * A guest with a disk and two network cards of ours: it makes a file system, writes a tree of files, reboots,
 * reads them again, sends itself data by the wire between the cards and has fio verify what it writes.
 * Afterwards the file system's own checker looks at the file that was the disk.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { Image } from './image.js';
import { commandOf, type Memory, ourDisk, ourNetwork, type Release, script } from './machine.js';
import { saidBy, under } from './under.js';

export interface StorageTest {
  readonly release: Release;
  readonly memory: Memory;
  /** The cards have packed rings, rather than split ones; the disk always has, where QEMU can. */
  readonly packed: boolean;
  /** Of the tree: small files; of its large file and fio's, and of what goes by wire: MiB. */
  readonly files: number;
  readonly megabytes: number;
  readonly traffic: number;
  /** Times that fio writes all. */
  readonly loops: number;
}

const LIMIT_SECONDS = 1800;
const DISK_BYTES = 1 << 30;
/**
 * QEMU 10 asks the queue for commands of a card where it stands, when it has suspended the others alone, and
 * then does not ask us.
 */
const KNOWN = [/vhost VQ 2 ring restore failed: -1: Operation not permitted/];

/** @throws Error with all that was said, when anything has gone wrong. */
export async function storage(image: Image, work: string, test: StorageTest): Promise<void> {
  const disk = join(work, 'disk.img');
  closeSync(openSync(disk, 'w'));
  truncateSync(disk, DISK_BYTES);
  const { release, memory, packed, files, megabytes, traffic, loops } = test;
  const options = packed ? ',packed=on' : '';
  const command = commandOf({
    qemu: script('qemu/fetch.sh', release),
    kernel: image.kernel,
    initrd: image.initrdWithFio,
    memory,
    devices: [...ourDisk, ...ourNetwork(1, options), ...ourNetwork(2, options)],
    words: { task: 'storage', files, megabytes, traffic, loops },
  });
  const devices = [`virtio-blk,file=${disk},queues=2`, 'virtio-net,link=wire0', 'virtio-net,link=wire0'];
  const said = saidBy(await under(devices, command, LIMIT_SECONDS), KNOWN);
  checkSaid(said, traffic);
  checkFileSystem(image, disk);
}

function checkSaid(said: readonly string[], traffic: number): void {
  const sum = said[0]?.replace(/^written: /, '');
  const wanted = [
    `written: ${sum}`,
    `read again: ${sum}`,
    '10 packets received',
    `${traffic} MiB received are those sent`,
    'fio has verified what it wrote',
    'end',
  ];
  if (said.join('\n') !== wanted.join('\n'))
    throw new Error(`the guest said\n${said.join('\n')}\nand not\n${wanted.join('\n')}`);
}

function checkFileSystem({ e2fsck }: Image, disk: string): void {
  const [file, ...args] = [...e2fsck, '-f', '-n', disk];
  const { status, stdout, stderr } = spawnSync(file!, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`e2fsck ended with status ${status}\n${stdout}${stderr}`);
}
