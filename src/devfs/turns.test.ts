import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { slice, Turns } from './turns.js';

/** What happens to one call, in the order of all. */
interface Event {
  readonly call: number;
  readonly what: 'begins' | 'goes on' | 'ends';
}

/** Who has opened the files, where it does not matter who. */
const opener = {};

/** Calls as a server gets them: each uses some objects and takes some slices. */
class Server {
  readonly events: Event[] = [];
  readonly turns = new Turns();

  /** `found` are the objects that it finds out it uses when it begins. */
  arrive(call: number, objects: readonly object[], slices: number, found: readonly object[] = []): void {
    const begin = () => {
      const all = [...objects, ...found];
      if (this.turns.claimed(all)) this.turns.wait(all, begin);
      else this.#begin(call, all, slices);
    };
    if (this.turns.claimed(objects)) this.turns.wait(objects, begin);
    else begin();
  }

  #begin(call: number, objects: readonly object[], slices: number): void {
    this.events.push({ call, what: 'begins' });
    let left = slices;
    const proceed = () => {
      this.events.push({ call, what: 'goes on' });
      if (--left > 0) return false;
      this.events.push({ call, what: 'ends' });
      return true;
    };
    if (!proceed()) this.turns.goOn(opener, objects, proceed);
  }
}

const objects = [{}, {}, {}, {}];
const arrivals = fc.array(
  fc.record({
    uses: fc.uniqueArray(fc.nat(objects.length - 1), { minLength: 1, maxLength: 3 }),
    slices: fc.integer({ min: 1, max: 4 }),
    turnsBefore: fc.nat(3),
  }),
  { maxLength: 30 },
);

const sum = (numbers: readonly number[]) => numbers.reduce((all, each) => all + each, 0);

