/**
 * Presenting a descriptor is the security check, so it must not be possible to present one that is not what
 * it seems: a file of another server, a file with the same inode number, a descriptor that changes during the
 * call, one inode that stands for several open files.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { Status } from '../../devices/dsa/descriptor.js';
import { type Actor, rulesOn } from '../../testkit/actor.js';
import { missingActors } from '../../testkit/availability.js';
import { DsaContext, DsaFile } from '../../testkit/dsa-actor.js';
import { OtherServer } from '../../testkit/other-server.js';
import { launchMode } from '../launcher-process.js';

const ROUNDS = 10_000;
/** Of the other server. */
const DEVICES = 8;
const { SUCCESS } = Status;

/**
 * A folder that is a fresh tmpfs for the actors, and for nobody else. In it two of our nodes are mounted once
 * more.
 */
const folder = mkdtempSync(join(tmpdir(), 'ioasid-identity-'));
after(() => rmSync(folder, { recursive: true }));
const mounts = [
  'mount -t tmpfs none "$0"',
  'touch "$0/ioasid" "$0/vfio0"',
  'mount --bind /dev/ioasid "$0/ioasid"',
  'mount --bind /dev/vfio/devices/vfio0 "$0/vfio0"',
  'exec "$@"',
];
const namespace = ['unshare', ...(launchMode() === 'root' ? [] : ['--user', '--map-root-user']), '--mount'];
const wrapper = [...namespace, 'sh', '-c', mounts.join(' && '), folder];

const other =
  (await missingActors()) === false
    ? await OtherServer.start(`dsa,mdevs=${DEVICES}`)
    : 'there is no FUSE here';
const skip = typeof other === 'string' ? other : false;
const theirs = typeof other === 'string' ? '' : other.folder;
if (other instanceof OtherServer) after(() => other.stop());

const inode = (actor: Actor, fd: number) => actor.do(`inode ${fd}`);

/**
 * Opens our file and another one anew until both have the same inode number: opening makes the next one of
 * its filesystem, on ours the next but one.
 * @returns descriptors of the two.
 */
async function sameInode(
  actor: Actor,
  candidate: (n: number) => string,
): Promise<[ours: number, other: number]> {
  let left = await actor.do('open /dev/ioasid');
  let right = await actor.do(candidate(0));
  for (let n = 1; n < 5000; n++) {
    const [a, b] = [await inode(actor, left), await inode(actor, right)];
    if (a === b) return [left, right];
    await actor.words(`close ${a < b ? left : right}`);
    if (a < b) left = await actor.do('open /dev/ioasid');
    else right = await actor.do(candidate(n));
  }
  return assert.fail('no two files with one inode number could be made');
}

let unopened = DEVICES;
/**
 * The same with a file of the other server, whose numbers leave out every other one too; a device's first
 * opening takes a single number.
 */
async function sameInodeThere(actor: Actor): Promise<[ours: number, other: number]> {
  const fds = [await actor.do('open /dev/ioasid'), await actor.do(`open ${theirs}/ioasid`)] as const;
  const isOdd = ((await inode(actor, fds[0])) - (await inode(actor, fds[1]))) % 2 !== 0;
  if (isOdd) await actor.words(`close ${await actor.do(`open ${theirs}/vfio/devices/vfio${--unopened}`)}`);
  for (const fd of fds) await actor.words(`close ${fd}`);
  return sameInode(actor, () => `open ${theirs}/ioasid`);
}

/** Device numbers of the two files' filesystems; that they differ is what tells the files apart. */
async function filesystems(actor: Actor, fds: readonly number[]): Promise<(string | undefined)[]> {
  return Promise.all(fds.map(async (fd) => (await actor.words(`inode ${fd}`))[1]));
}

/**
 * Authorizes and revokes while another thread puts `a` and `b` in turn in the place of what is presented.
 * @returns what came of the rounds.
 */
async function swapped(
  actor: Actor,
  device: DsaFile,
  pasid: number,
  [a, b]: readonly [number, number],
): Promise<Map<string, number>> {
  const target = await actor.do(`dup ${a}`);
  await actor.words(`thread dup2loop ${a} ${b} ${target}`);
  const outcomes = await actor.repeat(
    ROUNDS,
    `authorize ${device.fd} ${target} ${pasid} ; revoke ${device.fd} ${pasid}`,
  );
  const [swaps] = await actor.words('stop');
  assert.ok(Number(swaps) > ROUNDS, `the descriptor was swapped only ${swaps} times`);
  return outcomes;
}

