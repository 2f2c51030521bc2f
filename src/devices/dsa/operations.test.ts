/**
 * The operations that work byte by byte against a reference that does so over plain memory, for descriptors
 * with every field at random. Delta records, integrity fields and cache flush have tests of their own.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { mdev } from '../../testkit/dsa-program.js';
import { madeBytes } from '../../testkit/made-bytes.js';
import { Random } from '../../testkit/random.js';
import { type Fields, PAGE, pack, SparseHost } from '../../testkit/sparse-host.js';
import type { DeviceModel } from '../device-model.js';
import { settle } from '../fake-host.js';
import { crc32c, crc32cReversed, reverse32 } from './crc32c.js';
import { Descriptor, Flag, Opcode, Status } from './descriptor.js';
import { checkDescriptor, invalidFlags } from './descriptor-check.js';
import { SUPPORTED_OPERATIONS } from './descriptor-rules.js';

const RECORD = Flag.COMPLETION_ADDRESS_VALID | Flag.REQUEST_COMPLETION;
const PASID = 3;
const PAGES = 48;
const SPACE = PAGES * PAGE;
const limits = {
  shared: true,
  blockOnFault: true,
  interrupts: true,
  operations: SUPPORTED_OPERATIONS,
  maxTransfer: 2 ** 31,
  maxBatch: 1024,
};

type Rights = 'none' | 'read' | 'write';

/** Memory of one PASID as flat bytes, and what may be done with each page. */
class Reference {
  readonly bytes: Uint8Array;
  readonly rights: readonly Rights[];
  status: number = Status.SUCCESS;
  result = 0;
  done = 0;
  faultAddress = 0;
  crc: number | undefined;

  constructor(bytes: Uint8Array, rights: readonly Rights[]) {
    this.bytes = bytes;
    this.rights = rights;
  }

  /** May this byte be read, or written? If not, the operation ends here. */
  can(address: number, write: boolean, d: Descriptor): boolean {
    const rights = this.rights[Math.floor(address / PAGE)] ?? 'none';
    if (rights === 'write' || (rights === 'read' && !write)) return true;
    const status = d.has(Flag.BLOCK_ON_FAULT) ? 4 : 3;
    this.status = write ? status | 0x80 : status;
    this.faultAddress = address;
    return false;
  }

  run(d: Descriptor): void {
    if (d.opcode === Opcode.NOOP || d.opcode === Opcode.DRAIN) return;
    const backwards =
      d.opcode === Opcode.MEMMOVE && d.source < d.destination && d.destination < d.source + d.size;
    if (backwards) {
      this.moveBackwards(d);
      return;
    }
    if (d.opcode === Opcode.CRC_GENERATION || d.opcode === Opcode.COPY_CRC) {
      if (!this.seed(d)) return;
    }
    while (this.done < d.size && this.one(d, this.done)) this.done++;
    if (this.status === Status.SUCCESS && this.isCompare(d)) this.endCompare(d);
    if (this.status <= Status.SUCCESS_FALSE_PREDICATE && this.done === d.size) this.done = 0;
  }

  isCompare(d: Descriptor): boolean {
    return d.opcode === Opcode.COMPARE || d.opcode === Opcode.COMPARE_PATTERN;
  }

  endCompare(d: Descriptor): void {
    if (d.has(Flag.CHECK_RESULT) && (d.bytes[40]! & 1) !== this.result)
      this.status = Status.SUCCESS_FALSE_PREDICATE;
  }

