import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Arrivals } from '../file/arrivals.js';
import type { EventStream } from '../file/open-file.js';
import { Account } from '../linux/account.js';
import { takesLong } from '../linux/wakes.js';
import { Polls } from './polls.js';

const account = Account.of('the test');

class Stream implements EventStream {
  readonly came = new Arrivals();

  arrivals(): number {
    return this.came.count;
  }

  ready(): number {
    return 0;
  }
}

/** More than are looked at in one go. */
const MANY = 3000;

const act = fc.oneof(
  fc.record({
    what: fc.constantFrom('polled' as const, 'closed' as const, 'comes' as const),
    file: fc.nat(MANY),
  }),
  fc.record({ what: fc.constant('wake' as const), file: fc.constant(0) }),
);

test('who polls is woken once for what has come since, whatever is polled and closed meanwhile', () => {
  fc.assert(
    fc.property(fc.nat(MANY), fc.array(act), (polledBefore, acts) => {
      const polls = new Polls();
      const streams = Array.from({ length: MANY + 1 }, () => new Stream());
      /** By file: what the kernel was told last. */
      const told = new Map<number, number>();
      const woken = (file: number) => {
        const arrivals = streams[file]!.arrivals();
        assert.ok(told.get(file)! < arrivals, `file ${file} is woken for nothing`);
        told.set(file, arrivals);
      };
      const add = (file: number) => {
        polls.add(file, streams[file]!, file, account);
        if (!told.has(file)) told.set(file, streams[file]!.arrivals());
      };
      for (let file = 0; file < polledBefore; file++) add(file);
      for (const { what, file } of acts) {
        if (what === 'polled') add(file);
        else if (what === 'comes') streams[file]!.came.add();
        else if (what === 'wake') polls.wake(woken);
        else {
          polls.delete(file);
          told.delete(file);
        }
      }
      while (polls.wake(woken));
      for (const [file, last] of told) assert.equal(last, streams[file]!.arrivals(), `file ${file}`);
      assert.equal(polls.wake(woken), false);
    }),
  );
});

test('a hundred thousand that are polled are not looked at for each call', () => {
  const polls = new Polls();
  let looks = 0;
  const quiet: EventStream = {
    ready: () => 0,
    arrivals: () => {
      looks++;
      return 0;
    },
  };
  for (let file = 0; file < 100_000; file++) polls.add(file, quiet, file, account);
  const stream = new Stream();
  polls.add(100_000, stream, 7, account);
  while (polls.wake(() => assert.fail('woken')));
  looks = 0;
  assert.equal(
    polls.wake(() => assert.fail('woken')),
    false,
  );
  assert.equal(looks, 0, 'nothing has come');
  stream.came.add();
  const woken: number[] = [];
  assert.equal(
    polls.wake((handle) => woken.push(handle)),
    true,
  );
  assert.ok(looks < 1000, 'the rest later');
  while (polls.wake((handle) => woken.push(handle)));
  assert.deepEqual(woken, [7]);
});

test('whoever takes long to be woken is woken later, once for all; others are woken at once', async () => {
  const polls = new Polls();
  const slow = Account.of('who has thousands wait');
  const [one, other, theirs] = [new Stream(), new Stream(), new Stream()];
  polls.add(1, one, 1, slow);
  polls.add(2, other, 2, slow);
  polls.add(3, theirs, 3, account);
  const told: number[] = [];
  const tell = (handle: number) => {
    told.push(handle);
    // What counts is the time that it has the processor.
    const begun = process.cpuUsage();
    const spent = () => process.cpuUsage(begun);
    if (handle < 3) while (spent().user + spent().system < 50_000);
  };
  // The first is slow, the second is measured.
  for (let n = 0; n < 2; n++) {
    one.came.add();
    while (polls.wake(tell));
  }
  assert.deepEqual(told.splice(0), [1, 1]);
  assert.ok(takesLong(slow));
  for (let n = 0; n < 3; n++) for (const stream of [one, other, theirs]) stream.came.add();
  while (polls.wake(tell));
  assert.deepEqual(told.splice(0), [3]);
  polls.delete(2);
  while (told.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    while (polls.wake(tell));
  }
  assert.deepEqual(told, [1]);
  while (polls.wake(tell));
  assert.deepEqual(told, [1], 'once for all');
});
