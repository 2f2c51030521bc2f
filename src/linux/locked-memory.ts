/**
 * Memory that programs have locked for devices, counted as Linux does (`--memlock`), against RLIMIT_MEMLOCK
 * of the process that has mapped it: what is pinned on a real machine, and here is counted only.
 *
 * There are three counts. Of a user, what iommufd maps (user_struct.locked_vm); of a process, what type1 maps
 * and iommufd in its other mode, beside what it has locked itself (VmLck); and of a process what iommufd and
 * vhost-vdpa map, which vhost-vdpa alone looks at (VmPin). CAP_IPC_LOCK, in the first user namespace, exempts
 * from the first two.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { refuse } from './errno.js';
import { procFile } from './own-proc.js';
import { hasCapability, processOfThread } from './proc.js';

/** From <linux/capability.h>. */
const CAP_IPC_LOCK = 14;
const FIRST_USER_NAMESPACE = 'user:[4026531837]';
const PAGE_BYTES = 4096;

/** For whom, as iommufd's two modes have it; as type1; or as vhost-vdpa. */
export type Counting = 'user' | 'process' | 'type1' | 'vdpa';

/** Whose pages they are. */
export interface Locker {
  /** `pages` more. @throws Refusal ENOMEM that would be more than he may have locked; nothing has changed. */
  lock(pages: number): void;
  unlock(pages: number): void;
}

/** Pages; it is known as long as it has any. */
class Count {
  static readonly #known = new Map<string, Count>();
  readonly name: string;
  pages = 0;

  private constructor(name: string) {
    this.name = name;
  }

  static of(name: string): Count {
    return Count.#known.get(name) ?? new Count(name);
  }

  add(pages: number): void {
    this.pages += pages;
    if (this.pages > 0) Count.#known.set(this.name, this);
    else Count.#known.delete(this.name);
  }
}

class ProcessLocker implements Locker {
  readonly #pid: number;
  readonly #exempt: boolean;
  readonly #counting: Counting;
  readonly #user: string;
  /** The process, however many have its number one after another. */
  readonly #process: string;
  #limit = 0;

  constructor(tid: number, counting: Counting) {
    this.#pid = processOfThread(tid);
    this.#counting = counting;
    this.#exempt = counting !== 'vdpa' && mayLockAll(tid);
    this.#user = `user ${statusOf(tid, 'Uid')}`;
    this.#process = `process ${this.#pid} of ${startOf(this.#pid)}`;
  }

  lock(pages: number): void {
    this.#limit = limitOf(this.#pid) ?? this.#limit;
    const [who, used] = this.#used();
    if (!this.#exempt && used + pages > this.#limit) {
      const more = `${kilobytes(pages)} more are above the limit of ${kilobytes(this.#limit)}`;
      const remedy = 'RLIMIT_MEMLOCK, `ulimit -l`, which is to be raised';
      refuse('ENOMEM', `${who} has ${kilobytes(used)} locked, and ${more} (${remedy})`);
    }
    this.#add(pages);
  }

  unlock(pages: number): void {
    this.#add(-pages);
  }

  /** Who is looked at, and what he has. */
  #used(): [who: string, pages: number] {
    const process = `process ${this.#pid}`;
    switch (this.#counting) {
      case 'user':
        return [this.#user, this.#locked().pages];
      case 'vdpa':
        return [process, this.#pinned().pages];
      default:
        return [process, this.#locked().pages + pagesLockedBy(this.#pid)];
    }
  }

  #add(pages: number): void {
    if (this.#counting === 'type1' || (this.#counting !== 'vdpa' && !this.#exempt)) this.#locked().add(pages);
    if (this.#counting !== 'type1') this.#pinned().add(pages);
  }

  #locked(): Count {
    return Count.of(this.#counting === 'user' ? this.#user : `${this.#process}, locked`);
  }

  #pinned(): Count {
    return Count.of(`${this.#process}, pinned`);
  }
}

/** For what thread `tid`, which waits in the call, has mapped. */
export function lockerOf(tid: number, counting: Counting): Locker {
  return new ProcessLocker(tid, counting);
}

function mayLockAll(tid: number): boolean {
  try {
    return (
      hasCapability(tid, CAP_IPC_LOCK) && readlinkSync(procFile(tid, 'ns/user')) === FIRST_USER_NAMESPACE
    );
  } catch {
    return false;
  }
}

/** RLIMIT_MEMLOCK in pages; undefined: the process is gone. */
function limitOf(pid: number): number | undefined {
  const soft = /^Max locked memory +(\S+)/m.exec(textOf(pid, 'limits'))?.[1];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Math.floor(Number(soft) / PAGE_BYTES);
}

/** What a process has locked itself. */
function pagesLockedBy(pid: number): number {
  return (Number(statusOf(pid, 'VmLck') ?? 0) * 1024) / PAGE_BYTES;
}

/** proc_pid_stat(5): the name, field 2, may have anything in it; field 22 is when it was started. */
function startOf(pid: number): string {
  return (
    textOf(pid, 'stat')
      .replace(/^.*\) /s, '')
      .split(' ')[19] ?? ''
  );
}

function statusOf(id: number, name: string): string | undefined {
  return new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(textOf(id, 'status'))?.[1];
}

function textOf(id: number, name: string): string {
  try {
    return readFileSync(procFile(id, name), 'latin1');
  } catch {
    return '';
  }
}

function kilobytes(pages: number): string {
  return `${(pages * PAGE_BYTES) / 1024} KiB`;
}
