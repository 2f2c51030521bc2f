/**
 * StandIn: a second thread that reads the connection when the serving thread cannot.
 *
 * The serving thread touches memory of other processes, and a page of it may be one of our own files, mapped
 * privately. Then the kernel asks the server for that page and lets the toucher wait for the answer: without
 * help, for ever. So the stand-in watches the pulse of the serving thread, which beats at each poll and each
 * request. When it has stood still for PATIENCE_MS while the thread was awake, the stand-in takes requests
 * from the connection: it answers those for pages with EIO, which is what they always get, and hands all
 * others on in their order.
 *
 * Invariant: no request overtakes another. The serving thread takes what was handed on before it reads the
 * connection, and does neither while the stand-in has a request in its hands. Shared words say so; both sides
 * write one and then read the other's: the stand-in says that it takes and looks at the pulse, the serving
 * thread lets the pulse beat and looks at whether the stand-in takes.
 *
 * It is a Node within Node, so it is started when it is needed, by the first request that may lead to such
 * memory: an OPEN, or a GETATTR of who is to be told of a device. That request waits here until the stand-in
 * is at work, and is then the next that the serving thread takes; all others are served meanwhile.
 *
 * When what the serving thread is caught in is code of a device model, it ends the process (call-watch.ts):
 * nobody else can, not even by a signal, whose handler would need the thread that loops. That may be before
 * there is a connection, so it can be started without one.
 *
 * What that waits for may be memory that a program has given another FUSE filesystem's file, whose server
 * never answers. A server of that program alone then ends as well.
 *
 * A wait for a program that it traces ends, if the serving thread is caught in that. And it starts the helper
 * processes: files of our own, which the serving thread may have open, would be closed in them, and that
 * thread waits for them meanwhile (linux/helper-start.ts).
 *
 * It also holds the lifeline, the descriptor whose closing tells the guard (cli/guard.ts) that this process
 * is dead. Its thread has a table of descriptors of its own and waits for nobody, so that this is closed at
 * once when the process is killed, whatever its other threads wait for. Before it is started none of them
 * waits for a server, so the table that they share is closed as soon.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, type Worker } from 'node:worker_threads';
import { callNames, callWords, noteDebugger } from '../devices/call-words.js';
import { Postponed } from '../file/work.js';
import { attaching } from '../linux/attach.js';
import { refuse } from '../linux/errno.js';
import type { Pulse } from '../linux/event-loop.js';
import { address, check, libc } from '../linux/ffi.js';
import { starting, wakeStarterAt } from '../linux/helper-start.js';
import { startThread } from '../linux/own-thread.js';
import type { WatchedCalls } from './call-watch.js';

/** EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC: a read takes one. */
const EFD_FLAGS = 0o2004001;

/** More than any start of a thread takes. */
const START_MS = 30_000;
/** How often Node's loop calls back something of ours while there is no connection yet. */
const BEAT_MS = 100;

/** The shared words. */
export const Word = {
  /**
   * Odd: the serving thread is awake. It changes with each poll, before and after, and before the connection
   * is read. ENDED: there is nothing to read any more.
   */
  PULSE: 0,
  /** 1: the stand-in sleeps until the serving thread wakes. */
  ASLEEP: 1,
  /** 1: the stand-in is about to take a request, or has one in its hands. */
  TAKING: 2,
  /** How many requests it has handed on. */
  HANDED_ON: 3,
  /** 1: the stand-in has a table of descriptors of its own; 2: it has closed what was in it. */
  TABLE: 4,
  /** The descriptor of the connection; NONE: there is none yet. */
  FUSE: 5,
  /** The lifeline; NONE: there is none. */
  LIFELINE: 6,
  /** The request that is being served: its opcode, 0 when there is none, and the thread that has made it. */
  OPCODE: 7,
  THREAD: 8,
} as const;

/** The pulse's last value; it is no other's. */
export const ENDED = -1;
export const NONE = -1;
/** Values of Word.TABLE. */
export const OWN = 1;
export const CLOSED = 2;

/** What the guard is told when there is nothing left to guard. */
const IN_ORDER = Buffer.from('in order\n'.padEnd(128));

/** Tells the guard at the other end of `lifeline` that all is in order, and closes that. */
export function dismissGuard(lifeline: number): void {
  if (lifeline === NONE) return;
  libc().write(lifeline, address(IN_ORDER), IN_ORDER.length);
  libc().close(lifeline);
}

