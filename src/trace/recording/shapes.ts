/**
 * The layouts of structs and the shapes of ioctls as text: a recording brings its own, and so can be read by
 * a version that has others.
 *
 * A field is told by its size and its kind, which is found out by what it makes of bytes that are all ones.
 */
import { refuse } from '../../linux/errno.js';
import type { IoctlArgument, IoctlShape } from '../../uapi/ioctl.js';
import {
  chars,
  type FieldType,
  type Meaning,
  type Struct,
  s32,
  struct,
  u8,
  u16,
  u32,
  u64,
} from '../../uapi/struct.js';
import { isStruct } from '../call-record.js';
import { escaped } from '../lines.js';

type Kind = 'unsigned' | 'signed' | 'chars';

interface FieldText {
  readonly name: string;
  readonly kind: Kind;
  readonly size: number;
  readonly meaning?: Meaning;
}

interface StructText {
  readonly cName: string;
  readonly fields: readonly FieldText[];
}

type ArgumentText = { readonly struct: StructText } | { readonly is?: Exclude<IoctlArgument, Struct> };

export function layoutText(layout: Struct): string {
  return JSON.stringify(structText(layout));
}

/** @throws Refusal EINVAL the text is none of a layout. */
export function parseLayout(text: string): Struct {
  return parsed(text, (value) => structOf(value as StructText));
}

export function shapeText({ name, argument }: IoctlShape): string {
  const said: ArgumentText = isStruct(argument) ? { struct: structText(argument) } : { is: argument };
  return JSON.stringify({ name, ...said });
}

/** @throws Refusal EINVAL the text is none of a shape. */
export function parseShape(text: string): IoctlShape {
  return parsed(text, (value) => {
    const { name, ...said } = value as { readonly name: string } & ArgumentText;
    const argument = 'struct' in said ? structOf(said.struct) : said.is;
    if (typeof name !== 'string' || typeof argument === 'boolean') throw new TypeError('no shape');
    return { name, argument };
  });
}

function structText({ cName, types }: Struct): StructText {
  const fields = Object.entries(types).map(([name, type]) => {
    const { size, meaning } = type;
    return { name, kind: kindOf(type), size, ...(meaning && { meaning }) };
  });
  return { cName, fields };
}

function kindOf(type: FieldType): Kind {
  const value = type.get(new Uint8Array(type.size).fill(0xff), 0);
  if (value instanceof Uint8Array) return 'chars';
  return Number(value) < 0 ? 'signed' : 'unsigned';
}

const unsigned: ReadonlyMap<number, FieldType> = new Map(
  [u8, u16, u32, u64].map((type) => [type.size, type as FieldType]),
);

function structOf({ cName, fields }: StructText): Struct {
  return struct(cName, Object.fromEntries(fields.map((field) => [field.name, typeOf(field)])));
}

function typeOf({ kind, size, meaning }: FieldText): FieldType {
  const type = kind === 'chars' ? chars(size) : kind === 'signed' ? s32 : unsigned.get(size);
  if (type === undefined || type.size !== size) throw new TypeError('no such field');
  return { ...(type as FieldType), ...(meaning && { meaning }) };
}

/** No name of somebody else's moves a cursor: of a struct, of a field, of a value. */
function harmless(value: unknown): unknown {
  if (typeof value === 'string') return escaped(value);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [escaped(name), each]));
}

function parsed<T>(text: string, make: (value: unknown) => T): T {
  try {
    return make(JSON.parse(text, (_key, value: unknown) => harmless(value)));
  } catch {
    return refuse('EINVAL', 'a record describes a struct that cannot be one');
  }
}
