/**
 * What a guard becomes when its server is dead: it lets go whoever waits for an answer of that server, by
 * aborting the connection, and removes what is left.
 *
 * It does not wait for anybody, and looks at no file of the dead server's. The
 * arguments are a GuardOrder and the device number of the server's filesystem.
 */
import { readdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { deviceNumber } from '../linux/file-status.js';
import { abortFuse, unmountFuse } from '../linux/fuse-mount.js';
import { unmountFuseAsUser } from '../linux/fusermount.js';
import { isAlive, isMounted } from './mounted.js';

/** What is left to do when a server is dead, beside aborting its connection and unmounting its filesystem. */
export interface GuardOrder {
  /** Kill who lives in this mount namespace. */
  readonly kill?: boolean;
  /** Where the filesystem is, or was going to be mounted. */
  readonly folder?: string;
  /** Remove the folder: there was none before. */
  readonly made?: boolean;
}

/** So often processes are looked for that were started while others were killed. */
const ROUNDS = 100;
const ROUND_MS = 50;
const MINORS = 0x100000;

const { kill, folder, made } = JSON.parse(process.argv[2]!) as GuardOrder;
/** NaN: the server died before it had a filesystem. */
const device = Number.parseInt(process.argv[3]!, 10);

/** Runs each step, whatever becomes of the others. @returns whether it succeeded. */
function attempt(step: () => void): boolean {
  try {
    step();
    return true;
  } catch {
    return false;
  }
}

/** Where the filesystem is mounted in this namespace. */
function mountPoints(): string[] {
  const found: string[] = [];
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [, , numbers, , point] = line.split(' ');
    const [major, minor] = (numbers ?? '').split(':').map(Number);
    if (point !== undefined && deviceNumber(major!, minor!) === device) found.push(plain(point));
  }
  return found;
}

/** mountinfo shows blanks and backslashes as octal numbers. */
function plain(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function abort(): void {
  attempt(() => writeFileSync(`/sys/fs/fuse/connections/${device % MINORS}/abort`, '1'));
  for (const point of mountPoints()) attempt(() => abortFuse(point));
}

function unmount(point: string): void {
  if (!attempt(() => unmountFuse(point))) attempt(() => unmountFuseAsUser(point));
}

/** Kills who lives in this mount namespace. @returns how many there were. */
function killNeighbours(): number {
  const own = readlinkSync('/proc/self/ns/mnt');
  const neighbours = readdirSync('/proc').filter(
    (name) =>
      /^\d+$/.test(name) &&
      Number(name) !== process.pid &&
      attempt(() => {
        if (readlinkSync(`/proc/${name}/ns/mnt`) !== own) throw new Error('elsewhere');
      }),
  );
  for (const pid of neighbours) attempt(() => process.kill(Number(pid), 'SIGKILL'));
  return neighbours.length;
}

abort();
if (kill === true) {
  for (let round = 0; round < ROUNDS && killNeighbours() > 0; round++) await sleep(ROUND_MS);
}
for (const point of mountPoints()) unmount(point);
// The server may have died before it could say what it has mounted.
if (folder !== undefined && isMounted(folder) && !isAlive(folder)) unmount(folder);
if (folder !== undefined && made === true) attempt(() => rmdirSync(folder));