/** Thrown out of a request that needs the stand-in, before it is at work: to be kept by `keep`. */
export class TooEarly extends Postponed {
  constructor() {
    super('the thread that stands in for the serving thread is being started');
  }
}

/** What the stand-in's thread is given. */
export interface StandInData {
  /** An eventfd: one for each request that is handed on. */
  readonly bell: number;
  readonly words: Int32Array;
  readonly port: MessagePort;
  /** Calls that must not go on for ever. */
  readonly calls: WatchedCalls;
  /** As linux/attach.ts has it. */
  readonly attaching: Int32Array;
  /** As linux/helper-start.ts has it. */
  readonly starting: Int32Array;
  /** It serves one command: a wait for memory of others that does not come ends it. */
  readonly alone: boolean;
}

/** The thread, as the serving one has it. */
interface Thread {
  readonly worker: Worker;
  readonly port: MessagePort;
  /** It has been at work, and until it ends it is. */
  atWork: boolean;
}

export class StandIn implements Pulse {
  /** Readable when requests were handed on, and once when the thread is at work. */
  readonly bell: number;
  readonly #words = new Int32Array(new SharedArrayBuffer(64));
  readonly #alone: boolean;
  readonly #beat: NodeJS.Timeout;
  readonly #count = new Uint8Array(128);
  /** Requests that came before it was at work. */
  readonly #kept: Uint8Array[] = [];
  #thread: Thread | undefined;
  /** Why it has not come to work, until all are refused that were kept. */
  #failure: string | undefined;
  #pulse = 1;
  #received = 0;
  #ended = false;

