/**
 * Target `calls`: ioctls, reads and writes on all files of a machine, by a process that is none.
 *
 * A call is made of bytes as they come, or of a struct of the tables, whose fields take what earlier calls
 * have returned: numbers are what has changed in a struct.
 */
import { InProcess } from '../../client/in-process.js';
import { Refusal } from '../../linux/errno.js';
import { Machine } from '../../machine/machine.js';
import { getU32 } from '../../uapi/struct.js';
import { MessageStruct } from '../../uapi/vhost-iotlb.js';
import { filled, shapes } from './shapes.js';
import { Pieces, strict, type Target } from './target.js';

const PAGE = 4096;
const MOST_NUMBERS = 32;
const MESSAGE_BYTES = 72;
const REGION = 2 ** 40;
/** Small, so that no input takes long. */
const quotas = { pasidQuota: 64, mappingQuota: 256, objectQuota: 64, tableQuota: 256 };
const devices = ['dsa,mdevs=1', 'edu', 'virtio-net'];
const machine = await Machine.create({ devices, iommuTest: true, ...quotas });

/** What a process has, and makes of a call's bytes. */
class Program {
  readonly #process = new InProcess(machine);
  readonly #block = this.#process.allocate(4 * PAGE);
  readonly #fds: number[];
  readonly #numbers: number[] = [];

  constructor() {
    const { nodes } = machine;
    this.#fds = nodes.flatMap(({ path }) => this.attempt(() => this.#process.open(path)) ?? []);
    this.#fds.push(this.#process.createMemfd(16 * PAGE).fd, this.#process.createEventfd().fd);
  }

  exit(): void {
    this.#process.exit();
  }

  attempt<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
  }

  /** One call, whatever becomes of it. */
  call(pieces: Pieces): void {
    const what = pieces.byte() % 12;
    const fd = this.#fds[pieces.byte() % this.#fds.length]!;
    const at = () => (pieces.byte() % 12) * REGION + pieces.byte() * 8;
    if (what === 0) this.#process.pread(fd, at(), new Uint8Array(pieces.byte()));
    else if (what === 1) this.#process.pwrite(fd, at(), pieces.some());
    else if (what === 2) this.#process.read(fd, new Uint8Array(pieces.byte()));
    else if (what === 3) this.#process.write(fd, pieces.some());
    else if (what === 4) this.#message(fd, pieces);
    else if (what === 5) this.#reopen(pieces);
    else if (what === 6) this.#fds.push(this.#process.dup(fd));
    else if (what === 7) this.#block.bytes.set(pieces.some(), (pieces.byte() % 4) * PAGE + pieces.byte());
    else this.#ioctl(fd, pieces);
  }

  #known() {
    return { fds: this.#fds, numbers: this.#numbers, address: this.#block.address };
  }

  #message(fd: number, pieces: Pieces): void {
    const message = new Uint8Array(MESSAGE_BYTES);
    message.set(filled(MessageStruct, pieces, this.#known()));
    this.#process.write(fd, message);
  }

  /** Closes one, and opens another file instead. */
  #reopen(pieces: Pieces): void {
    const index = pieces.byte() % this.#fds.length;
    this.attempt(() => this.#process.close(this.#fds[index]!));
    const node = machine.nodes[pieces.byte() % machine.nodes.length]!;
    this.#fds[index] = this.#process.open(node.path);
  }

  #ioctl(fd: number, pieces: Pieces): void {
    const { number, struct } = shapes[pieces.byte() % shapes.length]!;
    const control = pieces.byte();
    const { bytes, address } = this.#block;
    const data = struct === undefined ? pieces.some() : filled(struct, pieces, this.#known());
    bytes.set(data);
    const plain = struct === undefined && control % 2 === 0;
    const result = this.#process.ioctlAt(fd, number, plain ? control >> 1 : address);
    if (result > 2) this.#fds.push(result);
    for (let word = 0; word + 4 <= data.length; word += 4)
      if (getU32(bytes, word) !== getU32(data, word)) this.#learn(getU32(bytes, word));
  }

  #learn(number: number): void {
    this.#numbers.push(number);
    if (this.#numbers.length > MOST_NUMBERS) this.#numbers.shift();
  }
}

export const fuzz: Target = (data) =>
  strict(() => {
    const program = new Program();
    try {
      for (const pieces = new Pieces(data); !pieces.ended; ) program.attempt(() => program.call(pieces));
    } finally {
      program.exit();
    }
  });
