/**
 * Memory that is a file of another FUSE filesystem, whose server does not answer. Nothing but the end of that
 * server or of its connection frees a thread that waits for it. For memory of who could not end our server
 * otherwise a helper waits. For that of the server's own user our server does: it says so, and goes on
 * afterwards, or ends in time.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { Status } from '../../devices/dsa/descriptor.js';
import { canHaveHelpers } from '../../linux/patient-helper.js';
import { eventually, TestRun } from '../../testkit/actor.js';
import { missingActors } from '../../testkit/availability.js';
import { Child } from '../../testkit/child.js';
import {
  DsaContext,
  DsaFile,
  fillDescriptor,
  IOVA,
  PAGE,
  READ_WRITE_FIXED,
} from '../../testkit/dsa-actor.js';
import { ForeignFilesystem } from '../../testkit/foreign-filesystem.js';
import { helpersOf } from '../../testkit/helper-processes.js';

const ADDRESS = '0x200000000';
const PROCESS_IOVA = 0x4000_0000;
const NOBODY = 65534;
const O_RDWR = 2;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE = 2;
const skip = process.geteuid?.() === 0 ? await missingActors() : 'needs root to mount a filesystem';

/**
 * A run with an actor that has mapped such a file over memory of a device. `user`: whose process it is, and
 * then that server has taken a request for the page, which another process waits for. undefined: it is the
 * run's own user's.
 */
async function silenced(t: TestContext, user?: number) {
  const foreign = new ForeignFilesystem(t);
  const run = new TestRun({ devices: ['dsa,mdevs=1'] });
  t.after(() => run.stop());

  const actor = await run.actor.fork();
  if (user !== undefined) await actor.words(`setuid ${user}`);
  const context = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  await actor.words(`mmap ${PAGE} ${ADDRESS}`);
  await actor.words(
    `map ${context.fd} ${context.pasid} ${ADDRESS} ${PAGE} ${READ_WRITE_FIXED} ${PROCESS_IOVA}`,
  );
  const file = await actor.do(`open ${foreign.file}`);
  await actor.words(`pwrite ${file} 0 ${'00'.repeat(64)}`);
  await actor.words(`mapover ${file} 0 ${PAGE} ${ADDRESS}`);

  const other = await run.actor.fork();
  const othersFile = await other.do('open /dev/ioasid');
  const first = new Child();
  t.after(() => first.kill());
  const copy = await first.call('open', `/proc/${await actor.pid()}/fd/${file}`, O_RDWR, 0);
  const page = await first.call('mmap', 0, PAGE, PROT_READ_WRITE, MAP_PRIVATE, copy, 0);

  await foreign.silence();
  if (user !== undefined) {
    first.peek(page, 1).catch(() => undefined);
    await foreign.readTaken();
  }
  await context.memory.clear(0, 32);
  const submission = device.submission(fillDescriptor(context.pasid, PROCESS_IOVA, 8, 0x5a, IOVA));
  return { run, actor, context, other, othersFile, submission, foreign };
}

/** The same, with a DMA to it under way that the server does itself. */
async function caught(t: TestContext) {
  const scene = await silenced(t);
  const { run, actor } = scene;
  const submission = actor.ask(scene.submission);
  submission.catch(() => undefined);
  await eventually(
    async () => run.complaints.includes('the server has been caught for 5 s'),
    'the server says that it is caught',
  );
  return { ...scene, submission };
}

test('a program that could not kill the server cannot catch it: its DMA faults, and all others go on', {
  skip: skip || (canHaveHelpers() ? false : 'no helper process here'),
  timeout: 60_000,
}, async (t) => {
  const { run, actor, context, other, othersFile, submission, foreign } = await silenced(t, NOBODY);
  assert.match(await actor.ask(submission), /^ok/);
  assert.equal((await context.memory.completion(0)).status, Status.PAGE_FAULT | Status.WRITE_FAULT);
  const { faults, openers } = await run.state();
  assert.match(JSON.stringify(faults), /the memory of process .* at 0x200000000 has not come within 100 ms/);
  const waiting = openers.find(({ opener }) => opener === `user ${NOBODY}`)?.holds;
  assert.equal(waiting?.['helper processes that wait for memory'], 1);
  // Again, and its struct of an ioctl is out of reach too; others are served.
  assert.match(await actor.ask(submission), /^ok/);
  assert.deepEqual(await other.repeat(100, `info ${othersFile}`), new Map([['ok', 100]]));
  await run.actor.kill(actor);
  const helpers = helpersOf(run.server);
  assert.ok(helpers.length > 0, 'one of them waits still');
  await run.stop();
  assert.equal(await run.ended, 0);
  assert.equal(run.complaints, '');
  foreign.disconnect();
  await eventually(async () => !helpers.some((pid) => existsSync(`/proc/${pid}`)), 'its helpers are gone');
});

test('a server that is caught by a filesystem says so, lets its callers be killed, and goes on later', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const { run, actor, context, other, othersFile, submission, foreign } = await caught(t);
  assert.match(
    run.complaints,
    /caught for 5 s in a DMA in step of vfio0 \(.*\): it is in pwrite of 8 bytes at /,
  );
  assert.match(
    run.complaints,
    / at 0x200000000 of the memory of process \d+, and waits for a FUSE filesystem/,
  );
  await run.actor.post(other, `info ${othersFile}`);
  await run.actor.kill(other);
  foreign.disconnect();
  assert.match(await submission, /^ok/);
  assert.equal((await context.memory.completion(0)).status, Status.PAGE_FAULT | Status.WRITE_FAULT);
  await run.actor.kill(actor);
  await eventually(() => run.isEmpty(), 'nothing is left in the server');
});

test('a run whose programs have done that to it ends in order, as soon as the kernel lets it', {
  skip,
  timeout: 90_000,
}, async (t) => {
  const { run, foreign } = await caught(t);
  const said = 'the server ends: memory of its programs has not come for 15 s';
  await eventually(async () => run.complaints.includes(said), 'the server says that it ends');
  foreign.disconnect();
  assert.equal(await run.ended, 125);
});