  /** `alone`: as of StandInData. @throws Refusal EMFILE. */
  constructor({ alone = false } = {}) {
    this.#alone = alone;
    this.bell = check(libc().eventfd(0, EFD_FLAGS), 'no eventfd could be made');
    Atomics.store(this.#words, Word.PULSE, this.#pulse);
    Atomics.store(this.#words, Word.FUSE, NONE);
    Atomics.store(this.#words, Word.LIFELINE, NONE);
    // It also keeps the process alive while a module waits for what Node does not know of.
    this.#beat = setInterval(() => this.turned(), BEAT_MS);
  }

  /** Node's loop has taken a turn, so a debugger may have come: who watches this thread is told. */
  turned(): void {
    if (this.#thread !== undefined) noteDebugger();
  }

  /**
   * Starts the thread, if nobody has. That takes a while, during which other things can be done.
   * @throws Error there can be no more threads.
   */
  start(): void {
    if (this.#thread !== undefined) return;
    noteDebugger();
    wakeStarterAt(this.#words, Word.PULSE);
    const { port1, port2 } = new MessageChannel();
    const calls = { words: callWords, names: callNames };
    const workerData: StandInData = {
      bell: this.bell,
      words: this.#words,
      port: port2,
      calls,
      attaching,
      starting,
      alone: this.#alone,
    };
    const worker = startThread('devfs/stand-in-thread', {
      workerData,
      transferList: [port2],
      // Node would make our own streams nonblocking, to pass on what the worker says: the command has them.
      stdout: true,
      stderr: true,
    });
    worker.on('error', (error) => this.#failed(error));
    worker.unref();
    this.#thread = { worker, port: port1, atWork: false };
  }

  /** Stands in for this thread at the connection `fuse` from now on. `lifeline` becomes its own. */
  serve(fuse: number, lifeline = NONE): void {
    clearInterval(this.#beat);
    Atomics.store(this.#words, Word.LIFELINE, lifeline);
    Atomics.store(this.#words, Word.FUSE, fuse);
    Atomics.notify(this.#words, Word.FUSE);
  }

  /**
   * Asked for by a request after which memory of others may be touched, and files of our own be open.
   * @throws TooEarly it is not at work yet. @throws Refusal EAGAIN it cannot be started.
   */
  needed(): void {
    if (this.#isAtWork()) return;
    const failure = this.#failure ?? this.#startFails();
    if (failure === undefined) throw new TooEarly();
    refuse('EAGAIN', `no thread can stand in for the serving one: ${failure}`);
  }

  /** Keeps the request until it is at work: `take` gives it back. */
  keep(request: Uint8Array): void {
    this.#kept.push(request.slice());
  }

  /** Returns when it is at work. */
  untilAtWork(): void {
    this.start();
    this.#untilTableIs(OWN);
    this.#isAtWork();
  }

  /** A request of kind `opcode` is being served for thread `tid`; none is with 0. */
  serves(opcode: number, tid: number): void {
    this.#words[Word.OPCODE] = opcode;
    this.#words[Word.THREAD] = tid;
  }

  sleeps(): void {
    this.#pulsate(1);
  }

  wakes(): void {
    this.#pulsate(1);
    if (Atomics.load(this.#words, Word.ASLEEP) === 0) return;
    Atomics.store(this.#words, Word.ASLEEP, 0);
    Atomics.notify(this.#words, Word.ASLEEP);
  }

  /**
   * Puts the first request that was kept or handed on into `target`. @returns its length; 0 when there is
   * none.
   */
  take(target: Uint8Array): number {
    const isDecided = this.#isAtWork() || this.#failure !== undefined;
    if (isDecided && this.#kept.length > 0) return this.#takeKept(target);
    if (this.#failure !== undefined) this.#forgetFailure();
    if (this.#thread === undefined) return 0;
    // This thread may have stood still since it woke: the stand-in must not take the next request beside it.
    this.#pulsate(2);
    this.#untilEmptyHanded();
    if (Atomics.load(this.#words, Word.HANDED_ON) === this.#received) return 0;
    const { message } = receiveMessageOnPort(this.#thread.port) as { message: Uint8Array };
    this.#received = (this.#received + 1) | 0;
    this.#hear();
    target.set(message);
    return message.length;
  }

  /**
   * The stand-in lets go of the connection and, after a word that all is in order, of the lifeline. The bell
   * rings once more.
   */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#thread === undefined) dismissGuard(Atomics.load(this.#words, Word.LIFELINE));
    else this.#endThread(this.#thread);
    this.#ring();
  }

  #endThread({ worker, port }: Thread): void {
    this.untilAtWork();
    Atomics.store(this.#words, Word.PULSE, ENDED);
    Atomics.notify(this.#words, Word.PULSE);
    Atomics.store(this.#words, Word.ASLEEP, 0);
    Atomics.notify(this.#words, Word.ASLEEP);
    this.#untilTableIs(CLOSED);
    port.close();
    void worker.terminate();
  }

  /** Starts the thread. @returns why it cannot be. */
  #startFails(): string | undefined {
    try {
      this.start();
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** Is it at work? Then it has the lifeline, and has rung. */
  #isAtWork(): boolean {
    const thread = this.#thread;
    if (thread === undefined || thread.atWork) return thread !== undefined;
    if (Atomics.load(this.#words, Word.TABLE) < OWN) return false;
    thread.atWork = true;
    this.#hear();
    const lifeline = Atomics.load(this.#words, Word.LIFELINE);
    if (lifeline !== NONE) libc().close(lifeline);
    return true;
  }

  /** Who waits for it is refused, and the next who needs it has another started. */
  #failed({ message }: Error): void {
    console.error(`ioasid: nobody stands in for the serving thread: ${message}`);
    if (this.#isAtWork()) return;
    this.#thread = undefined;
    if (this.#kept.length === 0) return;
    this.#failure = message;
    this.#ring();
  }

  /** All have been refused who waited. */
  #forgetFailure(): void {
    this.#failure = undefined;
    this.#hear();
  }

  #takeKept(target: Uint8Array): number {
    const kept = this.#kept.shift()!;
    target.set(kept);
    return kept.length;
  }

  #ring(): void {
    this.#count.fill(0);
    this.#count[0] = 1;
    libc().write(this.bell, address(this.#count), 8);
  }

  /** Takes one ring of the bell. */
  #hear(): void {
    libc().read(this.bell, address(this.#count), 8);
  }

  #untilTableIs(state: number): void {
    for (let now = 0; now < state; now = Atomics.load(this.#words, Word.TABLE)) {
      if (Atomics.wait(this.#words, Word.TABLE, now, START_MS) === 'timed-out')
        throw new Error('the thread that stands in for the serving thread does not start');
    }
  }

  #pulsate(by: number): void {
    this.#pulse = (this.#pulse + by) & 0x7fff_ffff;
    Atomics.store(this.#words, Word.PULSE, this.#pulse);
  }

  #untilEmptyHanded(): void {
    while (Atomics.load(this.#words, Word.TAKING) === 1) Atomics.wait(this.#words, Word.TAKING, 1);
  }
}
