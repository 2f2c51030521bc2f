/**
 * RemoteReach: the memory of an address space whose process must not be able to let us wait (reach.ts), by a
 * helper process that does the system calls.
 *
 * One helper serves all of them, one after the other. When it has not answered in time, it is killed, and the
 * next access has a new one: only that address space is out of reach, until the kernel has let the old one
 * go. How many such there may be, and how long accesses may keep us in all, counts for the opener who pays
 * for the memory (account.ts).
 *
 * Time that accesses have kept us is free again PER_SECOND by PER_SECOND, for all openers together: whoever
 * comes again and again as another one has it no better. One that was given up costs PATIENCE_MS, however
 * short the wait, and those after it are waited for SHORT_MS until that is free again.
 *
 * Invariant: no call here takes longer than PATIENCE_MS, but for a helper that gets no processor. What has
 * not been answered in time happens no more.
 */
import { type Account, Pool } from './account.js';
import { Errno, hex, Refusal, refuse } from './errno.js';
import { DATA_BYTES, HelperProcess, MOST_CALLS, Sys } from './helper-process.js';
import { OUR_PIDFD } from './helper-start.js';
import { Ranges } from './ranges.js';
import { areProof, PROCMAP_QUERY, PROOF_BYTES, type Reach } from './reach.js';

const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;

/**
 * How long an access may have the server wait. A page may have to come from a disk, and on a machine that is
 * busy the program may have the lock and no processor.
 */
const PATIENCE_MS = 100;
/** The same where memory of its opener has not come a short while ago. */
const SHORT_MS = 10;
/** How much of the time that accesses have kept us is free again in a second, in ms. */
const PER_SECOND = 20;
/** How often it is looked whether a helper that was killed has ended, and time becomes free. */
const LOOK_MS = 100;

/** Helpers that were killed and have not ended. */
export const waitingHelpers = new Pool('helper processes that wait for memory', 'EMFILE', () => 16);
/** How long accesses have kept us: one opener's for 1000 ms. */
export const waitingTime = new Pool('milliseconds of waiting for memory', 'ETIME', () => 1334);

/** The one that is asked. */
let present: HelperProcess | undefined;
/** Those that were killed, and for whom they wait. */
const killed = new Map<HelperProcess, Account | undefined>();
let possible: boolean | undefined;
let looking: NodeJS.Timeout | undefined;
let transfers = 0;
/** Memory that is one part, and what a helper is asked at once: the lengths, of which it has an address. */
const whole = new Ranges();
const asked = new Ranges();

/** How many times helpers have been asked for accesses so far: for any number of parts at once. */
export function transfersByHelpers(): number {
  return transfers;
}

/** Time that accesses have kept us, `givenUp` or not. */
interface Wait {
  readonly account: Account;
  readonly givenUp: boolean;
  ms: number;
}
/** The oldest first. */
const waits: Wait[] = [];

export class RemoteReach implements Reach {
  readonly perSlice = 8;
  shortfall: string | undefined;
  readonly #account: Account;
  readonly #mem: number;
  readonly #maps: number;
  readonly #description: string;
  /** Who waits for this memory. */
  #waits: HelperProcess | undefined;
  /** Who has its files, and their numbers there. */
  #helper: HelperProcess | undefined;
  #memThere = -1;
  #mapsThere = -1;

  /** `mem` and `maps` stay the caller's; `account` pays for whoever waits. */
  constructor(account: Account, mem: number, maps: number, description: string) {
    this.#account = account;
    this.#mem = mem;
    this.#maps = maps;
    this.#description = description;
  }

