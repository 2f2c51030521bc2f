/**
 * Linux error numbers, and `Refusal`: the one way an operation says no.
 *
 * A Refusal carries the errno that the caller's program sees and one sentence that names the value at fault.
 * Every error that leaves the system is one of these; anything else that is thrown is a bug in ioasid itself
 * (invariant.ts).
 */
import { getSystemErrorMap } from 'node:util';

/** Linux errno values (asm-generic/errno-base.h, errno.h), by name: all of them. */
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
  ENOTBLK: 15,
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
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENOMSG: 42,
  EIDRM: 43,
  ECHRNG: 44,
  EL2NSYNC: 45,
  EL3HLT: 46,
  EL3RST: 47,
  ELNRNG: 48,
  EUNATCH: 49,
  ENOCSI: 50,
  EL2HLT: 51,
  EBADE: 52,
  EBADR: 53,
  EXFULL: 54,
  ENOANO: 55,
  EBADRQC: 56,
  EBADSLT: 57,
  EBFONT: 59,
  ENOSTR: 60,
  ENODATA: 61,
  ETIME: 62,
  ENOSR: 63,
  ENONET: 64,
  ENOPKG: 65,
  EREMOTE: 66,
  ENOLINK: 67,
  EADV: 68,
  ESRMNT: 69,
  ECOMM: 70,
  EPROTO: 71,
  EMULTIHOP: 72,
  EDOTDOT: 73,
  EBADMSG: 74,
  EOVERFLOW: 75,
  ENOTUNIQ: 76,
  EBADFD: 77,
  EREMCHG: 78,
  ELIBACC: 79,
  ELIBBAD: 80,
  ELIBSCN: 81,
  ELIBMAX: 82,
  ELIBEXEC: 83,
  EILSEQ: 84,
  ERESTART: 85,
  ESTRPIPE: 86,
  EUSERS: 87,
  ENOTSOCK: 88,
  EDESTADDRREQ: 89,
  EMSGSIZE: 90,
  EPROTOTYPE: 91,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  ESOCKTNOSUPPORT: 94,
  EOPNOTSUPP: 95,
  EPFNOSUPPORT: 96,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENETRESET: 102,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  ESHUTDOWN: 108,
  ETOOMANYREFS: 109,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
  ESTALE: 116,
  EUCLEAN: 117,
  ENOTNAM: 118,
  ENAVAIL: 119,
  EISNAM: 120,
  EREMOTEIO: 121,
  EDQUOT: 122,
  ENOMEDIUM: 123,
  EMEDIUMTYPE: 124,
  ECANCELED: 125,
  ENOKEY: 126,
  EKEYEXPIRED: 127,
  EKEYREVOKED: 128,
  EKEYREJECTED: 129,
  EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131,
  ERFKILL: 132,
  EHWPOISON: 133,
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

/** What errno `value` means, for people: `"no such file or directory"`. */
export function errnoWords(value: number): string {
  return getSystemErrorMap().get(-value)?.[1] ?? errnoName(value);
}

/** Positive, of what a call of Node's has thrown. */
export function errnoOf(error: unknown): number {
  return -((error as NodeJS.ErrnoException).errno ?? -Errno.EIO);
}

/** Why a call of Node's failed, for people, as errnoWords. */
export function inWords(error: unknown): string {
  const { errno } = error as NodeJS.ErrnoException;
  return errno === undefined ? String(error) : errnoWords(-errno);
}

/**
 * An operation was refused: `code`/`errno` is what the caller's program sees, `reason` names the value at
 * fault.
 */
export class Refusal extends Error {
  /** As of every Error. */
  override readonly name = 'Refusal';
  /** Positive, of Linux: `Errno` has them by name. */
  readonly errno: number;
  /** The errno's name, as Node's own system errors have it. */
  readonly code: string;
  /** Why, in one sentence without a full stop. */
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