/** Every round has ended in one of the two ways that are right. */
function assertLegal(outcomes: Map<string, number>, ways: readonly [string, string], rounds = ROUNDS): void {
  for (const outcome of outcomes.keys()) assert.ok(ways.includes(outcome), outcome);
  assert.equal(
    [...outcomes.values()].reduce((sum, count) => sum + count),
    rounds,
  );
}

/** And each of them has happened. */
function assertBoth(outcomes: Map<string, number>, ways: readonly [string, string]): void {
  assertLegal(outcomes, ways);
  assert.equal(outcomes.size, 2);
}

const rule = await rulesOn({ devices: ['dsa,mdevs=1'], wrapper, kept: 2 });

rule(
  `an fd that another thread swaps for another context is the one or the other, in ${ROUNDS} rounds`,
  async (actor) => {
    const [mine, strange] = [await DsaContext.open(actor), await DsaContext.open(actor)];
    const device = await DsaFile.open(actor);
    const outcomes = await swapped(actor, device, mine.pasid, [mine.fd, strange.fd]);
    assertBoth(outcomes, ['ok/ok', 'err:ENOENT/err:ENOENT']);
  },
);

rule(`an fd that another thread swaps for a file that is none of ours: ${ROUNDS} rounds`, async (actor) => {
  const mine = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  const outcomes = await swapped(actor, device, mine.pasid, [mine.fd, mine.memory.fd]);
  assertBoth(outcomes, ['ok/ok', 'err:EINVAL/err:ENOENT']);
});

rule(`an fd that another thread swaps for the device itself: ${ROUNDS} rounds`, async (actor) => {
  const mine = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  const outcomes = await swapped(actor, device, mine.pasid, [mine.fd, device.fd]);
  // The other thread's dup2 closes a descriptor of the device, which the server must answer, so both go
  // nearly in step.
  assertLegal(outcomes, ['ok/ok', 'err:EINVAL/err:ENOENT']);
});

rule(
  `an fd that another thread swaps for a file of another server with the same inode number: ${ROUNDS} rounds`,
  async (actor) => {
    const device = await DsaFile.open(actor);
    const [mine, forged] = await sameInodeThere(actor);
    const pasid = await actor.do(`alloc ${mine} 0`);
    assertBoth(await swapped(actor, device, pasid, [mine, forged]), ['ok/ok', 'err:EINVAL/err:ENOENT']);
  },
  skip,
);

rule('an fd that is closed and opened all the time is the context, or nothing', async (actor) => {
  const mine = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  const target = await actor.do(`dup ${mine.fd}`);
  await actor.words(`thread loop close ${target} ; dup2 ${mine.fd} ${target}`);
  const outcomes = await actor.repeat(
    2000,
    `authorize ${device.fd} ${target} ${mine.pasid} ; revoke ${device.fd} ${mine.pasid}`,
  );
  await actor.words('stop');
  assertLegal(outcomes, ['ok/ok', 'err:EBADF/err:ENOENT'], 2000);
});

rule(
  'an fd of another server is refused, and so is ours there',
  async (actor) => {
    const context = await DsaContext.open(actor);
    const device = await DsaFile.open(actor);
    const forged = await actor.do(`open ${theirs}/ioasid`);
    const pasid = await actor.do(`alloc ${forged} 0`);
    await actor.refused(
      `authorize ${device.fd} ${forged} ${pasid}`,
      'EINVAL',
      device.fd,
      /not an open device file of this system/,
    );
    const foreign = await actor.do(`open ${theirs}/vfio/devices/vfio0`);
    await actor.refused(
      `authorize ${foreign} ${context.fd} ${context.pasid}`,
      'EINVAL',
      foreign,
      /not an open device file of this system/,
    );
    await actor.words(`authorize ${foreign} ${forged} ${pasid}`);
  },
  skip,
);

rule(
  'an fd of another server with the same inode number is refused',
  async (actor) => {
    const device = await DsaFile.open(actor);
    const [mine, forged] = await sameInodeThere(actor);
    const [one, two] = await filesystems(actor, [mine, forged]);
    assert.notEqual(one, two);
    const pasid = await actor.do(`alloc ${mine} 0`);
    await actor.refused(
      `authorize ${device.fd} ${forged} ${pasid}`,
      'EINVAL',
      device.fd,
      /not an open device file of this system/,
    );
    await actor.words(`authorize ${device.fd} ${mine} ${pasid}`);
  },
  skip,
);

