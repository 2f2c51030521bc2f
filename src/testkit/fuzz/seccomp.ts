/** Target `seccomp`: trapped calls as another server would hand them on, of threads that cannot be seen. */
import { FuseServer } from '../../devfs/fuse-server.js';
import { address, check, libc } from '../../linux/ffi.js';
import { JOIN } from '../../linux/nested-trap.js';
import { RAISED_BY_ACCESSES } from '../../linux/ptrace.js';
import { emptyReadRule, ioctlRule, sharedMappingRule, signalActionRule } from '../../linux/seccomp.js';
import { RECORD_BYTES } from '../../linux/trapped-call.js';
import { Machine } from '../../machine/machine.js';
import { newFdIoctls } from '../../uapi/new-fd.js';
import { packetPair } from './packets.js';
import { Pieces, strict, type Target } from './target.js';

/** Every call that a filter lets through to a server, by its rule. */
const trapped = [
  ioctlRule([...newFdIoctls, JOIN]),
  emptyReadRule(),
  sharedMappingRule(),
  signalActionRule(RAISED_BY_ACCESSES),
].flatMap(({ nr, argument, values }) => values.map((value) => ({ nr, argument, value })));
const machine = await Machine.create({ devices: ['dsa,mdevs=1'] });
const bytes = new Uint8Array(256);
const view = new DataView(bytes.buffer);
const at = address(bytes);

export const fuzz: Target = (data) => {
  const [connection, fuse] = packetPair();
  const [ours, calls] = packetPair();
  const server = new FuseServer(fuse, machine.nodes);
  const source = server.trapped({ listener: fuse, calls, root: fuse });
  strict(() => {
    for (const pieces = new Pieces(data); !pieces.ended; ) {
      send(ours, pieces);
      source.ready(() => true);
      while (server.step());
    }
    libc().close(connection);
    server.serve();
  });
  for (const fd of [fuse, ours, calls]) libc().close(fd);
};

/** Either the record as it is, or one of a call that is trapped. */
function send(socket: number, pieces: Pieces): void {
  const kind = pieces.byte();
  const record = pieces.some().subarray(0, RECORD_BYTES + 8);
  bytes.fill(0);
  bytes.set(record);
  // Another number would mean a process of this machine.
  view.setUint32(8, 0, true);
  if (kind & 2) {
    const { nr, argument, value } = trapped[(kind >>> 2) % trapped.length]!;
    view.setUint32(12, nr, true);
    view.setUint32(16 + 8 * argument, value, true);
  }
  check(libc().write(socket, at, kind & 0x80 ? record.length : RECORD_BYTES), 'a call');
}
