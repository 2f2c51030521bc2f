/**
 * BlankFiles: open file descriptions of our filesystem that mean nothing yet, to be given a meaning and
 * handed to a program.
 *
 * The kernel makes an open file only when somebody opens a name. So a hidden name that nobody can guess is
 * made, opened on another thread (this one has to answer that open), and forgotten. Its open file refuses
 * everything until `file` is set.
 *
 * Forgotten by the kernel too: it would keep the name, and with it the inode, until somebody asks for that
 * name again. So it is asked for once more, in vain, and the inode lives as long as the file is open.
 */

import type { DeviceNode } from '../file/device-node.js';
import type { OpenFile } from '../file/open-file.js';
import type { Account } from '../linux/account.js';
import { Errno, Refusal, refuse } from '../linux/errno.js';
import { identifyOwn } from '../linux/fd-identity.js';
import { libc } from '../linux/ffi.js';
import { heldDescriptors } from '../linux/held-descriptors.js';
import { randomBytes } from '../linux/random-bytes.js';
import { REGIONS_END } from '../uapi/vfio-call.js';
import type { DeviceTree } from './device-tree.js';
import type { Opened } from './inode.js';
import { OffThread } from './off-thread.js';

const O_RDWR_CLOEXEC = 0o2000002;
const O_PATH_CLOEXEC = 0o12000000;

/** An open file of ours, and our descriptor of it, both charged to its account. */
export interface Blank {
  readonly fd: number;
  readonly opened: Opened;
}

class Nothing implements OpenFile {
  readonly object = this;
  lastRefusal: Refusal | undefined;

  ioctl(): number {
    return refuse('ENODEV', 'this descriptor belongs to a call that has not succeeded');
  }

  read(): number {
    return this.ioctl();
  }

  write(): number {
    return this.ioctl();
  }

  flush(): void {}

  release(): void {}
}

/** It lives as long as its inode, so it refers to nothing else. */
function blankNode(path: string, stream: boolean): DeviceNode {
  return { path, flushes: true, stream, extent: stream ? 0 : REGIONS_END, open: () => new Nothing() };
}

export class BlankFiles {
  readonly #tree: DeviceTree;
  readonly #root: number;
  readonly #offThread = new OffThread();

  /** `root` is our descriptor of the mounted root directory. */
  constructor(tree: DeviceTree, root: number) {
    this.#tree = tree;
    this.#root = root;
  }

  /**
   * Makes one that is charged to `account`, for a stream or for a file with offsets. `done` is called later,
   * from the event loop; undefined: this process has no descriptors left, or the mount is gone.
   * @throws Refusal EMFILE the account's part is used up.
   */
  make(account: Account, stream: boolean, done: (blank: Blank | undefined) => void): void {
    account.take(heldDescriptors, 1);
    const name = `.new-${randomBytes(16).toString('hex')}`;
    const path = `/proc/self/fd/${this.#root}/${name}`;
    this.#offThread.run((ended) => {
      this.#tree.hide(name, blankNode(name, stream), account);
      libc().open.async(path, O_RDWR_CLOEXEC, 0, (error, fd) => {
        this.#tree.unhide(name);
        libc().open.async(path, O_PATH_CLOEXEC, 0, ended);
        const opened = error === null && fd !== -1;
        if (!opened) account.give(heldDescriptors, 1);
        done(opened ? this.#blank(fd) : undefined);
      });
    });
  }

  /** Closes our descriptor; `closed` is called when that is done. */
  close({ fd, opened }: Blank, closed: () => void): void {
    this.#offThread.runFirst((ended) =>
      libc().close.async(fd, () => {
        opened.account.give(heldDescriptors, 1);
        ended();
        closed();
      }),
    );
  }

  #blank(fd: number): Blank {
    const [opened] = this.#tree.inode(identifyOwn(fd).inode)?.opens ?? [];
    if (opened === undefined) throw new Refusal(Errno.EIO, 'a hidden file was opened and is not there');
    return { fd, opened };
  }
}
