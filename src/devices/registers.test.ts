import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type RegisterAccess, type RegisterDescription, Registers } from './registers.js';

function read(registers: Registers, offset: number, length: number): number[] {
  const bytes = new Uint8Array(length).fill(0x5a);
  registers.read(offset, bytes);
  return [...bytes];
}

function row(more: Partial<RegisterDescription> = {}): RegisterDescription {
  return { name: 'R', offset: 0, width: 4, access: 'rw', ...more };
}

describe('registers: accesses of a program', () => {
  test('part of a register is read and written alone, and several at once are each their own', () => {
    const registers = new Registers([
      row({ name: 'A', reset: 0x44332211 }),
      row({ name: 'B', offset: 4, width: 2, reset: 0x6655 }),
    ]);
    assert.deepEqual(read(registers, 1, 6), [0x22, 0x33, 0x44, 0x55, 0x66, 0]);
    assert.equal(registers.write(3, Uint8Array.of(0xaa, 0xbb)), true);
    assert.deepEqual([registers.get(0), registers.get(4)], [0xaa332211, 0x66bb]);
  });

  test('where there is no register, reads give zeros or ones, and writes are dropped', () => {
    for (const [nothing, byte] of [['zeros', 0] as const, ['ones', 0xff] as const]) {
      const registers = new Registers([row({ offset: 2, width: 1, reset: 7 })], nothing);
      assert.equal(registers.write(0, new Uint8Array(8).fill(0x33)), true);
      assert.deepEqual(read(registers, 0, 5), [byte, byte, 0x33, byte, byte]);
      assert.deepEqual(read(registers, -2, 2), [byte, byte]);
      assert.deepEqual(read(registers, 2 ** 38, 2), [byte, byte]);
    }
  });

  test('a register with sizes answers these accesses at its offset, and is not there for others', () => {
    const registers = new Registers([row({ sizes: [4], reset: 7 }), row({ name: 'S', offset: 4 })], 'ones');
    assert.deepEqual(read(registers, 0, 4), [7, 0, 0, 0]);
    assert.deepEqual(read(registers, 0, 8), [255, 255, 255, 255, 0, 0, 0, 0]);
    assert.deepEqual(read(registers, 1, 3), [255, 255, 255]);
    registers.write(0, Uint8Array.of(1, 1));
    assert.equal(registers.get(0), 7);
  });

  test('a handler is given the new value, and decides what is stored', () => {
    const seen: number[][] = [];
    const registers: Registers = new Registers([
      row({ width: 8, reset: 0x1111222233334444n, write: (...value) => void seen.push(value) }),
    ]);
    registers.write(2, Uint8Array.of(0xaa, 0xbb, 0xcc));
    assert.deepEqual(seen, [[0xbbaa4444, 0x111122cc, 0]]);
    assert.deepEqual([registers.low(0), registers.high(0)], [0x33334444, 0x11112222]);
  });

  test('a register that cannot take a write ends it there, with those before it written', () => {
    const registers = new Registers([
      row({ name: 'A' }),
      row({ name: 'B', offset: 4, write: () => false }),
      row({ name: 'C', offset: 8 }),
    ]);
    assert.equal(registers.write(0, new Uint8Array(12).fill(1)), false);
    assert.deepEqual(
      [0, 4, 8].map((offset) => registers.get(offset)),
      [0x01010101, 0, 0],
    );
  });

  test('a register drops writes while it is locked', () => {
    let enabled = 1;
    const locked = (index: number) => index === enabled;
    const registers = new Registers([row({ name: 'R[]', count: 2, locked })]);
    registers.write(0, new Uint8Array(8).fill(1));
    assert.deepEqual([registers.get(0), registers.get(4)], [0x01010101, 0]);
    enabled = 0;
    registers.write(0, new Uint8Array(8).fill(2));
    assert.deepEqual([registers.get(0), registers.get(4)], [0x01010101, 0x02020202]);
  });

  test('wo and rc give their handler what was written, with zeros for the bytes that were not', () => {
    for (const access of ['wo', 'rc'] as const) {
      const seen: number[] = [];
      const write = (value: number) => void seen.push(value);
      const registers = new Registers([row({ access, reset: 0xffffffff, bits: 0xffff0f, write })]);
      registers.write(1, Uint8Array.of(0x12, 0x34));
      registers.write(0, Uint8Array.of(0xff));
      assert.deepEqual(seen, [0x341200, 0x0f]);
    }
  });

  test('a read handler may renew the value just before it is read, once for each access', () => {
    let ticks = 0;
    const registers: Registers = new Registers([
      row({ name: 'TICKS[]', access: 'ro', count: 2, stride: 8, read: (i) => registers.set(i * 8, ++ticks) }),
    ]);
    assert.deepEqual(read(registers, 0, 1), [1]);
    assert.deepEqual(read(registers, 8, 4), [2, 0, 0, 0]);
    assert.deepEqual(read(registers, 0, 12), [3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
  });
});

describe('registers: what the model does', () => {
  test('set stores whatever fits, past every access rule, and numbers bring their upper word', () => {
    const registers = new Registers([
      row({ width: 8, access: 'ro' }),
      row({ name: 'B', offset: 8, width: 1, access: 'w1c' }),
    ]);
    registers.set(0, 0x1234_5678_9abc);
    registers.set(8, 0x1ff);
    assert.deepEqual([registers.get(0), registers.get(8)], [0x1234_5678_9abc, 0xff]);
    registers.set(0, -1, 0xfff);
    assert.deepEqual([registers.low(0), registers.high(0)], [0xffffffff, 0xfff]);
    registers.set(0, 5);
    assert.equal(registers.get(0), 5);
  });

  test('a reset can be of the registers in a range of offsets', () => {
    const registers = new Registers([row({ name: 'R[]', count: 4, reset: 9 })]);
    for (const offset of [0, 4, 8, 12]) registers.set(offset, 1);
    registers.reset(4, 12);
    assert.deepEqual(
      [0, 4, 8, 12].map((offset) => registers.get(offset)),
      [1, 9, 9, 1],
    );
  });

  test('every byte has a name, with the index in an array and the distance in a register', () => {
    const registers = new Registers([
      row({ name: 'WQ[].SIZE', offset: 0x100, width: 2, count: 3, stride: 16 }),
      row({ name: 'WQ[].MODE', offset: 0x108, count: 3, stride: 16 }),
    ]);
    assert.deepEqual(
      [0x100, 0x111, 0x12a, 0x102, 0x130].map((offset) => registers.nameOf(offset)),
      ['WQ[0].SIZE', 'WQ[1].SIZE+1', 'WQ[2].MODE+2', undefined, undefined],
    );
  });

  test('asking for a register that does not begin there is an error of the model', () => {
    const registers = new Registers([row()]);
    assert.throws(() => registers.get(2), /no register begins at offset 0x2/);
    assert.throws(() => registers.set(4, 0), /no register begins at offset 0x4/);
  });
});

test('a table that cannot be is refused, with the name of the register', () => {
  const write = () => {};
  const cases: [Partial<RegisterDescription>[], RegExp][] = [
    [[{ name: '' }], /row 0 of the table of registers has no name/],
    [[{ resett: 1 } as object], /register "R" has no key "resett"; did you mean reset\?/],
    [[{ whole: 1 as never }], /whole of register "R" is 1, not true or false/],
    [[{ sizes: [3] }], /register "R": its sizes name no length/],
    [[{}, { offset: 8 }], /two registers are called "R"/],
    [[{}, { name: 'S', offset: 3, width: 1 }], /registers "R" and "S" overlap/],
    [[{ width: 3 as 4 }], /register "R": width 3 is not 1, 2, 4 or 8 bytes/],
    [[{ access: 'x' as 'rw' }], /access "x" is not ro, rw, wo, w1c or rc/],
    [[{ offset: -4 }], /offset -4 is not an integer from 0/],
    [[{ offset: 2 ** 24 - 3 }], /it ends at 0x1000001, beyond the 0x1000000 bytes of a table/],
    [[{ count: 2 }], /an array, and nothing else, has a count/],
    [[{ name: 'R[]' }], /an array, and nothing else, has a count/],
    [[{ name: 'R[]', count: 2, stride: 2 }], /stride 2 is not an integer from 4/],
    [[{ reset: 2 ** 32 }], /reset 0x100000000 does not fit in 4 bytes/],
    [[{ bits: -1 }], /bits 0x-1 does not fit in 4 bytes/],
    [[{ width: 8, reset: 2 ** 60 }], /reset 1152921504606847000 is not exact/],
    [[{ access: 'ro', write }], /it is ro, so its write would never be called/],
    [[{ access: 'ro', locked: () => true }], /it is ro, so there is nothing to lock/],
    [[{ read: 7 as never }], /register "R": read is not a function/],
    [[{ access: 'wo' }], /it is wo, and has no write to be called/],
    [[{ access: 'wo', write, read: write }], /it is wo, so its read would never be called/],
    [[{ sizes: [] }], /its sizes name no length of an access that would reach it/],
  ];
  for (const [rows, reason] of cases) {
    assert.throws(
      () => new Registers(rows.map(row)),
      (error: Error) => reason.test(error.message) && 'errno' in error,
      String(reason),
    );
  }
});

/** What `Registers` must be, said byte by byte: a byte of a register, or none. */
interface ReferenceByte {
  readonly access: RegisterAccess;
  readonly bits: number;
  readonly reset: number;
  /** The bytes [start, end) of its register, all of which a write must cover when it is `whole`. */
  readonly start: number;
  readonly end: number;
  readonly whole: boolean;
  readonly sizes: readonly number[] | undefined;
  readonly locked: boolean;
  value: number;
}

class Reference {
  readonly #bytes = new Map<number, ReferenceByte>();

  constructor(table: readonly RegisterDescription[]) {
    for (const { offset, width, access, count = 1, stride = width, ...more } of table) {
      const bits = BigInt(more.bits ?? 2n ** 64n - 1n);
      const reset = BigInt(more.reset ?? 0);
      for (let i = 0; i < count * width; i++) {
        const byte = BigInt(i % width) * 8n;
        const start = offset + Math.floor(i / width) * stride;
        this.#bytes.set(start + (i % width), {
          access,
          bits: Number((bits >> byte) & 0xffn),
          reset: Number((reset >> byte) & 0xffn),
          start,
          end: start + width,
          whole: more.whole === true,
          sizes: more.sizes,
          locked: more.locked?.(Math.floor(i / width)) === true,
          value: 0,
        });
      }
    }
    this.reset();
  }

  reset(): void {
    for (const byte of this.#bytes.values()) byte.value = byte.reset;
  }

  read(offset: number, length: number, nothing: number): number[] {
    return Array.from({ length }, (_, i) => {
      const byte = this.#at(offset + i, offset, length);
      if (byte === undefined || byte.access === 'wo') return nothing;
      const { value } = byte;
      if (byte.access === 'rc') byte.value = 0;
      return value;
    });
  }

  write(offset: number, source: readonly number[]): void {
    for (const [i, written] of source.entries()) {
      const byte = this.#at(offset + i, offset, source.length);
      if (byte === undefined) continue;
      const covered = offset <= byte.start && offset + source.length >= byte.end;
      if (byte.locked || (byte.whole && !covered)) continue;
      if (byte.access === 'rw') byte.value = (byte.value & ~byte.bits) | (written & byte.bits);
      if (byte.access === 'w1c') byte.value &= ~(written & byte.bits);
    }
  }

  /** The value of the register at `offset`, of `width` bytes. */
  value(offset: number, width: number): bigint {
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) value = value * 256n + BigInt(this.#bytes.get(offset + i)!.value);
    return value;
  }

  #at(place: number, offset: number, length: number): ReferenceByte | undefined {
    const byte = this.#bytes.get(place);
    if (byte?.sizes !== undefined && !(offset === byte.start && byte.sizes.includes(length)))
      return undefined;
    return byte;
  }
}

