/** Descriptors that block on page faults: they ask for the page that is not there, and wait. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { madeBytes } from '../../testkit/made-bytes.js';
import { type Fields, PAGE, pack, SparseHost } from '../../testkit/sparse-host.js';
import type { DeviceModel, PageWait } from '../device-model.js';
import { settle } from '../fake-host.js';
import { Flag, Opcode, Status } from './descriptor.js';
import createDsa from './index.js';

const PASID = 3;
const PAGES = 12;
const RECORD_AT = PAGES * PAGE;
const LIST_AT = RECORD_AT + PAGE;
const FLAGS = Flag.COMPLETION_ADDRESS_VALID | Flag.REQUEST_COMPLETION | Flag.BLOCK_ON_FAULT;

interface Asked extends PageWait {
  readonly iova: number;
  readonly write: boolean;
  answer: PageWait['answer'];
}

/** What pages hold, by their number modulo 7. */
const contents = Array.from({ length: 7 }, (_, page) => madeBytes(PAGE, (i) => (page + i) % 7));

/**
 * A shared work queue with its memory. Pages in `missing` are not there; what is asked for is kept in
 * `asked`.
 */
class Bench {
  readonly host = new SparseHost([PASID]);
  readonly asked: Asked[] = [];
  readonly model: DeviceModel;

  constructor(missing: ReadonlySet<number>, engines = 1) {
    for (let page = 0; page < PAGES; page++) if (!missing.has(page)) this.bring(page);
    this.host.map(PASID, RECORD_AT, 2 * PAGE);
    this.host.pager = (_pasid, iova, write) => {
      const wait: Asked = { iova, write, answer: 'pending' };
      this.asked.push(wait);
      return wait;
    };
    const whole = createDsa(this.host, { ready: '1', mode: 'shared', engines: `${engines}` });
    this.model = whole;
  }

  /** A page comes, with bytes that its number says. */
  bring(page: number): void {
    this.host.map(PASID, page * PAGE, PAGE);
    this.host.poke(PASID, page * PAGE, contents[page % 7]!);
  }

  submit(fields: Fields): void {
    this.model.writeBar(2, 0, pack({ flags: FLAGS, completion: RECORD_AT, ...fields, pasid: PASID }));
    settle(this.model);
  }

  /** Brings every page that is asked for, and says so, until nothing waits. */
  serve(): void {
    for (let wait = this.asked.shift(); wait !== undefined; wait = this.asked.shift()) {
      this.bring(Math.floor(wait.iova / PAGE));
      wait.answer = 'success';
      settle(this.model);
    }
  }

  status(): number {
    return this.host.peek(PASID, RECORD_AT, 1)[0]!;
  }
}

const at = fc.nat((PAGES - 3) * PAGE);
const size = fc.integer({ min: 1, max: 3 * PAGE });
const operation: fc.Arbitrary<Fields> = fc.oneof(
  fc.record({ opcode: fc.constant(Opcode.MEMMOVE), a: at, b: at, size }),
  fc.record({ opcode: fc.constant(Opcode.FILL), a: fc.constant(0x0102030405), b: at, size }),
  fc.record({ opcode: fc.constant(Opcode.COMPARE), a: at, b: at, size }),
  fc.record({ opcode: fc.constant(Opcode.COMPARE_PATTERN), a: at, b: fc.constant(0x0605040302), size }),
  fc.record({ opcode: fc.constant(Opcode.CRC_GENERATION), a: at, size }),
  fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 2 * PAGE })).map(([n, length]) => ({
    opcode: Opcode.DUALCAST,
    a: n * 100,
    b: 4 * PAGE + n,
    size: length,
    c: 8 * PAGE + n,
  })),
  fc.record({ opcode: fc.constant(Opcode.CACHE_FLUSH), b: at, size }),
  fc.tuple(fc.nat(100), fc.nat(2 * 512), fc.integer({ min: 80, max: 3 * PAGE })).map(([n, units, room]) => ({
    opcode: Opcode.CREATE_DELTA,
    a: n * 8,
    b: 4 * PAGE + units * 4 - ((units * 4) % 8),
    size: (units + 1) * 8,
    rest: [0, 0x80 + (n % 16), 0, 0, 0, 0, 0, 0, room & 255, room >> 8],
  })),
  fc
    .tuple(fc.constantFrom(Opcode.DIF_CHECK, Opcode.DIF_STRIP, Opcode.DIF_UPDATE), fc.nat(100), fc.nat(13))
    .map(([opcode, n, blocks]) => ({
      opcode,
      a: n,
      b: opcode === Opcode.DIF_CHECK ? 0 : 4 * PAGE + n * 7,
      size: (blocks + 1) * 520,
      // Nothing is checked.
      rest: [0x60, ...new Array<number>(11).fill(0), 0xff, 0xff],
    })),
  fc.tuple(fc.nat(100), fc.nat(13)).map(([n, blocks]) => ({
    opcode: Opcode.DIF_INSERT,
    a: n,
    b: 4 * PAGE + n * 7,
    size: (blocks + 1) * 512,
    rest: [...new Array<number>(16).fill(0), 1, 2, 3, 4, 5, 6],
  })),
);

