/**
 * PatientHelper: what one address space asks of the helper process (helper-process.ts), which may be kept
 * waiting by it, and for how long it is waited for.
 *
 * One helper serves all of them, one after the other. When it has not answered in time, it is killed, and the
 * next access has a new one: only that address space is out of reach, until the kernel has let the old one
 * go. How many such there may be, and how long accesses may keep us in all, counts for the opener who pays
 * for the memory (account.ts).
 *
 * Time that accesses have kept us is free again PER_SECOND by PER_SECOND, for all openers together, who take
 * turns: whoever comes again and again as another one has it no better. One that was given up costs
 * PATIENCE_MS, however short the wait, and those after it are waited for SHORT_MS until that is free again.
 * So are all where no time is left but what everybody has in any case: whoever has not kept us is served.
 *
 * Whoever does several accesses in one piece of work, a step of a device or a request, is waited for as long
 * in all: each is waited for as long as those before it in the piece have left, and LAST_MS in any case, so
 * that what is there is still reached.
 *
 * Invariant: no piece of work is kept longer than PATIENCE_MS by the memory of one opener, but for LAST_MS
 * for each access after that, and a helper that gets no processor. What has not been answered in time happens
 * no more.
 */
import { costs } from './access-cost.js';
import { type Account, Pool } from './account.js';
import { Errno, hex, Refusal } from './errno.js';
import { HelperProcess, Sys } from './helper-process.js';

/**
 * How long an access may have the server wait. A page may have to come from a disk, and on a machine that is
 * busy the program may have the lock and no processor.
 */
const PATIENCE_MS = 100;
/** The same where memory of its opener has not come a short while ago. */
const SHORT_MS = 10;
/** How long an access is waited for in a piece of work that the same opener's memory has kept so long. */
const LAST_MS = 1;
/** How much of the time that accesses have kept us is free again in a second, in ms. */
const PER_SECOND = 20;
/** What a millisecond in which we wait for a helper comes to: as much as a step may (devices/effort.ts). */
const EFFORT_PER_MS = 1024;
/** How often it is looked whether a helper that was killed has ended, and time becomes free. */
const LOOK_MS = 100;

/** Helpers that were killed and have not ended. An access takes one until it is done, and PATIENCE_MS. */
export const waitingHelpers = new Pool('helper processes that wait for memory', 'EMFILE', () => 16, {
  least: 2,
});
/** How long accesses have kept us: one opener's for 1000 ms. */
export const waitingTime = new Pool('milliseconds of waiting for memory', 'ETIME', () => 1334, {
  least: 2 * PATIENCE_MS,
});

/** The one that is asked. */
let present: HelperProcess | undefined;
/** Those that were killed, and for whom they wait. */
const killed = new Map<HelperProcess, Account | undefined>();
let possible: boolean | undefined;
let looking: NodeJS.Timeout | undefined;
let transfers = 0;
/** What we have waited for helpers beyond the milliseconds that have been told (access-cost.ts). */
let untold = 0;
/** For how many milliseconds they have kept us in this piece of work: whose. */
const keptInPiece = new Map<Account, number>();

/** How many times helpers have been asked for accesses so far: for any number of parts at once. */
export function transfersByHelpers(): number {
  return transfers;
}

/** A helper is asked for one. */
export function countTransfer(): void {
  transfers++;
}

/** A piece of work has ended. */
export function endHelpedPiece(): void {
  if (keptInPiece.size > 0) keptInPiece.clear();
}

/** Time that an account's accesses have kept us and that is not free again; was one of them given up? */
interface Wait {
  ms: number;
  givenUp: boolean;
}
/** In the order of their turns. */
const waits = new Map<Account, Wait>();

export class PatientHelper {
  /** Why it must not be asked, or has not answered. */
  shortfall: string | undefined;
  readonly #account: Account;
  readonly #description: string;
  /** Who waits for this memory. */
  #waits: HelperProcess | undefined;