/** A register or an array, of any kind, and the gap before it. */
const description = fc
  .record({
    gap: fc.nat(5),
    width: fc.constantFrom(1, 2, 4, 8),
    access: fc.constantFrom('ro', 'rw', 'wo', 'w1c', 'rc'),
    reset: fc.bigInt(0n, 2n ** 64n - 1n),
    bits: fc.option(fc.bigInt(0n, 2n ** 64n - 1n)),
    count: fc.option(fc.integer({ min: 1, max: 4 })),
    apart: fc.nat(9),
    sizes: fc.option(fc.uniqueArray(fc.constantFrom(1, 2, 4, 8), { minLength: 1 }), { freq: 4 }),
    whole: fc.boolean(),
    stores: fc.boolean(),
    locked: fc.option(fc.nat(3), { freq: 3 }),
  })
  .map(({ width, reset, bits, ...more }) => {
    const fits = 2n ** BigInt(width * 8) - 1n;
    return { ...more, width, reset: reset & fits, bits: bits === null ? null : bits & fits };
  });

type Part = typeof description extends fc.Arbitrary<infer T> ? T : never;

/** Registers of these, one after another; those that `store` do so in a handler instead of having none. */
function layOut(parts: readonly Part[], nothing: 'zeros' | 'ones' = 'zeros') {
  let end = 0;
  const table = parts.map(
    ({ gap, width, access, reset, bits, count, apart, sizes, whole, stores, locked }, i) => {
      const offset = end + gap;
      const stride = width + apart;
      end = offset + ((count ?? 1) - 1) * stride + width;
      const store = (low: number, high: number, index: number) =>
        registers.set(offset + index * stride, low, high);
      return {
        name: count === null ? `R${i}` : `R${i}[]`,
        offset,
        width,
        access,
        reset,
        whole,
        ...(bits === null ? {} : { bits }),
        ...(count === null ? {} : { count, stride }),
        ...(sizes === null ? {} : { sizes }),
        ...(locked === null || access === 'ro' ? {} : { locked: (index: number) => index === locked }),
        ...(access === 'wo' ? { write: () => {} } : {}),
        ...(stores && (access === 'rw' || access === 'w1c') ? { write: store } : {}),
      } as RegisterDescription;
    },
  );
  const registers: Registers = new Registers(table, nothing);
  return { table, end, registers };
}