  /** Byte `i`. @returns false when the operation stops before it. */
  one(d: Descriptor, i: number): boolean {
    const source = d.source + i;
    const destination = d.destination + i;
    const third = d.address(40) + i;
    switch (d.opcode) {
      case Opcode.FILL:
        return this.store(destination, d.bytes[16 + (i % 8)]!, d);
      case Opcode.COMPARE:
        if (!this.can(source, false, d) || !this.can(destination, false, d)) return false;
        return this.same(this.bytes[source]!, this.bytes[destination]!);
      case Opcode.COMPARE_PATTERN:
        return this.can(source, false, d) && this.same(this.bytes[source]!, d.bytes[24 + (i % 8)]!);
      case Opcode.DUALCAST:
        if (!this.can(source, false, d) || !this.can(destination, true, d) || !this.can(third, true, d))
          return false;
        return this.store(destination, this.bytes[source]!, d) && this.store(third, this.bytes[source]!, d);
      case Opcode.CRC_GENERATION:
        return this.can(source, false, d) && this.feed(d, this.bytes[source]!);
      case Opcode.COPY_CRC: {
        if (!this.can(source, false, d)) return false;
        const byte = this.bytes[source]!;
        return this.store(destination, byte, d) && this.feed(d, byte);
      }
      default:
        return this.can(source, false, d) && this.store(destination, this.bytes[source]!, d);
    }
  }

  store(address: number, byte: number, d: Descriptor): boolean {
    if (!this.can(address, true, d)) return false;
    this.bytes[address] = byte;
    return true;
  }

  same(a: number, b: number): boolean {
    if (a !== b) this.result = 1;
    return a === b;
  }

  feed(d: Descriptor, byte: number): boolean {
    const run = d.has(Flag.CRC_BYPASS_DATA_REFLECTION) ? crc32cReversed : crc32c;
    this.crc = run(this.crc!, Uint8Array.of(byte), 1);
    return true;
  }

  seed(d: Descriptor): boolean {
    let seed = d.word(40);
    if (d.has(Flag.CRC_READ_SEED)) {
      for (let i = 0; i < 4; i++) if (!this.can(d.address(48) + i, false, d)) return false;
      seed = new DataView(this.bytes.buffer).getUint32(d.address(48), true);
    }
    this.crc = d.has(Flag.CRC_BYPASS_INVERSION) ? reverse32(seed) : ~seed;
    return true;
  }

  /** A page of either side is moved whole or not at all. */
  moveBackwards(d: Descriptor): void {
    for (let end = d.size; end > 0; ) {
      let start = end - 1;
      const within = (base: number) =>
        Math.floor((base + start - 1) / PAGE) === Math.floor((base + end - 1) / PAGE);
      while (start > 0 && within(d.source) && within(d.destination)) start--;
      if (!this.can(d.source + start, false, d) || !this.can(d.destination + start, true, d)) {
        this.result = 1;
        return;
      }
      this.bytes.copyWithin(d.destination + start, d.source + start, d.source + end);
      this.done += end - start;
      end = start;
    }
    this.done = 0;
  }

  /** The completion record, where there is one to write and it can be written. */
  record(d: Descriptor): void {
    const success = this.status === Status.SUCCESS || this.status === Status.SUCCESS_FALSE_PREDICATE;
    const wanted = d.has(Flag.COMPLETION_ADDRESS_VALID) && (d.has(Flag.REQUEST_COMPLETION) || !success);
    const at = d.completionAddress;
    if (
      !wanted ||
      this.status === Status.COMPLETION_ALIGNMENT ||
      this.status === Status.PRIVILEGE ||
      (this.rights[Math.floor(at / PAGE)] ?? 'none') !== 'write'
    )
      return;
    const view = new DataView(this.bytes.buffer, at, 32);
    this.bytes.fill(0, at, at + 32);
    view.setUint8(0, this.status);
    view.setUint8(1, this.result);
    view.setUint32(4, this.done, true);
    view.setBigUint64(8, BigInt.asUintN(64, BigInt(this.faultAddress)), true);
    if (this.crc !== undefined)
      view.setUint32(16, d.has(Flag.CRC_BYPASS_INVERSION) ? reverse32(this.crc) : ~this.crc, true);
    if (this.status === Status.INVALID_FLAGS) view.setUint32(16, invalidFlags(d, limits, false), true);
  }
}

const random = new Random(1);
/** Few different bytes, so that compares get somewhere. Every eighth page is all zeros. */
const BITS = madeBytes(PAGES * PAGE, () => random.below(2));

