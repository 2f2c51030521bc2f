/**
 * Mount namespaces: a view of the file system of this process's own, which vanishes with the last process in
 * it.
 *
 * What is mounted outside keeps appearing inside (the namespace is a slave of the one it was made from);
 * nothing that is mounted inside is ever visible outside.
 *
 * A Step is for a process that is to have such a view (scripted-process.ts); all else is done here.
 */
import { constants } from 'node:fs';
import { check, libc } from './ffi.js';
import type { Step } from './scripted-process.js';

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
const AT_FDCWD = -100;
const O_PATH = 0o10000000;
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

/** The same for another process. */
export function ownMounts(): Step[] {
  const what = 'the mounts of the new namespace cannot be made private';
  return [
    { call: 'unshare', args: [CLONE_NEWNS], what: 'a mount namespace of its own needs root' },
    { call: 'mount', args: ['none', '/', 0, MS_REC | MS_SLAVE, 0], what },
  ];
}

/** Mounts the file or folder `source`, with all that is mounted below it, on `target` as well. */
export function bind(source: string, target: string): Step {
  const what = `${source} cannot be bound to ${target}`;
  return { call: 'mount', args: [source, target, 0, MS_BIND | MS_REC, 0], what };
}

/**
 * Makes what is mounted on `target` read-only, here and nowhere else: EPERM in a namespace without root.
 */
export function makeReadOnly(target: string): Step {
  const flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  return { call: 'mount', args: ['none', target, 0, flags, 0], what: `${target} cannot be made read-only` };
}

/**
 * Mounts an empty file system that lives in memory on the folder `target`: EPERM when mounting is not allowed
 * here.
 */
export function mountMemory(target: string): Step {
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  const what = `no file system in memory can be mounted on ${target}`;
  return { call: 'mount', args: ['ioasid', target, 'tmpfs', flags, 'mode=755'], what };
}

/** Takes the topmost mount at `target` out of the namespace: EINVAL, EPERM. */
export function unmount(target: string): Step {
  return { call: 'umount2', args: [target, MNT_DETACH], what: `${target} cannot be unmounted` };
}

/**
 * A descriptor for the folder `path` as it is now, whatever is mounted over it later. Close it with
 * `libc().close`.
 */
export function openFolder(path: string): number {
  const { args, what } = openedFolder(path);
  return check(libc().open(path, args[2] as number, 0), what);
}

/** The same for another process. */
export function openedFolder(path: string): Step {
  const flags = O_PATH | constants.O_DIRECTORY | O_CLOEXEC;
  const what = `${path} is not a folder that can be opened`;
  return { call: 'openat', args: [AT_FDCWD, path, flags, 0], what };
}

/** Gives up every capability, those kept over exec included: the next program runs as the plain user. */
export function dropCapabilities(): Step[] {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(LINUX_CAPABILITY_VERSION_3, 0);
  const clear = [PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0];
  return [
    { call: 'prctl', args: clear, what: 'the ambient capabilities cannot be dropped' },
    { call: 'capset', args: [header, Buffer.alloc(24)], what: 'the capabilities cannot be dropped' },
  ];
}
