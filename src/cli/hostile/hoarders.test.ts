/**
 * What all openers share: one user takes all of it that he may, through real files and as many contexts as it
 * takes. The next is refused with the errno and the sentence of docs/limits.md, and another user has a device
 * do DMA. The server has a small heap, so that there is less to take; what there is fits into it.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { Status } from '../../devices/dsa/descriptor.js';
import { type Actor, rulesOn } from '../../testkit/actor.js';
import {
  DsaContext,
  DsaFile,
  fillDescriptor,
  hexadecimal,
  IOVA,
  PAGE,
  READ_WRITE_FIXED,
} from '../../testkit/dsa-actor.js';
import { ChecksumFile, IommufdActor } from '../../testkit/iommufd-actor.js';
import { runner } from '../../testkit/processes.js';
import { VtdS1Struct } from '../../uapi/iommufd/vtd.js';
import { launchMode } from '../launcher-process.js';

const GREEDY = 65534;
const OTHER = 1;
/** What one command does of what there are thousands of. */
const AT_ONCE = 1024;
const NEST_PARENT = 1;
/** Of one context: several are needed for a share. */
const QUOTAS = { pasid: 8192, object: 2048, table: 8192, mapping: 2 ** 17 };
const small = ['env', 'NODE_OPTIONS=--max-old-space-size=80 --max-semi-space-size=1'];
const heap = Number(
  execFileSync('env', [
    ...small.slice(1),
    process.execPath,
    '-p',
    'v8.getHeapStatistics().heap_size_limit',
  ]).toString(),
);

/** Three quarters of what there are where there are `count` for 2 GiB, beside the server's own 32 MiB. */
const shareOf = (count: number) => Math.floor((Math.floor(count * ((heap - 2 ** 25) / 2 ** 31)) * 3) / 4);

const asRoot = launchMode() === 'root' && runner.uid === 0 ? false : 'users are told apart by root alone';
const rule = await rulesOn({
  devices: ['dsa,mdevs=8'],
  options: Object.entries(QUOTAS).flatMap(([what, most]) => [`--${what}-quota`, String(most)]),
  runner: { ...runner, prefix: [...runner.prefix, ...small] },
});

/** A child of `actor` that is user `uid`. */
async function userOf(actor: Actor, uid: number): Promise<Actor> {
  const child = await actor.fork();
  await child.words(`setuid ${uid}`);
  return child;
}

/** Does `sequence` again and again until it is refused with one of `errnos`, and with no other. */
async function takeAll(actor: Actor, sequence: string, ...errnos: readonly string[]): Promise<void> {
  for (;;) {
    const all = [...(await actor.repeat(AT_ONCE, sequence)).keys()];
    const outcomes = all.filter((each) => each.includes('err'));
    assert.deepEqual(
      outcomes.filter((each) => !errnos.some((errno) => each.includes(errno))),
      [],
    );
    if (outcomes.length > 0) return;
  }
}

/** Another user opens, maps, has a device do DMA, allocates, and closes. */
async function othersAreServed(actor: Actor): Promise<void> {
  const other = await userOf(actor, OTHER);
  const context = await DsaContext.open(other);
  const device = await DsaFile.open(other, 'vfio7');
  await other.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  await device.submit(fillDescriptor(context.pasid, IOVA + 64, 64, 0xa5, IOVA));
  assert.equal((await context.memory.completion(0)).status, Status.SUCCESS);
  const iommufd = await IommufdActor.open(other);
  await iommufd.ioas(other);
  await actor.exit(other);
}

/** Something that all openers share. */
interface Shared {
  readonly pool: string;
  /** For a heap of 2 GiB. */
  readonly total: number;
  readonly errno: string;
  /** Of one command. */
  readonly cost?: number;
  /**
   * Has `by` take as much as a context can have, the `n`th.
   * @returns the command that takes more, and the file that explains why it does not.
   */
  take(by: Actor, n: number): Promise<{ command: string; fd?: number }>;
}

