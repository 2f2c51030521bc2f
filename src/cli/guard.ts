/**
 * The guard: a shell in a session of its own that waits for the server's end and then removes what the server
 * could not, because it was killed. It waits on a pipe whose other end only the server has; a server that
 * ends in order dismisses it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Writable } from 'node:stream';

/**
 * Kills every process that lives in the mount namespace on descriptor 3, again and again while they start new
 * ones.
 */
const endNamespace = `read -r line && exit
for round in 1 2 3 4 5 6 7 8; do
  for p in /proc/[0-9]*; do
    [ "$p/ns/mnt" -ef /proc/self/fd/3 ] && kill -9 "\${p#/proc/}"
  done
done`;

/** Unmounts $1 and removes the empty folder. */
const unmount = `read -r line && exit
umount -l "$1" 2>/dev/null || fusermount3 -uzq "$1" 2>/dev/null || fusermount -uzq "$1"
rmdir "$1"`;

export class Guard {
  readonly #child: ChildProcess;

  private constructor(script: string, args: readonly string[], extra: readonly number[]) {
    this.#child = spawn('/bin/sh', ['-c', script, 'ioasid-guard', ...args], {
      stdio: ['pipe', 'ignore', 'ignore', ...extra],
      detached: true,
      cwd: '/',
    });
    this.#child.on('error', () => undefined);
    this.#child.stdin?.on('error', () => undefined);
    this.#child.unref();
    (this.#child.stdin as (Writable & { unref?(): void }) | null)?.unref?.();
  }

  /** Nothing that runs in the mount namespace of process `pid` outlives this process. */
  static ofNamespace(pid: number): Guard {
    const namespace = openSync(`/proc/${pid}/ns/mnt`, 'r');
    try {
      return new Guard(endNamespace, [], [namespace]);
    } finally {
      closeSync(namespace);
    }
  }

  /** The file system mounted on `folder` does not outlive this process. */
  static ofMount(folder: string): Guard {
    return new Guard(unmount, [folder], []);
  }

  /** Everything has been put in order: there is nothing left to guard. */
  dismiss(): void {
    this.#child.stdin?.write('done\n');
  }
}
