/**
 * Who pays for the descriptors that the server holds: the user who has opened the file, whoever calls; under
 * a server of a plain user, his session. Whoever takes all that he can is refused, and nobody else.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { type Actor, eventually, rulesOn } from '../testkit/actor.js';
import { PAGE } from '../testkit/dsa-actor.js';
import { runner, user } from '../testkit/processes.js';
import { launchMode } from './launcher-process.js';

const NOBODY = 65534;
const FULL =
  /^what user 65534 has opened holds (\d+) descriptors of the server, of at most \1 that others leave$/;
/** More than there are to be had below any limit of the tests. */
const MANY = 500;
const MANY_FILES = 20;
const DEVICE = '/dev/vfio/devices/vfio0';
/** VFIO_DEVICE_FEATURE. */
const FEATURE = 0x3b75;

/** Lets the server, which has held nothing yet, have `files` open files; its programs may have more. */
function limit({ run }: Actor, files: number): void {
  execFileSync('prlimit', ['--pid', String(run.server), `--nofile=${files}`]);
}

interface Context {
  readonly fd: number;
  readonly pasid: number;
}

async function context(actor: Actor): Promise<Context> {
  const fd = await actor.do('open /dev/ioasid');
  return { fd, pasid: await actor.do(`alloc ${fd} 0`) };
}

/** Maps another memfd each time. @returns the outcomes. */
const mapMany = (actor: Actor, { fd, pasid }: Context, times = MANY) =>
  actor.repeat(times, `memfd ${PAGE} ; mapfile ${fd} ${pasid} $ 0 ${PAGE} 3`);

/** Another memfd cannot be mapped. */
async function noRoom(actor: Actor, { fd, pasid }: Context, reason: RegExp): Promise<void> {
  const file = await actor.do(`memfd ${PAGE}`);
  await actor.refused(`mapfile ${fd} ${pasid} ${file} 0 ${PAGE} 3`, 'EMFILE', fd, reason);
}

/** Maps a page of its own memory. */
async function mapOwn(actor: Actor, { fd, pasid }: Context): Promise<void> {
  await actor.words(`map ${fd} ${pasid} ${(await actor.words(`mmap ${PAGE}`))[0]} ${PAGE} 3`);
}

/** What stands for a process: its memory, its areas, and a pidfd. */
const PROCESS = 3;

/** How many descriptors `opener` holds. */
async function held(actor: Actor, opener: string): Promise<number> {
  const { openers } = await actor.run.state();
  return openers.find((each) => each.opener === opener)?.holds.descriptors ?? 0;
}

async function stranger(actor: Actor, uid = NOBODY): Promise<Actor> {
  const child = await actor.fork();
  await child.words(`setuid ${uid}`);
  return child;
}

const asRoot = launchMode() === 'root' && runner.uid === 0 ? false : 'users are told apart by root alone';

for (const files of [96, 256]) {
  const rule = await rulesOn({ devices: ['edu'], runner });

  rule(
    `of ${files} files: who maps all he can is EMFILE, another user is not, nor a third`,
    async (actor) => {
      limit(actor, files);
      const greedy = await stranger(actor);
      const all = await context(greedy);
      const outcomes = await mapMany(greedy, all);
      const mapped = outcomes.get('ok/ok')!;
      assert.ok(mapped > files / 8, `${mapped} are mapped`);
      assert.deepEqual(outcomes.get('ok/err:EMFILE'), MANY - mapped);
      await noRoom(greedy, all, FULL);
      assert.equal(await held(actor, `user ${NOBODY}`), PROCESS + mapped);

      const own = await context(actor);
      await mapOwn(actor, own);
      const third = await stranger(actor, 1);
      await mapMany(third, await context(third), 1);
      // He can give back what he has, however little is left.
      await greedy.words(`unmap ${all.fd} ${all.pasid} 0 0 1`);
      assert.equal(await held(actor, `user ${NOBODY}`), 0);
      await mapOwn(greedy, all);
    },
    asRoot,
  );
}

const rule = await rulesOn({ devices: ['edu'], runner });

rule(
  'a file that is handed on is still paid for by who opened it, and killing him gives all back',
  async (actor) => {
    limit(actor, 256);
    const own = await context(actor);
    const greedy = await stranger(actor);
    const [to, from] = await actor.words('socketpair');
    const sender = await stranger(actor);
    const all = await context(sender);
    await mapMany(sender, all);
    await sender.words(`sendfd ${to} ${all.fd}`);
    const received = await actor.do(`recvfd ${from}`);
    const full = await held(actor, `user ${NOBODY}`);
    // Root has received a file, and pays for nothing in it, however he uses it.
    await noRoom(actor, { ...all, fd: received }, FULL);
    assert.equal(await held(actor, 'user 0'), 0);
    // And whoever has used up what is his can use what root has opened.
    await mapMany(greedy, own, 5);
    assert.equal(await held(actor, 'user 0'), PROCESS + 5);
    assert.equal(await held(actor, `user ${NOBODY}`), full);
    await actor.kill(sender);
    assert.equal(await held(actor, `user ${NOBODY}`), full);
    await actor.words(`close ${received}`);
    await eventually(async () => (await held(actor, `user ${NOBODY}`)) === 0, 'all is given back');
    await actor.kill(greedy);
    assert.equal(await held(actor, 'user 0'), PROCESS + 5);
  },
  asRoot,
);

rule(
  'a dma-buf of a BAR is an open file of who has opened the device, whoever asks for it',
  async (actor) => {
    const [to, from] = await actor.words('socketpair');
    const owner = await stranger(actor);
    const device = await owner.do(`open ${DEVICE}`);
    await owner.words(`sendfd ${to} ${device}`);
    const received = await actor.do(`recvfd ${from}`);
    // argsz, FEATURE_GET | DMA_BUF; region 0, no flags of open(2), 0, one range: a page from 0 on.
    const request = Buffer.alloc(40);
    for (const [at, word] of [40, (1 << 16) | 11, 0, 0, 0, 1].entries()) request.writeUInt32LE(word, 4 * at);
    request.writeUInt32LE(PAGE, 32);
    const outcomes = await actor.repeat(
      MANY_FILES,
      `ioctl ${received} ${FEATURE} ${request.toString('hex')}`,
    );
    assert.deepEqual(outcomes, new Map([['ok', MANY_FILES]]));
    const opened = async () => (await actor.run.state()).openers.map(({ opener, holds }) => [opener, holds]);
    assert.deepEqual(await opened(), [[`user ${NOBODY}`, { 'open files': 1 + MANY_FILES }]]);
    await actor.kill(owner);
    assert.deepEqual(await opened(), [[`user ${NOBODY}`, { 'open files': 1 + MANY_FILES }]]);
  },
  asRoot,
);

// His limit is that of his actors too, some of whose descriptors have numbers from 500 on.
const prefix = [...user.prefix, 'sh', '-c', 'ulimit -n 700; exec "$@"', 'sh'];
const ofUser = await rulesOn({ devices: ['edu'], runner: { ...user, prefix } });

ofUser('under a server of a plain user each session has its part', async (actor) => {
  const greedy = await actor.fork();
  const session = await greedy.do('setsid');
  const all = await context(greedy);
  const mapped = (await mapMany(greedy, all)).get('ok/ok')!;
  assert.equal(await held(actor, `session ${session}`), PROCESS + mapped);
  const second = await greedy.fork();
  await noRoom(
    second,
    all,
    new RegExp(`^what session ${session} has opened holds ${PROCESS + mapped} descriptors`),
  );
  await mapOwn(actor, await context(actor));
  await greedy.kill(second);
});