describe('dsa: a descriptor that blocks on faults', () => {
  it('ends as if all pages had been there, when each that it asks for comes', () => {
    fc.assert(
      fc.property(operation, fc.uniqueArray(fc.nat(PAGES - 1)), (fields, absent) => {
        const missing = new Set(absent);
        const [slow, quick] = [new Bench(missing), new Bench(new Set())];
        for (const bench of [slow, quick]) {
          bench.submit(fields);
          bench.serve();
        }
        // Pages that nobody has asked for have not come.
        for (const page of missing)
          if (slow.host.peek(PASID, page * PAGE, PAGE).every((byte) => byte === 0)) slow.bring(page);
        assert.deepEqual(
          slow.host.peek(PASID, RECORD_AT, 32),
          quick.host.peek(PASID, RECORD_AT, 32),
          'the completion record',
        );
        assert.deepEqual(
          slow.host.peek(PASID, 0, PAGES * PAGE),
          quick.host.peek(PASID, 0, PAGES * PAGE),
          'memory',
        );
      }),
      { numRuns: 300 },
    );
  });

  it('applies each delta once more at most, and all of them, when pages of the destination come late', () => {
    // Two deltas for each page, at its start and its end.
    const deltas = [0, 511, 512, 1023, 1024, 1535].flatMap((unit) => [
      unit & 255,
      unit >> 8,
      9,
      8,
      7,
      6,
      5,
      4,
      3,
      2,
    ]);
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(2)), (absent) => {
        const [slow, quick] = [new Bench(new Set(absent)), new Bench(new Set())];
        for (const bench of [slow, quick]) {
          bench.host.poke(PASID, 8 * PAGE, Uint8Array.from(deltas));
          bench.submit({ opcode: Opcode.APPLY_DELTA, a: 8 * PAGE, b: 0, size: 3 * PAGE, c: deltas.length });
          bench.serve();
        }
        assert.equal(slow.status(), Status.SUCCESS);
        assert.deepEqual(slow.host.peek(PASID, 0, 4 * PAGE), quick.host.peek(PASID, 0, 4 * PAGE));
      }),
    );
  });

  it('waits as part of a batch too, and what follows in the batch waits with it', () => {
    const bench = new Bench(new Set([5]));
    const list = [5, 6].map((page, n) =>
      pack({
        opcode: Opcode.FILL,
        flags: FLAGS,
        completion: RECORD_AT + 32 * (n + 1),
        a: 1,
        b: page * PAGE,
        size: 8,
        pasid: 0,
      }),
    );
    for (const [n, bytes] of list.entries()) bench.host.poke(PASID, LIST_AT + n * 64, bytes);
    bench.submit({ opcode: Opcode.BATCH, a: LIST_AT, size: 2, flags: FLAGS & ~Flag.BLOCK_ON_FAULT });
    assert.deepEqual([bench.asked.length, bench.status()], [1, Status.NONE]);
    assert.equal(bench.host.peek(PASID, RECORD_AT + 64, 1)[0], Status.NONE);
    bench.serve();
    assert.equal(bench.status(), Status.SUCCESS);
  });

  it('ends with an unresolved fault when the page will not come, or when nobody can be asked', () => {
    const refused = new Bench(new Set([5]));
    refused.submit({ opcode: Opcode.FILL, a: 1, b: 5 * PAGE, size: 8 });
    assert.equal(refused.status(), Status.NONE);
    refused.asked[0]!.answer = 'invalid';
    settle(refused.model);
    assert.equal(refused.status(), Status.PAGE_FAULT_UNRESOLVED | Status.WRITE_FAULT);

    const alone = new Bench(new Set([5]));
    alone.host.pager = undefined;
    alone.submit({ opcode: Opcode.FILL, a: 1, b: 5 * PAGE, size: 8 });
    assert.equal(alone.status(), Status.PAGE_FAULT_UNRESOLVED | Status.WRITE_FAULT);
  });

  it('is busy while it waits, without anything to do in a step', () => {
    const bench = new Bench(new Set([5]));
    bench.submit({ opcode: Opcode.FILL, a: 1, b: 5 * PAGE, size: 8 });
    assert.equal(bench.model.busy!(PASID), true);
    assert.equal(bench.model.step!(), false);
    assert.equal(bench.asked.length, 1, 'it has asked once');
    bench.serve();
    assert.equal(bench.model.busy!(PASID), false);
  });

  it('leaves other engines their work', () => {
    const bench = new Bench(new Set([5]), 2);
    bench.submit({ opcode: Opcode.FILL, a: 1, b: 5 * PAGE, size: 8 });
    bench.submit({ opcode: Opcode.FILL, a: 1, b: 6 * PAGE, size: 8, completion: RECORD_AT + 32 });
    assert.equal(bench.host.peek(PASID, RECORD_AT + 32, 1)[0], Status.SUCCESS);
    assert.equal(bench.status(), Status.NONE);
  });

  it('is forgotten by a reset, whatever is answered afterwards', () => {
    const bench = new Bench(new Set([5]));
    bench.submit({ opcode: Opcode.FILL, a: 1, b: 5 * PAGE, size: 8 });
    bench.model.reset();
    assert.equal(bench.model.busy!(), false);
    bench.serve();
    assert.deepEqual([...bench.host.peek(PASID, 5 * PAGE, 8)], [5, 6, 0, 1, 2, 3, 4, 5]);
    assert.equal(bench.status(), Status.NONE);
  });
});
