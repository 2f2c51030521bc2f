/** The thread that makes calls on files of our own; see own-files.ts. */
import { readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { closeOthers, leaveSharedTable } from '../linux/descriptor-table.js';
import { Refusal, refuse } from '../linux/errno.js';
import { askAttributes, copyDescriptor, identifyOwn, nameDescriptor } from '../linux/fd-identity.js';
import { libc } from '../linux/ffi.js';
import { NONCE_CMD } from './fuse-wire.js';
import type { Answer, AskingThreadData, CopyOrder, Order, SizeOrder } from './own-files.js';

const STDERR = 2;

const main = parentPort!;
const { ofNode, alone } = workerData as AskingThreadData;
leaveSharedTable([STDERR]);
Atomics.store(alone, 0, 1);
Atomics.notify(alone, 0);
closeOthers([STDERR], ofNode);
main.on('message', (order: Order) => main.postMessage(carriedOut(order)));
main.postMessage({ tid: Number(readlinkSync('/proc/thread-self').split('/').at(-1)) } satisfies Answer);

function carriedOut(order: Order): Answer {
  if ('close' in order) {
    libc().close(order.close);
    return {};
  }
  try {
    return 'nonce' in order ? copied(order) : sized(order);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { refusal: { errno: error.errno, reason: error.reason } };
  }
}

/** Nothing is ever sent to a file of somebody else's. */
function copied({ tid, fd, device, nonce }: CopyOrder): Answer {
  const copy = copyDescriptor(tid, fd);
  const identity = identifyOwn(copy);
  if (identity.pathOnly) {
    libc().close(copy);
    refuse('EBADF', `fd ${fd} was opened with O_PATH and is no open file`);
  }
  if (identity.device !== device) return { copy, foreign: true };
  libc().ioctl(copy, NONCE_CMD, nonce);
  return { copy };
}

/** By a name: a copy would keep a device open after its program has ended. */
function sized({ tid, fd, device, inode }: SizeOrder): Answer {
  const name = nameDescriptor(tid, fd);
  const identity = identifyOwn(name);
  if (identity.device === device && identity.inode === inode) askAttributes(name);
  libc().close(name);
  return {};
}
