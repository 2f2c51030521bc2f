/**
 * How much memory this process may be charged for on behalf of callers who cannot be charged themselves, and
 * how much there is for what it keeps of all callers (account.ts).
 *
 * What counts is what the kernel would kill for: the memory cgroups that this process is in, up to the top,
 * and the machine. Each may be filled up to a share, by what is kept up to a margin; page cache of files is
 * free, as the kernel drops it. What callers give back is room again, without being counted here.
 *
 * The files that say so are read once for each STEP that is taken, and when there was no room, not again
 * before RETRY_MS.
 */
import { readFileSync } from 'node:fs';

const STEP = 2 ** 24;
const RETRY_MS = 100;
/** How much of a cgroup, and of the machine, may be in use when more is taken, in percent. */
export const DEFAULT_FILL_SHARE = 75;

/** What is kept leaves an eighth of a group free, and of the machine, or this. */
const MARGIN = 2 ** 28;

/** How many of so many bytes may be in use when more is taken. */
type Ceiling = (bytes: number) => number;

let share = DEFAULT_FILL_SHARE / 100;
let left = 0;
let refusedAt = Number.NEGATIVE_INFINITY;

/** Sets that share: 0 to 100. */
export function fillUpTo(percent: number): void {
  share = percent / 100;
  left = 0;
}

/** May we be charged for `bytes` more, of STEP at most? Then they are taken. */
export function takeRoom(bytes: number): boolean {
  if (left < bytes) {
    const now = performance.now();
    if (now - refusedAt < RETRY_MS) return false;
    left = Math.min(STEP, memoryRoom());
    if (left < bytes) {
      refusedAt = now;
      return false;
    }
  }
  left -= bytes;
  return true;
}

/** Bytes that could be taken now; infinitely many where nothing limits them. */
export function memoryRoom(proc = '/proc'): number {
  return roomBelow((bytes) => bytes * share, proc);
}

/** Bytes that there are now for what is kept, as above; less than none where others have taken too much. */
export function keepingRoom(proc = '/proc'): number {
  return roomBelow((bytes) => bytes - Math.min(bytes / 8, MARGIN), proc);
}

function roomBelow(ceiling: Ceiling, proc: string): number {
  const groups = groupsOf(read(`${proc}/self/cgroup`) ?? '', read(`${proc}/self/mountinfo`) ?? '');
  const machine = roomOfMachine(read(`${proc}/meminfo`) ?? '', ceiling);
  return Math.min(machine, ...groups.map((folder) => roomOfGroup(folder, ceiling)));
}

/**
 * The folders of the memory cgroups that a process is in, from its own to the topmost that can be seen, by
 * the texts of its /proc/PID/cgroup and mountinfo (cgroups(7), proc_pid_mountinfo(5)).
 */
export function groupsOf(cgroup: string, mountinfo: string): string[] {
  const folders: string[] = [];
  for (const [, root, point, type, options] of mountinfo.matchAll(
    /^\S+ \S+ \S+ (\S+) (\S+) .*? - (cgroup2?) \S+ (\S+)$/gm,
  )) {
    if (type === 'cgroup' && !options!.split(',').includes('memory')) continue;
    const line = type === 'cgroup2' ? /^0::(.*)$/m : /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(.*)$/m;
    const path = line.exec(cgroup)?.[1];
    if (path === undefined) continue;
    let below = root !== '/' && `${path}/`.startsWith(`${root}/`) ? path.slice(root!.length) : path;
    for (; below !== '' && below !== '/'; below = below.slice(0, below.lastIndexOf('/')))
      folders.push(point! + below);
    folders.push(point!);
  }
  return folders;
}

function roomOfGroup(folder: string, ceiling: Ceiling): number {
  const limit = number(`${folder}/memory.max`) ?? number(`${folder}/memory.limit_in_bytes`);
  const usage = number(`${folder}/memory.current`) ?? number(`${folder}/memory.usage_in_bytes`);
  if (limit === undefined || usage === undefined) return Number.POSITIVE_INFINITY;
  const stat = read(`${folder}/memory.stat`) ?? '';
  return ceiling(limit) - (usage - cacheIn(stat));
}

/** Bytes of page cache by memory.stat, of version 1 or 2: those of the groups below, too. */
export function cacheIn(stat: string): number {
  const cached = { active: 0, inactive: 0 };
  for (const [, list, bytes] of stat.matchAll(/^(?:total_)?(active|inactive)_file (\d+)$/gm)) {
    const key = list as keyof typeof cached;
    // Of version 1, the total is the larger one.
    cached[key] = Math.max(cached[key], Number(bytes));
  }
  return cached.active + cached.inactive;
}

function roomOfMachine(meminfo: string, ceiling: Ceiling): number {
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo)?.[1]) * 1024;
  const total = of('MemTotal');
  const room = of('MemAvailable') - (total - ceiling(total));
  return Number.isNaN(room) ? Number.POSITIVE_INFINITY : room;
}

/** What a file of one number says; undefined where there is none, and for "max". */
function number(path: string): number | undefined {
  const text = read(path);
  return text !== undefined && /^\d+$/.test(text.trim()) ? Number(text) : undefined;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
