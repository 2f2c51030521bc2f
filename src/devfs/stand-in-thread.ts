/** The stand-in's own thread; see stand-in.ts. */
import { workerData } from 'node:worker_threads';
import { giveUpAttaching } from '../linux/attach.js';
import { closeOthers, leaveSharedTable } from '../linux/descriptor-table.js';
import { Errno } from '../linux/errno.js';
import { address, lastErrno, libc } from '../linux/ffi.js';
import { startAsked, startsHelpers } from '../linux/helper-start.js';
import { CallWatch } from './call-watch.js';
import { MAX_TRANSFER } from './fuse-channel.js';
import { isForPage, Opcode, Reply, Request } from './fuse-wire.js';
import { CLOSED, dismissGuard, ENDED, NONE, OWN, type StandInData, Word } from './stand-in.js';
import { callInWords, progress, standstill, waitsForOthers } from './standstill.js';

/** So long the serving thread may be awake without a poll: more than a request or a slice of work takes. */
const PATIENCE_MS = 20;
/**
 * After so long without a request for a page it is not one of our own files that the serving thread waits
 * for.
 */
const GIVE_UP_MS = 5000;
/**
 * So long the serving thread may compute without a look at its requests, whatever it computes: what it does
 * itself it does in slices, but not all code of a model is known to be that.
 */
const MOST_CPU_S = 10;
/** So long it may wait for memory of others after that, where it serves one command alone. */
const LONGEST_WAIT_MS = 10_000;
/** The exit status of a server that somebody has stopped: our fault, as env(1) says it. */
const STOPPED = 125;
/** How often a stand-in without requests looks whether it is still needed. */
const LOOK_MS = 5;
const POLLIN = 1;
const STDERR = 2;

/** What there was to take. */
const NOTHING = 0;
const PAGE = 1;
const OTHER = 2;

const { bell, words, port, calls, attaching, starting, alone } = workerData as StandInData;
const watch = new CallWatch(calls, progress);
const bytes = new Uint8Array(MAX_TRANSFER + 4096);
const request = new Uint32Array(bytes.buffer);
const requestAddress = address(bytes);
const reply = new Int32Array(32);
const replyAddress = address(new Uint8Array(reply.buffer));
const one = new BigUint64Array(16).fill(1n);
const oneAddress = address(new Uint8Array(one.buffer));
/** struct pollfd: fd, then events and revents. */
const pollfd = new Int32Array(32);
const pollAddress = address(new Uint8Array(pollfd.buffer));

const fuse = connection();
const lifeline = Atomics.load(words, Word.LIFELINE);
const kept = [STDERR, fuse, bell, lifeline].filter((fd) => fd !== NONE);
leaveSharedTable(kept);
closeOthers(kept);
startsHelpers(starting, true);
libc().write(bell, oneAddress, 8);
tableIs(OWN);
for (;;) {
  const pulse = Atomics.load(words, Word.PULSE);
  if (pulse === ENDED) break;
  startAsked(starting);
  if (pulse % 2 === 0) sleepWhile(pulse);
  else if (Atomics.wait(words, Word.PULSE, pulse, PATIENCE_MS) === 'timed-out') standIn(pulse);
}

startsHelpers(starting, false);
libc().close(fuse);
dismissGuard(lifeline);
tableIs(CLOSED);

/** The connection, when there is one. Until then only modules are imported, and models made. */
function connection(): number {
  for (;;) {
    const fuse = Atomics.load(words, Word.FUSE);
    if (fuse !== NONE) return fuse;
    endIfOverdue();
    Atomics.wait(words, Word.FUSE, NONE, PATIENCE_MS);
  }
}

function tableIs(state: number): void {
  Atomics.store(words, Word.TABLE, state);
  Atomics.notify(words, Word.TABLE);
}

/** Sleeps until the serving thread, which sleeps too, wakes. */
function sleepWhile(pulse: number): void {
  Atomics.store(words, Word.ASLEEP, 1);
  if (Atomics.load(words, Word.PULSE) === pulse) Atomics.wait(words, Word.ASLEEP, 1);
  Atomics.store(words, Word.ASLEEP, 0);
}

