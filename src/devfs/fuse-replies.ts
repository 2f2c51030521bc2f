/**
 * The bodies of replies, written into the reply buffer. Each function returns the body's length in bytes.
 *
 * Modes and sizes never change and names of inodes that stay never move, so the kernel may keep both for
 * ever. The name of a device node it must not keep for a moment: the next open has to look it up again, to be
 * given an inode of its own. Of a tree of attributes it keeps nothing, as a write past the end would move
 * that.
 */
import * as wire from './fuse-wire.js';
import { set64 } from './fuse-wire.js';
import { type Inode, type Listed, S_IFDIR } from './inode.js';

/** Seconds for which the kernel may keep what does not change: 136 years. */
const FOREVER = 2 ** 32 - 1;
const BLOCK = 4096;
const NAME_MAX = 255;
const PAGES = 256;
/**
 * Requests that nobody waits for (RELEASE) which the kernel sends at once, without keeping them back behind
 * others: whoever opens a device after its last holder has closed it, or died, must not find it open still.
 * Its default is 12.
 */
const MAX_BACKGROUND = 0xffff;
/** The file type of a directory entry is in these bits of the mode. */
const TYPE_SHIFT = 12;
/** A listing goes on behind a position: 1 is `.`, 2 is `..`, and this above its inode number a name. */
const FIRST_POSITION = 2;
const started = Math.floor(Date.now() / 1000);
const BODY = wire.Reply.body;

/** Whose the files are. Both ids must have a meaning in the user namespace of the mount. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The answer to a LOOKUP. */
export function writeEntry(reply: Uint32Array, inode: Inode, owner: Owner): number {
  const { words, node, entryValid, attrValid, attr } = wire.EntryOut;
  reply.fill(0, BODY, BODY + words);
  set64(reply, BODY + node, inode.id);
  set64(reply, BODY + entryValid, inode.stays ? FOREVER : 0);
  set64(reply, BODY + attrValid, keptFor(inode));
  writeAttr(reply, BODY + attr, inode, owner);
  return words * 4;
}

/** The answer to GETATTR and SETATTR. */
export function writeAttributes(reply: Uint32Array, inode: Inode, owner: Owner): number {
  const { words, attrValid, attr } = wire.AttrOut;
  reply.fill(0, BODY, BODY + words);
  set64(reply, BODY + attrValid, keptFor(inode));
  writeAttr(reply, BODY + attr, inode, owner);
  return words * 4;
}

/** The answer to INIT: the lower of both versions, and of the features the few that are used. */
export function writeInit(
  request: Uint32Array,
  reply: Uint32Array,
  maxWrite: number,
  mappable: boolean,
): number {
  const { InitIn, InitOut } = wire;
  const wanted = wire.BIG_WRITES | wire.MAX_PAGES | wire.CACHE_SYMLINKS | (mappable ? wire.INIT_EXT : 0);
  reply.fill(0, BODY, BODY + InitOut.words);
  reply[BODY + InitOut.major] = wire.MAJOR;
  reply[BODY + InitOut.minor] = Math.min(wire.MINOR, request[InitIn.minor]!);
  reply[BODY + InitOut.maxReadahead] = request[InitIn.maxReadahead]!;
  reply[BODY + InitOut.flags] = request[InitIn.flags]! & wanted;
  reply[BODY + InitOut.maxBackground] = MAX_BACKGROUND;
  reply[BODY + InitOut.maxWrite] = maxWrite;
  reply[BODY + InitOut.timeGranularity] = 1;
  reply[BODY + InitOut.maxPages] = PAGES;
  if (mappable) reply[BODY + InitOut.flags2] = request[InitIn.flags2]! & wire.DIRECT_IO_ALLOW_MMAP;
  return InitOut.words * 4;
}

/** The answer to STATFS: a filesystem without blocks. */
export function writeStatfs(reply: Uint32Array): number {
  const { words, blockSize, nameLength, fragmentSize } = wire.StatfsOut;
  reply.fill(0, BODY, BODY + words);
  reply[BODY + blockSize] = BLOCK;
  reply[BODY + nameLength] = NAME_MAX;
  reply[BODY + fragmentSize] = BLOCK;
  return words * 4;
}

/**
 * Fills `target` with the names of a directory behind position `from`, as many as fit. A name that comes or
 * goes meanwhile moves no other's position.
 */
export function writeDirectory(
  target: Uint8Array,
  directory: Inode,
  listed: readonly Listed[],
  from: number,
): number {
  const entries = [
    { name: '.', id: directory.id, mode: S_IFDIR, position: 1 },
    { name: '..', id: wire.ROOT_ID, mode: S_IFDIR, position: 2 },
    ...listed.map((each) => ({ ...each, position: FIRST_POSITION + each.id })),
  ];
  let length = 0;
  for (const { name, id, mode, position } of entries) {
    if (position <= from) continue;
    const size = writeDirent(target.subarray(length), position, name, id, mode >>> TYPE_SHIFT);
    if (size === 0) break;
    length += size;
  }
  return length;
}

/** @returns the bytes written, 0 when they do not fit. */
function writeDirent(target: Uint8Array, next: number, name: string, id: number, type: number): number {
  const { bytes, ino, next: nextAt, nameLength, type: typeAt } = wire.Dirent;
  const text = new TextEncoder().encode(name);
  const size = (bytes + text.length + 7) & ~7;
  if (size > target.length) return 0;
  const words = new Uint32Array(target.buffer, target.byteOffset, size / 4).fill(0);
  set64(words, ino, id);
  set64(words, nextAt, next);
  words[nameLength] = text.length;
  words[typeAt] = type;
  target.set(text, bytes);
  return size;
}

/** Seconds for which the kernel may keep mode and size. Whoever asks for those of a device is to be seen. */
function keptFor({ ofAttributes, number }: Inode): number {
  return ofAttributes || number !== undefined ? 0 : FOREVER;
}

function sizeOf({ target, node, mappedBy }: Inode): number {
  return target?.length ?? (mappedBy === undefined ? (node?.extent ?? 0) : 0);
}

function writeAttr(reply: Uint32Array, at: number, inode: Inode, owner: Owner): void {
  const { Attr } = wire;
  set64(reply, at + Attr.ino, inode.id);
  set64(reply, at + Attr.size, sizeOf(inode));
  set64(reply, at + Attr.atime, started);
  set64(reply, at + Attr.mtime, started);
  set64(reply, at + Attr.ctime, started);
  reply[at + Attr.mode] = inode.mode;
  reply[at + Attr.links] = (inode.mode & S_IFDIR) === 0 ? 1 : 2;
  reply[at + Attr.uid] = owner.uid;
  reply[at + Attr.gid] = owner.gid;
  reply[at + Attr.blockSize] = BLOCK;
}