describe('calls that go on in slices', () => {
  test('calls that share an object are served one after the other, in the order in which they came', () => {
    fc.assert(
      fc.property(arrivals, (calls) => {
        const server = new Server();
        for (const [call, { uses, slices, turnsBefore }] of calls.entries()) {
          for (let turn = 0; turn < turnsBefore; turn++) server.turns.step();
          server.arrive(
            call,
            uses.map((n) => objects[n]!),
            slices,
          );
        }
        while (server.turns.step());
        for (const n of objects.keys()) {
          const mine = server.events.filter(({ call }) => calls[call]!.uses.includes(n));
          const order = mine.filter(({ what }) => what === 'begins').map(({ call }) => call);
          assert.deepEqual(
            order,
            order.toSorted((a, b) => a - b),
          );
          assert.ok(
            mine.every(({ call }, i) => i === 0 || mine[i - 1]!.call <= call),
            'two at once',
          );
        }
        assert.equal(server.events.filter(({ what }) => what === 'ends').length, calls.length);
      }),
    );
  });

  test('calls that find out late what else they use end too, and no object is used by two at once', () => {
    fc.assert(
      fc.property(arrivals, fc.array(fc.nat(objects.length - 1)), (calls, found) => {
        const server = new Server();
        const late = (call: number) => (call < found.length ? [objects[found[call]!]!] : []);
        for (const [call, { uses, slices, turnsBefore }] of calls.entries()) {
          for (let turn = 0; turn < turnsBefore; turn++) server.turns.step();
          const known = uses.map((n) => objects[n]!);
          server.arrive(call, known, slices, late(call));
        }
        while (server.turns.step());
        assert.ok(server.turns.idle);
        for (const [n, object] of objects.entries()) {
          const uses = (call: number) => calls[call]!.uses.includes(n) || late(call).includes(object);
          const mine = server.events.filter(({ call }) => uses(call));
          const alternates = mine.every(({ what, call }, i) =>
            what === 'begins'
              ? mine[i - 1]?.what !== 'goes on' && mine[i - 1]?.what !== 'begins'
              : mine[i - 1]!.call === call,
          );
          assert.ok(alternates, 'two at once');
        }
        assert.equal(server.events.filter(({ what }) => what === 'ends').length, calls.length);
      }),
    );
  });

  test('calls that wait begin in slices, however many can', () => {
    const turns = new Turns();
    const begun: number[] = [];
    let ends = false;
    turns.goOn(opener, [objects[0]!], () => ends);
    for (let call = 0; call < 100; call++)
      turns.wait([objects[0]!], () => {
        begun.push(call);
        for (const until = performance.now() + 1; performance.now() < until; );
      });
    turns.step();
    assert.deepEqual(begun, []);
    ends = true;
    turns.step();
    assert.deepEqual(begun, [0]);
    turns.step();
    assert.deepEqual(begun, [0, 1]);
    turns.end();
    assert.deepEqual(begun, [...Array(100).keys()]);
    assert.ok(turns.idle);
  });

  test('openers get as many slices, however many calls each has, and so do the calls of each', () => {
    // By opener, by call: does it always wait?
    const calls = fc.array(fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }), { minLength: 1 });
    fc.assert(
      fc.property(calls, fc.nat(300), (openers, steps) => {
        const turns = new Turns();
        const slices = openers.map((waiting) => waiting.map(() => 0));
        for (const [n, waiting] of openers.entries()) {
          const opener = {};
          for (const [call, waits] of waiting.entries())
            turns.goOn(opener, [{}], () => {
              if (!waits) slices[n]![call]!++;
              return waits && 'waits';
            });
        }
        for (let step = 0; step < steps; step++) turns.step();
        const working = slices
          .map((mine, n) => mine.filter((_, call) => !openers[n]![call]))
          .filter((mine) => mine.length > 0);
        for (const each of [...working, working.map(sum)])
          assert.ok(Math.max(...each) - Math.min(...each) < 2);
        assert.equal(sum(working.map(sum)), working.length === 0 ? 0 : steps);
      }),
    );
  });

  test('the first slice of a call is shorter, the more calls its opener has under way', () => {
    const turns = new Turns();
    const other = {};
    const lengths = Array.from({ length: 4 }, () => {
      turns.goOn(opener, [{}], () => false);
      return turns.firstSlice(opener);
    });
    assert.deepEqual(lengths, [1 / 2, 1 / 3, 1 / 4, 1 / 5]);
    assert.equal(turns.firstSlice(other), 1);
  });

  test('a call on another object is served while one goes on', () => {
    const server = new Server();
    server.arrive(0, [objects[0]!], 3);
    server.arrive(1, [objects[1]!], 1);
    assert.deepEqual(server.events.at(-1), { call: 1, what: 'ends' });
    assert.equal(server.turns.idle, false);
  });

  test('a slice ends although its work does not, and the work goes on where it was', () => {
    function* counting() {
      for (let n = 0; n < 5_000_000; n++) yield;
      return 'all';
    }
    const work = counting();
    let slices = 1;
    let result = slice(work);
    for (; typeof result !== 'object'; slices++) result = slice(work);
    assert.equal(result.value, 'all');
    assert.ok(slices > 1);
  });

  test('while all that go on wait there is nothing to be done, and each is asked at once again', () => {
    const turns = new Turns();
    const asked = [0, 0, 0];
    const come = [false, false, false];
    for (const n of asked.keys()) {
      turns.goOn(opener, [objects[n]!], () => {
        asked[n]!++;
        return come[n]! || 'waits';
      });
    }
    assert.equal(turns.step(), false);
    assert.deepEqual(asked, [1, 1, 1]);
    turns.goOn(opener, [objects[3]!], () => asked.push(0) > 4);
    assert.equal(turns.step(), true, 'one does not wait');
    come[2] = true;
    while (turns.step());
    assert.equal(turns.idle, false);
    assert.ok(asked.slice(0, 3).every((times) => times > 1));
    come.fill(true);
    turns.step();
    turns.step();
    assert.ok(turns.idle);
    turns.end();
  });

  test('where nobody is served any more, what waits is told to end now', () => {
    const turns = new Turns();
    turns.goOn(opener, [objects[0]!], (now) => now ?? 'waits');
    assert.equal(turns.step(), false);
    turns.end();
    assert.ok(turns.idle);
  });
});