rule('a regular file with the same inode number is refused', async (actor) => {
  const device = await DsaFile.open(actor);
  const [mine, forged] = await sameInode(actor, (n) => `open ${folder}/f${n} create`);
  const pasid = await actor.do(`alloc ${mine} 0`);
  await actor.refused(
    `authorize ${device.fd} ${forged} ${pasid}`,
    'EINVAL',
    device.fd,
    /not an open device file of this system/,
  );
  await actor.words(`authorize ${device.fd} ${mine} ${pasid}`);
});

rule(
  'opened again through /proc/self/fd it is another context, although both have one inode',
  async (actor) => {
    const context = await DsaContext.open(actor);
    const device = await DsaFile.open(actor);
    const again = await actor.do(`open /proc/self/fd/${context.fd}`);
    assert.equal(await inode(actor, again), await inode(actor, context.fd));
    const second = await actor.do(`alloc ${again} 0`);
    await actor.refused(
      `authorize ${device.fd} ${again} ${context.pasid}`,
      'ENOENT',
      device.fd,
      /not in this context/,
    );
    await actor.refused(
      `authorize ${device.fd} ${context.fd} ${second}`,
      'ENOENT',
      device.fd,
      /not in this context/,
    );
    await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
    await actor.words(`authorize ${device.fd} ${again} ${second}`);
    assert.equal(await device.reach(context.memory, context.pasid), SUCCESS);
    const [kept] = await actor.words(`dup ${again}`);
    for (const fd of [again, context.fd]) await actor.words(`close ${fd}`);
    await actor.words(`free ${kept} ${await actor.do(`alloc ${kept} 0`)}`);
  },
);

rule(
  'opened through a bind mount each open is a context of its own, although all have one inode',
  async (actor) => {
    const device = await DsaFile.open(actor);
    const fds = [
      await actor.do(`open ${folder}/ioasid`),
      await actor.do(`open ${folder}/ioasid`),
      await actor.do(`open ${folder}/ioasid`),
    ];
    assert.equal(new Set(await Promise.all(fds.map((fd) => inode(actor, fd)))).size, 1);
    const pasids: number[] = [];
    for (const fd of fds) pasids.push(await actor.do(`alloc ${fd} 0`));
    for (const [i, fd] of fds.entries()) {
      for (const pasid of pasids.filter((_, j) => i !== j)) {
        await actor.refused(
          `authorize ${device.fd} ${fd} ${pasid}`,
          'ENOENT',
          device.fd,
          /not in this context/,
        );
      }
    }
    for (const [i, fd] of fds.entries()) await actor.words(`authorize ${device.fd} ${fd} ${pasids[i]}`);
  },
);

rule('a device that is opened through a bind mount is the same device: open once', async (actor) => {
  const fd = await actor.do(`open ${folder}/vfio0`);
  await actor.refused('open /dev/vfio/devices/vfio0', 'EBUSY');
  const context = await DsaContext.open(actor);
  await actor.words(`authorize ${fd} ${context.fd} ${context.pasid}`);
  await actor.refused(`open /proc/self/fd/${fd}`, 'EBUSY');
  await actor.words(`close ${fd}`);
  assert.equal(await (await DsaFile.open(actor)).reach(context.memory, context.pasid), 0);
});

rule('two opens of one inode, swapped by another thread: the right one, or the other', async (actor) => {
  const mine = await actor.do(`open ${folder}/ioasid`);
  const strange = await actor.do(`open ${folder}/ioasid`);
  const device = await DsaFile.open(actor);
  const pasid = await actor.do(`alloc ${mine} 0`);
  const target = await actor.do(`dup ${mine}`);
  await actor.words(`thread dup2loop ${mine} ${strange} ${target}`);
  const outcomes = await actor.repeat(
    2000,
    `authorize ${device.fd} ${target} ${pasid} ; revoke ${device.fd} ${pasid}`,
  );
  await actor.words('stop');
  assertLegal(outcomes, ['ok/ok', 'err:ENOENT/err:ENOENT'], 2000);
});
