/**
 * How fast a guest reads a disk of ours, beside QEMU's own virtio-blk on the same file: random reads of
 * 4 KiB, 32 at a time, and sequential ones of 1 MiB. The file is in the page cache for both.
 *
 * The two take turns, and what is told is the median of the ratios of such pairs: how many times as fast ours
 * is.
 */
import { randomFillSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Image } from './image.js';
import { commandOf, ourDisk, qemuDisk, script } from './machine.js';
import { saidBy, under } from './under.js';

const DISK_BYTES = 256 << 20;
const SECONDS = 8;
const LIMIT_SECONDS = 120;

/** Requests in a second (random), KiB/s (sequential). */
interface Speed {
  readonly random: number;
  readonly sequential: number;
}

/** @returns the ratios, as a sentence; what each of `pairs`, an odd number, gave is printed. */
export async function speed(image: Image, work: string, pairs: number): Promise<string> {
  const disk = join(work, 'speed.img');
  writeFileSync(disk, randomFillSync(Buffer.allocUnsafe(DISK_BYTES)));
  const ratios: Speed[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const ours = await measure(image, [`virtio-blk,file=${disk}`], ourDisk);
    const theirs = await measure(image, [], qemuDisk(disk));
    console.log(`guest: ours ${shown(ours)}; QEMU's own ${shown(theirs)}`);
    ratios.push({
      random: ours.random / theirs.random,
      sequential: ours.sequential / theirs.sequential,
    });
  }
  const ratio = (kind: keyof Speed) =>
    ratios
      .map((each) => each[kind])
      .sort((a, b) => a - b)
      [pairs >> 1]!.toFixed(2);
  return `${ratio('random')} times QEMU's own disk by random reads, ${ratio('sequential')} by others`;
}

async function measure(image: Image, ours: readonly string[], devices: readonly string[]): Promise<Speed> {
  const command = commandOf({
    qemu: script('fetch.sh', 'trixie'),
    kernel: image.kernel,
    initrd: image.initrdWithFio,
    memory: 'memfd',
    devices,
    words: { task: 'speed', seconds: SECONDS },
  });
  const said = saidBy(await under(ours, command, LIMIT_SECONDS)).join('\n');
  const found = /^random (\d+)\nsequential (\d+)\nend$/.exec(said);
  if (found === null) throw new Error(`the guest said ${said}`);
  return { random: Number(found[1]), sequential: Number(found[2]) };
}

function shown({ random, sequential }: Speed): string {
  return `${random} requests/s, ${Math.round(sequential / 1024)} MiB/s`;
}
