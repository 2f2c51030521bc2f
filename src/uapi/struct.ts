/**
 * Binary layouts as data: `struct('ioasid_free', {size: u32, flags: u32, pasid: u32, reserved: u32})` knows
 * where each field lies.
 *
 * Layouts follow the C ABI that all our structs keep to: little-endian, each field aligned to its own size
 * (`__aligned_u64`), no implicit padding (checked when the layout is made). Fields are read and written in
 * place by the functions below, with nothing allocated. 64-bit fields are plain numbers: exact below 2^53,
 * and everything above is out of range wherever such a field means an address or length.
 */

/** The kind of a field: its bytes, and of how many bytes its elements are. */
export interface FieldType {
  readonly size: number;
  readonly align: number;
}

export const u8: FieldType = { size: 1, align: 1 };
export const u16: FieldType = { size: 2, align: 2 };
export const u32: FieldType = { size: 4, align: 4 };
export const s32: FieldType = { size: 4, align: 4 };
export const u64: FieldType = { size: 8, align: 8 };
/** `char name[size]`. */
export const chars = (size: number): FieldType => ({ size, align: 1 });

/** The layout of a C struct. */
export interface Struct<F extends string = string> {
  readonly cName: string;
  /** sizeof, in bytes. */
  readonly size: number;
  /** Offset and size of each field, in bytes. */
  readonly fields: Readonly<Record<F, { readonly offset: number; readonly size: number }>>;
  /** Offset of each field, in bytes. */
  readonly at: Readonly<Record<F, number>>;
}

/** Lays the fields out in their order. @throws Error when the C compiler would have to insert padding. */
export function struct<F extends string>(cName: string, types: Readonly<Record<F, FieldType>>): Struct<F> {
  const fields = {} as Record<F, { offset: number; size: number }>;
  const at = {} as Record<F, number>;
  let offset = 0;
  let align = 1;
  for (const [name, type] of Object.entries(types) as [F, FieldType][]) {
    if (offset % type.align !== 0) throw new Error(`struct ${cName} has a hole before ${name}`);
    fields[name] = { offset, size: type.size };
    at[name] = offset;
    offset += type.size;
    align = Math.max(align, type.align);
  }
  if (offset % align !== 0) throw new Error(`struct ${cName} has a hole at its end`);
  return Object.freeze({ cName, size: offset, fields, at });
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
