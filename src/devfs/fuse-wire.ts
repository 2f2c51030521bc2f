/**
 * The FUSE protocol as bytes: opcodes, flags and where the fields of each message lie. Only facts, no
 * behaviour.
 *
 * Version 7.45, little-endian as the machines are that this runs on. Every message is made of 32-bit words
 * and aligned to 8 bytes, so a field is named by its word in a Uint32Array; a 64-bit field by its low word. A
 * request is a header of 10 words and a body, a reply a header of 4 words and a body. `Request.*` words count
 * from the start of the request, reply words from the start of their struct.
 */

export const MAJOR = 7;
export const MINOR = 45;
export const ROOT_ID = 1;

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  CREATE: 35,
  INTERRUPT: 36,
  IOCTL: 39,
  POLL: 40,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  RENAME2: 45,
} as const;

/** INIT flags. */
export const BIG_WRITES = 1 << 5;
export const MAX_PAGES = 1 << 22;
export const CACHE_SYMLINKS = 1 << 23;
export const INIT_EXT = 1 << 30;
/** In flags2, which come with INIT_EXT: files of FOPEN_DIRECT_IO may be mapped shared (Linux 6.6). */
export const DIRECT_IO_ALLOW_MMAP = 1 << 4;

/** OPEN reply flags. */
export const FOPEN_DIRECT_IO = 1 << 0;
/** No offsets: pread, pwrite and lseek are ESPIPE. */
export const FOPEN_STREAM = 1 << 4;
export const FOPEN_NOFLUSH = 1 << 5;

/** POLL: somebody waits, and is to be told by NOTIFY_POLL. */
export const POLL_SCHEDULE_NOTIFY = 1 << 0;
/**
 * Stands where a reply has its error, in a message that answers no request: a polled file may have become
 * ready.
 */
export const NOTIFY_POLL = 1;

/** READ: the field lock_owner is there. */
const FUSE_READ_LOCKOWNER = 2;

/** SETATTR: mode, owner or group is to be changed. */
export const FATTR_MODE_OR_OWNER = 7;
/** The size is to be changed; by an open file, and not by its name. */
export const FATTR_SIZE = 1 << 3;
export const FATTR_FH = 1 << 6;

/** Words of a request. */
export const Request = {
  length: 0,
  opcode: 1,
  unique: 2,
  node: 4,
  uid: 6,
  pid: 8,
  body: 10,
} as const;

/** Words of the bodies of requests, and the byte at which a message's payload starts. */
export const ForgetIn = { lookups: 10 } as const;
/** Each is a node and its lookups. */
export const BatchForgetIn = { count: 10, first: 12, words: 4 } as const;
export const InitIn = { major: 10, minor: 11, maxReadahead: 12, flags: 13, flags2: 14 } as const;
export const SetattrIn = { valid: 10 } as const;
export const OpenIn = { flags: 10 } as const;
export const ReadIn = { handle: 10, offset: 12, size: 14, readFlags: 15 } as const;
export const WriteIn = { handle: 10, offset: 12, size: 14, payload: 80 } as const;
export const ReleaseIn = { handle: 10 } as const;
export const FlushIn = { handle: 10 } as const;
export const IoctlIn = { handle: 10, cmd: 13, arg: 14, inSize: 16, outSize: 17, payload: 72 } as const;
export const InterruptIn = { unique: 10 } as const;
export const PollIn = { handle: 10, kernelHandle: 12, flags: 14, events: 15 } as const;
export const HEADER_BYTES = 40;
/** Byte at which the name in LOOKUP starts. */
export const NAME = 40;

/** Words of a reply's header; its body starts at `body`, which is byte `bodyByte`. */
export const Reply = { length: 0, error: 1, unique: 2, body: 4, bodyByte: 16 } as const;

/**
 * The reply to an IOCTL is written over its request, so that the ioctl's bytes stay where they are: request
 * header (40 bytes) and fuse_ioctl_in (32) are followed by the same payload as reply header (16) and
 * fuse_ioctl_out (16), laid at byte 40.
 */
export const IoctlReply = {
  byte: 40,
  length: 10,
  error: 11,
  unique: 12,
  result: 14,
  flags: 15,
  inIovs: 16,
  outIovs: 17,
  headBytes: 32,
} as const;

/** struct fuse_attr, 88 bytes. */
export const Attr = {
  words: 22,
  ino: 0,
  size: 2,
  atime: 6,
  mtime: 8,
  ctime: 10,
  mode: 15,
  links: 16,
  uid: 17,
  gid: 18,
  blockSize: 20,
} as const;
/** struct fuse_entry_out. */
export const EntryOut = { words: 32, node: 0, generation: 2, entryValid: 4, attrValid: 6, attr: 10 } as const;
/** struct fuse_attr_out. */
export const AttrOut = { words: 26, attrValid: 0, attr: 4 } as const;
export const OpenOut = { words: 4, handle: 0, flags: 2 } as const;
export const WriteOut = { words: 2, size: 0 } as const;
export const PollOut = { words: 2, events: 0 } as const;
/** struct fuse_notify_poll_wakeup_out. */
export const PollWakeup = { words: 2, kernelHandle: 0 } as const;
export const StatfsOut = { words: 20, blockSize: 10, nameLength: 11, fragmentSize: 12 } as const;
/** struct fuse_init_out; maxBackground and maxPages are the low halves of their words. */
export const InitOut = {
  words: 16,
  major: 0,
  minor: 1,
  maxReadahead: 2,
  flags: 3,
  maxBackground: 4,
  maxWrite: 5,
  timeGranularity: 6,
  maxPages: 7,
  flags2: 8,
} as const;
/** struct fuse_dirent: the name follows, padded to 8 bytes. */
export const Dirent = { bytes: 24, ino: 0, next: 2, nameLength: 4, type: 5 } as const;

/**
 * Is this READ not a program's read, which has an owner, but the kernel's, for a page that somebody has
 * mapped?
 */
export function isForPage(request: Uint32Array): boolean {
  return (request[ReadIn.readFlags]! & FUSE_READ_LOCKOWNER) === 0;
}

/** Reads a 64-bit field. Exact below 2^53. */
export function get64(words: Uint32Array, at: number): number {
  return words[at]! + words[at + 1]! * 2 ** 32;
}

/** Stores a 64-bit field. `value` is a nonnegative integer below 2^53. */
export function set64(words: Uint32Array, at: number, value: number): void {
  words[at] = value >>> 0;
  words[at + 1] = value / 2 ** 32;
}

/**
 * The private ioctl that carries a nonce as its plain argument: _IO(';', 0xff). Whoever sends a wrong one
 * gets ENOTTY.
 */
export const NONCE_CMD = 0x3bff;
