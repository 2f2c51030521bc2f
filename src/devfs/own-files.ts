/**
 * OwnFiles: system calls on open files of our own filesystem, which the serving thread has to answer.
 *
 * Another thread makes them, one with a table of descriptors of its own: who waits for an answer cannot be
 * killed, and would keep all that is in its table open, the connection among it, whose end alone could free
 * it. Invariant: descriptors of callers that may be files of ours are copied into such a table only.
 *
 * What is copied may turn out to be a file of another server's, put in the place of ours meanwhile, and its
 * close may wait for him for ever. So the thread has a helper process that has it first, and is given up then
 * (linux/certain-copy.ts). How many may wait so has a limit for each opener.
 */
import type { Worker } from 'node:worker_threads';
import type { Account } from '../linux/account.js';
import { descriptorsOfNode } from '../linux/descriptor-table.js';
import { Errno, Refusal } from '../linux/errno.js';
import { keepSwapped, swappedDescriptors } from '../linux/held-copy.js';
import { heldDescriptors } from '../linux/held-descriptors.js';
import { procRoot } from '../linux/own-proc.js';
import { startThread } from '../linux/own-thread.js';

/** What the thread is told to do: to close its descriptor `close`, or to ask. */
export type Order = { readonly close: number } | Question;

/** What is asked about descriptor `fd` of thread `tid`, if it is a file of filesystem `device`. */
export type Question = CopyOrder | SizeOrder;

/** Copy it, and send the private ioctl with this argument through the copy. */
export interface CopyOrder {
  readonly tid: number;
  readonly fd: number;
  readonly device: number;
  readonly nonce: number;
}

/** Let the kernel ask for the size of the file, which is this inode. */
export interface SizeOrder {
  readonly tid: number;
  readonly fd: number;
  readonly device: number;
  readonly inode: number;
}

/** What came of it; first of all, the thread's id. */
export interface Answer {
  readonly tid?: number;
  /** The thread's own descriptor. */
  readonly copy?: number;
  /** The process id of a helper that was given up with what is no file of ours; NOBODY: the thread has it. */
  readonly swapped?: number | undefined;
  readonly refusal?: { readonly errno: number; readonly reason: string };
}

/** A copy of a caller's descriptor, of a file of ours, which is charged to `account`. */
export interface OwnCopy {
  readonly account: Account;
  readonly thread: AskingThread;
  readonly fd: number;
}

export const NOBODY = 0;

/** What is to be asked, when its turn has come. */
interface Ask {
  readonly account: Account;
  readonly order: Question;
  readonly done: (result: OwnCopy | Refusal) => void;
}

/** More than any start of a thread takes. */
const START_MS = 30_000;

/** What its thread is given. */
export interface AskingThreadData {
  /** The descriptors of Node's that there were before any caller. */
  readonly ofNode: readonly number[];
  /** Shared: `Word`. */
  readonly words: Int32Array;
  /** Where it finds what the kernel says of callers. */
  readonly proc: string;
}

/**
 * ALONE: 1 when the connection is not, or no longer, in the thread's table. HOLDER: the process id of the
 * helper that copies for the thread, and closes what it has copied.
 */
export const Word = { ALONE: 0, HOLDER: 1 } as const;

/** A thread that makes the calls, one after the other. */
class AskingThread {
  readonly #worker: Worker;
  readonly #words = new Int32Array(new SharedArrayBuffer(8));
  /** Who gets the next answers. */
  readonly #asked: ((answer: Answer) => void)[] = [({ tid }) => (this.tid = tid)];
  #gone = false;
  tid: number | undefined;

