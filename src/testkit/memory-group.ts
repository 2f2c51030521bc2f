/**
 * MemoryGroup: a memory cgroup of a test's own, at the top, of version 1 or 2.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { groupsOf } from '../linux/memory-room.js';

let made = 0;

export class MemoryGroup {
  readonly folder: string;

  /** @throws Error where there are no memory cgroups, or none can be made. */
  constructor() {
    const [cgroup, mountinfo] = ['cgroup', 'mountinfo'].map((name) =>
      readFileSync(`/proc/self/${name}`, 'latin1'),
    );
    const folders = groupsOf(cgroup!, mountinfo!);
    const top = folders.find(
      (folder) => !folders.includes(dirname(folder)) && /^memory\./m.test(readdirSync(folder).join('\n')),
    );
    if (top === undefined) throw new Error('there are none');
    this.folder = `${top}/ioasid-test-${process.pid}-${made++}`;
    mkdirSync(this.folder);
    if (this.#name('usage') !== undefined) return;
    rmdirSync(this.folder);
    throw new Error('new ones have no memory controller');
  }

  /** Why a test that needs such groups cannot run here, as node:test takes it; false when it can. */
  static get skip(): string | false {
    try {
      rmdirSync(new MemoryGroup().folder);
      return false;
    } catch (error) {
      return `no memory cgroup can be made here: ${(error as Error).message}`;
    }
  }

  /** The words before a command that make it run in the group. */
  get prefix(): string[] {
    return ['sh', '-c', `echo $$ > ${this.folder}/cgroup.procs && exec "$@"`, 'sh'];
  }

  add(pid: number): void {
    writeFileSync(`${this.folder}/cgroup.procs`, String(pid));
  }

  limit(bytes: number): void {
    writeFileSync(this.#name('limit')!, String(bytes));
  }

  /** Bytes that the group is charged for now. */
  get usage(): number {
    return Number(readFileSync(this.#name('usage')!, 'latin1'));
  }

  /** How often the kernel has killed for the group. */
  get kills(): number {
    const [one, two] = ['memory.oom_control', 'memory.events'].map((name) => `${this.folder}/${name}`);
    const text = readFileSync(existsSync(two!) ? two! : one!, 'latin1');
    return Number(/^oom_kill (\d+)$/m.exec(text)![1]);
  }

  /** Takes it away when its processes have gone. */
  async remove(): Promise<void> {
    for (let left = 100; ; left--) {
      try {
        rmdirSync(this.folder);
        return;
      } catch (error) {
        if (left === 0) throw error;
        await sleep(50);
      }
    }
  }

  #name(what: 'limit' | 'usage'): string | undefined {
    const names = { limit: ['max', 'limit_in_bytes'], usage: ['current', 'usage_in_bytes'] }[what];
    return names.map((name) => `${this.folder}/memory.${name}`).find((path) => existsSync(path));
  }
}
