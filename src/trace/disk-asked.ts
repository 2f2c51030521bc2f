/** What a disk asks of its medium, as a recording has it (Input). */
import type { DiskEvent } from '../devices/disk.js';
import type { JobKind } from '../devices/medium.js';
import { Ask, type Asked } from './input.js';

const kinds: readonly JobKind[] = ['read', 'write', 'sync', 'zero', 'punch'];
const asks = { start: Ask.DISK_START, run: Ask.DISK_RUN, end: Ask.DISK_END, 'let-go': Ask.DISK_LET_GO };

/** The numbers by which a job is asked for. */
export function jobNumbers(disk: number, kind: JobKind, offset: number, length: number): number[] {
  return [disk, kinds.indexOf(kind), offset, length];
}

export function diskAsked({ what, disk, job, kind, offset, length, ended, error, bytes }: DiskEvent): Asked {
  const come = what === 'end' || what === 'let-go';
  const of = come ? [disk, job] : jobNumbers(disk, kind, offset, length);
  const answer = what === 'start' ? [Number(ended)] : [];
  return { kind: 'asked', what: asks[what], of, answer, text: error, bytes };
}