  constructor(ofNode: readonly number[]) {
    const workerData: AskingThreadData = { ofNode, words: this.#words, proc: procRoot() };
    // Node would make our own streams nonblocking, to pass on what the worker says: the command has them.
    this.#worker = startThread('devfs/own-files-thread', { workerData, stdout: true, stderr: true });
    this.#worker.on('message', (answer: Answer) => this.#asked.shift()!(answer));
    this.#worker.on('error', (error) => console.error(`ioasid: a thread has failed: ${error.stack}`));
    this.#worker.on('exit', () => this.#end());
    this.#worker.unref();
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Is it this thread that calls, or its helper? */
  calls(tid: number): boolean {
    return !this.#gone && (tid === this.tid || tid === Atomics.load(this.#words, Word.HOLDER));
  }

  order(order: Order, done: (answer: Answer) => void): void {
    this.#asked.push(done);
    if (this.#gone) this.#end();
    else this.#worker.postMessage(order);
  }

  /** Returns when it has no connection in its table, so that it may wait for whatever it likes. */
  untilAlone(): void {
    if (!this.#gone) Atomics.wait(this.#words, Word.ALONE, 0, START_MS);
  }

  terminate(): void {
    void this.#worker.terminate();
  }

  /** It is not there any more, and nor is what it had open. */
  #end(): void {
    this.#gone = true;
    const refusal = { errno: Errno.EIO, reason: 'the thread that asks for files of ours has ended' };
    for (const done of this.#asked.splice(0)) done({ refusal });
  }
}

export class OwnFiles {
  readonly #ofNode = descriptorsOfNode();
  #thread: AskingThread | undefined;
  readonly #waiting: Ask[] = [];
  #asking = false;

  /** Is it a thread of ours that calls, or a helper process? */
  calls(tid: number): boolean {
    return this.#thread?.calls(tid) ?? false;
  }

  /**
   * Asks a file about itself. `account` pays for the descriptor, and for a copy until it is closed. `done` is
   * called later, from the event loop; a Refusal: EBADF no such descriptor, or opened with O_PATH; EINVAL not
   * a file of ours, or no copy was asked for; EPERM ptrace rules forbid it; EMFILE the account's part is used
   * up.
   */
  ask(account: Account, order: Question, done: (result: OwnCopy | Refusal) => void): void {
    this.#waiting.push({ account, order, done });
    if (!this.#asking) this.#next();
  }

  close({ thread, fd, account }: OwnCopy): void {
    thread.order({ close: fd }, ({ swapped }) => {
      account.give(heldDescriptors, 1);
      if (swapped === undefined) return;
      // It waits already, however many of his do.
      account.share(swappedDescriptors).add(1);
      keepSwapped(account, swapped);
    });
  }

  /** To be called when this thread has closed the connection, before the process ends. */
  untilAlone(): void {
    this.#thread?.untilAlone();
  }

  /** The thread ends; to be called when the connection has. */
  end(): void {
    this.#thread?.terminate();
    this.#thread = undefined;
  }

  #next(): void {
    const ask = this.#waiting.shift();
    this.#asking = ask !== undefined;
    if (ask === undefined) return;
    const end = (result: OwnCopy | Refusal) => {
      ask.done(result);
      this.#next();
    };
    const thread = this.#charged(ask.account);
    if (thread instanceof Refusal) setImmediate(end, thread);
    else thread.order(ask.order, (answer) => end(this.#result(thread, ask, answer)));
  }

  /** The thread to be asked, when the account has paid for a copy. */
  #charged(account: Account): AskingThread | Refusal {
    try {
      account.take(swappedDescriptors, 1);
      try {
        account.take(heldDescriptors, 1);
      } catch (refusal) {
        account.give(swappedDescriptors, 1);
        throw refusal;
      }
    } catch (refusal) {
      if (refusal instanceof Refusal) return refusal;
      throw refusal;
    }
    if (this.#thread === undefined || this.#thread.gone) this.#thread = new AskingThread(this.#ofNode);
    return this.#thread;
  }

  #result(thread: AskingThread, { account, order }: Ask, answer: Answer): OwnCopy | Refusal {
    const { copy, swapped, refusal } = answer;
    if (swapped === undefined) account.give(swappedDescriptors, 1);
    else if (swapped !== NOBODY) keepSwapped(account, swapped);
    if (copy !== undefined) return { account, thread, fd: copy };
    if (swapped !== NOBODY) account.give(heldDescriptors, 1);
    return refusal === undefined ? notOurs(order.fd) : new Refusal(refusal.errno, refusal.reason);
  }
}

export function notOurs(fd: number): Refusal {
  return new Refusal(Errno.EINVAL, `fd ${fd} is not an open device file of this system`);
}
