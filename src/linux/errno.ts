/**
 * Linux error numbers, and `Refusal`: the one way an operation says no.
 *
 * A Refusal carries the errno that the caller's program sees and one sentence that names the value at fault.
 * Every error that leaves the system is one of these; anything else that is thrown is a bug in ioasid itself
 * (invariant.ts).
 */

/** Linux errno values (asm-generic/errno-base.h, errno.h), by name. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EPIPE: 32,
  ERANGE: 34,
  ENOSYS: 38,
  EBADE: 52,
  ENODATA: 61,
  EOVERFLOW: 75,
  EBADFD: 77,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  ENOBUFS: 105,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  ECANCELED: 125,
} as const;

/** The name of an errno: `"EBUSY"`. */
export type ErrnoName = keyof typeof Errno;

const names = new Map<number, ErrnoName>(
  Object.entries(Errno).map(([name, value]) => [value, name as ErrnoName]),
);

/** The name of errno `value`, or `"errno 123"` where this file does not know it. */
export function errnoName(value: number): string {
  return names.get(value) ?? `errno ${value}`;
}

/**
 * An operation was refused: `code`/`errno` is what the caller's program sees, `reason` names the value at
 * fault.
 */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly errno: number;
  /** The errno's name, as Node's own system errors have it. */
  readonly code: string;
  readonly reason: string;

  /** @param cause what was thrown, where that is a mistake in somebody's code: its stack tells more */
  constructor(errno: number, reason: string, cause?: unknown) {
    super(`${errnoName(errno)}: ${reason}`, cause === undefined ? undefined : { cause });
    this.errno = errno;
    this.code = errnoName(errno);
    this.reason = reason;
  }
}

/**
 * Throws a Refusal. `reason` is one sentence without a full stop: `"iova 0x1800 is not aligned to the 4 KiB
 * page"`. `cause` as of Refusal.
 */
export function refuse(errno: ErrnoName, reason: string, cause?: unknown): never {
  throw new Refusal(Errno[errno], reason, cause);
}

/** An address or length as reasons print it: `0x1800`. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
