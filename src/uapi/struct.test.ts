/**
 * Structs between bytes and typed objects: what one side takes the other gives back, for every struct of
 * every ABI here, and what does not fit its field is refused, by the compiler where it can tell.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Bits64,
  chars,
  type FieldType,
  type Struct,
  s32,
  sized,
  struct,
  u8,
  u16,
  u32,
  u64,
} from './struct.js';

const Mixed = struct('mixed', { a: u8, b: u8, c: u16, d: s32, e: u64, name: chars(4), f: u32 });
const All = 2n ** 64n - 1n;

const isStruct = (value: unknown): value is Struct =>
  typeof value === 'object' && value !== null && 'cName' in value;

/** Every struct that a module of this folder exports. */
async function structs(): Promise<Struct[]> {
  const here = new URL('./', import.meta.url);
  const modules = readdirSync(here, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.js') && !/\.test\./.test(path),
  );
  const found: Struct[] = [];
  for (const path of modules) {
    const exported: object = await import(new URL(path, here).href);
    found.push(...Object.values(exported).filter(isStruct));
  }
  return [...new Set(found)];
}

/** Values that stand in a field, as they are decoded. */
function anyOf(type: FieldType): fc.Arbitrary<unknown> {
  if (type.get === u64.get) return fc.bigInt({ min: 0n, max: All });
  if (type.get === s32.get) return fc.integer();
  if ([u8, u16, u32].some(({ get }) => get === type.get)) return fc.nat({ max: 2 ** (8 * type.size) - 1 });
  return fc.uint8Array({ minLength: type.size, maxLength: type.size });
}

/** All fields of a struct, and some of them. */
function valuesOf({ types }: Struct) {
  const each = Object.fromEntries(Object.entries(types).map(([name, type]) => [name, anyOf(type)]));
  const plain = { noNullPrototype: true };
  return fc.record({ all: fc.record(each, plain), some: fc.record(each, { ...plain, requiredKeys: [] }) });
}

/** What an absent field is. */
const zeroOf = (type: FieldType) =>
  type.get === u64.get ? 0n : type.align === type.size ? 0 : new Uint8Array(type.size);

test('what a struct of any ABI is encoded from is what it is decoded to', async () => {
  const every = await structs();
  assert.ok(every.length > 45, `only ${every.length} structs were found`);
  for (const each of every) {
    fc.assert(
      fc.property(valuesOf(each), ({ all }) => assert.deepEqual(each.decode(each.encode(all)), all)),
      { numRuns: 30 },
    );
  }
});

test('fields that are absent are 0, in every struct', async () => {
  for (const each of await structs()) {
    const zeros = Object.fromEntries(Object.entries(each.types).map(([name, type]) => [name, zeroOf(type)]));
    fc.assert(
      fc.property(valuesOf(each), ({ some }) =>
        assert.deepEqual(each.decode(each.encode(some)), { ...zeros, ...some }),
      ),
      { numRuns: 30 },
    );
  }
});

test('the bytes of a struct are those that it is encoded to again', async () => {
  for (const each of await structs()) {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: each.size, maxLength: each.size }), (bytes) =>
        assert.deepEqual(each.encode(each.decode(bytes)), bytes),
      ),
      { numRuns: 30 },
    );
  }
});

test('a field of 64 bits is given as number or bigint, and decoded as bigint', () => {
  const e = (value: Bits64) => Mixed.decode(Mixed.encode({ e: value })).e;
  assert.equal(e(2 ** 53 - 1), 2n ** 53n - 1n);
  assert.equal(e(2 ** 63), 2n ** 63n);
  assert.equal(e(All), All);
});

test('a value that a field cannot hold is a RangeError that names the field', () => {
  const wrong: Readonly<Record<string, readonly Parameters<typeof Mixed.encode>[0][]>> = {
    a: [{ a: 256 }, { a: -1 }, { a: 0.5 }, { a: Number.NaN }],
    c: [{ c: 65536 }],
    d: [{ d: 2 ** 31 }, { d: -(2 ** 31) - 1 }],
    e: [{ e: 2 ** 64 }, { e: -1 }, { e: 0.5 }, { e: All + 1n }, { e: -1n }],
    f: [{ f: 2 ** 32 }, { f: -1 }],
    name: [{ name: new Uint8Array(5) }],
  };
  for (const [name, givens] of Object.entries(wrong))
    for (const given of givens)
      assert.throws(() => Mixed.encode(given), { name: 'RangeError', message: new RegExp(`^${name} `) });
});

test('fewer bytes than a field of chars has are followed by zeros', () => {
  const { name } = Mixed.decode(Mixed.encode({ name: Uint8Array.of(65, 66) }));
  assert.deepEqual(name, Uint8Array.of(65, 66, 0, 0));
});

test('the first field of an ioctl is its size', () => {
  const Sized = struct('sized', { size: u32, flags: u32 });
  assert.deepEqual(Sized.decode(sized(Sized, { flags: 3 })), { size: 8, flags: 3 });
});

test('a struct is decoded where it lies, and not beyond the end', () => {
  const bytes = new Uint8Array(Mixed.size + 4);
  bytes.set(Mixed.encode({ d: -2 }), 4);
  assert.equal(Mixed.decode(bytes, 4).d, -2);
  assert.throws(() => Mixed.decode(bytes, 5), RangeError);
  assert.throws(() => Mixed.decode(bytes, -1), RangeError);
});

test('a layout that the C compiler would pad is refused', () => {
  assert.throws(() => struct('hole', { a: u32, b: u64 }), /hole before b/);
  assert.throws(() => struct('end', { a: u64, b: u32 }), /hole at its end/);
});

test('a field that there is not, or a value of another type, does not compile', () => {
  // @ts-expect-error a name that no field has
  assert.throws(() => Mixed.encode({ g: 1 }), RangeError);
  // @ts-expect-error text in a field of 32 bits
  assert.throws(() => Mixed.encode({ f: '1' }), RangeError);
  // @ts-expect-error a bigint in a field of 32 bits
  assert.throws(() => Mixed.encode({ f: 1n }), RangeError);
  // @ts-expect-error a number in a field of chars
  assert.throws(() => Mixed.encode({ name: 1 }), RangeError);
  // @ts-expect-error undefined is no value: a field is left out
  assert.throws(() => Mixed.encode({ f: undefined }), RangeError);
  // @ts-expect-error a name that no field has
  assert.throws(() => sized(Mixed, { g: 1 }), RangeError);
  const decoded = Mixed.decode(new Uint8Array(Mixed.size));
  // @ts-expect-error a name that no field has
  assert.equal(decoded.g, undefined);
  // @ts-expect-error 64 bits are a bigint
  const e: number = decoded.e;
  // @ts-expect-error what was decoded does not change
  decoded.f = 1;
  assert.equal(e, 0n);
});
