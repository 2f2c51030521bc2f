/**
 * Identification: which open file of ours does the caller's descriptor mean?
 *
 * As a rule the inode tells, because each open(2) has one of its own. Where an inode has several opens (a
 * reopen through /proc/self/fd, a bind mount of a node), or the descriptor is being swapped while we look,
 * only the open file itself can tell: we take a copy of the descriptor and send a number nobody can guess
 * through it, and see on which open file it arrives. That call is answered by this very thread, so it is made
 * on another one, and the request that asked has to wait for it (`Undetermined`).
 */
import { randomBytes } from 'node:crypto';
import type { Account } from '../linux/account.js';
import { closeInBackground } from '../linux/background-close.js';
import { Errno, Refusal, refuse } from '../linux/errno.js';
import { askAttributes, type FileIdentity, identifyDescriptor, identifyOwn } from '../linux/fd-identity.js';
import { libc } from '../linux/ffi.js';
import {
  closeHeld,
  type HeldDescriptor,
  heldDescriptors,
  holdCopy,
  holdName,
} from '../linux/held-descriptors.js';
import type { DeviceTree, Inode, Opened } from './device-tree.js';
import { OffThread } from './off-thread.js';

/**
 * The private ioctl that carries a nonce as its plain argument: _IO(';', 0xff). Whoever sends a wrong one
 * gets ENOTTY.
 */
export const NONCE_CMD = 0x3bff;

/**
 * Thrown out of a handler that asked for `fd`: the answer is on its way, dispatch the request again when it
 * is there.
 */
export class Undetermined extends Error {
  readonly fd: number;

  constructor(fd: number) {
    super(`fd ${fd} is being identified`);
    this.fd = fd;
  }
}

/** An answer, and the copy that keeps the open file alive until the request that asked has been answered. */
export interface Determined {
  readonly answer: Opened | Refusal;
  readonly copy: HeldDescriptor | undefined;
}

export class Identification {
  readonly #tree: DeviceTree;
  #device: number | undefined;
  readonly #offThread = new OffThread();
  readonly #refreshing = new Set<Inode>();
  readonly #rounds = new Map<number, { arrivedOn: Opened | undefined }>();

  /**
   * @param device the filesystem's device number; undefined: it is learned when the first nonce has come
   * back.
   */
  constructor(tree: DeviceTree, device: number | undefined) {
    this.#tree = tree;
    this.#device = device;
  }

  /**
   * The open file behind descriptor `fd` of thread `tid`; undefined when the inode alone does not tell.
   * @throws Refusal EBADF no such descriptor, or opened with O_PATH; EINVAL not a file of this server; EPERM
   * the caller cannot be traced.
   */
  byInode(tid: number, fd: number): Opened | undefined {
    const identity = identifyDescriptor(tid, fd);
    if (identity === undefined || this.#device === undefined) return undefined;
    const opens = this.#opensOf(identity, fd);
    if (opens.size !== 1) return undefined;
    for (const opened of opens) return opened;
    return undefined;
  }

  /**
   * The open file that is mapped where the kernel names this device and inode; undefined when it is none of
   * ours, or the inode has been opened more than once.
   */
  byMapping(device: number, inode: number): Opened | undefined {
    if (device !== this.#device) return undefined;
    const opens = this.#tree.inode(inode)?.opens;
    if (opens?.size !== 1) return undefined;
    for (const opened of opens) return opened;
    return undefined;
  }

  /** Finds it out by a nonce; `account` pays for the copy. `done` is called later, from the event loop. */
  byNonce(account: Account, tid: number, fd: number, done: (determined: Determined) => void): void {
    this.#offThread.run((ended) => {
      this.#round(account, tid, fd, (determined) => {
        done(determined);
        ended();
      });
    });
  }

  /**
   * Lets the kernel ask for the size of a mapped file, which is 0 but not for the kernel: it has just been
   * mapped, or a write has moved its end. The file is found by the descriptor that it was mapped by, in
   * thread `tid`, and not kept open. `done` is called later, from the event loop, when the kernel has been
   * told, or there is no such descriptor.
   */
  refresh({ inode, account }: Opened, tid: number, done: () => void): void {
    this.#offThread.run((ended) => {
      const end = () => {
        done();
        ended();
      };
      const name = this.#nameOf(inode, account, tid);
      if (name === undefined) setImmediate(end);
      else
        askAttributes(name.fd, () => {
          closeHeld(name);
          end();
        });
    });
  }

  /**
   * Thread `tid` has touched a mapped file, and the kernel asks for the page: its size is not 0 any more. The
   * accesses that follow need not ask then.
   */
  pageAsked(opened: Opened, tid: number): void {
    const { inode } = opened;
    if (inode.mappedBy === undefined || this.#refreshing.has(inode)) return;
    this.#refreshing.add(inode);
    this.refresh(opened, tid, () => this.#refreshing.delete(inode));
  }

  /** A name of `inode`, by the descriptor of thread `tid` that it was mapped by; undefined: it has none. */
  #nameOf(inode: Inode, account: Account, tid: number): HeldDescriptor | undefined {
    try {
      const name = holdName(account, tid, inode.mappedBy ?? -1);
      const { device, inode: number } = identifyOwn(name.fd);
      if (device === (this.#device ?? device) && number === inode.id) return name;
      closeHeld(name);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
    return undefined;
  }

  /**
   * Closes a copy where waiting is allowed: the close of a file that flushes is answered by the serving
   * thread.
   */
  closeCopy({ fd, account }: HeldDescriptor): void {
    this.#offThread.runFirst((ended) =>
      libc().close.async(fd, () => {
        account.give(heldDescriptors, 1);
        ended();
      }),
    );
  }

  /** The nonce ioctl has come in on `opened`. @returns false when nobody sent this number. */
  arrived(nonce: number, opened: Opened): boolean {
    const round = this.#rounds.get(nonce);
    if (round === undefined) return false;
    round.arrivedOn = opened;
    return true;
  }

  #round(account: Account, tid: number, fd: number, done: (determined: Determined) => void): void {
    let copy: HeldDescriptor | undefined;
    try {
      copy = holdCopy(account, tid, fd);
      // The kernel's word, again, for what was copied: nothing is ever sent to a file of somebody else's.
      this.#opensOf(identifyOwn(copy.fd), fd);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      // Whatever was put in its place may have a server that must not be waited for.
      if (copy !== undefined) closeInBackground(copy);
      setImmediate(() => done({ answer: error, copy: undefined }));
      return;
    }
    this.#send(copy.fd, (opened) => done({ answer: opened ?? notOurs(fd), copy }));
  }

  #send(copy: number, done: (opened: Opened | undefined) => void): void {
    const nonce = randomBytes(6).readUIntLE(0, 6);
    const round = { arrivedOn: undefined as Opened | undefined };
    this.#rounds.set(nonce, round);
    libc().ioctl.async(copy, NONCE_CMD, nonce, () => {
      this.#rounds.delete(nonce);
      if (round.arrivedOn !== undefined) this.#device ??= identifyOwn(copy).device;
      done(round.arrivedOn);
    });
  }

  #opensOf(identity: FileIdentity, fd: number): ReadonlySet<Opened> {
    if (identity.pathOnly) refuse('EBADF', `fd ${fd} was opened with O_PATH and is no open file`);
    const inode =
      identity.device === (this.#device ?? identity.device) ? this.#tree.inode(identity.inode) : undefined;
    if (inode?.node === undefined) throw notOurs(fd);
    return inode.opens;
  }
}

function notOurs(fd: number): Refusal {
  return new Refusal(Errno.EINVAL, `fd ${fd} is not an open device file of this system`);
}
