/**
 * What kind of file is it and on which filesystem, asked of the kernel alone.
 *
 * Nothing here waits for a filesystem, because it may be our own: statx is called with AT_STATX_DONT_SYNC,
 * and the filesystem's type comes from the table of mounts and not from statfs, which a FUSE server would
 * have to answer.
 */
import { Errno, Refusal } from './errno.js';
import { address, lastErrno, libc } from './ffi.js';
import { deviceNumber, firstMountsOf, type Mount, mountsOf } from './mount-tables.js';
import { procFile } from './own-proc.js';
import { notOpen, notTraceable } from './proc.js';

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_TYPE = 0x1;
const STATX_INO = 0x100;
const STATX_SIZE = 0x200;
const STATX_MNT_ID = 0x1000;
const STATX_BLOCKS = 0x400;
const WANTED = STATX_TYPE | STATX_INO | STATX_SIZE | STATX_MNT_ID | STATX_BLOCKS;

const S_IFMT = 0o170000;
const MFD_CLOEXEC = 1;
const MFD_HUGETLB = 4;
const MFD_HUGE_SHIFT = 26;
const HUGE_PAGE_BITS = [21, 30, 16, 25, 29];
/** struct statx: mode 28, ino 32, size 40, blocks 48, dev_major 136, dev_minor 140, mnt_id 144; 256 bytes. */
const statxBytes = new Uint8Array(256);
const statxView = new DataView(statxBytes.buffer);

/** A file as statx saw it. */
export interface FileStatus {
  /** `S_IFREG`, `S_IFDIR`, ...: the type bits of st_mode. */
  readonly type: number;
  readonly size: number;
  /** Bytes that are not holes: of a memfd those that have pages. */
  readonly allocated: number;
  readonly device: number;
  readonly inode: number;
  /** Device and inode: the same text is the same file, as long as somebody holds it open. */
  readonly identity: string;
  readonly mount: number;
}

/** As long as somebody holds it open. */
export function isSameFile(one: FileStatus, other: FileStatus): boolean {
  return one.identity === other.identity && one.mount === other.mount;
}

/** FileStatus.identity, from the halves of the inode number. */
export function fileIdentity(device: number, inodeHi: number, inodeLo: number): string {
  return `${device}:${inodeHi}:${inodeLo}`;
}

/**
 * The file behind descriptor `fd` of thread `tid`. @throws Refusal EBADF no such descriptor; EPERM it may not
 * be seen.
 */
export function statusOfTheirs(tid: number, fd: number): FileStatus {
  if (fd < 0) throw notOpen(fd);
  if (
    libc().statx(AT_FDCWD, procFile(tid, `fd/${fd}`), AT_STATX_DONT_SYNC, WANTED, address(statxBytes)) === 0
  )
    return decode();
  throw lastErrno() === Errno.ENOENT ? notOpen(fd) : notTraceable(tid, `fd ${fd}`);
}

/** The file behind our own descriptor `fd`. */
export function statusOfOurs(fd: number): FileStatus {
  if (libc().statx(fd, '', AT_EMPTY_PATH | AT_STATX_DONT_SYNC, WANTED, address(statxBytes)) === 0)
    return decode();
  throw new Refusal(lastErrno(), `descriptor ${fd} has no status`);
}

function decode(): FileStatus {
  const word = (at: number) => statxView.getUint32(at, true);
  const device = deviceNumber(word(136), word(140));
  return {
    type: statxView.getUint16(28, true) & S_IFMT,
    size: word(40) + word(44) * 2 ** 32,
    allocated: (word(48) + word(52) * 2 ** 32) * 512,
    device,
    inode: word(32) + word(36) * 2 ** 32,
    identity: fileIdentity(device, word(36), word(32)),
    mount: word(144) + word(148) * 2 ** 32,
  };
}

/**
 * The type of the filesystem that is mounted as `mount`: `"tmpfs"`, `"ext4"`, `"fuse.sshfs"`; `"memfd"` and
 * `"hugetlb memfd"` for the kernel's own mounts, which no table lists. `"overlay"` is an overlay that this
 * process has mounted as well; of other mount namespaces it is `"foreign overlay"`, because anybody may lay
 * one over a FUSE filesystem of his own.
 * @returns undefined for a mount that this process has not, nor thread `tid` among the first of its own.
 */
