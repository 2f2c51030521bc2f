/** Delta records: what is created, what is applied, and what of both is told where pages are missing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Completion, execute, mdev } from '../../testkit/dsa-program.js';
import { madeBytes } from '../../testkit/made-bytes.js';
import { type Fields, PAGE, SparseHost } from '../../testkit/sparse-host.js';
import { Flag, Opcode, Status } from './descriptor.js';

const LIMIT = 0x80000;
/** Where everything lies; between two of them is room for the largest transfer or record. */
const [A, B, DELTAS, COPY, RECORD_AT] = [0x100000, 0x200000, 0x300000, 0x400000, 0x500000];
const DELTA = 10;

/** A device with two buffers, and pages behind each for `length` bytes (and a record of `room`). */
class Bench {
  readonly host = new SparseHost([1]);
  readonly model = mdev(this.host);
  /** The pages that `hide` has taken away. */
  readonly missing = new Set<number>();
  readonly length: number;
  readonly room: number;

  constructor(a: Uint8Array, b: Uint8Array, room = Math.max(80, (a.length / 8) * DELTA)) {
    this.length = a.length;
    this.room = room;
    for (const at of [A, B, COPY]) this.host.map(1, at, a.length);
    this.host.map(1, DELTAS, room);
    this.host.map(1, RECORD_AT, PAGE);
    this.host.poke(1, A, a);
    this.host.poke(1, B, b);
    this.host.poke(1, COPY, a);
  }

  create(fields: Partial<Fields> = {}): Completion {
    const rest = new DataView(new ArrayBuffer(24));
    rest.setUint32(0, DELTAS, true);
    rest.setUint32(8, this.room, true);
    const operands = { a: A, b: B, size: this.length, rest: [...new Uint8Array(rest.buffer)] };
    return execute(this.host, this.model, RECORD_AT, { opcode: Opcode.CREATE_DELTA, ...operands, ...fields });
  }

  apply(size: number, from = 0): Completion {
    const operands = { a: DELTAS + from, b: COPY, size: this.length, c: size };
    return execute(this.host, this.model, RECORD_AT, { opcode: Opcode.APPLY_DELTA, ...operands });
  }

  /** Takes the pages away whose numbers are multiples of `every`, from `at` on. @returns what brings one. */
  hide(at: number, every: number): (address: number) => void {
    const pages = Math.ceil((at === DELTAS ? this.room : this.length) / PAGE);
    const kept = this.host.peek(1, at, pages * PAGE);
    for (let page = 0; page < pages; page += every) {
      this.host.unmap(1, at + page * PAGE);
      this.missing.add(at + page * PAGE);
    }
    return (address) => {
      const page = Math.floor(address / PAGE) * PAGE;
      if (!this.missing.delete(page)) return;
      this.host.map(1, page, PAGE);
      this.host.poke(1, page, kept.slice(page - at, page - at + PAGE));
    };
  }
}

/** The record of `a` and `b` as it is defined. */
function deltasOf(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < a.length; at += 8) {
    const unit = b.slice(at, at + 8);
    if (Buffer.compare(a.slice(at, at + 8), unit) !== 0) bytes.push((at / 8) & 255, at >>> 11, ...unit);
  }
  return Uint8Array.from(bytes);
}

/** Two buffers of `units` of 8 bytes, that differ where `seed` says: in about one of `sparse`. */
function buffers(units: number, sparse: number, seed: number): [a: Uint8Array, b: Uint8Array] {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1103515245) + 12345) | 0;
    return (state >>> 8) & 0xffff;
  };
  const a = madeBytes(units * 8, next);
  const b = a.slice();
  for (let unit = 0; unit < units; unit++)
    if (next() % sparse === 0) b[unit * 8 + (next() % 8)]! ^= 1 + (next() % 255);
  return [a, b];
}

const pair = fc
  .tuple(fc.integer({ min: 1, max: 3000 }), fc.constantFrom(1, 2, 10, 500), fc.integer())
  .map(([units, sparse, seed]) => buffers(units, sparse, seed));

