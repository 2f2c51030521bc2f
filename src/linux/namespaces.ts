/**
 * Mount namespaces: a view of the file system of this process's own, which vanishes with the last process in
 * it.
 *
 * What is mounted outside keeps appearing inside (the namespace is a slave of the one it was made from);
 * nothing that is mounted inside is ever visible outside.
 */
import { address, check, libc } from './ffi.js';

const CLONE_NEWNS = 0x20000;
const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const MS_REMOUNT = 0x20;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SLAVE = 0x80000;
const MNT_DETACH = 2;
const O_PATH = 0o10000000;
const O_DIRECTORY = 0o200000;
const O_CLOEXEC = 0o2000000;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;

/**
 * Puts this thread into a mount namespace of its own. Needs CAP_SYS_ADMIN. @throws Refusal EPERM without it.
 */
export function enterMountNamespace(): void {
  check(libc().unshare(CLONE_NEWNS), 'a mount namespace of its own needs root');
  check(
    libc().mount('none', '/', null, MS_REC | MS_SLAVE, null),
    'the mounts of the new namespace cannot be made private',
  );
}

/** Mounts the file or folder `source`, with all that is mounted below it, on `target` as well. */
export function bind(source: string, target: string): void {
  check(libc().mount(source, target, null, MS_BIND | MS_REC, null), `${source} cannot be bound to ${target}`);
}

/**
 * Makes what is mounted on `target` read-only, here and nowhere else. @throws Refusal EPERM in a namespace
 * without root.
 */
export function makeReadOnly(target: string): void {
  const flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  check(libc().mount('none', target, null, flags, null), `${target} cannot be made read-only`);
}

/**
 * Mounts an empty file system that lives in memory on the folder `target`. @throws Refusal EPERM when
 * mounting is not allowed here.
 */
export function mountMemory(target: string): void {
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  check(
    libc().mount('ioasid', target, 'tmpfs', flags, 'mode=755'),
    `no file system in memory can be mounted on ${target}`,
  );
}

/** Takes the topmost mount at `target` out of this namespace. @throws Refusal EINVAL, EPERM. */
export function unmount(target: string): void {
  check(libc().umount2(target, MNT_DETACH), `${target} cannot be unmounted`);
}

/**
 * A descriptor for the folder `path` as it is now, whatever is mounted over it later. Close it with
 * `libc().close`.
 */
export function openFolder(path: string): number {
  return check(
    libc().open(path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0),
    `${path} is not a folder that can be opened`,
  );
}

/** Gives up every capability, those kept over exec included: the next program runs as the plain user. */
export function dropCapabilities(): void {
  check(
    libc().prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0),
    'the ambient capabilities cannot be dropped',
  );
  const header = Buffer.alloc(128);
  const none = Buffer.alloc(128);
  header.writeUInt32LE(LINUX_CAPABILITY_VERSION_3, 0);
  check(libc().capset(address(header), address(none)), 'the capabilities cannot be dropped');
}