export function filesystemOfMount(tid: number, mount: number): string | undefined {
  const ofKernel = kernelMounts().get(mount);
  if (ofKernel !== undefined) return ofKernel;
  const isIt = (each: Mount) => each.mount === mount;
  const { type, device } = firstMountsOf(tid).find(isIt) ?? mountsOf('self').find(isIt) ?? {};
  if (type === 'overlay' && !mountsOf('self').some((each) => each.device === device))
    return 'foreign overlay';
  return type;
}

/** The type of the filesystem on `device`, where thread `tid` has it among its first mounts. */
export function filesystemOfDevice(tid: number, device: number): string | undefined {
  return firstMountsOf(tid).find((line) => line.device === device)?.type;
}

/**
 * Which filesystem on `device` may have another process serve its pages, so that whoever touches one has to
 * wait for it: FUSE, an overlay of somebody's own, which may lie over that, one that is unknown. undefined:
 * the kernel serves them alone. Thread `tid` has it mounted, if anybody has.
 *
 * Device numbers of filesystems that are unmounted are given to others. So only those are remembered that
 * stay: the kernel's own, and those that this process had mounted when it first looked, which a program that
 * is served cannot unmount. To look at the tables may take milliseconds, and is asked for by each DMA: so
 * what was found of others is remembered for REMEMBERED_MS. Whoever mounts something else in that time has
 * it waited for, as long as other memory that does not come.
 */
export function servingFilesystem(tid: number, device: number): string | undefined {
  if (lastingDevices().has(device)) return undefined;
  const now = performance.now();
  if (now - rememberedFrom > REMEMBERED_MS || remembered.size === MOST_REMEMBERED) {
    remembered.clear();
    rememberedFrom = now;
  }
  const key = tid * 2 ** 32 + device;
  if (!remembered.has(key)) remembered.set(key, servingNow(tid, device));
  return remembered.get(key);
}

/** For so long, and of so many; a device number has 32 bits. */
const REMEMBERED_MS = 1000;
const MOST_REMEMBERED = 1024;
const remembered = new Map<number, string | undefined>();
let rememberedFrom = Number.NEGATIVE_INFINITY;

function servingNow(tid: number, device: number): string | undefined {
  const isIt = (line: Mount) => line.device === device;
  const { type } = firstMountsOf(tid).find(isIt) ?? mountsOf('self').find(isIt) ?? {};
  if (type === undefined) return 'a filesystem that neither it nor the server has mounted';
  if (type === 'overlay') return 'an overlay that the server has not mounted';
  return servesByProcess(type) ? `a ${type} filesystem` : undefined;
}

let lasting: Set<number> | undefined;

/** Devices whose pages the kernel serves alone, and that stay what they are. */
function lastingDevices(): Set<number> {
  kernelMounts();
  lasting ??= new Set([
    ...kernelDevices,
    ...mountsOf('self').flatMap(({ device, type }) => (servesByProcess(type) ? [] : [device])),
  ]);
  return lasting;
}

/** A FUSE filesystem, whoever serves it. */
function servesByProcess(type: string): boolean {
  return /^fuse|^virtiofs$/.test(type);
}

let ofKernel: Map<number, string> | undefined;
const kernelDevices: number[] = [];

/** The mounts that memfds live on: made at boot, never unmounted, found by making memfds of our own. */
function kernelMounts(): Map<number, string> {
  if (ofKernel === undefined) {
    ofKernel = new Map();
    for (const bits of HUGE_PAGE_BITS)
      addMemfdMount(ofKernel, MFD_HUGETLB + bits * 2 ** MFD_HUGE_SHIFT, 'hugetlb memfd');
    addMemfdMount(ofKernel, 0, 'memfd');
  }
  return ofKernel;
}

function addMemfdMount(mounts: Map<number, string>, flags: number, type: string): void {
  const fd = libc().memfd_create('mount', MFD_CLOEXEC + flags);
  if (fd === -1) return;
  const { mount, device } = statusOfOurs(fd);
  mounts.set(mount, type);
  kernelDevices.push(device);
  libc().close(fd);
}
