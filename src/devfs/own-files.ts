/**
 * OwnFiles: system calls on open files of our own filesystem, which the serving thread has to answer.
 *
 * Another thread makes them, one with a table of descriptors of its own: who waits for an answer cannot be
 * killed, and would keep all that is in its table open, the connection among it, whose end alone could free
 * it. Invariant: descriptors of callers that may be files of ours are copied into such a table only.
 *
 * What was copied may turn out to be a file of another server's, put in the place of ours meanwhile, and its
 * close may wait for him for ever. So its thread is asked no more: it closes what it has of ours, then that,
 * and another thread is asked from now on. How many may wait so has a limit for each opener.
 */
import { Worker } from 'node:worker_threads';
import { type Account, Pool } from '../linux/account.js';
import { descriptorsOfNode } from '../linux/descriptor-table.js';
import { Errno, Refusal } from '../linux/errno.js';
import { heldDescriptors } from '../linux/held-descriptors.js';
import { ownScript } from '../linux/own-package.js';

/** Each may keep a thread. */
export const swappedDescriptors = new Pool('swapped descriptors', 'EMFILE', () => 8);

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
  readonly foreign?: boolean;
  readonly refusal?: { readonly errno: number; readonly reason: string };
}

/** A copy of a caller's descriptor, of a file of ours, which is charged to `account`. */
export interface OwnCopy {
  readonly account: Account;
  readonly thread: AskingThread;
  readonly fd: number;
}

/** What is to be asked, when its turn has come. */
interface Ask {
  readonly account: Account;
  readonly order: Question;
  readonly done: (result: OwnCopy | Refusal) => void;
}

const script = ownScript('devfs/own-files-thread.js');

/** More than any start of a thread takes. */
const START_MS = 30_000;

/** What its thread is given. */
export interface AskingThreadData {
  /** The descriptors of Node's that there were before any caller. */
  readonly ofNode: readonly number[];
  /** A shared word: 1 when the connection is not, or no longer, in the thread's table. */
  readonly alone: Int32Array;
}

/** A thread that makes the calls, one after the other. */
class AskingThread {
  readonly #worker: Worker;
  readonly #alone = new Int32Array(new SharedArrayBuffer(4));
  /** Who gets the next answers. */
  readonly #asked: ((answer: Answer) => void)[] = [({ tid }) => (this.tid = tid)];
  #gone = false;
  tid: number | undefined;
  /** How many copies it has. */
  copies = 0;
  /** A descriptor that it has yet to close, of somebody else's file. */
  foreign: { readonly fd: number; readonly account: Account } | undefined;

  constructor(ofNode: readonly number[]) {
    const workerData: AskingThreadData = { ofNode, alone: this.#alone };
    // Node would make our own streams nonblocking, to pass on what the worker says: the command has them.
    this.#worker = new Worker(script, { workerData, stdout: true, stderr: true });
    this.#worker.on('message', (answer: Answer) => this.#asked.shift()!(answer));
    this.#worker.on('error', (error) => console.error(`ioasid: a thread has failed: ${error.stack}`));
    this.#worker.on('exit', () => this.#end());
    this.#worker.unref();
  }

  get gone(): boolean {
    return this.#gone;
  }

  order(order: Order, done: (answer: Answer) => void): void {
    this.#asked.push(done);
    if (this.#gone) this.#end();
    else this.#worker.postMessage(order);
  }

  /** Returns when the connection ends with the descriptors of other threads, whatever this one waits for. */
  untilAlone(): void {
    if (!this.#gone) Atomics.wait(this.#alone, 0, 0, START_MS);
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
  #threads: AskingThread[] = [];
  readonly #waiting: Ask[] = [];
  #asking = false;

  /** Is it a thread of ours that calls? */
  calls(tid: number): boolean {
    return this.#threads.some((thread) => thread.tid === tid && !thread.gone);
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
    thread.copies--;
    thread.order({ close: fd }, () => account.give(heldDescriptors, 1));
    this.#closeForeign(thread);
  }

  /** To be called before the connection is closed. */
  untilAlone(): void {
    for (const thread of this.#threads) thread.untilAlone();
  }

  /** The threads end; to be called when the connection has. */
  end(): void {
    for (const thread of this.#threads) thread.terminate();
    this.#threads = [];
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
      const thread = this.#thread();
      account.take(swappedDescriptors, 1);
      try {
        account.take(heldDescriptors, 1);
      } catch (refusal) {
        account.give(swappedDescriptors, 1);
        throw refusal;
      }
      return thread;
    } catch (refusal) {
      if (refusal instanceof Refusal) return refusal;
      throw refusal;
    }
  }

  #thread(): AskingThread {
    this.#threads = this.#threads.filter(({ gone }) => !gone);
    const known = this.#threads.find(({ foreign }) => foreign === undefined);
    if (known !== undefined) return known;
    const thread = new AskingThread(this.#ofNode);
    this.#threads.push(thread);
    return thread;
  }

  #result(thread: AskingThread, { account, order }: Ask, answer: Answer): OwnCopy | Refusal {
    const { copy, foreign, refusal } = answer;
    if (copy !== undefined && foreign === true) {
      thread.foreign = { fd: copy, account };
      this.#closeForeign(thread);
      return notOurs(order.fd);
    }
    account.give(swappedDescriptors, 1);
    if (copy !== undefined) {
      thread.copies++;
      return { account, thread, fd: copy };
    }
    account.give(heldDescriptors, 1);
    return refusal === undefined ? notOurs(order.fd) : new Refusal(refusal.errno, refusal.reason);
  }

  /** Lets `thread` close what is somebody else's, when it has nothing of ours. */
  #closeForeign(thread: AskingThread): void {
    const { foreign, copies } = thread;
    if (foreign === undefined || copies > 0) return;
    thread.order({ close: foreign.fd }, () => {
      thread.foreign = undefined;
      for (const pool of [swappedDescriptors, heldDescriptors]) foreign.account.give(pool, 1);
    });
  }
}

export function notOurs(fd: number): Refusal {
  return new Refusal(Errno.EINVAL, `fd ${fd} is not an open device file of this system`);
}
