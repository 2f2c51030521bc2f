/**
 * QEMU is killed again and again while its guest writes to a disk of ours. One server lives through all of
 * it, and the disk has what it has confirmed (killer.ts is the program under that server).
 */
import { closeSync, openSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Image } from './image.js';
import { under } from './under.js';

const SECONDS_PER_KILL = 60;
/** A power of two: qemu/records.c wants that. */
const DISK_BYTES = 1 << 29;

/** @returns what was found. @throws Error when anything is wrong: what was said. */
export async function kills(image: Image, work: string, rounds: number, seed: string): Promise<string> {
  const disk = join(work, 'records.img');
  closeSync(openSync(disk, 'w'));
  truncateSync(disk, DISK_BYTES);
  const program = fileURLToPath(new URL('./killer.js', import.meta.url));
  const command = [process.execPath, program, String(rounds), seed, disk, image.kernel, image.initrd];
  const devices = [`virtio-blk,file=${disk},queues=2`, 'virtio-net,link=wire0', 'virtio-net,link=wire0'];
  const { status, output, complaints } = await under(devices, command, rounds * SECONDS_PER_KILL);
  if (status !== 0 || complaints !== '') throw new Error(`status ${status}\n${output}\n${complaints}`);
  return output.trim();
}
