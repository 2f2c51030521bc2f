/** Delta records, integrity fields and cache flush with any operands, over memory with holes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { execute, mdev } from '../../testkit/dsa-program.js';
import { madeBytes } from '../../testkit/made-bytes.js';
import { PAGE, SparseHost } from '../../testkit/sparse-host.js';
import { Descriptor, Opcode, Status } from './descriptor.js';
import { rules } from './descriptor-rules.js';
import { destinationBlock, isDif, sourceBlock } from './dif.js';

const PAGES = 24;
const RECORD_AT = PAGES * PAGE;
const STATUSES: readonly number[] = Object.values(Status);

/** Where `d` may write: its range, or none. */
function written(d: Descriptor): [from: number, to: number] {
  const { opcode, destination, size } = d;
  if (opcode === Opcode.CREATE_DELTA) return [d.address(40), d.address(40) + d.word(48)];
  if (opcode === Opcode.APPLY_DELTA) return [destination, destination + size];
  if (opcode === Opcode.DIF_CHECK || opcode === Opcode.CACHE_FLUSH) return [0, 0];
  return [destination, destination + (size / sourceBlock(d)) * destinationBlock(d)];
}

const address = fc.oneof(
  { weight: 6, arbitrary: fc.nat((PAGES * PAGE) / 8).map((unit) => unit * 8) },
  { weight: 2, arbitrary: fc.nat(PAGES * PAGE) },
  { weight: 1, arbitrary: fc.constantFrom(2 ** 48, 2 ** 52, 2 ** 53, 2 ** 63, 2 ** 64 - PAGE) },
);
const size = fc.oneof(
  { weight: 6, arbitrary: fc.nat(8 * PAGE).map((bytes) => bytes - (bytes % 8)) },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom(512, 520, 528, 4096, 4104, 4112), fc.nat(8)).map(([a, b]) => a * b),
  },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 0x80000, 2 ** 31, 2 ** 32 - 8, 2 ** 32 - 1) },
);
const opcode = fc.constantFrom(
  Opcode.CREATE_DELTA,
  Opcode.APPLY_DELTA,
  Opcode.DIF_CHECK,
  Opcode.DIF_INSERT,
  Opcode.DIF_STRIP,
  Opcode.DIF_UPDATE,
  Opcode.CACHE_FLUSH,
);

/** A descriptor with any operands; `clean`: without the bits that are reserved, which would end most. */
const descriptor = fc
  .record({
    opcode,
    operands: fc.tuple(address, address, address),
    size,
    lengths: fc.tuple(size, size),
    rest: fc.uint8Array({ minLength: 24, maxLength: 24 }),
    clean: fc.constantFrom(true, true, true, false),
  })
  .map(({ opcode: code, operands: [a, b, c], size: bytes, lengths, rest, clean }) => {
    const d = new Descriptor();
    const view = new DataView(d.bytes.buffer);
    d.bytes.set(rest, 40);
    if (code === Opcode.CREATE_DELTA) {
      view.setBigUint64(40, BigInt(c), true);
      view.setUint32(48, lengths[0], true);
    } else if (code === Opcode.APPLY_DELTA) view.setUint32(40, lengths[0] - (lengths[0] % 10), true);
    view.setBigUint64(16, BigInt(a), true);
    view.setBigUint64(24, BigInt(b), true);
    view.setUint32(32, bytes, true);
    d.bytes[7] = code;
    d.parse();
    if (clean) for (let i = 4; i < 16; i++) d.words[i]! &= ~rules[code]!.reserved[i]!;
    // Whole blocks, of a size that the descriptor itself says.
    if (clean && isDif(d)) view.setUint32(32, ((bytes % 9) + 1) * sourceBlock(d), true);
    d.parse();
    return d;
  });

/** What memory holds, by the seed. */
const contents = [0, 1, 2, 3].map((seed) =>
  madeBytes(PAGES * PAGE, (i) => ((i % 10 === 0 ? i / 10 : i >> 12) * seed) & 0xff),
);

describe('dsa: hostile operands of delta records, integrity fields and cache flush', () => {
  it('end with a status that there is, and write where the descriptor says or nowhere', () => {
    const holes = fc.uniqueArray(fc.nat(PAGES - 1), { maxLength: 6 });
    fc.assert(
      fc.property(descriptor, holes, fc.nat(3), (d, missing, seed) => {
        const host = new SparseHost([1]);
        for (let page = 0; page < PAGES; page++)
          if (!missing.includes(page)) host.map(1, page * PAGE, PAGE, page % 5 !== 4);
        host.map(1, RECORD_AT, PAGE);
        host.poke(1, 0, contents[seed]!);
        const before = host.peek(1, 0, PAGES * PAGE);
        const { status } = execute(host, mdev(host), RECORD_AT, {
          opcode: d.opcode,
          a: d.source,
          b: d.destination,
          size: d.size,
          rest: [...d.bytes.subarray(40)],
        });
        assert.ok(STATUSES.includes(status & ~Status.WRITE_FAULT) && status !== 0, `status ${status}`);
        const after = host.peek(1, 0, PAGES * PAGE);
        const refused = (status & ~Status.WRITE_FAULT) >= Status.UNSUPPORTED_OPCODE;
        const [from, to] = refused ? [0, 0] : written(d);
        const same = Buffer.compare(after, before) === 0;
        const isWrong = (byte: number, at: number) => byte !== before[at] && (at < from || at >= to);
        const changed = same ? -1 : after.findIndex(isWrong);
        assert.equal(changed, -1, `byte ${changed} of status ${status}, opcode ${d.opcode}`);
      }),
      { numRuns: 500 },
    );
  });
});
