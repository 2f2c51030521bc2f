/**
 * Integrity fields against a reference that works block by block on plain memory, for any flags and tags.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Completion, execute, mdev } from '../../testkit/dsa-program.js';
import { type Fields, PAGE, SparseHost } from '../../testkit/sparse-host.js';
import { crc16T10 } from './crc16-t10.js';
import { Opcode, Status } from './descriptor.js';

const [SOURCE, DESTINATION, RECORD_AT] = [0x100000, 0x200000, 0x300000];
const SIZES = [512, 520, 4096, 4104];
/** Bytes of the field. */
const DIF = 8;

interface Tags {
  reference: number;
  mask: number;
  application: number;
}

interface Asked {
  opcode: number;
  /** Bytes 40, 41 and 42 of the descriptor. */
  flags: readonly [source: number, destination: number, both: number];
  source: Tags;
  destination: Tags;
}

const hasSource = ({ opcode }: Asked) => opcode !== Opcode.DIF_INSERT;
const hasDestination = ({ opcode }: Asked) => opcode === Opcode.DIF_INSERT || opcode === Opcode.DIF_UPDATE;
const dataOf = ({ flags }: Asked) => SIZES[flags[2] & 3]!;
const sourceStep = (asked: Asked) => dataOf(asked) + (hasSource(asked) ? DIF : 0);
const destinationStep = (asked: Asked) => dataOf(asked) + (hasDestination(asked) ? DIF : 0);

/** Bytes 40 to 63: what the operation does not have is zero. */
function rest(asked: Asked): number[] {
  const view = new DataView(new ArrayBuffer(24));
  const put = (at: number, flagsAt: number, tags: Tags) => {
    view.setUint8(flagsAt, asked.flags[flagsAt]!);
    view.setUint32(at, tags.reference, true);
    view.setUint16(at + 4, tags.mask, true);
    view.setUint16(at + 6, tags.application, true);
  };
  if (hasSource(asked)) put(8, 0, asked.source);
  if (hasDestination(asked)) put(16, 1, asked.destination);
  view.setUint8(2, asked.flags[2]);
  return [...new Uint8Array(view.buffer)];
}

/** The tags of block `index`, of a side with these flags: bit 7 fixes the one, bit 4 moves the other. */
function tagsAt(tags: Tags, flags: number, index: number): Tags {
  return {
    reference: Number(BigInt.asUintN(32, BigInt(tags.reference) + BigInt(flags & 0x80 ? 0 : index))),
    mask: tags.mask,
    application: (tags.application + (flags & 0x10 ? index : 0)) % 0x10000,
  };
}

function guard(data: Uint8Array, both: number): number {
  const crc = crc16T10(both & 4 ? 0xffff : 0, data, 0, data.length);
  return both & 8 ? 0xffff - crc : crc;
}

/** What is wrong with a block, as bits of Result. */
function wrong(asked: Asked, index: number, block: Uint8Array): number {
  const [flags, , both] = asked.flags;
  const dif = new DataView(block.buffer, block.byteOffset + block.length - DIF, DIF);
  const applicationF = dif.getUint16(2) === 0xffff;
  const tagsF = applicationF && dif.getUint32(4) === 0xffffffff;
  if (flags & 2 && tagsF && dif.getUint16(0) === 0xffff) return flags & 1 ? 8 : 0;
  if ((flags & 4 && applicationF) || (flags & 8 && tagsF)) return 0;
  const tags = tagsAt(asked.source, flags, index);
  const guardIsWrong = dif.getUint16(0) !== guard(block.subarray(0, -DIF), both);
  const unmasked = (tag: number) => tag - (tag & tags.mask);
  return (
    (!(flags & 0x20) && guardIsWrong ? 1 : 0) +
    (unmasked(dif.getUint16(2)) === unmasked(tags.application) ? 0 : 2) +
    (!(flags & 0x40) && dif.getUint32(4) !== tags.reference ? 4 : 0)
  );
}

/** The destination's block of a source's block. */
function made(asked: Asked, index: number, block: Uint8Array): Uint8Array {
  const data = block.subarray(0, dataOf(asked));
  if (!hasDestination(asked)) return data;
  const result = new Uint8Array(data.length + DIF);
  result.set(block);
  const dif = new DataView(result.buffer, data.length, DIF);
  const passes = asked.opcode === Opcode.DIF_UPDATE ? asked.flags[1] : 0;
  const tags = tagsAt(asked.destination, asked.flags[1], index);
  if (!(passes & 0x20)) dif.setUint16(0, guard(data, asked.flags[2]));
  if (!(passes & 0x08)) dif.setUint16(2, tags.application - (tags.application & tags.mask));
  if (!(passes & 0x40)) dif.setUint32(4, tags.reference);
  return result;
}

