/**
 * DeviceStatus: what stat(2) and its kin tell of a device file.
 *
 * To the kernel it has to be a regular file: it would take an open of a character device to the driver of
 * that number. So whoever asks has his answer changed: the kernel asks us on his behalf each time, and before
 * it is told, the thread is made to stop on its way out of the call (visits.ts). There the struct that it has
 * been given says that the file is a character device, of its number and without a size. Who asks for the
 * status of other files, or opens ours, pays nothing.
 *
 * A thread that cannot be traced, or calls in another way than these, is told of a regular file.
 */
import type { Caller } from '../file/open-file.js';
import { Refusal } from '../linux/errno.js';
import { Registers, Word } from '../linux/ptrace.js';
import { type Inode, S_IFREG } from './inode.js';
import { accountOf, type Openers } from './openers.js';
import type { StandIn } from './stand-in.js';
import type { Tracer } from './tracer.js';

const S_IFCHR = 0o020000;
const S_IFMT = 0o170000;
/** The code segment of 64-bit programs; others have other numbers for their calls, and other structs. */
const USER_CODE = 0x33;

/** Where a struct has what is looked at or changed, in bytes. */
interface Layout {
  readonly inode: number;
  readonly mode: number;
  readonly size: number;
  readonly blocks: number;
  putNumber(struct: DataView, major: number, minor: number): void;
}

/** struct stat (asm/stat.h): st_rdev 40, as the kernel packs it (new_encode_dev). */
const STAT: Layout = {
  inode: 8,
  mode: 24,
  size: 48,
  blocks: 64,
  putNumber: (struct, major, minor) =>
    struct.setUint32(40, (minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12), true),
};
/** struct statx (linux/stat.h): stx_rdev_major 128, stx_rdev_minor 132. */
const STATX: Layout = {
  inode: 32,
  mode: 28,
  size: 40,
  blocks: 48,
  putNumber: (struct, major, minor) => {
    struct.setUint32(128, major, true);
    struct.setUint32(132, minor, true);
  },
};
const LOOKED_AT = 136;

/** By the number of the call: which of its registers says where the struct is, and what it is. */
const calls = new Map<number, readonly [register: number, layout: Layout]>([
  [4, [Word.RSI, STAT]],
  [5, [Word.RSI, STAT]],
  [6, [Word.RSI, STAT]],
  [262, [Word.RDX, STAT]],
  [332, [Word.R8, STATX]],
]);
const registers = new Registers();

export class DeviceStatus {
  readonly #tracer: Tracer | undefined;
  readonly #openers: Openers;
  readonly #standIn: StandIn | undefined;

  /** `tracer`: who can make threads stop; undefined: nobody. `standIn` as FuseServerOptions.standIn. */
  constructor(tracer: Tracer | undefined, openers: Openers, standIn: StandIn | undefined) {
    this.#tracer = tracer;
    this.#openers = openers;
    this.#standIn = standIn;
  }

  /** Thread `tid`, of user `uid`, waits to be told of `inode`. To be called first. @throws TooEarly. */
  asked(tid: number, uid: number, { id, number }: Inode): void {
    if (this.#tracer === undefined || number === undefined || tid === 0) return;
    this.#standIn?.needed();
    try {
      const account = accountOf(this.#openers, tid, uid);
      this.#tracer.afterAnswer(tid, account, (caller) => tell(tid, caller, id, number));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }
}

/** Thread `tid`, which is `caller`, has stopped. @throws Refusal its struct is out of reach. */
function tell(tid: number, caller: Caller, inode: number, number: number): void {
  if (!registers.load(tid) || registers.signed(Word.RAX) !== 0) return;
  const call = calls.get(registers.wide(Word.ORIG_RAX));
  if (call === undefined || registers.words[Word.CS] !== USER_CODE) return;
  const [address, layout] = [registers.wide(call[0]), call[1]];
  const bytes = new Uint8Array(LOOKED_AT);
  const struct = new DataView(bytes.buffer);
  caller.readMemory(address, bytes);
  const mode = struct.getUint16(layout.mode, true);
  if (Number(struct.getBigUint64(layout.inode, true)) !== inode || (mode & S_IFMT) !== S_IFREG) return;
  struct.setUint16(layout.mode, S_IFCHR | (mode & ~S_IFMT), true);
  struct.setBigUint64(layout.size, 0n, true);
  struct.setBigUint64(layout.blocks, 0n, true);
  layout.putNumber(struct, Math.floor(number / 0x100000), number % 0x100000);
  caller.writeMemory(address, bytes);
}
