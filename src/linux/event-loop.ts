/**
 * The event loop of a thread that serves requests with system calls and must be Node's main thread as well.
 *
 * The thread sleeps in poll(2) on its sources and on the descriptor of libuv's own epoll set, with libuv's
 * timeout. A request is answered straight from there; only when libuv has something to do is Node
 * given one turn of its loop: timers, sockets, signals, child exits, promises. A turn begins by returning to
 * libuv and ends, when libuv has polled, with the immediate that was set before.
 *
 * What a handler leaves behind on Node's own queues (promise reactions, nextTick) libuv does not know of. So
 * after a request the loop is unsettled: it takes a turn when no more have come for SETTLE_MS, and after
 * BUSY_MS of them while they keep coming. A source that says that it has left nothing unsettles nothing.
 */
import { Errno } from './errno.js';
import { sendSignals } from './eventfd.js';
import { address, lastErrno, loadKoffi } from './ffi.js';
import { endPiece } from './file-waits.js';
import { PollSet } from './poll-set.js';

/** A descriptor to be watched, and what to do when it is readable. */
export interface LoopSource {
  readonly fd: number;
  /** The loop does not go on for its sake. */
  readonly passive?: boolean;
  /** What it has handled last has left nothing behind on Node's own queues. */
  readonly settled?: boolean;
  /**
   * Handles what is pending, without blocking. Whoever handles several requests calls `between` after each,
   * and leaves the rest for later when it returns false.
   * @returns false when the source has ended.
   */
  ready(between: () => boolean): boolean;
}

/** Is told when the thread goes to sleep and when it wakes. */
export interface Pulse {
  sleeps(): void;
  wakes(): void;
}

export interface LoopOptions {
  /** Ends the loop. */
  readonly signal?: AbortSignal;
  /** Is told of every turn that Node was given. */
  readonly onTurn?: () => void;
  readonly pulse?: Pulse;
}

const SETTLE_MS = 1;
const BUSY_MS = 10;
/** How often Node gets a turn where libuv's functions cannot be called. */
const BLIND_MS = 5;

/**
 * Serves `sources` until all that are not passive have ended or `signal` is aborted. `work` is called before
 * each wait, and again without sleeping for as long as it returns true; and between requests, with
 * `hurried`: others wait already, so it does not go on with what takes long. Neither is ever called from
 * within the other. Signals that are owed are sent beside it, in the same manner.
 */
export async function runLoop(
  sources: readonly LoopSource[],
  work: (hurried: boolean) => boolean,
  options: LoopOptions = {},
): Promise<void> {
  const node = libuv();
  const set = new WaitSet(sources, node.descriptor, options.pulse);
  // Who has called has left something, too: what he does next, at least.
  let settled = false;
  let lastTurn = performance.now();
  const turnIsDue = () => performance.now() - lastTurn > BUSY_MS;
  let owed = false;
  const workOn = (hurried: boolean) => {
    endPiece();
    const more = work(hurried);
    if (!hurried || !owed) owed = sendSignals();
    return owed || more;
  };
  const between = () => {
    const begun = performance.now();
    workOn(true);
    const ended = performance.now();
    set.until = set.until === 0 ? ended + BUSY_MS : set.until + ended - begun;
    return ended < set.until;
  };
  node.hold();
  try {
    while (set.active && options.signal?.aborted !== true) {
      const busy = workOn(false);
      const served = set.wait(busy ? 0 : settled ? node.timeout() : SETTLE_MS, between);
      endPiece();
      const quiet = !served && !busy;
      if (quiet || set.backendReady || turnIsDue()) {
        await turn();
        options.onTurn?.();
        lastTurn = performance.now();
      }
      settled = quiet || (settled && !busy && set.settled);
    }
  } finally {
    node.release();
  }
}

/** The sources, and libuv's descriptor behind them, as one set: each is told by its place in the list. */
class WaitSet {
  readonly #backend: number;
  readonly #pulse: Pulse | undefined;
  #sources!: readonly LoopSource[];
  #set!: PollSet;
  #active = false;
  /** Did libuv's descriptor become readable in the last wait? */
  backendReady = false;
  /** Has nothing been left behind by what was handled in the last wait? */
  settled = true;
  /**
   * When sources leave the rest for later, where they have handled much; 0 before the first request. It moves
   * on by what work between takes: after such that has taken long, and after a first request that has, all
   * are handled that have come meanwhile.
   */
  until = 0;

