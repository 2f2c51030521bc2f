/**
 * Target `fuse`: requests that no kernel sends, to a server with the files of a machine.
 *
 * A request names nodes and open files that earlier replies have named, and files that there are, and an
 * ioctl carries a struct of the tables; or it is made of bytes as they come.
 */
import { FuseServer } from '../../devfs/fuse-server.js';
import {
  get64,
  HEADER_BYTES,
  IoctlIn,
  Opcode,
  Reply,
  Request,
  ROOT_ID,
  set64,
} from '../../devfs/fuse-wire.js';
import { address, check, libc } from '../../linux/ffi.js';
import { Machine } from '../../machine/machine.js';
import { ioctlSize } from '../../uapi/ioctl.js';
import { packetPair } from './packets.js';
import { filled, shapes } from './shapes.js';
import { Pieces, strict, type Target } from './target.js';

const MOST_KNOWN = 32;
const machine = await Machine.create({ devices: ['dsa,mdevs=1', 'edu', 'virtio-net'] });
const opcodes = Object.values(Opcode);
/** Of files and folders. */
const names = [...new Set(machine.nodes.flatMap(({ path }) => path.split('/')))];
/** Those whose body begins with what OPEN or OPENDIR has returned. */
const onHandles: ReadonlySet<number> = new Set([
  ...[Opcode.READ, Opcode.WRITE, Opcode.RELEASE, Opcode.FLUSH, Opcode.READDIR, Opcode.RELEASEDIR],
  ...[Opcode.IOCTL, Opcode.POLL],
]);
const bytes = new Uint8Array(1 << 16);
const words = new Uint32Array(bytes.buffer);
const at = address(bytes);

/** One connection: what has been asked, and what the replies have named. */
class Connection {
  readonly #socket: number;
  readonly #opcodes = new Map<number, number>();
  readonly #nodes = [ROOT_ID];
  readonly #handles: number[] = [];
  #unique = 0;

  constructor(socket: number) {
    this.#socket = socket;
  }

  /** The caller has no process id, so that no memory and no descriptor can be meant. */
  send(pieces: Pieces): void {
    const kind = pieces.byte();
    const opcode = kind < 0x80 ? opcodes[kind % opcodes.length]! : pieces.byte();
    const node = pieces.byte();
    bytes.fill(0, 0, HEADER_BYTES + 0x1000);
    const length = HEADER_BYTES + this.#body(opcode, pieces);
    words[Request.length] = length;
    words[Request.opcode] = opcode;
    words[Request.unique] = ++this.#unique;
    words[Request.node] = node < 0xc0 ? this.#nodes[node % this.#nodes.length]! : node;
    this.#opcodes.set(this.#unique, opcode);
    check(libc().write(this.#socket, at, length), 'a request');
  }

  /** Reads what there is, and learns from it. */
  receive(): void {
    while (libc().read(this.#socket, at, bytes.length) > 0) {
      const opcode = this.#opcodes.get(words[Reply.unique]!);
      if (words[Reply.error] !== 0) continue;
      const named = get64(words, Reply.body);
      if (opcode === Opcode.LOOKUP) learn(this.#nodes, named);
      else if (opcode === Opcode.OPEN || opcode === Opcode.OPENDIR) learn(this.#handles, named);
    }
  }

  /** @returns its length. */
  #body(opcode: number, pieces: Pieces): number {
    const control = pieces.byte();
    if (opcode === Opcode.IOCTL && control < 0x80) return this.#ioctl(control, pieces);
    if (opcode === Opcode.LOOKUP && control < 0xc0) return putName(names[control % names.length]!);
    const body = pieces.some();
    bytes.set(body, HEADER_BYTES);
    if (onHandles.has(opcode) && control < 0xc0) this.#putHandle(control);
    return body.length;
  }

  #putHandle(control: number): void {
    set64(words, Request.body, this.#handles[control % this.#handles.length] ?? control);
  }

  #ioctl(control: number, pieces: Pieces): number {
    const { number, struct } = shapes[pieces.byte() % shapes.length]!;
    const known = { fds: [0, 1, 2, 3], numbers: [1, 2, 3], address: 0x1000 };
    const data = struct === undefined ? pieces.some() : filled(struct, pieces, known);
    const size = ioctlSize(number);
    this.#putHandle(control);
    words[IoctlIn.cmd] = number;
    words[IoctlIn.arg] = pieces.byte() * 8;
    words[IoctlIn.inSize] = number & (1 << 30) ? size : 0;
    words[IoctlIn.outSize] = number & (1 << 31) ? size : 0;
    bytes.set(data.subarray(0, size), IoctlIn.payload);
    return IoctlIn.payload - HEADER_BYTES + words[IoctlIn.inSize]!;
  }
}

function putName(name: string): number {
  const body = Buffer.from(`${name}\0`);
  bytes.set(body, HEADER_BYTES);
  return body.length;
}

function learn(known: number[], value: number): void {
  known.push(value);
  if (known.length > MOST_KNOWN) known.shift();
}

export const fuzz: Target = (data) => {
  const [ours, theirs] = packetPair();
  const server = new FuseServer(theirs, machine.nodes);
  const connection = new Connection(ours);
  strict(() => {
    for (const pieces = new Pieces(data); !pieces.ended; ) {
      connection.send(pieces);
      server.serve();
      while (server.step());
      connection.receive();
    }
    libc().close(ours);
    if (server.serve()) throw new Error('the server does not see that its connection has ended');
  });
  libc().close(theirs);
};
