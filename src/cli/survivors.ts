/**
 * Who goes on with files of ours open when the command of a `run` has ended. Its files are dead then, so a
 * line says so. Descriptors are looked at without asking the file system, which this process serves itself,
 * and only those of processes where it is mounted: to look at others' may take as long as these like.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { deviceOfDescriptor } from '../linux/fd-identity.js';
import { Whereabouts } from '../linux/mount-tables.js';
import { commandName } from '../linux/proc.js';
import { escaped } from '../trace/lines.js';

/** Lines that are said. */
const MOST = 5;

/** A sentence for each process that has files of the filesystem with number `device` open. */
export function survivors(device: number): string[] {
  const where = new Whereabouts(device);
  const said = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && where.has(pid))
    .flatMap((pid) => sentenceAbout(pid, device) ?? []);
  const more = said.length - MOST;
  return [
    ...said.slice(0, MOST),
    ...(more > 0 ? [`${more} more processes go on with such files open`] : []),
    ...(where.exhausted ? ['there are too many mounts to look for all processes that go on'] : []),
  ];
}

function sentenceAbout(pid: number, device: number): string | undefined {
  const paths = [...new Set(openPaths(pid, device))];
  if (paths.length === 0) return undefined;
  const files = escaped(paths.join(', '));
  const it = paths.length === 1 ? 'it answers' : 'they answer';
  return `${commandName(pid)} (process ${pid}) goes on with ${files} open: ${it} ENOTCONN from now on`;
}

function openPaths(pid: number, device: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`)
      .filter((fd) => deviceOfDescriptor(pid, Number(fd)) === device)
      .map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    // It has ended, or is not ours to look at.
    return [];
  }
}
