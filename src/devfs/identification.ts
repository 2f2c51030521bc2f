/**
 * Identification: which open file of ours does the caller's descriptor mean?
 *
 * As a rule the inode tells, because each open(2) has one of its own; whether it is an open file, and no name
 * of one (O_PATH), a helper process finds out (linux/certain-copy.ts). Where an inode has several opens (a
 * reopen through /proc/self/fd, a bind mount of a node), or the descriptor is being swapped while we look,
 * only the open file itself can tell: a number nobody can guess is sent through a copy of the descriptor, and
 * we see on which open file it arrives. That call is answered by this very thread, so it is made on another
 * one (own-files.ts), and the request that asked has to wait for it (`Undetermined`).
 */

import { Postponed } from '../file/work.js';
import type { Account } from '../linux/account.js';
import { Refusal } from '../linux/errno.js';
import {
  deviceOfDescriptor,
  type FileIdentity,
  givesNoAccess,
  identifyDescriptor,
  notOpenedFor,
} from '../linux/fd-identity.js';
import { heldFlags } from '../linux/held-copy.js';
import { randomBytes } from '../linux/random-bytes.js';
import type { DeviceTree } from './device-tree.js';
import type { Inode, Opened } from './inode.js';
import { notOurs, type OwnCopy, type OwnFiles } from './own-files.js';

const O_PATH = 0o10000000;

/**
 * Thrown out of a handler that asked for `fd`: the answer is on its way, dispatch the request again when it
 * is there.
 */
export class Undetermined extends Postponed {
  readonly fd: number;

  constructor(fd: number) {
    super(`fd ${fd} is being identified`);
    this.fd = fd;
  }
}

/** An answer, and the copy that keeps the open file alive until the request that asked has been answered. */
export interface Determined {
  readonly answer: Opened | Refusal;
  readonly copy: OwnCopy | undefined;
}

export class Identification {
  readonly #tree: DeviceTree;
  readonly #device: number;
  readonly #own: OwnFiles;
  readonly #refreshing = new Set<Inode>();
  readonly #rounds = new Map<number, { arrivedOn: Opened | undefined }>();

  /** @param device the filesystem's device number. */
  constructor(tree: DeviceTree, device: number, own: OwnFiles) {
    this.#tree = tree;
    this.#device = device;
    this.#own = own;
  }

  /**
   * The open file behind descriptor `fd` of thread `tid`; undefined when the inode alone does not tell.
   * `payer`: who pays for a helper that is lost.
   * @throws Refusal EBADF no such descriptor, or opened with O_PATH; EINVAL not a file of this server; EPERM
   * the caller cannot be traced; EMFILE the account's part is used up.
   */
  byInode(payer: () => Account, tid: number, fd: number): Opened | undefined {
    const file = identifyDescriptor(tid, fd);
    const inode = this.#inode(file);
    if (inode?.node === undefined) throw givesNoAccess(tid, fd) ? notOpenedFor(fd) : notOurs(fd);
    const opened = onlyOne(inode.opens);
    const flags = opened && heldFlags(payer(), tid, fd, file);
    if (flags === undefined) return undefined;
    if (flags & O_PATH) throw notOpenedFor(fd);
    return opened;
  }

  /** As `byInode`, as it looks: the file of which it may be a name only. */
  named(tid: number, fd: number): Opened | undefined {
    return onlyOne(this.#inode(identifyDescriptor(tid, fd))?.opens ?? new Set());
  }

  /** Is the file behind descriptor `fd` of thread `tid` one of this server? It may be no open file. */
  isOurs(tid: number, fd: number): boolean {
    return deviceOfDescriptor(tid, fd) === this.#device;
  }

  /**
   * The open file that is mapped where the kernel names this device and inode; undefined when it is none of
   * ours, or the inode has been opened more than once.
   */
  byMapping(device: number, inode: number): Opened | undefined {
    if (device !== this.#device) return undefined;
    return onlyOne(this.#tree.inode(inode)?.opens ?? new Set());
  }

  /** Finds it out by a nonce; `account` pays for the copy. `done` is called later, from the event loop. */
  byNonce(account: Account, tid: number, fd: number, done: (determined: Determined) => void): void {
    const nonce = randomBytes(6).readUIntLE(0, 6);
    const round = { arrivedOn: undefined as Opened | undefined };
    this.#rounds.set(nonce, round);
    this.#own.ask(account, { tid, fd, device: this.#device, nonce }, (copy) => {
      this.#rounds.delete(nonce);
      if (copy instanceof Refusal) done({ answer: copy, copy: undefined });
      else done({ answer: round.arrivedOn ?? notOurs(fd), copy });
    });
  }

  /**
   * Lets the kernel ask for the size of a mapped file, which is 0 but not for the kernel: it has just been
   * mapped, or a write has moved its end. The file is found by the descriptor that it was mapped by, in
   * thread `tid`, and not kept open. `done` is called later, from the event loop, when the kernel has been
   * told, or there is no such descriptor.
   */
  refresh({ inode, account }: Opened, tid: number, done: () => void): void {
    const order = { tid, fd: inode.mappedBy ?? -1, device: this.#device, inode: inode.id };
    this.#own.ask(account, order, done);
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

  closeCopy(copy: OwnCopy): void {
    this.#own.close(copy);
  }

  /** The nonce ioctl has come in on `opened`. @returns false when nobody sent this number. */
  arrived(nonce: number, opened: Opened): boolean {
    const round = this.#rounds.get(nonce);
    if (round === undefined) return false;
    round.arrivedOn = opened;
    return true;
  }

  /** What `file` is, if it is ours. */
  #inode({ device, inode }: FileIdentity): Inode | undefined {
    return device === this.#device ? this.#tree.inode(inode) : undefined;
  }
}

function onlyOne(opens: ReadonlySet<Opened>): Opened | undefined {
  const [opened] = opens;
  return opens.size === 1 ? opened : undefined;
}