function makeHost(rights: readonly Rights[], seed: number): SparseHost {
  const host = new SparseHost([PASID]);
  const places = new Random(seed || 1);
  rights.forEach((right, page) => {
    if (right === 'none') return;
    host.map(PASID, page * PAGE, PAGE, right === 'write');
    if (page % 8 === 0) return;
    const at = places.below(BITS.length - PAGE);
    host.poke(PASID, page * PAGE, BITS.subarray(at, at + PAGE));
  });
  return host;
}

function submitOne(host: SparseHost, descriptor: Uint8Array): DeviceModel {
  const model = mdev(host);
  assert.equal(model.writeBar(2, 0, descriptor), true);
  settle(model, 10_000);
  return model;
}

const rights = fc.array(
  fc.constantFrom<Rights>(
    'none',
    'read',
    'write',
    'write',
    'write',
    'write',
    'write',
    'write',
    'write',
    'write',
  ),
  {
    minLength: PAGES,
    maxLength: PAGES,
  },
);
const anywhere = fc.oneof(
  { weight: 8, arbitrary: fc.nat(SPACE) },
  { weight: 4, arbitrary: fc.nat(PAGES - 1).map((page) => page * PAGE) },
  { weight: 1, arbitrary: fc.constantFrom(2 ** 48, 2 ** 52, 2 ** 60, 2 ** 64 - PAGE) },
);
const size = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 64 }) },
  { weight: 8, arbitrary: fc.nat(3 * PAGE) },
  { weight: 4, arbitrary: fc.nat(20 * PAGE) },
  { weight: 1, arbitrary: fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1) },
);
const operation = fc.constantFrom<number>(
  Opcode.NOOP,
  Opcode.DRAIN,
  Opcode.MEMMOVE,
  Opcode.FILL,
  Opcode.COMPARE,
  Opcode.COMPARE_PATTERN,
  Opcode.DUALCAST,
  Opcode.CRC_GENERATION,
  Opcode.COPY_CRC,
);

function hasOtherTests(opcode: number): boolean {
  const others: number[] = [Opcode.BATCH, Opcode.CREATE_DELTA, Opcode.APPLY_DELTA, Opcode.CACHE_FLUSH];
  return others.includes(opcode) || (opcode >= Opcode.DIF_CHECK && opcode <= Opcode.DIF_UPDATE);
}

const flags = fc
  .tuple(
    fc.constantFrom(RECORD, RECORD, RECORD, RECORD, Flag.COMPLETION_ADDRESS_VALID, 0),
    fc.constantFrom(0, 0, 0, Flag.BLOCK_ON_FAULT, Flag.CHECK_RESULT, Flag.CACHE_CONTROL),
    fc.constantFrom(0, 0, 0, 0x10000, 0x20000, 0x40000, 0x70000, 0x800000),
  )
  .map((parts) => parts.reduce((a, b) => a | b));
/** Descriptors that mean something: the operands lie near each other. */
const meaningful: fc.Arbitrary<Fields> = fc
  .record({
    opcode: operation,
    flags,
    completion: fc.nat(SPACE / 32).map((n) => n * 32),
    a: anywhere,
    b: anywhere,
    size,
    c: anywhere,
    d: fc.nat(3),
  })
  .map(({ c, d, ...fields }) => {
    const source = fields.opcode === Opcode.FILL ? 0x0102030405 : fields.a;
    const near = d === 0 && fields.opcode !== Opcode.CRC_GENERATION ? source + 100 : fields.b;
    switch (fields.opcode) {
      case Opcode.DUALCAST:
        return { ...fields, b: Math.floor(near / PAGE) * PAGE + (c % PAGE), c };
      case Opcode.CRC_GENERATION:
      case Opcode.COPY_CRC: {
        const seed = new Uint8Array(16);
        if ((fields.flags & Flag.CRC_READ_SEED) === 0)
          new DataView(seed.buffer).setUint32(0, c % 2 ** 32, true);
        else new DataView(seed.buffer).setBigUint64(8, BigInt(d === 0 ? c : c - (c % 4)), true);
        return { ...fields, b: fields.opcode === Opcode.COPY_CRC ? near : 0, rest: [...seed] };
      }
      case Opcode.COMPARE:
        return { ...fields, a: source, b: near, rest: [d & 1] };
      case Opcode.COMPARE_PATTERN:
        return { ...fields, a: source, b: d === 0 ? 0 : 0x0001, rest: [d & 1] };
      case Opcode.NOOP:
      case Opcode.DRAIN:
        return { ...fields, a: 0, b: 0, size: 0 };
      default:
        return { ...fields, a: source, b: near };
    }
  });
