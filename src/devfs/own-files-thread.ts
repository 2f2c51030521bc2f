/** The thread that makes calls on files of our own; see own-files.ts. */
import { readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { certainClose, certainCopy, Swapped } from '../linux/certain-copy.js';
import { closeOthers, leaveSharedTable } from '../linux/descriptor-table.js';
import { Refusal } from '../linux/errno.js';
import {
  askAttributes,
  deviceOfDescriptor,
  identifyOwn,
  nameDescriptor,
  notOpenedFor,
} from '../linux/fd-identity.js';
import { libc } from '../linux/ffi.js';
import { useProc } from '../linux/own-proc.js';
import { NONCE_CMD } from './fuse-wire.js';
import {
  type Answer,
  type AskingThreadData,
  type CopyOrder,
  NOBODY,
  notOurs,
  type Order,
  type SizeOrder,
  Word,
} from './own-files.js';

const STDERR = 2;
/** How long other questions wait for the close of a file that is none of ours. */
const CLOSE_MS = 20;

const main = parentPort!;
const { ofNode, words, proc } = workerData as AskingThreadData;
useProc(proc);
leaveSharedTable([STDERR]);
Atomics.store(words, Word.ALONE, 1);
Atomics.notify(words, Word.ALONE);
closeOthers([STDERR], ofNode);
main.on('message', (order: Order) => main.postMessage(carriedOut(order)));
const tid = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
main.postMessage({ tid } satisfies Answer);

function carriedOut(order: Order): Answer {
  if ('close' in order) return closed(order.close);
  try {
    return 'nonce' in order ? copied(order) : sized(order);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { errno, reason } = error instanceof Swapped ? notOurs(order.fd) : error;
    // What no helper has stays open: its close would keep this thread.
    const swapped = error instanceof Swapped ? (error.helper ?? (error.copy && NOBODY)) : undefined;
    return { refusal: { errno, reason }, swapped };
  }
}

/** A program may have made it hard to let go of, so a helper has it last. */
function closed(fd: number): Answer {
  try {
    certainClose([fd], CLOSE_MS, tid, (pid) => Atomics.store(words, Word.HOLDER, pid));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error instanceof Swapped) return { swapped: error.helper };
    libc().close(fd);
  }
  return {};
}

/** Nothing is ever sent to a file of somebody else's. */
function copied({ tid, fd, device, nonce }: CopyOrder): Answer {
  const copy = certainCopy(tid, fd, (holder, its) => isOurs(holder, its, device), CLOSE_MS);
  if (identifyOwn(copy).pathOnly) {
    libc().close(copy);
    throw notOpenedFor(fd);
  }
  libc().ioctl(copy, NONCE_CMD, nonce);
  return { copy };
}

/** When `holder` closes it, the server is asked, and has to know who that is. */
function isOurs(holder: number, fd: number, device: number): boolean {
  Atomics.store(words, Word.HOLDER, holder);
  return deviceOfDescriptor(holder, fd) === device;
}

/** By a name: a copy would keep a device open after its program has ended. */
function sized({ tid, fd, device, inode }: SizeOrder): Answer {
  const name = nameDescriptor(tid, fd);
  const identity = identifyOwn(name);
  if (identity.device === device && identity.inode === inode) askAttributes(name);
  libc().close(name);
  return {};
}
