/**
 * How fast a guest reads a disk of ours, beside QEMU's own virtio-blk on the same file: random reads of
 * 4 KiB, 32 at a time, and sequential ones of 1 MiB. The file is in the page cache for both.
 *
 *     node dist/guest/speed.js PAIRS
 *
 * The two take turns. Of each such pair a line of JSON is printed: what `Pair` says.
 */
import { randomFillSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Image, makeImage } from './image.js';
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

interface Pair {
  readonly ours: Speed;
  readonly theirs: Speed;
}

async function measurePair(image: Image, disk: string): Promise<Pair> {
  const ours = await measure(image, [`virtio-blk,file=${disk}`], ourDisk);
  return { ours, theirs: await measure(image, [], qemuDisk(disk)) };
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

const work = mkdtempSync(join(tmpdir(), 'ioasid-speed-'));
try {
  const image = makeImage(work);
  const disk = join(work, 'speed.img');
  writeFileSync(disk, randomFillSync(Buffer.allocUnsafe(DISK_BYTES)));
  for (let pair = 0; pair < Number(process.argv[2]); pair++)
    console.log(JSON.stringify(await measurePair(image, disk)));
} finally {
  rmSync(work, { recursive: true });
}