/** Blocks that `asked` finds right, of random data. */
function rightSource(asked: Asked, blocks: number, seed: number): Uint8Array {
  let state = seed;
  const data = new Uint8Array(blocks * dataOf(asked));
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) | 0;
    data[i] = state >>> 16;
  }
  if (!hasSource(asked)) return data;
  const { reference, application } = asked.source;
  const insert: Asked = {
    opcode: Opcode.DIF_INSERT,
    flags: [0, asked.flags[0] & 0x90, asked.flags[2]],
    source: asked.source,
    destination: { reference, application, mask: 0 },
  };
  const size = dataOf(asked);
  const parts = Array.from({ length: blocks }, (_, i) =>
    made(insert, i, data.subarray(i * size, (i + 1) * size)),
  );
  return new Uint8Array(Buffer.concat(parts));
}

class Bench {
  readonly host = new SparseHost([1]);
  readonly model = mdev(this.host);

  constructor(source: Uint8Array) {
    this.host.map(1, SOURCE, source.length);
    this.host.map(1, DESTINATION, source.length * 2);
    this.host.map(1, RECORD_AT, PAGE);
    this.host.poke(1, SOURCE, source);
  }

  run(asked: Asked, size: number, blocksBefore = 0, fields: Partial<Fields> = {}): Completion {
    const b = DESTINATION + blocksBefore * destinationStep(asked);
    return execute(this.host, this.model, RECORD_AT, {
      opcode: asked.opcode,
      a: SOURCE + blocksBefore * sourceStep(asked),
      b: asked.opcode === Opcode.DIF_CHECK ? 0 : b,
      size,
      rest: rest(asked),
      ...fields,
    });
  }
}

const tags = fc.record({
  reference: fc.constantFrom(0, 1, 0xabba, 0xfffffffe, 0xffffffff),
  mask: fc.constantFrom(0, 0, 0xff00, 0xffff),
  application: fc.constantFrom(0, 0xface, 0xfffe, 0xffff),
});
const asked: fc.Arbitrary<Asked> = fc.record({
  opcode: fc.constantFrom(Opcode.DIF_CHECK, Opcode.DIF_INSERT, Opcode.DIF_STRIP, Opcode.DIF_UPDATE),
  flags: fc.tuple(
    fc.nat(255),
    fc.nat(31).map((flags) => flags * 8),
    fc.nat(15),
  ),
  source: tags,
  destination: tags,
});
/** What is done to a block's field: nothing, a byte of the data or of the field, or ones from one on. */
const damage = fc.tuple(fc.nat(40), fc.constantFrom('data', 'field', 'guard', 'tags', 'all'), fc.nat(7));

function harm(source: Uint8Array, step: number, [block, how, place]: [number, string, number]): void {
  const end = Math.min((block + 1) * step, source.length);
  if (how === 'data') source[end - DIF - 1 - place]! ^= 1;
  else if (how === 'field') source[end - 1 - place]! ^= 0x10;
  else if (how === 'guard') source.fill(0xff, end - 8, end - 6);
  else source.fill(0xff, end - (how === 'tags' ? 6 : 8), end);
}

