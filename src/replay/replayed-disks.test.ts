/** Disks whose media answered in any order, done again: every answer comes where it came. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Disk } from '../devices/disk.js';
import { type Ended, Job, type Medium } from '../devices/medium.js';
import { Outside, type Supply } from '../devices/outside.js';
import type { Look } from '../iommu/event-log.js';
import { diskAsked } from '../trace/disk-asked.js';
import { type Asked, comes } from '../trace/input.js';
import { Answers } from './answers.js';
import { ReplayedDisks } from './replayed-disks.js';

const SIZE = 1 << 20;

/** A medium that ends a job when it is told to, or at once. */
class SlowMedium implements Medium {
  readonly path = '/slow';
  readonly size = SIZE;
  readonly writable = true;
  now = false;
  readonly #begun: { job: Job; ended: Ended }[] = [];
  #seed = 0;

  begin(job: Job, _number: number, mayNow: boolean, ended: Ended): boolean {
    if (mayNow && this.now) {
      this.#read(job);
      return true;
    }
    this.#begun.push({ job, ended });
    return false;
  }

  run(job: Job): string | undefined {
    this.#read(job);
    return job.offset % 3 === 0 ? 'it is broken' : undefined;
  }

  /** Ends one of those that were begun. */
  end(which: number): void {
    const [begun] = this.#begun.splice(which % Math.max(1, this.#begun.length), 1);
    if (begun === undefined) return;
    this.#read(begun.job);
    begun.ended(begun.job.offset % 5 === 0 ? 'it is broken' : undefined);
  }

  #read({ kind, buffer, length }: Job): void {
    if (kind === 'read') buffer.fill(++this.#seed, 0, length);
  }
}

/** What a model does with its disk in one call. */
type Step = { readonly act: 'start' | 'run' | 'take' | 'abandon'; readonly n: number; readonly now: boolean };

const kinds = ['read', 'write', 'sync', 'read'] as const;

/** The job that step `n` names, new each time. */
function jobOf(n: number): Job {
  const job = new Job();
  job.kind = kinds[n % kinds.length]!;
  job.offset = n;
  job.length = job.kind === 'sync' ? 0 : 1 + (n % 200);
  job.buffer = new Uint8Array(256).fill(n);
  return job;
}

/** Does `step`. @returns all that a model sees of it. */
function done(disk: Disk, { act, n }: Step): unknown {
  let job: Job | undefined = jobOf(n);
  if (act === 'start') disk.start(job);
  else if (act === 'run') disk.run(job);
  else if (act === 'take') job = disk.takeFinished();
  else disk.abandon();
  const { error, offset, buffer } = job ?? {};
  const looked = (act === 'take' || act === 'run') && error === undefined;
  const bytes = looked ? buffer && Buffer.from(buffer).toString('hex') : undefined;
  return { error, offset, bytes, settled: disk.settled, has: disk.hasFinished, untaken: disk.untaken };
}

const steps = fc.array(
  fc.record({
    act: fc.constantFrom<Step['act'][]>('start', 'start', 'start', 'take', 'take', 'run', 'abandon'),
    n: fc.nat(1000),
    now: fc.boolean(),
    /** Which jobs end before it. */
    ends: fc.array(fc.nat(10), { maxLength: 2 }),
  }),
);

function taken<T>(look: Look<T>): T[] {
  const { events, at, end } = look.unread();
  const all = events.slice(at, end) as T[];
  look.done();
  return all;
}

test('a disk that is replayed answers each job as its medium did, and when it did', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const medium = new SlowMedium();
      const outside = new Outside({ medium: () => medium, random: (length) => new Uint8Array(length) });
      const look = outside.log.look();
      const disk = outside.disk('/slow', true);
      const pieces = all.map((step) => {
        for (const which of step.ends) medium.end(which);
        medium.now = step.now;
        const seen = done(disk, step);
        return { step, seen, asked: taken(look).map(diskAsked) };
      });

      const answers = new Answers();
      const disks = new ReplayedDisks(
        { disks: [{ path: '/slow', size: SIZE }], random: [], links: [] },
        answers,
      );
      const replayed = new Outside(disks);
      const again = replayed.log.look();
      const other = replayed.disk('/elsewhere', true);
      assert.deepEqual([other.path, other.size], ['/slow', SIZE]);
      for (const { step, seen, asked } of pieces) {
        for (const each of asked.filter(({ what }) => comes.has(what))) disks.end(each);
        answers.begin(asked.filter(({ what }) => !comes.has(what)));
        assert.deepEqual(done(other, step), seen);
        assert.deepEqual(taken(again).map(diskAsked), asked);
      }
      assert.equal(answers.leftOut, false);
    }),
  );
});

test('a read whose bytes were left out is missed, and a job that was not begun ends with a sentence', () => {
  const answers = new Answers();
  const disks = new ReplayedDisks(
    { disks: [{ path: '/slow', size: SIZE }], random: ['0102'], links: [] },
    answers,
  );
  const disk = new Outside(disks).disk('/slow', true);
  const ended = (job: number): Asked => diskAsked({ ...endOf(4), job });
  assert.throws(() => disks.end(ended(1)), /job 1 of "\/slow" ends in the recording, and was not begun/);
  disk.start(jobOf(4));
  disks.end(ended(1));
  assert.equal(answers.leftOut, true);
  assert.throws(() => disks.end(diskAsked({ ...endOf(4), disk: 7 })), /disk 7, which is not there/);
});

function endOf(n: number) {
  const { kind, offset, length } = jobOf(n);
  const bytes = new Uint8Array(0);
  return {
    what: 'end',
    disk: 0,
    job: 1,
    kind,
    offset,
    length,
    ended: true,
    error: undefined,
    bytes,
  } as const;
}

test('random bytes are those that were drawn, and what a recording has not is a sentence', () => {
  const supply: Supply = new ReplayedDisks({ disks: [], random: ['0102'], links: [] }, new Answers());
  assert.deepEqual(supply.random(2), Uint8Array.of(1, 2));
  assert.throws(() => supply.random(2), /has not the 2 random bytes/);
  assert.throws(() => supply.medium('/x', true), /has no disk for "\/x"/);
});
