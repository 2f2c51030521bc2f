/**
 * A program for `ioasid run`: starts QEMU again and again, with a guest that writes numbered records to the
 * disk, and kills it at a random moment. After each kill the file of the disk has all records that the guest
 * was told are flushed, and the next QEMU finds the device free.
 *
 *     killer.js ROUNDS SEED DISK KERNEL INITRD
 *
 * What is killed is a guest that was saved when it had booted (saved-guest.ts): a boot for each kill would
 * take most of the time. The files of saved guests lie beside DISK.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingRecords } from './records.js';
import { type Boot, plugCard, plugDisk, type Running, resume, save } from './saved-guest.js';

/** The kill comes within that time after the first flush, in one of EARLY rounds after QEMU's start. */
const LATEST_MS = 2000;
const EARLY = 8;
const cards = [...plugCard(1), ...plugCard(2)];
/** QEMU, how the guest's memory is there, and whether it sends something by wire as well, take turns. */
const KINDS = [
  { release: 'bookworm', memory: 'private', wire: true },
  { release: 'trixie', memory: 'memfd', wire: false },
  { release: 'bookworm', memory: 'memfd', wire: false },
  { release: 'trixie', memory: 'private', wire: true },
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

const boots = new Map<string, Promise<Boot>>();

/** Saves a guest of that QEMU, the first time. */
function booted(release: Boot['release']): Promise<Boot> {
  const known = boots.get(release);
  if (known !== undefined) return known;
  const boot = { release, kernel, initrd };
  const made = save(boot, { task: 'records' }, savedFile(boot)).then(() => boot);
  boots.set(release, made);
  return made;
}

const savedFile = ({ release }: Boot) => `${disk}.${release}`;

/** Gives the guest its devices and says what it is to do. Never returns when QEMU dies meanwhile. */
async function set(running: Running, round: number, wire: boolean): Promise<void> {
  const { qmp, keyboard } = running;
  await qmp.event('RESUME');
  for (const [command, words] of wire ? [...plugDisk, ...cards] : plugDisk) await qmp.ask(command, words);
  keyboard.write(`${round} ${wire ? 'wire' : 'none'}\n`);
}

/** @returns how many records were flushed when QEMU died. @throws Error when the guest did not get there. */
async function kill(round: number): Promise<number> {
  const { release, memory, wire } = KINDS[round % KINDS.length]!;
  const boot = await booted(release);
  const running = resume(boot, memory, savedFile(boot));
  const qemu = running.process;
  const ended = new Promise((resolve) => qemu.on('close', resolve));
  let flushed = 0;
  const writes = new Promise((resolve) =>
    createInterface(running.console).on('line', (line) => {
      flushed = Number(/^flushed (\d+)/.exec(line)?.[1] ?? flushed);
      if (flushed > 0) resolve(undefined);
    }),
  );
  const refused = new Promise<never>((_resolve, reject) => set(running, round, wire).catch(reject));
  if (round % EARLY !== EARLY - 1) await Promise.race([writes, ended, refused]);
  await Promise.race([sleep(random() * LATEST_MS), refused]);
  if (qemu.exitCode !== null || qemu.signalCode !== null)
    throw new Error(`QEMU has ended by itself in round ${round}`);
  qemu.kill('SIGKILL');
  await ended;
  return flushed;
}

let [total, before] = [0, 0];
for (let round = 0; round < Number(rounds); round++) {
  const flushed = await kill(round);
  const missing = missingRecords(disk, round, flushed);
  if (missing.length > 0)
    throw new Error(`round ${round}: of ${flushed} flushed records the image lacks ${missing.join(' ')}`);
  total += flushed;
  if (flushed === 0) before++;
}
console.log(`${rounds} kills, ${before} of them before the first flush`);
console.log(`${total} flushed records, all of them in the image`);
