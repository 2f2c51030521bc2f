/** The helper processes (linux/helper-process.ts) of a server, for tests that look for them from outside. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Those of process `server` that have not ended, the newest last, whichever of its threads began them. */
export function helpersOf(server: number): number[] {
  return readdirSync(`/proc/${server}/task`)
    .map((tid) => readFileSync(`/proc/${server}/task/${tid}/children`, 'latin1'))
    .flatMap((pids) => pids.split(' ').filter((pid) => pid !== ''))
    .filter((pid) => programOf(pid).includes('ioasid-helper'))
    .map(Number);
}

/** Of a process that has ended it is empty. */
function programOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return '';
  }
}
