/**
 * NameRequests: the requests about names, attributes and directories. Nothing here reaches a device.
 *
 * The set of names is the machine's to decide, so programs can neither make, rename nor remove any, nor
 * change whose they are.
 */
import { Errno, refuse } from '../linux/errno.js';
import type { DeviceStatus } from './device-status.js';
import type { DeviceTree } from './device-tree.js';
import { type FuseChannel, MAX_TRANSFER } from './fuse-channel.js';
import {
  type Owner,
  writeAttributes,
  writeDirectory,
  writeEntry,
  writeInit,
  writeStatfs,
} from './fuse-replies.js';
import {
  BatchForgetIn,
  FATTR_FH,
  FATTR_MODE_OR_OWNER,
  FATTR_SIZE,
  ForgetIn,
  get64,
  NAME,
  OpenIn,
  OpenOut,
  ReadIn,
  Reply,
  Request,
  SetattrIn,
} from './fuse-wire.js';
import type { Inode } from './inode.js';
import { accountOf, type Openers } from './openers.js';

const OWNER_SHIFT = 6;
const READ = 4;
const O_ACCMODE = 3;
/** The permission bits that an open needs, by its access mode. */
const wantedBits: readonly number[] = [4, 2, 6, 6];

export class NameRequests {
  readonly #channel: FuseChannel;
  readonly #tree: DeviceTree;
  readonly #owner: Owner;
  readonly #status: DeviceStatus;
  readonly #openers: Openers;
  readonly #mappable: boolean;

  /** `mappable`: files may be mapped shared. */
  constructor(
    channel: FuseChannel,
    tree: DeviceTree,
    owner: Owner,
    status: DeviceStatus,
    openers: Openers,
    mappable: boolean,
  ) {
    this.#channel = channel;
    this.#tree = tree;
    this.#owner = owner;
    this.#status = status;
    this.#openers = openers;
    this.#mappable = mappable;
  }

  init(): void {
    this.#channel.answer(writeInit(this.#channel.request, this.#channel.reply, MAX_TRANSFER, this.#mappable));
  }

  lookup(length: number): void {
    const { request, requestBytes, reply } = this.#channel;
    const name = Buffer.from(requestBytes.buffer, NAME, length - NAME - 1).toString();
    const account = accountOf(this.#openers, request[Request.pid]!, request[Request.uid]!);
    const found = this.#tree.lookup(this.inode(), name, account);
    const inode = found ?? refuse('ENOENT', `there is no "${name}"`);
    // When the reply does not arrive, the kernel never heard of this inode and will not forget it.
    if (!this.#channel.answer(writeEntry(reply, inode, this.#owner))) this.#tree.forget(inode.id, 1);
  }

  forget(): void {
    const { request } = this.#channel;
    this.#tree.forget(get64(request, Request.node), get64(request, ForgetIn.lookups));
  }

  forgetMany(length: number): void {
    const { request } = this.#channel;
    const { count, first, words } = BatchForgetIn;
    const end = Math.min(first + request[count]! * words, length / 4);
    for (let at = first; at < end; at += words) this.#tree.forget(get64(request, at), get64(request, at + 2));
  }

  attributes(): void {
    const { request, reply } = this.#channel;
    const inode = this.inode();
    this.#status.asked(request[Request.pid]!, request[Request.uid]!, inode);
    this.#channel.answer(writeAttributes(reply, inode, this.#owner));
  }

  /**
   * Size and times mean nothing, so `> file` and touch do nothing. The size of an open device cannot be set,
   * as of any device; that of an attribute can, in vain, as in sysfs.
   */
  setAttributes(): void {
    const inode = this.inode();
    const valid = this.#channel.request[SetattrIn.valid]!;
    if (valid & FATTR_MODE_OR_OWNER) refuse('EPERM', `mode and owner of "${inode.path}" cannot be changed`);
    if ((valid & FATTR_SIZE) !== 0 && (valid & FATTR_FH) !== 0 && !inode.ofAttributes)
      refuse('EINVAL', `"${inode.path}" is a device, which has no size`);
    this.#channel.answer(writeAttributes(this.#channel.reply, inode, this.#owner));
  }

  /** A device refuses it, as any file that is neither regular nor a disk. */
  sync(): void {
    const { path, ofAttributes } = this.inode();
    if (!ofAttributes)
      refuse('EINVAL', `"${path}" is a device, which keeps nothing that could be synchronized`);
    this.#channel.answer(0);
  }

  allocate(): void {
    const { path, ofAttributes } = this.inode();
    if (ofAttributes) refuse('EOPNOTSUPP', `"${path}" is an attribute, where no space can be allocated`);
    refuse('ENODEV', `"${path}" is a device, where no space can be allocated`);
  }

  readLink(): void {
    const inode = this.inode();
    const target = inode.target ?? refuse('EINVAL', `"${inode.path}" is no symbolic link`);
    this.#channel.replyBytes.set(target, Reply.bodyByte);
    this.#channel.answer(target.length);
  }

  /** @throws Refusal EACCES its mode does not permit that. */
  openDirectory(): void {
    this.#require(this.inode(), READ);
    this.#channel.clearBody(OpenOut.words);
    this.#channel.answer(OpenOut.words * 4);
  }

  closeDirectory(): void {
    this.#channel.answer(0);
  }

  readDirectory(): void {
    const { request, replyBytes } = this.#channel;
    const size = Math.min(request[ReadIn.size]!, MAX_TRANSFER);
    const target = replyBytes.subarray(Reply.bodyByte, Reply.bodyByte + size);
    const inode = this.inode();
    const from = get64(request, ReadIn.offset);
    this.#channel.answer(writeDirectory(target, inode, this.#tree.list(inode), from));
  }

  filesystem(): void {
    this.#channel.answer(writeStatfs(this.#channel.reply));
  }

  /** An open that makes the file. sysfs knows no such thing, anybody else is not allowed to. */
  create(): void {
    this.#channel.answerError(this.inode().ofAttributes ? Errno.EACCES : Errno.EPERM);
  }

  /** Making, renaming, removing. */
  change(): void {
    this.#channel.answerError(Errno.EPERM);
  }

  /**
   * The inode that an OPEN names.
   * @throws Refusal EACCES its mode does not permit that; ENOENT.
   */
  opened(): Inode {
    const inode = this.inode();
    const wanted = wantedBits[this.#channel.request[OpenIn.flags]! & O_ACCMODE]!;
    if (inode.node !== undefined) this.#require(inode, wanted);
    return inode;
  }

  /** Nobody, not even root, opens `inode` for what nobody may do, as in sysfs. @throws Refusal EACCES. */
  #require({ mode, path }: Inode, wanted: number): void {
    const uid = this.#channel.request[Request.uid]!;
    const bits = uid === 0 || uid === this.#owner.uid ? mode >>> OWNER_SHIFT : mode;
    if ((bits & wanted) !== wanted)
      refuse('EACCES', `"${path}" has mode ${(mode & 0o777).toString(8)}, user ${uid} opens it`);
  }

  /** The inode that the request names. @throws Refusal ENOENT. */
  inode(): Inode {
    const id = get64(this.#channel.request, Request.node);
    return this.#tree.inode(id) ?? refuse('ENOENT', `no inode has the number ${id}`);
  }
}