describe('dsa: delta records', () => {
  it('are what differs, and applied to the first buffer give the second', () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const bench = new Bench(a, b);
        const expected = deltasOf(a, b);
        const created = bench.create();
        assert.deepEqual(
          [created.status, created.result, created.completed, created.specific.getUint32(0, true)],
          [Status.SUCCESS, expected.length === 0 ? 0 : 1, 0, expected.length],
        );
        assert.deepEqual(bench.host.peek(1, DELTAS, expected.length), expected);
        if (expected.length === 0) return;
        assert.deepEqual([bench.apply(expected.length).status], [Status.SUCCESS]);
        assert.deepEqual(bench.host.peek(1, COPY, b.length), b);
      }),
      { numRuns: 60 },
    );
  });

  it('reach to the end of the largest transfer', () => {
    const [a, b] = buffers(LIMIT / 8, 50, 7);
    b.set([1, 2, 3, 4, 5, 6, 7, 8], LIMIT - 8);
    const bench = new Bench(a, b);
    const created = bench.create();
    const size = created.specific.getUint32(0, true);
    assert.deepEqual([created.status, created.result, size], [1, 1, deltasOf(a, b).length]);
    assert.deepEqual(bench.apply(size).status, Status.SUCCESS);
    assert.deepEqual(bench.host.peek(1, COPY, LIMIT), b);
  });

  it('that do not fit end with result 2, and hold what is completed', () => {
    fc.assert(
      fc.property(pair, fc.integer({ min: 80, max: 4000 }), ([a, b], room) => {
        const bench = new Bench(a, b, room);
        const expected = deltasOf(a, b);
        const fits = expected.length <= room;
        const { status, result, completed, specific } = bench.create();
        const size = Math.min(expected.length, room - (room % DELTA));
        const differs = expected.length === 0 ? 0 : fits ? 1 : 2;
        assert.deepEqual([status, result, specific.getUint32(0, true)], [Status.SUCCESS, differs, size]);
        const next = expected.subarray(size);
        assert.equal(completed, fits ? 0 : (next[0]! + next[1]! * 256) * 8);
        assert.deepEqual(bench.host.peek(1, DELTAS, size), expected.slice(0, size));
      }),
      { numRuns: 60 },
    );
  });

  it('are the expected result when the mask has its bit', () => {
    for (const [sparse, room, result] of [
      [1 << 20, 80, 0],
      [4, 2000, 1],
      [1, 80, 2],
    ] as const) {
      const [a, b] = buffers(100, sparse, 4);
      if (result === 0) b.set(a);
      for (let mask = 0; mask < 8; mask++) {
        const bench = new Bench(a, b, room);
        const rest = [DELTAS & 255, (DELTAS >> 8) & 255, DELTAS >> 16, 0, 0, 0, 0, 0, room & 255, room >> 8];
        rest[16] = mask;
        const created = bench.create({
          flags: Flag.CHECK_RESULT,
          rest: Array.from(rest, (byte) => byte ?? 0),
        });
        const expected = (mask >> result) & 1 ? Status.SUCCESS : Status.SUCCESS_FALSE_PREDICATE;
        assert.deepEqual([created.status, created.result], [expected, result], `mask ${mask}`);
      }
    }
  });

  it('that stop at a missing page hold all that is completed', () => {
    const hidden = fc.tuple(fc.constantFrom(A, B, DELTAS), fc.integer({ min: 2, max: 5 }));
    fc.assert(
      fc.property(pair, hidden, fc.integer({ min: 1, max: 3 }), ([a, b], [where, every], skip) => {
        const bench = new Bench(a, b);
        const bring = bench.hide(where, every);
        for (let page = 0; page < skip; page++) bring(where + page * PAGE);
        const { status, completed, fault, specific } = bench.create();
        if (status === Status.SUCCESS) return;
        assert.equal(status, where === DELTAS ? Status.PAGE_FAULT | Status.WRITE_FAULT : Status.PAGE_FAULT);
        assert.ok(fault >= where && fault % PAGE === 0, `fault at ${fault}`);
        const expected = deltasOf(a.slice(0, completed), b.slice(0, completed));
        assert.equal(specific.getUint32(0, true), expected.length);
        assert.deepEqual(bench.host.peek(1, DELTAS, expected.length), expected);
      }),
      { numRuns: 100 },
    );
  });

  it('are applied from where a fault has stopped them, at an aligned place', () => {
    const hidden = fc.tuple(fc.constantFrom(DELTAS, COPY), fc.integer({ min: 1, max: 3 }));
    fc.assert(
      fc.property(pair, hidden, ([a, b], [where, every]) => {
        const bench = new Bench(a, b);
        const size = bench.create().specific.getUint32(0, true);
        const bring = bench.hide(where, every);
        for (let from = 0, faults = 0; from < size; faults++) {
          assert.ok(faults < 200);
          const { status, completed, fault } = bench.apply(size - from, from);
          if (status === Status.SUCCESS) break;
          assert.equal(status, where === COPY ? Status.PAGE_FAULT | Status.WRITE_FAULT : Status.PAGE_FAULT);
          assert.equal(completed % 40, 0);
          from += completed;
          bring(fault);
        }
        // A page where nothing differs has not been asked for.
        for (const page of bench.missing) bring(page);
        assert.deepEqual(bench.host.peek(1, COPY, b.length), b);
      }),
      { numRuns: 60 },
    );
  });

  it('with any offsets write below the transfer size only, in order, up to the first that is wrong', () => {
    const deltas = fc.array(fc.tuple(fc.nat(70), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 60,
    });
    const sorted = fc.boolean();
    fc.assert(
      fc.property(deltas, sorted, ([...list], inOrder) => {
        if (inOrder) list.sort(([x], [y]) => x - y);
        const bench = new Bench(new Uint8Array(512), new Uint8Array(512), 600);
        const record = list.flatMap(([unit, byte]) => [unit, 0, ...new Array<number>(8).fill(byte)]);
        bench.host.poke(1, DELTAS, Uint8Array.from(record));
        const expected = new Uint8Array(512);
        let [status, done, last]: number[] = [Status.SUCCESS, 0, 0];
        for (const [unit, byte] of list) {
          if (unit >= 64) status = Status.DELTA_OFFSET;
          else if (unit < last!) status = Status.DELTA_ORDER;
          if (status !== Status.SUCCESS) break;
          expected.fill(byte, unit * 8, unit * 8 + 8);
          [done, last] = [done! + DELTA, unit];
        }
        const applied = bench.apply(record.length);
        const completed = status === Status.SUCCESS ? 0 : done! - (done! % 40);
        assert.deepEqual([applied.status, applied.completed, applied.fault], [status, completed, 0]);
        assert.deepEqual(bench.host.peek(1, COPY, 512), expected);
      }),
    );
  });

  it('end with the status of the rule that they break', () => {
    const bench = new Bench(new Uint8Array(PAGE), new Uint8Array(PAGE));
    const rest = (address: number, room: number) => {
      const view = new DataView(new ArrayBuffer(16));
      view.setBigUint64(0, BigInt(address), true);
      view.setUint32(8, room, true);
      return [...new Uint8Array(view.buffer)];
    };
    const creates: [Partial<Fields>, number][] = [
      [{ size: 12 }, Status.TRANSFER_SIZE],
      [{ size: LIMIT + 8 }, Status.TRANSFER_SIZE],
      [{ a: A + 4 }, Status.ADDRESS_ALIGNMENT],
      [{ b: B + 1 }, Status.ADDRESS_ALIGNMENT],
      [{ rest: rest(DELTAS + 4, 80) }, Status.ADDRESS_ALIGNMENT],
      [{ rest: rest(DELTAS, 79) }, Status.DELTA_RECORD_SIZE],
      [{ rest: rest(DELTAS, 2 ** 31 + 10) }, Status.DELTA_RECORD_SIZE],
      [{ rest: rest(A + PAGE - 8, 80) }, Status.OVERLAP],
      [{ rest: rest(B - 72, 80) }, Status.OVERLAP],
      [{ rest: [...rest(DELTAS, 80).slice(0, 12), 1] }, Status.RESERVED_NOT_ZERO],
    ];
    for (const [fields, status] of creates)
      assert.equal(bench.create(fields).status, status, JSON.stringify(fields));
    const apply: Fields = { opcode: Opcode.APPLY_DELTA, a: DELTAS, b: COPY, size: PAGE, c: 80 };
    const applies: [Partial<Fields>, number][] = [
      [{ c: 0 }, Status.DELTA_RECORD_SIZE],
      [{ c: 81 }, Status.DELTA_RECORD_SIZE],
      [{ a: DELTAS + 2 }, Status.ADDRESS_ALIGNMENT],
      [{ b: COPY + 2 }, Status.ADDRESS_ALIGNMENT],
      [{ size: LIMIT + 8 }, Status.TRANSFER_SIZE],
      [{ a: COPY + PAGE - 8 }, Status.OVERLAP],
      [{ c: 80 + 2 ** 32 }, Status.RESERVED_NOT_ZERO],
      [{ flags: Flag.CHECK_RESULT }, Status.INVALID_FLAGS],
    ];
    for (const [fields, status] of applies) {
      const ended = execute(bench.host, bench.model, RECORD_AT, { ...apply, ...fields });
      assert.equal(ended.status, status, JSON.stringify(fields));
    }
  });
});
