/**
 * Inode: what a nodeid means to the kernel. It is a directory, a symlink, a placeholder, or a file that can
 * be opened; its number means nothing else, ever.
 */
import type { Folder } from '../file/attributes.js';
import type { DeviceNode } from '../file/device-node.js';
import type { OpenFile } from '../file/open-file.js';
import type { Account } from '../linux/account.js';
import type { Keeper } from './keeper.js';

export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

/** An open file description of a device node. */
export interface Opened {
  readonly handle: number;
  readonly inode: Inode;
  /** Its opener's: what the file makes us hold is charged to it, and so is the file itself. */
  readonly account: Account;
  /** It was opened for reading only. */
  readonly readOnly: boolean;
  /** Set anew once at most: when a blank one (blank-files.ts) is given its meaning. */
  file: OpenFile;
}

/** What `opened` is called where it is told of: a file that was blank has no path that anybody knows. */
export function nameOf({ file, inode }: Opened): string {
  return file.called ?? inode.path;
}

/** What a nodeid means. */
export interface Inode {
  readonly id: number;
  readonly path: string;
  /** File type and permission bits. */
  readonly mode: number;
  /** Its name means it as long as the filesystem lives, so the kernel need not ask for it again. */
  readonly stays: boolean;
  /** It is in a tree of attributes, or the root of one. */
  readonly ofAttributes?: boolean;
  /** What is in a directory: names that stay or are device nodes, or a folder that is asked. */
  readonly children?: Map<string, Name>;
  readonly folder?: Folder;
  readonly target?: Uint8Array;
  /** What an open of it opens. */
  readonly node?: DeviceNode;
  /** As of DeviceNode.number, when it was looked up. */
  readonly number?: number;
  /** To whom an open of it is charged; undefined: to whoever opens it. */
  readonly account?: Account | undefined;
  /** Of a device node's. */
  readonly keeper?: Keeper;
  /**
   * It is mapped, by this descriptor, and has a size of 0 since: then each access raises SIGBUS at once, and
   * no page is asked of us.
   */
  mappedBy?: number;
  /** The open files of this inode: one as a rule, more when it was reopened without a lookup. */
  readonly opens: Set<Opened>;
}

/** What a name in a directory leads to: an inode that stays, or a device node. */
export type Name = Inode | DeviceName;

export interface DeviceName {
  /** The inode number that directory listings show. */
  readonly id: number;
  readonly device: DeviceNode;
  /** As Inode.account. */
  readonly account?: Account;
  /** Of the inode that it led to last. */
  last?: Keeper;
}

/** A name as directory listings show it, with the inode number and the file type of what it leads to. */
export interface Listed {
  readonly name: string;
  readonly id: number;
  readonly mode: number;
}
