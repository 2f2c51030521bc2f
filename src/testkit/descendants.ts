/**
 * The processes that this one has started, and all that those have started.
 *
 * This process is their subreaper (prctl(2)): who loses his parent becomes its child, so that the tree below
 * it has them all, in whatever session, namespace or program they are. Nobody else is looked at, and nothing
 * is read that keeps its reader where a process is caught in exec(2), as /proc/PID/environ and stat do.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { address, check, libc } from '../linux/ffi.js';

const PR_SET_CHILD_SUBREAPER = 36;
const P_PID = 1;
const WNOHANG = 1;
const WEXITED = 4;

check(libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 'this process cannot become a subreaper');
const siginfo = new Uint8Array(128);

/** What process `pid` has started and not waited for, whichever of its threads has. None when it is gone. */
export function childrenOf(pid: number): number[] {
  return threadsOf(pid)
    .flatMap((tid) => read(`/proc/${pid}/task/${tid}/children`).split(' ').filter(Boolean))
    .map(Number);
}

/** Some thread of it is still there. A leader that has ended is a zombie until the last of them has. */
export function lives(pid: number): boolean {
  return threadsOf(pid).some((tid) => /^State:\t[^ZX]/m.test(read(`/proc/${pid}/task/${tid}/status`)));
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Empty when there is none, any more. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Those that have ended and nobody has waited for are among them. */
export function descendants(): number[] {
  const found = new Set<number>();
  const add = (pid: number): void => {
    if (found.has(pid)) return;
    found.add(pid);
    childrenOf(pid).forEach(add);
  };
  // Who has lost his parent since the last look is a child of ours now.
  for (let before = -1; found.size > before; ) {
    before = found.size;
    childrenOf(process.pid).forEach(add);
  }
  return [...found];
}

/** Those that have `text` in their arguments. */
export function descendantsNamed(text: string): number[] {
  return descendants().filter((pid) => read(`/proc/${pid}/cmdline`).includes(text));
}

/** Kills them all, those too that are started meanwhile: who has been killed starts nobody. */
export function killDescendants(): void {
  const killed = new Set<number>();
  for (let before = -1; killed.size > before; ) {
    before = killed.size;
    for (const pid of descendants()) {
      if (killed.has(pid)) continue;
      killed.add(pid);
      try {
        process.kill(pid, 'SIGKILL');
      } catch {} // It is gone, or another user's.
    }
  }
}

/** Waits for children that have ended. To be called when Node has been told of all that it has started. */
export function reapChildren(): void {
  for (const pid of childrenOf(process.pid)) libc().waitid(P_PID, pid, address(siginfo), WNOHANG | WEXITED);
}
