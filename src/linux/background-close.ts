/**
 * Gives back what takes long to give back, on another thread.
 *
 * Who closes the last descriptor of a large memfd frees its pages, a second for some GiB, and so does who
 * unmaps what was touched of it. A socket may wait until what was written has been sent. And a file of a FUSE
 * file system waits for its server (FLUSH), where nothing keeps one from us (certain-copy.ts).
 *
 * Nor must many other threads: those who read and write disks are the same few of Node's, and a close may
 * wait for ever. So two things are done at once, of one account each in the order in which they came, and the
 * others wait for them. What waits is charged as before.
 */
import type { Account } from './account.js';
import { libc } from './ffi.js';
import { statusOfOurs } from './file-status.js';
import { type HeldDescriptor, heldDescriptors } from './held-descriptors.js';

/** Of Node's threads, which are four where nobody has said otherwise. */
const AT_ONCE = 2;
/** Bytes that are given back at once: some milliseconds, if there is a page for each. */
const FEW_BYTES = 1 << 24;
/** Bytes that are unmapped at a time: who maps something meanwhile waits for that. */
const PIECE = 1 << 30;

/** Begins something that takes long; `done` is called when it has ended. */
type Task = (done: () => void) => void;

/** What waits, by who pays for it: whose turn comes next is first. */
const waiting = new Map<Account, Task[]>();
const running = new Set<Account>();

/** Closes `held`: at once, but for what has many pages. It is no file that a FUSE server may have. */
export function closeHeld(held: HeldDescriptor): void {
  if (hasMany(held)) closeInBackground(held);
  else {
    libc().close(held.fd);
    held.account.give(heldDescriptors, 1);
  }
}

/** Closes `held`, soon. */
export function closeInBackground({ fd, account }: HeldDescriptor): void {
  inBackground(account, (done) =>
    libc().close.async(fd, () => {
      account.give(heldDescriptors, 1);
      done();
    }),
  );
}

/** Unmaps [at, at+length) of this process, where `file` is mapped: at once, or soon. `done`: it is. */
export function unmapFile(file: HeldDescriptor, at: number, length: number, done: () => void): void {
  if (length > FEW_BYTES && hasMany(file))
    inBackground(file.account, (ended) =>
      unmapPieces(at, length, () => {
        done();
        ended();
      }),
    );
  else {
    if (length > 0) libc().munmap(at, length);
    done();
  }
}

function hasMany({ fd }: HeldDescriptor): boolean {
  return statusOfOurs(fd).allocated > FEW_BYTES;
}

/** From the end on: what is left is one area. */
function unmapPieces(at: number, length: number, done: () => void): void {
  const left = Math.max(0, length - PIECE);
  libc().munmap.async(at + left, length - left, () => {
    if (left > 0) unmapPieces(at, left, done);
    else done();
  });
}

function inBackground(account: Account, task: Task): void {
  const others = waiting.get(account);
  if (others === undefined) waiting.set(account, [task]);
  else others.push(task);
  startNext();
}

function startNext(): void {
  if (running.size === AT_ONCE) return;
  for (const [account, tasks] of waiting) {
    if (running.has(account)) continue;
    const task = tasks.shift()!;
    // Behind the others, if there is more.
    waiting.delete(account);
    if (tasks.length > 0) waiting.set(account, tasks);
    running.add(account);
    task(() => {
      running.delete(account);
      startNext();
    });
    return;
  }
}
