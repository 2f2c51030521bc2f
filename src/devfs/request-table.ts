/**
 * The requests of the kernel that are answered, by opcode. It does without what is not here: ACCESS,
 * GETXATTR, LSEEK, STATX and what it will invent.
 */
import type { FileRequests, Ongoing } from './file-requests.js';
import { HEADER_BYTES, Opcode } from './fuse-wire.js';
import type { Interrupts } from './interrupts.js';
import type { NameRequests } from './name-requests.js';
import type { StandIn } from './stand-in.js';

/** How requests of one opcode are handled. */
export interface RequestKind {
  /** Bytes of the header and the fields that are always there; what is shorter is malformed. */
  readonly least: number;
  /** @returns what is left to do, when it is not done. */
  handle(length: number): Ongoing | undefined | void;
}

/**
 * What the filesystem answers. OPEN, IOCTL and FLUSH must be here: the kernel would give them up for good
 * after one ENOSYS.
 */
export function requestTable(
  names: NameRequests,
  files: FileRequests,
  interrupts: Interrupts,
  standIn: StandIn | undefined,
): Record<number, RequestKind> {
  const change: RequestKind = { least: HEADER_BYTES, handle: () => names.change() };
  const open = () => {
    const inode = names.opened();
    standIn?.needed();
    return files.open(inode);
  };
  return {
    [Opcode.IOCTL]: { least: 72, handle: () => files.ioctl() },
    [Opcode.READ]: { least: 80, handle: () => files.read() },
    [Opcode.WRITE]: { least: 80, handle: (length) => files.write(length) },
    [Opcode.OPEN]: { least: 48, handle: open },
    [Opcode.FLUSH]: { least: 64, handle: () => files.flush() },
    [Opcode.RELEASE]: { least: 64, handle: () => files.release() },
    [Opcode.POLL]: { least: 64, handle: () => files.poll() },
    [Opcode.LOOKUP]: { least: 42, handle: (length) => names.lookup(length) },
    [Opcode.FORGET]: { least: 48, handle: () => names.forget() },
    [Opcode.BATCH_FORGET]: { least: 48, handle: (length) => names.forgetMany(length) },
    [Opcode.GETATTR]: { least: HEADER_BYTES, handle: () => names.attributes() },
    [Opcode.SETATTR]: { least: 128, handle: () => names.setAttributes() },
    [Opcode.FSYNC]: { least: HEADER_BYTES, handle: () => names.sync() },
    [Opcode.FALLOCATE]: { least: HEADER_BYTES, handle: () => names.allocate() },
    [Opcode.READLINK]: { least: HEADER_BYTES, handle: () => names.readLink() },
    [Opcode.OPENDIR]: { least: 48, handle: () => names.openDirectory() },
    [Opcode.READDIR]: { least: 80, handle: () => names.readDirectory() },
    [Opcode.RELEASEDIR]: { least: HEADER_BYTES, handle: () => names.closeDirectory() },
    [Opcode.STATFS]: { least: HEADER_BYTES, handle: () => names.filesystem() },
    [Opcode.INIT]: { least: 56, handle: () => names.init() },
    // No reply is due.
    [Opcode.INTERRUPT]: { least: HEADER_BYTES, handle: () => interrupts.arrived() },
    [Opcode.CREATE]: { least: HEADER_BYTES, handle: () => names.create() },
    [Opcode.LINK]: change,
    [Opcode.MKDIR]: change,
    [Opcode.MKNOD]: change,
    [Opcode.RENAME]: change,
    [Opcode.RENAME2]: change,
    [Opcode.RMDIR]: change,
    [Opcode.SYMLINK]: change,
    [Opcode.UNLINK]: change,
  };
}