  constructor(sources: readonly LoopSource[], backend: number, pulse: Pulse | undefined) {
    this.#backend = backend;
    this.#pulse = pulse;
    this.#watch(sources);
  }

  /** Is there a source that has not ended, and is not passive? */
  get active(): boolean {
    return this.#active;
  }

  /**
   * Sleeps up to `timeout` ms (-1: for ever) and handles the sources that are readable, in their order.
   * @returns whether there were any.
   */
  wait(timeout: number, between: () => boolean): boolean {
    const found = this.#sleep(timeout);
    this.until = 0;
    const { length } = this.#sources;
    this.backendReady = found > 0 && this.#set.readable(length);
    this.settled = true;
    let served = false;
    const ended: LoopSource[] = [];
    for (let i = 0; found > 0 && i < length; i++) {
      if (!this.#set.readable(i)) continue;
      served = true;
      const source = this.#sources[i]!;
      if (!source.ready(between)) ended.push(source);
      this.settled &&= source.settled === true;
    }
    if (ended.length > 0) this.#remove(ended);
    return served;
  }

  /** @returns how many are readable. */
  #sleep(timeout: number): number {
    this.#pulse?.sleeps();
    let found = this.#set.wait(timeout);
    // Interrupted by a signal: a handler has made one of them readable, Node's own or linux/child-bell.ts.
    if (found < 0 && lastErrno() === Errno.EINTR) found = this.#set.wait(0);
    this.#pulse?.wakes();
    return found;
  }

  /** The others are a new set: who has ended may have closed its descriptor already. */
  #remove(ended: readonly LoopSource[]): void {
    this.#watch(this.#sources.filter((source) => !ended.includes(source)));
  }

  #watch(sources: readonly LoopSource[]): void {
    this.#sources = sources;
    this.#active = sources.some(({ passive = false }) => !passive);
    const fds = [...sources.map((source) => source.fd), this.#backend];
    this.#set = new PollSet(fds);
  }
}

/**
 * Returns to Node; resolves when Node's loop has gone round. Node has libuv not wait until it returns from
 * immediates, which it does not here: with another one, that is cleared, it notices that none is pending.
 */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => {
      clearImmediate(setImmediate(() => undefined));
      resolve();
    });
  });
}

/** What a wait needs to know of Node's own loop. */
interface NodeLoop {
  /** Readable when libuv has something to do; -1 when it is not known. */
  readonly descriptor: number;
  /** Milliseconds until libuv wants to run: 0 now, -1 not before its descriptor is readable. */
  timeout(): number;
  /** From now on libuv has something to wait for, whatever Node has: without, its timeout is always 0. */
  hold(): void;
  release(): void;
}

/** More than a uv_async_t of any libuv. */
const HANDLE_BYTES = 512;
/** A uv_async_t that is never sent, of this process's one loop, which has it for good. */
let unused: Uint8Array | undefined;

/** libuv's functions, which Node exports; without them Node gets a turn every BLIND_MS. */
function libuv(): NodeLoop {
  try {
    const library = loadKoffi().load(null);
    const loop = library.func('void *uv_default_loop()')() as unknown;
    const updateTime = library.func('void uv_update_time(void *loop)');
    const backendTimeout = library.func('int uv_backend_timeout(void *loop)');
    const [ref, unref] = ['uv_ref', 'uv_unref'].map((name) => library.func(`void ${name}(uintptr_t handle)`));
    if (unused === undefined) {
      unused = new Uint8Array(HANDLE_BYTES);
      const init = library.func('int uv_async_init(void *loop, uintptr_t handle, void *callback)');
      init(loop, address(unused), null);
    }
    const handle = address(unused);
    return {
      descriptor: library.func('int uv_backend_fd(void *loop)')(loop) as number,
      timeout: () => {
        updateTime(loop);
        return backendTimeout(loop) as number;
      },
      hold: () => ref!(handle),
      release: () => unref!(handle),
    };
  } catch {
    return { descriptor: -1, timeout: () => BLIND_MS, hold: () => undefined, release: () => undefined };
  }
}
