/**
 * How fast a guest reads a disk of ours, beside QEMU's own virtio-blk and its NVMe on the same file: random
 * reads of 4 KiB, 32 at a time, and sequential ones of 1 MiB. The file is in the page cache for all.
 *
 *     node dist/guest/speed.js TURNS
 *
 * They take turns. Of each turn a line of JSON is printed: what `Turn` says.
 */
import { randomFillSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Image, makeImage } from './image.js';
import { commandOf, ourDisk, qemuDisk, qemuNvme, script } from './machine.js';
import { saidBy, under } from './under.js';

const DISK_BYTES = 256 << 20;
const SECONDS = 8;
const LIMIT_SECONDS = 120;

/** Requests in a second (random), KiB/s (sequential). */
interface Speed {
  readonly random: number;
  readonly sequential: number;
}

interface Turn {
  readonly ours: Speed;
  readonly theirs: Speed;
  readonly nvme: Speed;
}

async function measureInTurn(image: Image, disk: string): Promise<Turn> {
  return {
    ours: await measure(image, [`virtio-blk,file=${disk}`], ourDisk),
    theirs: await measure(image, [], qemuDisk(disk)),
    nvme: await measure(image, [], qemuNvme(disk), '/dev/nvme0n1'),
  };
}

async function measure(
  image: Image,
  ours: readonly string[],
  devices: readonly string[],
  blockDevice = '/dev/vda',
): Promise<Speed> {
  const command = commandOf({
    qemu: script('qemu/fetch.sh', 'trixie'),
    kernel: image.kernel,
    initrd: image.initrdWithFio,
    memory: 'memfd',
    devices,
    words: { task: 'speed', seconds: SECONDS, block_device: blockDevice },
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
  for (let turn = 0; turn < Number(process.argv[2]); turn++)
    console.log(JSON.stringify(await measureInTurn(image, disk)));
} finally {
  rmSync(work, { recursive: true });
}