describe('dsa: data integrity fields', () => {
  it('are checked, inserted, stripped and updated as a reference does it, block by block', () => {
    const blocks = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(
        asked,
        blocks,
        fc.integer(),
        fc.array(damage, { maxLength: 2 }),
        (ask, count, seed, harms) => {
          const source = rightSource(ask, count, seed);
          const step = sourceStep(ask);
          for (const one of harms) harm(source, step, one);
          const bench = new Bench(source);
          const expected = new Uint8Array(count * destinationStep(ask));
          let [done, result] = [0, 0];
          for (; done < count; done++) {
            const block = source.subarray(done * step, (done + 1) * step);
            result = hasSource(ask) ? wrong(ask, done, block) : 0;
            if (result !== 0) break;
            if (ask.opcode !== Opcode.DIF_CHECK)
              expected.set(made(ask, done, block), done * destinationStep(ask));
          }
          const ended = bench.run(ask, source.length);
          assert.deepEqual(
            [ended.status, ended.result, ended.completed, ended.fault],
            [result === 0 ? Status.SUCCESS : Status.DIF_ERROR, result, result === 0 ? 0 : done * step, 0],
          );
          assert.deepEqual(bench.host.peek(1, DESTINATION, expected.length), expected);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('that were inserted are found right, and stripped or updated leave the data', () => {
    fc.assert(
      fc.property(
        tags,
        fc.constantFrom(0, 0x10, 0x80, 0x90),
        fc.nat(15),
        fc.integer(),
        (seeds, kind, both, seed) => {
          const tag = { ...seeds, mask: 0 };
          const ask = (opcode: number): Asked => ({
            opcode,
            flags: [kind, kind, both],
            source: tag,
            destination: tag,
          });
          const data = rightSource(ask(Opcode.DIF_INSERT), 20, seed);
          const inserted = new Bench(data);
          assert.equal(inserted.run(ask(Opcode.DIF_INSERT), data.length).status, Status.SUCCESS);
          const length = (data.length / SIZES[both & 3]!) * (SIZES[both & 3]! + DIF);
          const bench = new Bench(inserted.host.peek(1, DESTINATION, length));
          assert.equal(bench.run(ask(Opcode.DIF_CHECK), length).status, Status.SUCCESS);
          assert.equal(bench.run(ask(Opcode.DIF_UPDATE), length).status, Status.SUCCESS);
          assert.deepEqual(bench.host.peek(1, DESTINATION, length), bench.host.peek(1, SOURCE, length));
          assert.equal(bench.run(ask(Opcode.DIF_STRIP), length).status, Status.SUCCESS);
          assert.deepEqual(bench.host.peek(1, DESTINATION, data.length), data);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('go on after a missing page with the tags of the record, and end as if it had been there', () => {
    const holes = fc.array(fc.tuple(fc.boolean(), fc.nat(60)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(asked, fc.integer({ min: 1, max: 40 }), fc.integer(), holes, (ask, count, seed, hidden) => {
        const source = rightSource(ask, count, seed);
        const whole = new Bench(source);
        assert.equal(whole.run(ask, source.length).status, Status.SUCCESS);
        const bench = new Bench(source);
        for (const [inSource, page] of hidden)
          bench.host.unmap(1, (inSource ? SOURCE : DESTINATION) + page * PAGE);
        const now = { ...ask };
        let done = 0;
        for (let faults = 0; ; faults++) {
          assert.ok(faults <= hidden.length);
          const { status, completed, fault, specific } = bench.run(
            now,
            source.length - done,
            done / sourceStep(ask),
          );
          if (status === Status.SUCCESS) break;
          assert.equal(
            status,
            fault >= DESTINATION ? Status.PAGE_FAULT | Status.WRITE_FAULT : Status.PAGE_FAULT,
          );
          assert.equal(completed % sourceStep(ask), 0);
          done += completed;
          const tagsOf = (at: number): Tags => ({
            reference: specific.getUint32(at, true),
            mask: specific.getUint16(at + 4, true),
            application: specific.getUint16(at + 6, true),
          });
          if (hasSource(ask)) now.source = tagsOf(0);
          if (hasDestination(ask)) now.destination = tagsOf(8);
          const page = Math.floor(fault / PAGE) * PAGE;
          bench.host.map(1, page, PAGE);
          if (fault < DESTINATION)
            bench.host.poke(1, page, source.subarray(page - SOURCE, page - SOURCE + PAGE));
        }
        const length = count * destinationStep(ask);
        assert.deepEqual(bench.host.peek(1, DESTINATION, length), whole.host.peek(1, DESTINATION, length));
      }),
      { numRuns: 100 },
    );
  });

  it('end with the status of the rule that they break', () => {
    const bench = new Bench(new Uint8Array(PAGE));
    const zero: Tags = { reference: 0, mask: 0, application: 0 };
    const plain = { flags: [0, 0, 0] as const, source: zero, destination: zero };
    const insert: Asked = { opcode: Opcode.DIF_INSERT, ...plain };
    const cases: [Asked, number, Partial<Fields>, number][] = [
      [insert, 520, {}, Status.TRANSFER_SIZE],
      [insert, 0, {}, Status.TRANSFER_SIZE],
      [insert, 512, { b: SOURCE - 519 }, Status.OVERLAP],
      [insert, 512, { b: SOURCE - 520 }, Status.PAGE_FAULT | Status.WRITE_FAULT],
      [insert, 512, { rest: [1] }, Status.RESERVED_NOT_ZERO],
      [insert, 512, { rest: [0, 4] }, Status.RESERVED_NOT_ZERO],
      [insert, 512, { rest: [0, 0, 0x10] }, Status.RESERVED_NOT_ZERO],
      [insert, 512, { rest: [0, 0, 0, 0, 0, 0, 0, 0, 1] }, Status.RESERVED_NOT_ZERO],
      [insert, 512, { flags: 0x10000 }, Status.INVALID_FLAGS],
      [{ ...insert, opcode: Opcode.DIF_CHECK }, 512, {}, Status.TRANSFER_SIZE],
      [{ ...insert, opcode: Opcode.DIF_CHECK }, 520, { b: DESTINATION }, Status.RESERVED_NOT_ZERO],
      [{ ...insert, opcode: Opcode.DIF_CHECK }, 520, { rest: [0, 8] }, Status.RESERVED_NOT_ZERO],
      [{ ...insert, opcode: Opcode.DIF_CHECK }, 520, { flags: 0x100 }, Status.INVALID_FLAGS],
      [{ ...insert, opcode: Opcode.DIF_STRIP }, 520, { b: SOURCE + 519 }, Status.OVERLAP],
      [{ ...insert, opcode: Opcode.DIF_STRIP }, 520, { b: SOURCE - 511 }, Status.OVERLAP],
      [{ ...insert, opcode: Opcode.DIF_UPDATE }, 520, { b: SOURCE }, Status.OVERLAP],
      [{ ...insert, opcode: Opcode.DIF_UPDATE }, 520, { rest: [0, 0, 0, 1] }, Status.RESERVED_NOT_ZERO],
    ];
    for (const [ask, size, fields, status] of cases)
      assert.equal(
        bench.run(ask, size, 0, fields).status,
        status,
        JSON.stringify([ask.opcode, size, fields]),
      );
  });
});
