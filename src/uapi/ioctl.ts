/**
 * ioctl numbers, and the one place for the size and version rules of the native ABI.
 *
 * A table says for every ioctl its number, its struct, the flags it knows and its handler. `native` wraps the
 * handler in what is the same for all: struct size, unknown bytes, unknown flags, reserved fields. A handler
 * sees only calls that have passed.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import type { Sliced } from '../file/work.js';
import { hex, refuse } from '../linux/errno.js';
import { getU32, type Meaning, type Struct } from './struct.js';

/** Does one ioctl on the object behind a file. @returns the ioctl's result, >= 0. @throws Refusal */
export type IoctlHandler<T> = (object: T, caller: Caller, call: IoctlCall) => Sliced<number>;

/**
 * What the third argument of ioctl(2) is: the address of a struct or of a NUL-terminated string, a number, a
 * number that has a meaning, or nothing.
 */
export type IoctlArgument = Struct | 'string' | 'number' | Meaning | undefined;

/** How an ioctl is written: its name, and what it takes. */
export interface IoctlShape {
  readonly name: string;
  readonly argument: IoctlArgument;
}

export interface Ioctl<T> extends IoctlShape {
  readonly handle: IoctlHandler<T>;
}

/** The ioctls of a file, by `ioctlKey`. */
export type IoctlTable<T> = ReadonlyMap<number, Ioctl<T>>;

/** Ioctls by their names: the number, what the argument is, and who serves it. */
export type IoctlRows<T> = Readonly<
  Record<string, readonly [key: number, argument: IoctlArgument, handle: IoctlHandler<T>]>
>;

/** What the ioctls of all tables are called, by their keys: some have one key, on different files. */
const names = new Map<number, Set<string>>();

/** The table of `ioctls`, each with its key. */
export function tableOf<T>(ioctls: readonly (readonly [key: number, ioctl: Ioctl<T>])[]): IoctlTable<T> {
  for (const [key, { name }] of ioctls) names.set(key, (names.get(key) ?? new Set()).add(name));
  return new Map(ioctls);
}

export function ioctlTable<T>(rows: IoctlRows<T>): IoctlTable<T> {
  return tableOf(
    Object.entries(rows).map(([name, [key, argument, handle]]) => [key, { name, argument, handle }]),
  );
}

/** @throws Refusal ENOTTY */
export function refuseIoctl(cmd: number): never {
  const known = [...(names.get(ioctlKey(cmd)) ?? [])].join(' or ');
  const what = known === '' ? hex(cmd) : `${known} (${hex(cmd)}), which is for another file`;
  return refuse('ENOTTY', `this file has no ioctl ${what}`);
}

/** What ioctls are matched by: type and number, whatever size and direction say. */
export function ioctlKey(cmd: number): number {
  return cmd & 0xffff;
}

/** Bytes that the ioctl number says the struct has (_IOC_SIZE). */
export function ioctlSize(cmd: number): number {
  return (cmd >>> 16) & 0x3fff;
}

/** The number of a read-and-write ioctl: _IOWR(type, nr, struct of `size` bytes). */
export function iowr(type: number, nr: number, size: number): number {
  return ((3 << 30) | (size << 16) | (type << 8) | nr) >>> 0;
}

/** One ioctl of the native ABI, as data. */
export interface NativeIoctl<T> {
  readonly nr: number;
  /** The struct as this version knows it; begins with `size` and `flags`. */
  readonly struct: Struct;
  /** Flags that are known. */
  readonly flags: number;
  /** True when the ioctl changes state: its reply must be known to arrive before it does. */
  readonly changes: boolean;
  readonly handle: IoctlHandler<T>;
}

/** The table of native ioctls of a file. */
export function nativeTable<T>(
  type: number,
  ioctls: Readonly<Record<string, NativeIoctl<T>>>,
): IoctlTable<T> {
  return tableOf(
    Object.entries(ioctls).map(([name, ioctl]) => [
      (type << 8) | ioctl.nr,
      { name, argument: ioctl.struct, handle: native(name, ioctl) },
    ]),
  );
}

function native<T>(name: string, ioctl: NativeIoctl<T>): IoctlHandler<T> {
  const reserved = Object.entries(ioctl.struct.fields).filter(([field]) => field.startsWith('reserved'));
  return (object, caller, call) => {
    checkSize(name, ioctl.struct, call);
    const flags = getU32(call.data, 4);
    if (flags & ~ioctl.flags)
      refuse('EOPNOTSUPP', `${name} does not know the flags ${hex((flags & ~ioctl.flags) >>> 0)}`);
    for (const [field, { offset }] of reserved) {
      if (getU32(call.data, offset) !== 0)
        refuse(
          'EOPNOTSUPP',
          `${name} field __${field} is ${hex(getU32(call.data, offset))} and must be zero`,
        );
    }
    // A reply that cannot be stored would leave behind what nobody knows of. So ask first: writing back what
    // is there changes nothing.
    if (ioctl.changes) caller.writeMemory(call.arg, call.data);
    return ioctl.handle(object, caller, call);
  };
}

function checkSize(name: string, struct: Struct, call: IoctlCall): void {
  const { data } = call;
  if (call.cmd >>> 30 !== 3)
    refuse('EINVAL', `${name} must be an _IOWR ioctl, but its number ${hex(call.cmd)} has another direction`);
  if (data.length < struct.size)
    refuse(
      'EINVAL',
      `${name} takes ${struct.size} bytes, but its number ${hex(call.cmd)} carries ${data.length}`,
    );
  const size = getU32(data, 0);
  if (size < struct.size)
    refuse(
      'EINVAL',
      `${name} says size ${size}, which is less than the ${struct.size} bytes of struct ${struct.cName}`,
    );
  if (size > data.length)
    refuse(
      'EINVAL',
      `${name} says size ${size}, but its number ${hex(call.cmd)} carries ${data.length} bytes`,
    );
  for (let at = struct.size; at < size; at++) {
    if (data[at] !== 0)
      refuse(
        'E2BIG',
        `${name} has a byte ${hex(data[at]!)} at offset ${at}, where this version knows no field`,
      );
  }
}
