/**
 * The size and version rules of iommufd's ioctls, around a handler, and what handlers share.
 *
 * The ioctls are `_IO(';', nr)`: the kernel copies nothing, `arg` is the address of a struct that begins with
 * its size. A shorter struct than the first version is EINVAL, what is missing reads as zero, nonzero bytes
 * beyond what we know are E2BIG, and so are more than MOST_TAIL. As in Linux, an ioctl has done its work when
 * the reply turns out to have no place (EFAULT), except where it would leave behind an object without a name.
 */
import type { Caller, OpenFile } from '../../file/open-file.js';
import { failing, type Sliced, type Work, workOf } from '../../file/work.js';
import type { IommufdContext } from '../../iommufd/context.js';
import type { IommufdObject } from '../../iommufd/objects.js';
import { hex, refuse } from '../../linux/errno.js';
import type { IoctlHandler } from '../ioctl.js';
import { getU32, type Struct, setU32 } from '../struct.js';

export const IOMMUFD_TYPE = 0x3b;

/**
 * What is looked at behind a struct, at once: four pages, since each may come late. (1 MiB of them kept
 * everybody waiting for 60 ms.)
 */
const MOST_TAIL = 2 ** 14;
const ZEROS = new Uint8Array(MOST_TAIL);
/** A part of the caller's memory. */
const part = new Uint8Array(ZEROS.length);

/** What a handler sees: its struct with what is missing as zeros, and how to answer. */
export interface Command {
  readonly caller: Caller;
  readonly data: Uint8Array;
  /** Stores the struct in the caller, as much of it as he has. @throws Refusal EFAULT. */
  respond(): void;
}

export type Handler = (context: IommufdContext, command: Command) => Sliced<number>;

export interface IommufdIoctl {
  readonly nr: number;
  readonly struct: Struct;
  /** The last field of the first version. */
  readonly last: string;
  readonly handle: Handler;
}

/** The size and version rules, around a handler. */
export function iommufd(
  name: string,
  { nr, struct: layout, last, handle }: IommufdIoctl,
): IoctlHandler<IommufdContext> {
  const { offset, size } = layout.fields[last]!;
  const least = offset + size;
  return (context, caller, { cmd, arg }) => {
    if (cmd !== ((IOMMUFD_TYPE << 8) | nr))
      refuse('ENOTTY', `${name} is ioctl ${hex((IOMMUFD_TYPE << 8) | nr)}, not ${hex(cmd)}`);
    const data = new Uint8Array(layout.size);
    caller.readMemory(arg, data.subarray(0, 4));
    const given = getU32(data, 0);
    if (given < least)
      refuse(
        'EINVAL',
        `${name} says size ${given}, which is less than the ${least} bytes of its first version`,
      );
    checkTail(name, caller, arg, layout.size, given);
    const known = data.subarray(0, Math.min(given, layout.size));
    caller.readMemory(arg, known);
    return handle(context, { caller, data, respond: () => caller.writeMemory(arg, known) });
  };
}

/**
 * What lies beyond the struct that we know must be zeros, of MOST_TAIL bytes at most: 4 GiB of zeros cost
 * their caller nothing, and take seconds to be looked at. Of more it is seen whether they end in memory.
 */
export function checkTail(name: string, caller: Caller, arg: number, size: number, given: number): void {
  const end = Math.min(given, size + MOST_TAIL);
  for (let at = size, length = 4096; at < end; at += length, length = ZEROS.length) {
    const bytes = part.subarray(0, Math.min(length, end - at));
    caller.readMemory(arg + at, bytes);
    if (Buffer.compare(bytes, ZEROS.subarray(0, bytes.length)) === 0) continue;
    const nonzero = bytes.findIndex((byte) => byte !== 0);
    refuse(
      'E2BIG',
      `${name} has a byte ${hex(bytes[nonzero]!)} at offset ${at + nonzero}, where no field is known`,
    );
  }
  if (given <= end) return;
  caller.readMemory(arg + given - 1, part.subarray(0, 1));
  refuse('E2BIG', `${name} says size ${given}, more than ${MOST_TAIL} bytes beyond what is known of it`);
}

export function requireZero(data: Uint8Array, at: number, what: string): void {
  if (getU32(data, at) !== 0) refuse('EOPNOTSUPP', `${what} is ${hex(getU32(data, at))} and must be zero`);
}

/** Stores a reply that names a new object; where it has no place the object goes again. */
export function respondOrDestroy(
  context: IommufdContext,
  object: IommufdObject,
  command: Command,
): Sliced<number> {
  try {
    command.respond();
  } catch (refusal) {
    return failing(context.objects.destroy(object.id), refusal);
  }
  return 0;
}

/**
 * Gives the caller a descriptor of `file`, which stands for a new object, and stores the reply with its
 * number in the field at `fdAt`. Where the reply has no place, or the caller cannot be given a descriptor,
 * file and object go again.
 */
export function* respondWithFile(
  context: IommufdContext,
  object: IommufdObject,
  command: Command,
  fdAt: number,
  file: OpenFile,
): Work<number> {
  try {
    setU32(command.data, fdAt, yield* workOf(install(command, file)));
  } catch (refusal) {
    yield* workOf(context.objects.destroy(object.id));
    throw refusal;
  }
  command.respond();
  return 0;
}

/** A first reply comes before, without the descriptor: one that the caller has cannot be taken away again. */
function install(command: Command, file: OpenFile): Sliced<number> {
  try {
    command.respond();
  } catch (refusal) {
    return failing(file.release(), refusal);
  }
  return command.caller.install(file);
}