  /** `account` pays for whoever waits; `description` as in: the memory of process 123. */
  constructor(account: Account, description: string) {
    this.#account = account;
    this.#description = description;
  }

  /** Who is to be asked; undefined: nobody now, and `shortfall` is why. */
  get ready(): HelperProcess | undefined {
    this.shortfall = undefined;
    if (this.#waits !== undefined && !hasEnded(this.#waits)) {
      this.shortfall = `an access to the memory of ${this.#description} has not come back yet`;
      return undefined;
    }
    this.#waits = undefined;
    try {
      return helperProcess();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.shortfall = error.reason;
      return undefined;
    }
  }

  /**
   * Has `helper` do what it has been given. @param addresses of the accesses that it makes.
   * @returns false: it has not done it, and `shortfall` is why.
   */
  do(helper: HelperProcess, count: number, addresses?: Float64Array): boolean {
    const account = this.#account;
    try {
      reserve(account);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.shortfall = error.reason;
      return false;
    }
    const patience = patienceWith(account);
    const began = performance.now();
    const slept = helper.do(count, patience);
    hasTaken(performance.now() - began);
    if (slept >= 0) {
      account.give(waitingHelpers, 1);
      const ms = Math.min(Math.ceil(slept), PATIENCE_MS);
      hasKeptUs(account, ms, ms, false);
      return true;
    }
    hasKeptUs(account, patience, PATIENCE_MS, true);
    const where = addresses === undefined ? '' : ` at ${hex(addresses[helper.returned(count)] ?? 0)}`;
    this.shortfall = `the memory of ${this.#description}${where} has not come within ${patience} ms`;
    this.#waits = helper;
    leave(helper, this.#account);
    return false;
  }
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

/** Closes the descriptors `fds` of `helper`. */
export function closeIn(helper: HelperProcess, ...fds: readonly number[]): void {
  if (helper.dead) return;
  for (const [index, fd] of fds.entries()) helper.put(index, Sys.close, fd);
  if (helper.do(fds.length, PATIENCE_MS) < 0) leave(helper, undefined);
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

/** For how many milliseconds the next access to memory that `account` pays for is waited for. */
function patienceWith(account: Account): number {
  const isScarce = waitingTime.used > waitingTime.total || waits.get(account)?.givenUp === true;
  const left = PATIENCE_MS - (keptInPiece.get(account) ?? 0);
  return Math.max(LAST_MS, Math.min(left, isScarce ? SHORT_MS : PATIENCE_MS));
}

/**
 * A helper was waited for so long, asleep or not: pages that each come within a fraction of a millisecond
 * keep everybody waiting as well, when they are many.
 */
function hasTaken(ms: number): void {
  untold += ms;
  const whole = Math.floor(untold);
  untold -= whole;
  costs(Math.ceil(EFFORT_PER_MS * ms), whole);
}

/** An access has kept us for `waited` ms, which cost `ms` of what it has reserved. */
function hasKeptUs(account: Account, waited: number, ms: number, givenUp: boolean): void {
  account.give(waitingTime, PATIENCE_MS - ms);
  if (ms === 0) return;
  keptInPiece.set(account, (keptInPiece.get(account) ?? 0) + waited);
  const wait = waits.get(account) ?? { ms: 0, givenUp: false };
  wait.ms += ms;
  wait.givenUp ||= givenUp;
  waits.set(account, wait);
  looking ??= setInterval(look, LOOK_MS).unref();
}

/** Each account in its turn gets a millisecond back. */
function freeTime(): void {
  let left = (PER_SECOND * LOOK_MS) / 1000;
  for (const [account, wait] of waits) {
    if (left-- === 0) return;
    account.give(waitingTime, 1);
    waits.delete(account);
    if (--wait.ms > 0) waits.set(account, wait);
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
  if (killed.size > 0 || waits.size > 0) return;
  clearInterval(looking);
  looking = undefined;
}
