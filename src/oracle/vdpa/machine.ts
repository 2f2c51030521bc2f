/**
 * The devices of both machines: the kernel's simulators in the guest, our models here, under the same paths.
 * The rest of what can be seen of them is made the same where our models can be told.
 */
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuestMachine } from '../guest.js';

export interface OracleDevice {
  readonly name: 'net' | 'blk';
  readonly path: string;
  readonly queues: number;
  /** Features that both offer: those of VERSION_1 and ACCESS_PLATFORM, and what changes nothing else. */
  readonly features: bigint;
  /** Bytes of configuration space. */
  readonly config: number;
  /** Ranges of it, from and to, that say the same of both. */
  readonly alike: readonly (readonly [number, number])[];
}

export const VERSION_1 = 1n << 32n;
export const ACCESS_PLATFORM = 1n << 33n;

export const devices: readonly OracleDevice[] = [
  {
    name: 'net',
    path: '/dev/vhost-vdpa-0',
    queues: 3,
    // MTU, MAC, STATUS, CTRL_VQ, CTRL_MAC_ADDR
    features: VERSION_1 | ACCESS_PLATFORM | 0x830028n,
    config: 24,
    // The address and the link; the MTU.
    alike: [
      [0, 8],
      [10, 24],
    ],
  },
  {
    name: 'blk',
    path: '/dev/vhost-vdpa-1',
    queues: 1,
    // SIZE_MAX, SEG_MAX, BLK_SIZE, FLUSH, TOPOLOGY, MQ, DISCARD, WRITE_ZEROES
    features: VERSION_1 | ACCESS_PLATFORM | 0x7646n,
    config: 96,
    // The capacity.
    alike: [[0, 8]],
  },
];

/** Bytes of the disk, as many as the simulator's. */
export const DISK_BYTES = 128 << 20;

/** `--device` arguments of our side, with a disk in the directory `work`. */
export async function makeDevices(work: string): Promise<readonly string[]> {
  const disk = join(work, 'disk.img');
  await writeFile(disk, '');
  await truncate(disk, DISK_BYTES);
  return specs(disk);
}

const specs = (disk: string): readonly string[] => [
  'virtio-net,mac=00:00:00:00:00:00',
  `virtio-blk,file=${disk},serial=vdpa_blk_sim`,
];

export const guestMachine: GuestMachine = {
  arguments: ['-machine', 'q35,accel=tcg', '-cpu', 'max'],
  commandLine: [],
};
