/**
 * A program for `ioasid run`: starts QEMU again and again, with a guest that writes numbered records to the
 * disk, and kills it at a random moment. After each kill the file of the disk has all records that the guest
 * was told are flushed, and the next QEMU finds the device free.
 *
 *     killer.js ROUNDS SEED DISK KERNEL INITRD
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandOf, ourDisk, ourNetwork, script } from './machine.js';
import { missingRecords } from './records.js';

/** The kill comes within that time after the first flush, in one of EARLY rounds after QEMU's start. */
const LATEST_MS = 2000;
const EARLY = 8;
const cards = [...ourNetwork(1), ...ourNetwork(2)];
/** QEMU, how the guest's memory is there, and whether it sends something by wire as well, take turns. */
const KINDS = [
  { release: 'bookworm', memory: 'private', devices: [...ourDisk, ...cards] },
  { release: 'trixie', memory: 'memfd', devices: ourDisk },
  { release: 'bookworm', memory: 'memfd', devices: ourDisk },
  { release: 'trixie', memory: 'private', devices: [...ourDisk, ...cards] },
] as const;

const [rounds, seed, disk, kernel, initrd] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
let state = Number(seed) | 1;

/** From 0 to 1 (xorshift). */
function random(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}

function start(round: number) {
  const { release, memory, devices } = KINDS[round % KINDS.length]!;
  const words = { task: 'records', round };
  const qemu = script('fetch.sh', release);
  const [file, ...args] = commandOf({ qemu, kernel, initrd, memory, devices, words });
  return spawn(file!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** @returns how many records were flushed when QEMU died. @throws Error when the guest did not get there. */
async function kill(round: number): Promise<number> {
  const early = round % EARLY === EARLY - 1;
  const qemu = start(round);
  const ended = new Promise((resolve) => qemu.on('close', resolve));
  let flushed = 0;
  const writes = new Promise((resolve) =>
    createInterface(qemu.stdout).on('line', (line) => {
      flushed = Number(/^flushed (\d+)/.exec(line)?.[1] ?? flushed);
      if (flushed > 0) resolve(undefined);
    }),
  );
  if (!early) await Promise.race([writes, ended]);
  await sleep(random() * LATEST_MS);
  if (qemu.exitCode !== null) throw new Error(`QEMU has ended by itself in round ${round}`);
  qemu.kill('SIGKILL');
  await ended;
  return flushed;
}

let total = 0;
for (let round = 0; round < Number(rounds); round++) {
  const flushed = await kill(round);
  const missing = missingRecords(disk, round, flushed);
  if (missing.length > 0)
    throw new Error(`round ${round}: of ${flushed} flushed records the image lacks ${missing.join(' ')}`);
  total += flushed;
}
console.log(`${rounds} kills, ${total} flushed records, all of them in the image`);
