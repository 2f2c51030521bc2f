/**
 * CallRecord: a call on a file of ours as it is noted while the program waits: numbers, and copies of bytes.
 *
 * What they mean is made of it later (`callEvent`), by whoever shows it, perhaps on another thread: the call
 * itself pays for the copies alone. Layouts and descriptors stand beside the bytes: no more is needed.
 */
import { hex } from '../linux/errno.js';
import type { IoctlArgument, IoctlShape } from '../uapi/ioctl.js';
import type { Struct } from '../uapi/struct.js';
import type { CallEvent, CallKind, Fields } from './event.js';
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

/** The call as data for those who look. */
export function callEvent(record: CallRecord): CallEvent {
  const { call, path, pid, tid, program, fd, ioctl, transfer, result, error, reason, duration } = record;
  return {
    kind: 'call',
    call,
    ...(pid !== undefined && { pid }),
    ...(tid !== undefined && { tid }),
    ...(program !== undefined && { program }),
    path,
    ...(fd !== undefined && { fd }),
    ...(ioctl && ioctlDetails(ioctl)),
    ...(transfer && transferDetails(transfer)),
    result,
    ...(error !== undefined && { error }),
    ...(reason !== undefined && { reason }),
    duration,
  };
}

type Details = Partial<CallEvent>;

function transferDetails({ offset, place, length, layout, bytes }: TransferPart): Details {
  return {
    ...(offset !== undefined && { offset: hex(offset) }),
    ...(place !== undefined && { place }),
    length,
    bytes: Buffer.from(bytes.subarray(0, SHOWN_BYTES)).toString('hex'),
    ...(layout && bytes.length >= layout.size && { input: shownFields(layout, bytes) }),
  };
}

function shownFields(layout: Struct, bytes: Uint8Array): Fields {
  return fieldsOf(layout, bytes, layout.size, () => undefined);
}

/** What the argument said, and what has become of it. */
function ioctlDetails({ cmd, arg, shape, input, output, descriptors }: IoctlPart): Details {
  const name = shape?.name ?? hex(cmd);
  const describe = (fd: number) => descriptors.get(fd);
  const { argument } = shape ?? {};
  if (argument === 'number') return { name, input: { arg } };
  if (argument === 'string') return { name, input: { name: textOf(input) } };
  if (argument === undefined) return { name };
  if (!isStruct(argument)) return { name, input: { arg: fieldValue(arg, argument, describe) } };
  const before = fieldsOf(argument, input, input.length, describe);
  const changed = changedFields(before, fieldsOf(argument, output, output.length, describe));
  const shown = JSON.stringify([before, changed]);
  const others = [...descriptors.keys()].filter((fd) => !shown.includes(`{"fd":${fd},`));
  return {
    name,
    input: before,
    ...(changed && { output: changed }),
    ...(others.length > 0 && { descriptors: others.map((fd) => namedDescriptor(fd, describe)) }),
  };
}

export function isStruct(argument: IoctlArgument): argument is Struct {
  return typeof argument === 'object' && 'types' in argument;
}