test('any sequence of reads and writes of any length does what it would byte by byte, handler or not', () => {
  const operation = fc.record({
    kind: fc.constantFrom(
      'read' as const,
      'read' as const,
      'write' as const,
      'write' as const,
      'reset' as const,
    ),
    place: fc.nat(120),
    aligned: fc.boolean(),
    bytes: fc.oneof(
      fc.constantFrom(1, 2, 4, 8).chain((n) => fc.array(fc.nat(255), { minLength: n, maxLength: n })),
      fc.array(fc.nat(255), { maxLength: 20 }),
    ),
  });
  fc.assert(
    fc.property(
      fc.array(description, { minLength: 1, maxLength: 6 }),
      fc.array(operation, { maxLength: 40 }),
      fc.boolean(),
      (parts, operations, ones) => {
        const { table, end, registers } = layOut(parts, ones ? 'ones' : 'zeros');
        const reference = new Reference(table);
        for (const { kind, place, aligned, bytes } of operations) {
          const within = place % (end + 8);
          const offset = aligned ? within - (within % Math.max(bytes.length, 1)) : within - 4;
          if (kind === 'reset') {
            registers.reset();
            reference.reset();
          } else if (kind === 'write') {
            assert.equal(registers.write(offset, Uint8Array.from(bytes)), true);
            reference.write(offset, bytes);
          } else {
            const expected = reference.read(offset, bytes.length, ones ? 0xff : 0);
            assert.deepEqual(read(registers, offset, bytes.length), expected);
          }
        }
        for (const { offset, width, count = 1, stride = width } of table) {
          for (let at = offset; at < offset + count * stride; at += stride) {
            const value = reference.value(at, width);
            const found = [registers.get(at), registers.low(at), registers.high(at)];
            assert.deepEqual(found, [Number(value), Number(value & 0xffffffffn), Number(value >> 32n)]);
          }
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test('one access is its bytes, two, four or eight at a time: nothing depends on how it is cut', () => {
  const plain = description.map((part) => ({ ...part, whole: false, sizes: null }));
  fc.assert(
    fc.property(
      fc.array(plain, { minLength: 1, maxLength: 6 }),
      fc.nat(40),
      fc.uint8Array({ minLength: 1, maxLength: 24 }),
      fc.constantFrom(1, 2, 4, 8),
      (parts, offset, bytes, unit) => {
        const whole = layOut(parts).registers;
        const cut = layOut(parts).registers;
        whole.write(offset, bytes);
        for (let at = 0; at < bytes.length; at += unit) cut.write(offset + at, bytes.subarray(at, at + unit));
        assert.deepEqual(read(whole, 0, 120), read(cut, 0, 120));
      },
    ),
  );
});
