/** Target `fuse`: requests that no kernel sends, to a server with the files of a machine. */
import { FuseServer } from '../../devfs/fuse-server.js';
import { Opcode } from '../../devfs/fuse-wire.js';
import { address, check, libc } from '../../linux/ffi.js';
import { Machine } from '../../machine/machine.js';
import { packetPair } from './packets.js';
import { Pieces, strict, type Target } from './target.js';

const HEADER = 40;
const machine = await Machine.create({ devices: ['dsa,mdevs=1', 'edu'] });
const opcodes = Object.values(Opcode);
const bytes = new Uint8Array(1 << 16);
const words = new Uint32Array(bytes.buffer);
const at = address(bytes);

export const fuzz: Target = (data) => {
  const [ours, theirs] = packetPair();
  const server = new FuseServer(theirs, machine.nodes);
  strict(() => {
    for (const pieces = new Pieces(data); !pieces.ended; ) {
      send(ours, pieces);
      server.serve();
      while (server.step());
      while (libc().read(ours, at, bytes.length) > 0);
    }
    libc().close(ours);
    if (server.serve()) throw new Error('the server does not see that its connection has ended');
  });
  libc().close(theirs);
};

/** The caller has no process id, so that no memory and no descriptor can be meant. */
function send(socket: number, pieces: Pieces): void {
  const opcode = pieces.byte();
  const node = pieces.byte();
  const body = pieces.some();
  bytes.fill(0, 0, HEADER + 0x1000);
  words[0] = HEADER + body.length;
  words[1] = opcode < 0x80 ? opcodes[opcode % opcodes.length]! : opcode;
  words[2] = 77;
  words[4] = node;
  bytes.set(body, HEADER);
  check(libc().write(socket, at, HEADER + body.length), 'a request');
}