/**
 * Takes requests for as long as the pulse stands still; in vain, it leaves them where they are at last: who
 * waits for a request that nobody has taken can still be killed.
 */
function standIn(pulse: number): void {
  let since = performance.now();
  while (Atomics.load(words, Word.PULSE) === pulse) {
    endIfOverdue();
    giveUpAttaching(attaching);
    startAsked(starting);
    if (performance.now() - since > GIVE_UP_MS) {
      leaveThem(pulse);
      return;
    }
    Atomics.store(words, Word.TAKING, 1);
    const took = Atomics.load(words, Word.PULSE) === pulse ? takeOne() : NOTHING;
    Atomics.store(words, Word.TAKING, 0);
    Atomics.notify(words, Word.TAKING);
    if (took === PAGE) since = performance.now();
    if (took === NOTHING) waitForRequest();
  }
}

/** Takes no more requests for as long as the pulse stands still. */
function leaveThem(pulse: number): void {
  if (!watch.running) say(caught());
  const began = progress().computed;
  for (let looks = 0; Atomics.load(words, Word.PULSE) === pulse; looks++) {
    endIfOverdue();
    startAsked(starting);
    if (alone && looks * PATIENCE_MS > LONGEST_WAIT_MS && waitsForOthers())
      end(`memory of its programs has not come for ${(GIVE_UP_MS + LONGEST_WAIT_MS) / 1000} s`);
    if (progress().computed - began > MOST_CPU_S * 1000 && !watch.debugged)
      end(`its thread has computed for ${MOST_CPU_S} s, in nothing that is known to be a device model's`);
    Atomics.wait(words, Word.PULSE, pulse, PATIENCE_MS);
  }
}

/** Why nobody is served, as far as another thread can see it. */
function caught(): string {
  const during = callInWords(
    Atomics.load(words, Word.OPCODE),
    Atomics.load(words, Word.THREAD),
    watch.current,
  );
  return `the server has been caught for ${GIVE_UP_MS / 1000} s${during}: ${standstill()}`;
}

/** Ends the process when a model does not return. */
function endIfOverdue(): void {
  const overdue = watch.overdue(performance.now());
  if (overdue !== undefined) end(overdue);
}

/**
 * Ends the process. All that it has is the kernel's to release, and the guard's, whom the end of the lifeline
 * tells.
 */
function end(why: string): void {
  say(`the server ends: ${why}`);
  libc()._exit(STOPPED);
}

function say(sentence: string): void {
  const line = Buffer.from(`ioasid: ${sentence}\n`);
  libc().write(STDERR, address(line), line.length);
}

/** @returns what it was. */
function takeOne(): number {
  const length = libc().read(fuse, requestAddress, bytes.length);
  // ENOENT: the request was interrupted before we had it.
  if (length <= 0) return length === -1 && lastErrno() === Errno.ENOENT ? OTHER : NOTHING;
  if (request[Request.opcode] === Opcode.READ && isForPage(request)) {
    refusePage();
    return PAGE;
  }
  handOn(bytes.slice(0, length));
  return OTHER;
}

function refusePage(): void {
  reply[Reply.length] = Reply.bodyByte;
  reply[Reply.error] = -Errno.EIO;
  reply[Reply.unique] = request[Request.unique]!;
  reply[Reply.unique + 1] = request[Request.unique + 1]!;
  libc().write(fuse, replyAddress, Reply.bodyByte);
}

function handOn(taken: Uint8Array<ArrayBuffer>): void {
  port.postMessage(taken, [taken.buffer]);
  Atomics.add(words, Word.HANDED_ON, 1);
  libc().write(bell, oneAddress, 8);
}

function waitForRequest(): void {
  pollfd[0] = fuse;
  pollfd[1] = POLLIN;
  libc().poll(pollAddress, 1, LOOK_MS);
}
