/**
 * `npm run test:guest [-- [--full] [--seed N] [PART...]]`: guests with Linux's own drivers, in QEMU 10 and
 * 11, on devices of ours by vhost-vdpa and by vfio-pci. Nothing of QEMU or of the guest's kernel is modified.
 *
 * Parts: storage (with the network), nvme, kills, dsa; all of them when none is named. The short form is what
 * is run on every change; the full one moves more data, and kills QEMU 200 times.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandLine, someOf } from '../testkit/command-line.js';
import { dsa } from './dsa.js';
import { type Image, makeImage } from './image.js';
import { kills } from './kills.js';
import { nvme, type Way } from './nvme.js';
import { storage } from './storage.js';

const SHORT = { files: 60, megabytes: 16, traffic: 100, loops: 1 };
const FULL = { files: 2000, megabytes: 200, traffic: 1000, loops: 5 };
/** Four guests are to be done within minutes. */
const SHORT_NVME = { files: 30, megabytes: 8, loops: 1 };
const NVME_WAYS: readonly Way[] = [
  { release: 'bookworm', memory: 'private', iommu: 'descriptors', block: 512 },
  { release: 'bookworm', memory: 'memfd', iommu: 'container type1', block: 4096 },
  { release: 'trixie', memory: 'memfd', iommu: 'iommufd', block: 4096 },
  { release: 'trixie', memory: 'private', iommu: 'container iommufd', block: 512 },
];
/** What the kernel copies by dsa, in a run of two. */
const SHORT_COPIES = 200;
const FULL_COPIES = 5000;
const SHORT_KILLS = 6;
const FULL_KILLS = 200;

/** Each says what it has found in order. */
const parts: Readonly<Record<string, (image: Image, work: string) => Promise<string>>> = {
  storage: async (image, work) => {
    const size = options.full ? FULL : SHORT;
    await storage(image, work, { release: 'bookworm', memory: 'private', packed: false, ...size });
    await storage(image, work, { release: 'trixie', memory: 'memfd', packed: true, ...size });
    return 'disk and network are as they should be, in QEMU 10 and 11';
  },
  nvme: async (image, work) => {
    const amount = options.full ? FULL : SHORT_NVME;
    for (const way of NVME_WAYS) await nvme(image, work, way, amount);
    return 'an NVMe disk is as it should be, in QEMU 10 and 11, by iommufd and by container';
  },
  kills: (image, work) => {
    const seed = options.seed ?? String(1 + Math.floor(Math.random() * 2 ** 31));
    console.log(`guest: QEMU is killed at random moments, by seed ${seed}`);
    return kills(image, work, options.full ? FULL_KILLS : SHORT_KILLS, seed);
  },
  dsa: async (_image, work) => {
    const copies = options.full ? FULL_COPIES : SHORT_COPIES;
    for (const release of ['bookworm', 'trixie'] as const) await dsa(work, release, copies);
    return "idxd drives a dsa, in QEMU 10 for the kernel, in 11 in processes' address spaces too";
  },
};

const asked = commandLine('test:guest', "Guests with Linux's own drivers, in QEMU, on devices of ours.")
  .addArgument(someOf('part', Object.keys(parts)))
  .option('--full', 'move more data, and kill QEMU 200 times', false)
  .option('--seed <n>', 'of the kills')
  .parse();
const options = asked.opts<{ readonly full: boolean; readonly seed?: string }>();
const names = asked.args.length === 0 ? Object.keys(parts) : asked.args;

const work = mkdtempSync(join(tmpdir(), 'ioasid-guest-'));
try {
  const image = makeImage(work);
  for (const name of names) {
    const begin = Date.now();
    const found = await parts[name]!(image, work);
    console.log(`guest: ${found} (${Math.round((Date.now() - begin) / 1000)} s)`);
  }
} finally {
  rmSync(work, { recursive: true });
}
