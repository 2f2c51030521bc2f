/** Two ends of a socket that keeps packets apart and does not wait, as /dev/fuse does. */
import { address, check, libc } from '../../linux/ffi.js';

const AF_UNIX = 1;
const SOCK_SEQPACKET_NONBLOCK = 5 | 0o4000;

export function packetPair(): [ours: number, theirs: number] {
  const ends = new Int32Array(32);
  check(
    libc().socketpair(AF_UNIX, SOCK_SEQPACKET_NONBLOCK, 0, address(new Uint8Array(ends.buffer))),
    'a socket',
  );
  return [ends[0]!, ends[1]!];
}
