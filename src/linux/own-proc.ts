/**
 * Where this process finds what the kernel says of others: in /proc, or in a procfs of its own.
 *
 * A process can have the kernel hold its folder in /proc, so that whoever looks for a name there that the
 * kernel has not at hand waits for that process, and no signal ends the wait. A procfs that nobody else has
 * (it is mounted nowhere: a descriptor holds it) has folders of its own, and says the same.
 */
import { addressOf, libc } from './ffi.js';

/** The same numbers everywhere. */
const [SYS_fsopen, SYS_fsconfig, SYS_fsmount] = [430, 431, 432];
const CLOEXEC = 1;
const FSCONFIG_CMD_CREATE = 6;
/** MOUNT_ATTR_NOSUID, NODEV and NOEXEC. */
const ATTRIBUTES = 2 + 4 + 8;

let root = '/proc';

/** The path of `file` in the folder of process or thread `id`. */
export function procFile(id: number | string, file: string): string {
  return `${root}/${id}/${file}`;
}

/** The folder of folders, for another thread's `useProc`. */
export function procRoot(): string {
  return root;
}

/** This thread looks where another one of this process does. */
export function useProc(ofOther: string): void {
  root = ofOther;
}

/**
 * Has a procfs of its own from now on. @returns whether it has: one needs CAP_SYS_ADMIN, and Linux 5.8, where
 * two of them are not the same one.
 */
export function haveOwnProc(): boolean {
  if (root !== '/proc') return true;
  const name = Buffer.alloc(128, 'proc\0');
  const made = libc().syscall(SYS_fsopen, addressOf(name), CLOEXEC, 0);
  if (made === -1) return false;
  const created = libc().syscall6(SYS_fsconfig, made, FSCONFIG_CMD_CREATE, 0, 0, 0, 0);
  const mount = created === 0 ? libc().syscall(SYS_fsmount, made, CLOEXEC, ATTRIBUTES) : -1;
  libc().close(made);
  if (mount === -1) return false;
  root = `/proc/self/fd/${mount}`;
  return true;
}