const descriptor = fc.oneof(
  { weight: 9, arbitrary: meaningful.map((fields) => pack({ ...fields, pasid: PASID })) },
  {
    weight: 1,
    arbitrary: fc.uint8Array({ minLength: 64, maxLength: 64 }).map((bytes) => {
      bytes.set([PASID, 0, 0], 0);
      if (hasOtherTests(bytes[7]!)) bytes[7] = Opcode.MEMMOVE;
      return bytes;
    }),
  },
);

/** What a dualcast wrote to its first destination beyond what counts as done is its own affair. */
function forgive(d: Descriptor, reference: Reference, before: Uint8Array, found: Uint8Array): void {
  if (
    d.opcode !== Opcode.DUALCAST ||
    (reference.status & 0x7e) === 0 ||
    reference.status >= 0x10 === reference.status < 0x80
  )
    return;
  for (let i = reference.done; i < d.size && d.destination + i < SPACE; i++) {
    const at = d.destination + i;
    const inRecord = at >= d.completionAddress && at < d.completionAddress + 32;
    // The source may be overwritten by now, by the completion record: what was copied is what was there
    // before.
    if (!inRecord && found[at] === before[d.source + i]) reference.bytes[at] = found[at]!;
  }
}

describe('dsa operations', () => {
  it('leave memory and record as the reference does, whatever the descriptor, wherever holes are', () => {
    fc.assert(
      fc.property(descriptor, rights, fc.integer(), (bytes, pages, seed) => {
        const host = makeHost(pages, seed);
        const before = host.peek(PASID, 0, SPACE);
        const reference = new Reference(before.slice(), pages);
        const d = new Descriptor();
        d.bytes.set(bytes);
        d.parse();
        const verdict = checkDescriptor(d, limits, false);
        if (verdict !== Status.SUCCESS) reference.status = verdict;
        else if (d.has(Flag.REQUEST_INTERRUPT)) reference.status = Status.INTERRUPT_HANDLE;
        else reference.run(d);
        reference.record(d);
        submitOne(host, bytes);
        const found = host.peek(PASID, 0, SPACE);
        forgive(d, reference, before, found);
        const same = Buffer.compare(found, reference.bytes) === 0;
        const differs = same ? -1 : found.findIndex((byte, i) => byte !== reference.bytes[i]);
        assert.equal(
          differs,
          -1,
          `byte ${differs.toString(16)}: status ${reference.status}, opcode ${d.opcode}`,
        );
      }),
      { numRuns: 1000 },
    );
  });

  it('end a batch with a defined status, whatever is in its list', () => {
    const ends: number[] = [
      Status.SUCCESS,
      Status.BATCH_FAILED,
      Status.BATCH_PAGE_FAULT,
      Status.DESCRIPTOR_COUNT,
    ];
    const list = fc.array(descriptor, { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(list, rights, fc.nat(70), (descriptors, pages, count) => {
        const record = PAGES * PAGE;
        const host = makeHost([...pages, 'write', 'write'], 1);
        for (const [i, bytes] of descriptors.entries()) host.poke(PASID, record + PAGE + i * 64, bytes);
        submitOne(
          host,
          pack({
            pasid: PASID,
            opcode: Opcode.BATCH,
            flags: RECORD,
            completion: record,
            a: record + PAGE,
            size: count,
          }),
        );
        assert.ok(ends.includes(host.peek(PASID, record, 1)[0]!));
      }),
    );
  });
});
