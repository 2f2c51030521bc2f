/**
 * Part of `ioasid doctor`: mounts FUSE in a throw-away mount namespace and reads the kernel's first request,
 * to see what it offers.
 *
 * Argument: the LaunchMode. Prints one FuseOffer as JSON; on failure one sentence to standard error and
 * status 1.
 */
import { writeSync } from 'node:fs';
import { address, check, libc } from '../linux/ffi.js';
import { mountFuse } from '../linux/fuse-mount.js';
import { enterMountNamespace } from '../linux/namespaces.js';

/** What the kernel's FUSE offers to a server. */
export interface FuseOffer {
  readonly major: number;
  readonly minor: number;
  readonly mappable: boolean;
}

/** struct fuse_in_header is 40 bytes; fuse_init_in follows: major, minor, max_readahead, flags, flags2. */
const HEADER = 40;
/** FUSE_DIRECT_IO_ALLOW_MMAP, bit 36 of the flags. */
const MAPPABLE_IN_FLAGS2 = 1 << 4;
const POLLIN = 1;
const PATIENCE_MS = 2000;

function offer(): FuseOffer {
  const root = process.argv[2] === 'root';
  if (root) enterMountNamespace();
  const fd = mountFuse('/dev', { allowOther: root });
  const poll = Buffer.alloc(128);
  poll.writeInt32LE(fd, 0);
  poll.writeInt16LE(POLLIN, 4);
  if (libc().poll(address(poll), 1, PATIENCE_MS) !== 1) throw new Error('the kernel sent no FUSE request');
  const request = Buffer.alloc(65536);
  check(libc().read(fd, address(request), request.length), 'the first FUSE request cannot be read');
  return {
    major: request.readUInt32LE(HEADER),
    minor: request.readUInt32LE(HEADER + 4),
    mappable: (request.readUInt32LE(HEADER + 16) & MAPPABLE_IN_FLAGS2) !== 0,
  };
}

try {
  writeSync(1, JSON.stringify(offer()));
} catch (error) {
  writeSync(2, (error as Error).message);
  process.exitCode = 1;
}