/** Takes all. */
async function hoarded(user: Actor, { pool, total, errno, cost = 1, take }: Shared): Promise<void> {
  const most = shareOf(total);
  const name = `user ${GREEDY}`;
  for (let n = 0; ; n++) {
    // A process may not open as many files as a user.
    const by = await userOf(user, GREEDY);
    const { command, fd } = await take(by, n);
    const { openers } = await user.run.state();
    const has = openers.find(({ opener }) => opener === name)?.holds[pool] ?? 0;
    if (has <= most - cost) continue;
    assert.match(await by.ask(command), new RegExp(`^err ${errno}\\b`));
    const held = `what ${name} has opened holds ${has} ${pool} of the server`;
    if (fd !== undefined)
      assert.deepEqual(await by.words(`explain ${fd}`), [
        errno,
        ...`${held}, of at most ${most} that others leave`.split(' '),
      ]);
    return;
  }
}

const shared: Readonly<Record<string, Shared>> = {
  // Where all are taken together they come last: who has none left opens nothing.
  'names of files': {
    pool: 'names of files',
    total: 2 ** 17,
    errno: 'ENOMEM',
    take: async (by) => {
      const command = 'open /dev/ioasid path';
      await takeAll(by, command, 'ENOMEM', 'EMFILE');
      return { command };
    },
  },
  'open files': {
    pool: 'open files',
    total: 2 ** 18,
    errno: 'ENFILE',
    take: async (by) => {
      const epoll = await by.do('epoll');
      await takeAll(by, `open /dev/ioasid ; watch ${epoll} $`, 'ENFILE', 'EMFILE');
      return { command: 'open /dev/ioasid' };
    },
  },
  PASIDs: {
    pool: 'PASIDs',
    total: 2 ** 20 - 1,
    errno: 'ENOSPC',
    take: async (by) => {
      const fd = await by.do('open /dev/ioasid');
      const command = `alloc ${fd} 0`;
      await takeAll(by, command, 'ENOSPC');
      return { command, fd };
    },
  },
  objects: {
    pool: 'objects',
    total: 2 ** 18,
    errno: 'ENOMEM',
    take: async (by) => {
      const iommufd = await IommufdActor.open(by);
      const command = iommufd.allocation();
      await takeAll(by, command, 'ENOMEM');
      return { command, fd: iommufd.fd };
    },
  },
  pages: {
    pool: 'pages for tables, dirty logs and IOTLBs',
    total: 2 ** 20,
    errno: 'ENOMEM',
    // What is cached for a nested table.
    cost: 16,
    take: async (by, n) => {
      const data = (await by.words(`mmap ${PAGE}`))[0]!;
      await by.words(`poke ${data} ${hexadecimal(VtdS1Struct.encode({ addr_width: 48 }))}`);
      const iommufd = await IommufdActor.open(by);
      const device = await DsaFile.open(by, `vfio${n}`);
      const id = await new ChecksumFile(by, device.fd).bind(iommufd.fd);
      const parent = await iommufd.hwpt(by, id, await iommufd.ioas(by), NEST_PARENT);
      const command = iommufd.nestedTable(id, parent, Number(data));
      await takeAll(by, command, 'ENOMEM');
      return { command, fd: iommufd.fd };
    },
  },
  mappings: {
    pool: 'mappings',
    total: 2 ** 25,
    errno: 'ENOSPC',
    take: async (by) => {
      const fd = await by.do('open /dev/ioasid');
      const pasid = await by.do(`alloc ${fd} 0`);
      const memory = await by.do(`memfd ${PAGE}`);
      const command = `mapfile ${fd} ${pasid} ${memory} 0 ${PAGE} 3`;
      await by.words(`mapfile ${fd} ${pasid} ${memory} 0 ${PAGE} ${READ_WRITE_FIXED} ${IOVA}`);
      let bytes = PAGE;
      const copy = (to: number) =>
        by.ask(`copy ${fd} ${pasid} ${pasid} ${IOVA} ${bytes} ${READ_WRITE_FIXED} ${to}`);
      while ((await copy(IOVA + bytes)).startsWith('ok')) bytes *= 2;
      for (let end = IOVA + bytes; bytes >= PAGE; bytes /= 2)
        if ((await copy(end)).startsWith('ok')) end += bytes;
      return { command, fd };
    },
  },
};

for (const [what, each] of Object.entries(shared))
  rule(
    `who has three quarters of all ${what} is refused more, ${each.errno}, and another user is served`,
    async (actor) => {
      await hoarded(actor, each);
      await othersAreServed(actor);
    },
    asRoot,
  );

rule(
  'who has three quarters of all of them together is refused more of each, and another user is served',
  async (actor) => {
    for (const each of Object.values(shared).reverse()) await hoarded(actor, each);
    await othersAreServed(actor);
  },
  asRoot,
);