  ask(query: Uint8Array): number {
    const helper = this.#ready();
    if (helper === undefined) return Errno.ETIMEDOUT;
    helper.data.set(query);
    helper.put(0, Sys.ioctl, this.#mapsThere, PROCMAP_QUERY, helper.dataAt);
    if (!this.#do(helper, 1)) return Errno.ETIMEDOUT;
    query.set(helper.data.subarray(0, query.length));
    return Math.abs(helper.result(0));
  }

  text(target: Uint8Array, position: number): number {
    const helper = this.#ready();
    if (helper === undefined) return -1;
    helper.put(0, Sys.pread, this.#mapsThere, helper.dataAt, target.length, position);
    const length = this.#do(helper, 1) ? helper.result(0) : -1;
    if (length > 0) target.set(helper.data.subarray(0, length));
    return length;
  }

  read(address: number, target: Uint8Array, at: number, length: number): number {
    return this.gather(oneOf(address, length), target, at);
  }

  write(address: number, source: Uint8Array, at: number, length: number): number {
    return this.scatter(oneOf(address, length), source, at);
  }

  gather(ranges: Ranges, target: Uint8Array, at: number): number {
    let done = 0;
    while (done < ranges.length) {
      const length = ask(ranges, done);
      const n = this.#transfer(Sys.pread);
      if (n > 0) target.set(this.#helper!.data.subarray(0, n), at + done);
      done += Math.max(0, n);
      if (n < length) break;
    }
    return done;
  }

  scatter(ranges: Ranges, source: Uint8Array, at: number): number {
    let done = 0;
    while (done < ranges.length) {
      const length = ask(ranges, done);
      const n = this.#transfer(Sys.pwrite, source.subarray(at + done, at + done + length));
      done += Math.max(0, n);
      if (n < length) break;
    }
    return done;
  }

  touch(address: number, length: number): number {
    ask(oneOf(address, Math.min(length, DATA_BYTES)), 0);
    return this.#transfer(Sys.pread);
  }

  has(tid: number, address: number, bytes: Uint8Array): boolean {
    const fresh = this.#open(`/proc/${tid}/mem`, O_RDONLY);
    const helper = this.#helper;
    if (fresh < 0 || helper === undefined) return false;
    helper.put(0, Sys.pread, fresh, helper.dataAt, PROOF_BYTES, address);
    helper.put(1, Sys.close, fresh);
    return this.#do(helper, 2) && helper.result(0) === PROOF_BYTES && areProof(bytes, helper.data);
  }

  nameOfArea(pid: number, range: string): number {
    const there = this.#open(`/proc/${pid}/map_files/${range}`, O_PATH);
    const helper = this.#helper;
    if (there < 0 || helper === undefined) return -1;
    try {
      return helper.take(there);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return -1;
    } finally {
      helper.put(0, Sys.close, there);
      this.#do(helper, 1);
    }
  }

  close(): void {
    const helper = this.#helper;
    this.#helper = undefined;
    if (helper === undefined || helper.dead) return;
    helper.put(0, Sys.close, this.#memThere);
    helper.put(1, Sys.close, this.#mapsThere);
    if (helper.do(2, PATIENCE_MS) < 0) leave(helper, undefined);
  }

  /**
   * A pread or pwrite of /proc/PID/mem for each part of `asked`. @returns the bytes up to the first that was
   * not transferred, and no other was; or where there are none, what the first call has returned; -EFAULT:
   * it has not.
   */
  #transfer(call: number, source?: Uint8Array): number {
    transfers++;
    const { count, addresses, lengths } = asked;
    if (count === 0) return 0;
    const helper = this.#ready();
    if (helper === undefined) return -Errno.EFAULT;
    if (source !== undefined) helper.data.set(source);
    for (let part = 0, at = helper.dataAt; part < count; at += lengths[part++]!) {
      helper.put(part, call, this.#memThere, at, lengths[part]!, addresses[part]!);
      helper.require(part, lengths[part]!);
    }
    const answered = this.#do(helper, count, addresses);
    const returned = helper.returned(count);
    if (returned === 0) return -Errno.EFAULT;
    let done = 0;
    for (let part = 0; part < returned; part++) done += Math.max(0, helper.result(part));
    return done === 0 && answered ? helper.result(0) : done;
  }

  /** Opens a file of /proc there. @returns its number there; negative: there is none. */
  #open(path: string, flags: number): number {
    const helper = this.#ready();
    if (helper === undefined) return -1;
    Buffer.from(helper.data.buffer, helper.data.byteOffset).write(`${path}\0`, 'latin1');
    helper.put(0, Sys.openat, AT_FDCWD, helper.dataAt, flags | O_CLOEXEC, 0);
    return this.#do(helper, 1) ? helper.result(0) : -1;
  }

  /** The helper, which has our files; undefined: it must not be asked now, and `shortfall` is why. */
  #ready(): HelperProcess | undefined {
    this.shortfall = undefined;
    if (this.#waits !== undefined && !hasEnded(this.#waits)) {
      this.shortfall = `an access to the memory of ${this.#description} has not come back yet`;
      return undefined;
    }
    this.#waits = undefined;
    try {
      const helper = helperProcess();
      if (this.#helper !== helper) this.#introduce(helper);
      return helper;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.shortfall = error.reason;
      return undefined;
    }
  }

  /** Gives `helper` our files. @throws Refusal */
  #introduce(helper: HelperProcess): void {
    helper.put(0, Sys.pidfd_getfd, OUR_PIDFD, this.#mem, 0);
    helper.put(1, Sys.pidfd_getfd, OUR_PIDFD, this.#maps, 0);
    if (!this.#do(helper, 2)) refuse('EAGAIN', this.shortfall!);
    const [mem, maps] = [helper.result(0), helper.result(1)];
    if (mem < 0 || maps < 0)
      throw new Refusal(-Math.min(mem, maps), 'the helper process cannot have files of the server');
    [this.#helper, this.#memThere, this.#mapsThere] = [helper, mem, maps];
  }

  /**
   * Has `helper` do what it has been given. @param addresses of the accesses that it makes.
   * @returns false: it has not done it, and `shortfall` is why.
   */
  #do(helper: HelperProcess, count: number, addresses?: Float64Array): boolean {
    const account = this.#account;
    try {
      reserve(account);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.shortfall = error.reason;
      return false;
    }
    const patience = waits.some((wait) => wait.givenUp && wait.account === account) ? SHORT_MS : PATIENCE_MS;
    const slept = helper.do(count, patience);
    if (slept >= 0) {
      account.give(waitingHelpers, 1);
      hasKeptUs(account, Math.min(Math.ceil(slept), PATIENCE_MS), false);
      return true;
    }
    hasKeptUs(account, PATIENCE_MS, true);
    const where = addresses === undefined ? '' : ` at ${hex(addresses[helper.returned(count)] ?? 0)}`;
    this.shortfall = `the memory of ${this.#description}${where} has not come within ${patience} ms`;
    this.#waits = helper;
    leave(helper, this.#account);
    return false;
  }
}

/** Memory that is in one part. */
function oneOf(address: number, length: number): Ranges {
  whole.clear();
  if (length > 0) whole.add(address, length);
  return whole;
}

/** Makes `asked` what a helper does at once of `ranges` from byte `offset` on. @returns its bytes. */
function ask(ranges: Ranges, offset: number): number {
  asked.clear();
  asked.appendOf(ranges, offset, ranges.within(offset, DATA_BYTES, MOST_CALLS));
  return asked.length;
}

/** Can there be helpers here? It takes code for the processor, and a memfd that may be executed. */
export function canHaveHelpers(): boolean {
  if (possible !== undefined) return possible;
  try {
    helperProcess();
    possible = true;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.errno !== Errno.ENOSYS && error.errno !== Errno.EACCES) return true;
    possible = false;
  }
  return possible;
}

/** The one that is asked. @throws Refusal as HelperProcess. */
function helperProcess(): HelperProcess {
  if (present === undefined || present.dead) present = new HelperProcess();
  return present;
}

/** `helper` has been killed while it waited for memory that `account` pays for. */
function leave(helper: HelperProcess, account: Account | undefined): void {
  killed.set(helper, account);
  looking ??= setInterval(look, LOOK_MS).unref();
}

/** What an access may cost. @throws Refusal EMFILE, ETIME the account's part is used up. */
function reserve(account: Account): void {
  account.take(waitingTime, PATIENCE_MS);
  try {
    account.take(waitingHelpers, 1);
  } catch (refusal) {
    account.give(waitingTime, PATIENCE_MS);
    throw refusal;
  }
}

/** An access has kept us for `ms` of what it has reserved. */
function hasKeptUs(account: Account, ms: number, givenUp: boolean): void {
  account.give(waitingTime, PATIENCE_MS - ms);
  if (ms === 0) return;
  const last = waits.at(-1);
  if (last?.account === account && last.givenUp === givenUp) last.ms += ms;
  else waits.push({ account, givenUp, ms });
  looking ??= setInterval(look, LOOK_MS).unref();
}

function freeTime(): void {
  for (let ms = (PER_SECOND * LOOK_MS) / 1000; ms > 0 && waits.length > 0; ) {
    const first = waits[0]!;
    const part = Math.min(ms, first.ms);
    first.account.give(waitingTime, part);
    first.ms -= part;
    ms -= part;
    if (first.ms === 0) waits.shift();
  }
}

/** Has `helper`, which was killed, ended? Then whoever has it waiting pays no more. */
function hasEnded(helper: HelperProcess): boolean {
  if (!helper.ended) return false;
  killed.get(helper)?.give(waitingHelpers, 1);
  killed.delete(helper);
  return true;
}

function look(): void {
  freeTime();
  for (const helper of [...killed.keys()]) hasEnded(helper);
  if (killed.size > 0 || waits.length > 0) return;
  clearInterval(looking);
  looking = undefined;
}
