/**
 * Tables of mounts: which filesystems are mounted where a process lives.
 *
 * Anybody may have 100,000 mounts in a namespace of his own, and the kernel takes some 10 µs to write each.
 * So of others' tables a beginning is read. They can be read without waiting for a process that is caught in
 * exec(2), because somebody's FUSE server does not let it close a file; its descriptors, its memory and its
 * namespaces cannot.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { costs } from './access-cost.js';
import { procFile } from './own-proc.js';

/** Bytes of a caller's table that are looked at: some 250 mounts. */
const MOST_OF_TABLE = 2 ** 15;
/** Bytes of tables that are looked at to find out where a filesystem is mounted: some 40,000 mounts. */
const MOST_OF_ALL = 2 ** 22;
/** Bytes that take a microsecond: of the kernel to write, and of us to read. */
const BYTES_OF_EFFORT = 8;
/** The least that the kernel writes. */
const PART = 2 ** 12;

export interface Mount {
  readonly mount: number;
  /** As `deviceNumber` makes it. */
  readonly device: number;
  readonly type: string;
}

/** A device number as one number: major * 2^20 + minor, as the kernel has it. */
export function deviceNumber(major: number, minor: number): number {
  return major * 0x100000 + minor;
}

/** All of them: of this process, or where it does not matter how long that takes. */
export function mountsOf(tid: number | 'self'): Mount[] {
  try {
    const text = readFileSync(procFile(tid, 'mountinfo'), 'latin1');
    costs(Math.ceil(text.length / BYTES_OF_EFFORT));
    return mountsIn(text);
  } catch {
    return [];
  }
}

/** Those in the first MOST_OF_TABLE bytes of the table. */
export function firstMountsOf(tid: number): Mount[] {
  return mountsIn([...partsOf(tid, MOST_OF_TABLE)].join(''));
}

/** Who lives in our mount namespace, as it is now? */
export function ownNamespace(): (pid: number) => boolean {
  // Each namespace has mounts of its own, so one tells.
  const ours = new Set(mountsOf('self').map(({ mount }) => mount));
  return (pid) => {
    const [first] = partsOf(pid, PART);
    return first !== undefined && ours.has(idOfFirst(first));
  };
}

/** Where the filesystem with number `device` is mounted. Each namespace is looked at once. */
export class Whereabouts {
  readonly #device: number;
  /** By the id of the first mount that there is. */
  readonly #known = new Map<number, boolean>();
  #left: number;

  constructor(device: number, most = MOST_OF_ALL) {
    this.#device = device;
    this.#left = most;
  }

  /** Is it mounted where process `pid` lives, as far as is known? */
  has(pid: number): boolean {
    let text = '';
    for (const part of partsOf(pid, Math.max(this.#left, PART))) {
      const known = text === '' ? this.#known.get(idOfFirst(part)) : undefined;
      if (known !== undefined) return known;
      this.#left -= part.length;
      text += part;
    }
    if (text === '') return false;
    const found = mountsIn(text).some(({ device }) => device === this.#device);
    this.#known.set(idOfFirst(text), found);
    return found;
  }

  /** Have there been more mounts than are looked at? */
  get exhausted(): boolean {
    return this.#left <= 0;
  }
}

/** The first `most` bytes of a table, in parts; none where it cannot be read. */
function* partsOf(tid: number, most: number): Generator<string> {
  let file: number;
  try {
    file = openSync(procFile(tid, 'mountinfo'), 'r');
  } catch {
    return;
  }
  try {
    for (let left = most; left > 0; ) {
      const length = readSync(file, part, 0, Math.min(PART, left), null);
      if (length === 0) return;
      left -= length;
      costs(Math.ceil(length / BYTES_OF_EFFORT));
      yield part.toString('latin1', 0, length);
    }
  } catch {
    // It has ended.
  } finally {
    closeSync(file);
  }
}

const part = Buffer.alloc(PART);

function idOfFirst(text: string): number {
  return Number.parseInt(text, 10);
}

/**
 * proc(5), /proc/pid/mountinfo: id, parent, major:minor, root, point, options, optional fields, "-", type,
 * source, super options.
 */
function mountsIn(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const [, mount, major, minor, type] of text.matchAll(/^(\d+) \d+ (\d+):(\d+) .*? - (\S+) /gm)) {
    mounts.push({ mount: Number(mount), device: deviceNumber(Number(major), Number(minor)), type: type! });
  }
  return mounts;
}
