/** Where a filesystem is mounted, asked of the tables of processes. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { mountsOf, ownNamespace, Whereabouts } from './mount-tables.js';

const skip = process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem';

/** A process in a namespace of its own, where `script` was run. */
async function apart(script: string): Promise<ChildProcess> {
  const command = ['--mount', 'sh', '-c', `${script} && echo && exec sleep 60`];
  const child = spawn('unshare', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  return child;
}

function end(children: readonly ChildProcess[]): void {
  for (const child of children) child.kill('SIGKILL');
}

/** Doubles its mounts ten times, and mounts one more: more than 4 KiB of table, more than 32. */
const many = `mount -t tmpfs none /mnt && mkdir /mnt/a &&
  for n in 0 1 2 3 4 5 6 7 8 9; do mkdir /mnt/$n; mount --rbind /mnt /mnt/$n; done`;

test('a filesystem is found in each namespace that has it, wherever in the table', { skip }, async (t) => {
  const children = await Promise.all([apart(':'), apart(`${many} && mount -t proc own /mnt/a`)]);
  t.after(() => end(children));
  const [without, late] = children.map(({ pid }) => pid!) as [number, number];
  const device = mountsOf(late).at(-1)!.device;
  assert.ok(mountsOf(late).length > 1000, 'it has many mounts');

  const root = new Whereabouts(mountsOf('self')[0]!.device);
  assert.deepEqual(
    [process.pid, without, late].map((pid) => root.has(pid)),
    [true, true, true],
  );
  const where = new Whereabouts(device);
  for (let again = 0; again < 2; again++)
    assert.deepEqual(
      [without, late, process.pid].map((pid) => where.has(pid)),
      [false, true, false],
    );
  assert.equal(where.exhausted, false);
});

test('no more of all tables is looked at than is told, and what is known stays known', {
  skip,
}, async (t) => {
  const children = await Promise.all([apart(':'), apart(many), apart('mount -t tmpfs none /mnt')]);
  t.after(() => end(children));
  const [first, large, last] = children.map(({ pid }) => pid!) as [number, number, number];
  const where = new Whereabouts(mountsOf('self')[0]!.device, 1 << 15);
  assert.equal(where.has(first), true);
  assert.equal(where.exhausted, false);
  where.has(large);
  assert.equal(where.exhausted, true);
  assert.equal(where.has(first), true);
  assert.equal(typeof where.has(last), 'boolean');
});

test('who lives in our mount namespace is told by one line of his table', { skip }, async (t) => {
  const here = spawn('sleep', ['60']);
  const child = await apart(many);
  t.after(() => end([here, child]));
  const livesHere = ownNamespace();
  assert.deepEqual([here.pid!, child.pid!, process.pid, 0x7fff_ffff].map(livesHere), [
    true,
    false,
    true,
    false,
  ]);
});
