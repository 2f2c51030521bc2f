/**
 * What a guard becomes when its server is dead: it lets go whoever waits for an answer of that server, by
 * aborting the connection, and removes what is left.
 *
 * It does not wait for anybody, and looks at no file of the dead server's. The arguments are a GuardOrder,
 * and KNOWN or nothing.
 */
import { readdirSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { abortFuse, unmountFuse } from '../linux/fuse-mount.js';
import { unmountFuseAsUser } from '../linux/fusermount.js';
import { removeFolder } from '../linux/locked-folders.js';
import { ownNamespace } from '../linux/mount-tables.js';
import { ABORT, type GuardOrder, KNOWN } from './guard-order.js';

/** So often processes are looked for that were started while others were killed. */
const ROUNDS = 100;
const ROUND_MS = 50;

const { source, kill, made } = JSON.parse(process.argv[2]!) as GuardOrder;
const known = process.argv[3] === KNOWN;

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
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.filter((line) => line.includes(` ${source} `)).map((line) => plain(line.split(' ')[4]!));
}

/** mountinfo shows blanks and backslashes as octal numbers. */
function plain(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function abort(): void {
  if (known) attempt(() => writeSync(ABORT, '1'));
  for (const point of mountPoints()) attempt(() => abortFuse(point));
}

function unmount(point: string): void {
  if (!attempt(() => unmountFuse(point))) attempt(() => unmountFuseAsUser(point));
}

/** Kills who lives in this mount namespace. @returns how many there were. */
function killNeighbours(): number {
  const livesHere = ownNamespace();
  const neighbours = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && livesHere(pid));
  for (const pid of neighbours) attempt(() => process.kill(pid, 'SIGKILL'));
  return neighbours.length;
}

abort();
if (kill === true) {
  for (let round = 0; round < ROUNDS && killNeighbours() > 0; round++) await sleep(ROUND_MS);
}
for (const point of mountPoints()) unmount(point);
if (made !== undefined) attempt(() => removeFolder(made));
