/**
 * CallRecord: a call on a file of ours as it is noted while the program waits: numbers, and copies of bytes.
 *
 * What they mean is made of it later (`callEvent`), by whoever shows it, perhaps on another thread: the call
 * itself pays for the copies alone. Layouts and descriptors stand beside the bytes: no more is needed.
 */
import { hex } from '../linux/errno.js';
import type { IoctlArgument, IoctlShape } from '../uapi/ioctl.js';
import type { Struct } from '../uapi/struct.js';
import type { CallEvent, CallKind } from './event.js';
import { changedFields, fieldsOf, fieldValue, namedDescriptor, textOf } from './fields.js';

/** Bytes that are shown of a read or write. */
export const SHOWN_BYTES = 64;

/** Of an ioctl. */
export interface IoctlPart {
  readonly cmd: number;
  readonly arg: number;
  /** Absent: the file has none such. */
  readonly shape: IoctlShape | undefined;
  /** The bytes of the argument as far as they were read, and as they were then; none of a number. */
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  /** What the descriptors are that the call has named. */
  readonly descriptors: ReadonlyMap<number, string>;
}

/** Of a read, write or load. */
export interface TransferPart {
  /** Absent: the file is a stream, which has no offsets. */
  readonly offset: number | undefined;
  readonly place: string | undefined;
  /** Bytes that it was for. */
  readonly length: number;
  /** What it carries; absent: bytes. */
  readonly layout: Struct | undefined;
  /** The first of the bytes that were read or written: all that the layout has, or SHOWN_BYTES. */
  readonly bytes: Uint8Array;
}

/**
 * How a call came to its file: as a system call, as a store of a mapping, as one of 64 bytes; or not at all,
 * since it was refused before.
 */
export type CallWay = 'call' | 'store' | 'store64' | 'unserved';

export interface CallRecord {
  readonly call: CallKind;
  /** As CallEvent has them. */
  readonly path: string;
  readonly pid: number | undefined;
  readonly tid: number | undefined;
  readonly program: string | undefined;
  readonly fd: number | undefined;
  readonly ioctl: IoctlPart | undefined;
  readonly transfer: TransferPart | undefined;
  readonly result: number;
  readonly error: string | undefined;
  readonly reason: string | undefined;
  /** The number of the open file, which an open has made; undefined: an open that has made none. */
  readonly file: number | undefined;
  /** It has gone on in pieces: by which number they are known. */
  readonly part: number | undefined;
  readonly way: CallWay;
  /** Microseconds. */
  readonly duration: number;
}

/** The call as data for those who look, when it has ended at `time`. */
export function callEvent(record: CallRecord, time: number): CallEvent & { readonly time: number } {
  const { call, path, pid, tid, program, fd, ioctl, transfer, result, error, reason, duration } = record;
  const argument = ioctl && argumentOf(ioctl);
  const content = transfer && contentOf(transfer);
  return {
    kind: 'call',
    time,
    call,
    pid,
    tid,
    program,
    path,
    fd,
    name: argument?.name,
    offset: transfer?.offset === undefined ? undefined : hex(transfer.offset),
    place: transfer?.place,
    length: transfer?.length,
    bytes: content?.bytes,
    input: argument?.input ?? content?.input,
    output: argument?.output,
    descriptors: argument?.descriptors,
    result,
    error,
    reason,
    duration,
  };
}

type Content = Pick<CallEvent, 'bytes' | 'input'>;

function contentOf({ layout, bytes }: TransferPart): Content {
  return {
    bytes: Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, SHOWN_BYTES)).toString('hex'),
    input: layout && bytes.length >= layout.size ? fieldsOf(layout, bytes, layout.size, unknown) : undefined,
  };
}

const unknown = () => undefined;

type Argument = Pick<CallEvent, 'name' | 'input' | 'output' | 'descriptors'>;

interface Known {
  readonly part: IoctlPart;
  readonly is: Argument;
}

/** What was made last of an argument of each shape: who polls says the same again and again. */
const known = new WeakMap<IoctlShape, Known>();

/** What the argument said, and what has become of it; the same object for the same again. */
function argumentOf(part: IoctlPart): Argument {
  const { cmd, shape } = part;
  if (shape === undefined) return { name: hex(cmd) };
  const last = known.get(shape);
  if (last !== undefined && sameSaid(last.part, part)) return last.is;
  const is = madeArgument(part, shape);
  known.set(shape, { part, is });
  return is;
}

function sameSaid(one: IoctlPart, other: IoctlPart): boolean {
  if (one.descriptors.size + other.descriptors.size > 0) return false;
  if (one.arg !== other.arg && !isStruct(one.shape!.argument)) return false;
  return sameBytes(one.input, other.input) && sameBytes(one.output, other.output);
}

export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let n = 0; n < one.length; n++) if (one[n] !== other[n]) return false;
  return true;
}

function madeArgument({ arg, input, output, descriptors }: IoctlPart, shape: IoctlShape): Argument {
  const { name, argument } = shape;
  const describe = (fd: number) => descriptors.get(fd);
  if (argument === 'number') return { name, input: { arg } };
  if (argument === 'string') return { name, input: { name: textOf(input) } };
  if (argument === undefined) return { name };
  if (!isStruct(argument)) return { name, input: { arg: fieldValue(arg, argument, describe) } };
  const before = fieldsOf(argument, input, input.length, describe);
  const changed = changedFields(argument, input, output, describe);
  if (descriptors.size === 0) return { name, input: before, output: changed };
  const shown = JSON.stringify([before, changed]);
  const others = [...descriptors.keys()].filter((fd) => !shown.includes(`{"fd":${fd},`));
  return {
    name,
    input: before,
    output: changed,
    descriptors: others.length > 0 ? others.map((fd) => namedDescriptor(fd, describe)) : undefined,
  };
}

export function isStruct(argument: IoctlArgument): argument is Struct {
  return typeof argument === 'object' && 'types' in argument;
}
