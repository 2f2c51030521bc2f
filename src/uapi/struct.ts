/**
 * Binary layouts as data: `struct('ioasid_free', {size: u32, flags: u32, pasid: u32, reserved: u32})` knows
 * where each field lies and what stands in it.
 *
 * Layouts follow the C ABI that all our structs keep to: little-endian, each field aligned to its own size
 * (`__aligned_u64`), no implicit padding (checked when the layout is made).
 *
 * `encode` and `decode` go between bytes and typed objects: what `encode` takes `decode` gives back, field by
 * field, and what a field cannot hold is an error. They allocate, so the handlers of frequent ioctls read and
 * write their fields in place, by the functions below.
 *
 * A 64-bit field is decoded as bigint: 2^64-1, the last IOVA, is meant in many of them, and numbers do not
 * have it. It can be given as number too, since that is what addresses and lengths of this process are.
 */

/** What the values of a field are called, in the words of the ABI. */
export type Names = Readonly<Record<string, number>>;

interface OneAbove {
  readonly bit: number;
  readonly names: Names;
}

/** What a field's value stands for, where that is more than a number: for those who show it. */
export type Meaning =
  | { readonly kind: 'value'; readonly names: Names }
  /** In the bits from that of `above` on stands one of several values. */
  | { readonly kind: 'flags'; readonly names: Names; readonly above?: OneAbove }
  /** No text. */
  | { readonly kind: 'bytes' }
  /** A descriptor of the caller's. */
  | { readonly kind: 'descriptor' };

/** The kind of a field: its bytes, and which values stand in it. */
export interface FieldType<Value = unknown, Given = Value> {
  readonly size: number;
  /** Of how many bytes its elements are. */
  readonly align: number;
  readonly meaning?: Meaning;
  holds(value: Given): boolean;
  get(data: Uint8Array, at: number): Value;
  /** Stores a value that the field holds; the bytes were zero. */
  set(data: Uint8Array, at: number, value: Given): void;
}

/** A 64-bit quantity, as it is given. */
export type Bits64 = number | bigint;

export const u8 = integer(1, 0, getU8, setU8);
export const u16 = integer(2, 0, getU16, setU16);
export const u32 = integer(4, 0, getU32, setU32);
export const s32 = integer(4, -(2 ** 31), getS32, setU32);
export const u64: FieldType<bigint, Bits64> = {
  size: 8,
  align: 8,
  holds: (value) =>
    typeof value === 'number'
      ? Number.isInteger(value) && value >= 0 && value < 2 ** 64
      : BigInt.asUintN(64, value) === value,
  get: getBig,
  set: (data, at, value) => setBig(data, at, BigInt(value)),
};

/** A descriptor of the caller's; negative: none. */
export const descriptor: FieldType<number> = { ...s32, meaning: { kind: 'descriptor' } };

/** Flags of 32 bits, by their names. */
export function bits(names: Names): FieldType<number> {
  return { ...u32, meaning: { kind: 'flags', names } };
}

/** One of several values, by their names. */
export function choice(names: Names, type = u32): FieldType<number> {
  return { ...type, meaning: { kind: 'value', names } };
}

/** `char name[size]`: decoded as all its bytes; fewer can be given, and zeros follow them. */
export function chars(size: number): FieldType<Uint8Array> {
  return {
    size,
    align: 1,
    holds: (value) => value.length <= size,
    get: (data, at) => data.slice(at, at + size),
    set: (data, at, value) => data.set(value, at),
  };
}

/** An integer of `size` bytes, from `least` on. */
function integer(
  size: number,
  least: number,
  get: (data: Uint8Array, at: number) => number,
  set: (data: Uint8Array, at: number, value: number) => void,
): FieldType<number> {
  const end = least + 2 ** (8 * size);
  const holds = (value: number) => Number.isInteger(value) && value >= least && value < end;
  return { size, align: size, holds, get, set };
}

export type FieldTypes = Readonly<Record<string, FieldType>>;

/** What `decode` makes of a struct. */
export type Decoded<T extends FieldTypes> = { readonly [F in keyof T]: ReturnType<T[F]['get']> };

/** What `encode` makes a struct of: fields that are absent are 0. */
export type Given<T extends FieldTypes> = { readonly [F in keyof T]?: Parameters<T[F]['set']>[2] };

