/** The layout of one ioctl: its name for people, its number, its struct. */
import { chars, type FieldType, type Struct, struct, u32 } from '../uapi/struct.js';

export interface Layout {
  readonly name: string;
  readonly cmd: number;
  /** Which of the operations of IOMMU_TEST_CMD. */
  readonly op?: number;
  readonly struct: Struct;
  /** A call on a device file: some of VFIO's numbers mean another call on a container. */
  readonly ofDevice?: boolean;
  /** Fields without which a difference says too little. */
  readonly telling?: readonly string[];
}

export const TYPE = 0x3b;
export const TEST = (TYPE << 8) | 0xa0;
const TEST_BYTES = 72;
export const VHOST = 0xaf;

export function iommufd(name: string, nr: number, fields: Record<string, FieldType>): Layout {
  return { name, cmd: (TYPE << 8) | nr, struct: struct(name, { size: u32, ...fields }) };
}

/** An operation of the test interface: its fields stand in a union of fixed size. */
export function test(name: string, op: number, fields: Record<string, FieldType>): Layout {
  const head = { size: u32, op: u32, id: u32, __reserved: u32 };
  const used = Object.values(fields).reduce((total, field) => total + field.size, 16);
  const rest = chars(TEST_BYTES - used);
  return { name: `TEST_${name}`, cmd: TEST, op, struct: struct(name, { ...head, ...fields, __rest: rest }) };
}

export function vfio(name: string, nr: number, fields: Record<string, FieldType>): Layout {
  return { name: `VFIO_${name}`, cmd: (TYPE << 8) | nr, struct: struct(name, fields) };
}

/** The directions of an ioctl's data, as its number says them. */
export const Direction = { none: 0, write: 1, read: 2, both: 3 } as const;

/** A call on a vhost file: `bytes` of its struct count in its number. */
export function vhost(
  name: string,
  direction: keyof typeof Direction,
  nr: number,
  fields: Record<string, FieldType>,
  { bytes, telling = [] }: { readonly bytes?: number; readonly telling?: readonly string[] } = {},
): Layout {
  const made = struct(name, fields);
  const cmd = ((Direction[direction] << 30) | ((bytes ?? made.size) << 16) | (VHOST << 8) | nr) >>> 0;
  return { name: `VHOST_${name}`, cmd, struct: made, telling };
}

/** A call on a VFIO device file. */
export function device(
  name: string,
  nr: number,
  fields: Record<string, FieldType>,
  telling: readonly string[] = [],
): Layout {
  return { ...vfio(`DEVICE_${name}`, nr, fields), ofDevice: true, telling };
}