/** The layout of a C struct. */
export interface Struct<T extends FieldTypes = FieldTypes> {
  readonly cName: string;
  /** sizeof, in bytes. */
  readonly size: number;
  readonly types: T;
  /** Offset and size of each field, in bytes. */
  readonly fields: Readonly<Record<keyof T, { readonly offset: number; readonly size: number }>>;
  /** Offset of each field, in bytes. */
  readonly at: Readonly<Record<keyof T, number>>;
  /** @throws RangeError for a value that its field cannot hold, and for a field that there is not. */
  encode(given: Given<T>): Uint8Array;
  /** The struct at `data[at]`. @throws RangeError when `data` ends before it does. */
  decode(data: Uint8Array, at?: number): Decoded<T>;
}

/** Lays the fields out in their order. @throws Error when the C compiler would have to insert padding. */
export function struct<T extends FieldTypes>(cName: string, types: T): Struct<T> {
  const fields = {} as Record<keyof T, { offset: number; size: number }>;
  const at = {} as Record<keyof T, number>;
  let size = 0;
  let align = 1;
  for (const [name, type] of Object.entries(types) as [keyof T, FieldType][]) {
    if (size % type.align !== 0) throw new Error(`struct ${cName} has a hole before ${String(name)}`);
    fields[name] = { offset: size, size: type.size };
    at[name] = size;
    size += type.size;
    align = Math.max(align, type.align);
  }
  if (size % align !== 0) throw new Error(`struct ${cName} has a hole at its end`);
  const layout = { cName, size, types, fields, at };
  return Object.freeze({
    ...layout,
    encode: (given: Given<T>) => encode(layout, given),
    decode: (data: Uint8Array, at = 0) => decode(layout, data, at) as Decoded<T>,
  });
}

/** The struct of an ioctl: its first field says how long it is. @throws RangeError as Struct.encode. */
export function sized<T extends FieldTypes>(struct: Struct<T>, given: Given<T>): Uint8Array {
  const data = struct.encode(given);
  setU32(data, 0, struct.size);
  return data;
}

type Layout = Pick<Struct, 'cName' | 'size' | 'types' | 'at'>;

function encode({ cName, size, types, at }: Layout, given: Readonly<Record<string, unknown>>): Uint8Array {
  const data = new Uint8Array(size);
  for (const name of Object.keys(given)) {
    const type = types[name];
    const value = given[name];
    if (type === undefined) throw new RangeError(`struct ${cName} has no field ${name}`);
    if (!type.holds(value)) throw new RangeError(`${name} of struct ${cName} cannot be ${value}`);
    type.set(data, at[name]!, value);
  }
  return data;
}

function decode({ cName, size, types, at }: Layout, data: Uint8Array, from: number): Record<string, unknown> {
  if (from < 0 || from + size > data.length)
    throw new RangeError(`${data.length} bytes have no struct ${cName} of ${size} bytes at ${from}`);
  const decoded: Record<string, unknown> = {};
  for (const name of Object.keys(types)) decoded[name] = types[name]!.get(data, from + at[name]!);
  return decoded;
}

function getU8(data: Uint8Array, at: number): number {
  return data[at]!;
}

export function setU8(data: Uint8Array, at: number, value: number): void {
  data[at] = value;
}

export function getU32(data: Uint8Array, at: number): number {
  return (data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)) >>> 0;
}

export function getS32(data: Uint8Array, at: number): number {
  return data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24);
}

export function getU64(data: Uint8Array, at: number): number {
  return getU32(data, at + 4) * 0x1_0000_0000 + getU32(data, at);
}

/** All 64 bits; allocates, so not for the ioctls that must be fast. */
export function getBig(data: Uint8Array, at: number): bigint {
  return (BigInt(getU32(data, at + 4)) << 32n) | BigInt(getU32(data, at));
}

export function getU16(data: Uint8Array, at: number): number {
  return data[at]! | (data[at + 1]! << 8);
}

export function setU16(data: Uint8Array, at: number, value: number): void {
  data[at] = value;
  data[at + 1] = value >>> 8;
}

/** Stores the low 64 bits of `value`. */
export function setBig(data: Uint8Array, at: number, value: bigint): void {
  setU32(data, at, Number(value & 0xffff_ffffn));
  setU32(data, at + 4, Number((value >> 32n) & 0xffff_ffffn));
}

export function setU32(data: Uint8Array, at: number, value: number): void {
  data[at] = value;
  data[at + 1] = value >>> 8;
  data[at + 2] = value >>> 16;
  data[at + 3] = value >>> 24;
}

export function setU64(data: Uint8Array, at: number, value: number): void {
  setU32(data, at, value >>> 0);
  setU32(data, at + 4, Math.floor(value / 0x1_0000_0000));
}
