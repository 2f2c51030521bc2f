/**
 * A VM in miniature, as examples/vm.c is one: it does what lines tell it, and answers each with `ok NUMBER`
 * or `no ERRNO REASON`.
 *
 * The commands are those of examples/vm.c, where each is described. It works over any Transport, so the same
 * program is a process of its own (vm-main.ts) or a part of this one (in-process-actor.ts).
 */
import { DsaQueue } from '../../client/dsa.js';
import { Ioasid } from '../../client/ioasid.js';
import type { ProcessMemoryBlock, Transport } from '../../client/transport.js';
import { VfioDeviceFile } from '../../client/vfio-device.js';
import { Opcode } from '../../devices/dsa/descriptor.js';
import { Errno, Refusal, refuse } from '../../linux/errno.js';

/** The other VM, as far as descriptors can be handed to it. */
export interface Peer {
  send(fd: number): void;
  receive(): number;
}

const REGISTERS = 0;
const SWERR = 0xc0;
const SWERR_VALID = 1;
/** Pauses before `wait` gives up. */
const PATIENCE = 100_000;
/** Bytes that are looked at together. */
const BLOCK = 4096;

type Command = (...numbers: number[]) => number | void;

export class VmProgram {
  readonly #transport: Transport;
  readonly #pause: () => void;
  readonly #blocks: ProcessMemoryBlock[] = [];
  readonly #commands: Readonly<Record<string, Command>>;

  /** @param pause called again and again while the program waits for a device */
  constructor(transport: Transport, peer: Peer, pause: () => void) {
    this.#transport = transport;
    this.#pause = pause;
    this.#commands = {
      ...this.#contextCommands(),
      ...this.#deviceCommands(),
      ...this.#memoryCommands(),
      ...peerCommands(peer),
    };
  }

  /** The commands, and how many numbers each takes. */
  get commands(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      Object.entries(this.#commands).map(([name, command]) => [name, command.length]),
    );
  }

  /** Does what `line` says. */
  obey(line: string): string {
    try {
      const [name = '', ...words] = line.trim().split(/ +/);
      const command = this.#commands[name];
      if (command === undefined || command.length !== words.length)
        refuse('EINVAL', `no command is called ${name} and has ${words.length} arguments`);
      return `ok ${command(...words.map(Number)) ?? 0}`;
    } catch (error) {
      if (error instanceof Refusal) return `no ${error.errno} ${error.reason}`;
      return `no ${Errno.EIO} ${(error as Error).message}`;
    }
  }

  #contextCommands(): Record<string, Command> {
    const ioasid = (fd: number) => new Ioasid(this.#transport, fd);
    return {
      ioasid: () => Ioasid.open(this.#transport).fd,
      alloc: (fd: number) => ioasid(fd).alloc(),
      free: (fd: number, pasid: number) => ioasid(fd).free(pasid),
      map: (fd: number, pasid: number, address: number, bytes: number, iova: number) => {
        ioasid(fd).map(pasid, address, bytes, { iova });
      },
      close: (fd: number) => this.#transport.close(fd),
    };
  }

  #deviceCommands(): Record<string, Command> {
    const device = (fd: number) => new VfioDeviceFile(this.#transport, fd);
    return {
      device: (n: number) => {
        const opened = VfioDeviceFile.open(this.#transport, `vfio${n}`);
        opened.enable();
        return opened.fd;
      },
      authorize: (fd: number, ioasid: number, pasid: number, vpasid: number) =>
        device(fd).authorize(ioasid, pasid, vpasid),
      revoke: (fd: number, pasid: number) => device(fd).revoke(pasid),
      fill: (
        fd: number,
        pasid: number,
        completion: number,
        destination: number,
        size: number,
        value: number,
      ) => {
        const word = value * 0x01010101;
        new DsaQueue(device(fd)).submit({
          opcode: Opcode.FILL,
          pasid,
          completion,
          destination,
          size,
          pattern: [word, word],
        });
      },
      error: (fd: number) => {
        const error = device(fd).read32(REGISTERS, SWERR);
        if ((error & SWERR_VALID) === 0) return 0;
        device(fd).write32(REGISTERS, SWERR, SWERR_VALID);
        return (error >>> 8) & 0xff;
      },
    };
  }

  #memoryCommands(): Record<string, Command> {
    const status = (address: number) => this.#bytes(address, 1)[0]!;
    return {
      status,
      wait: (address: number) => {
        for (let i = 0; status(address) === 0 && i < PATIENCE; i++) this.#pause();
        return status(address);
      },
      memory: (bytes: number) => {
        const block = this.#transport.allocate(bytes);
        this.#blocks.push(block);
        return block.address;
      },
      set: (address: number, bytes: number, value: number) => {
        this.#bytes(address, bytes).fill(value);
      },
      count: (address: number, bytes: number, value: number) => countOf(value, this.#bytes(address, bytes)),
    };
  }

  #bytes(address: number, length: number): Uint8Array {
    for (const block of this.#blocks) {
      const from = address - block.address;
      if (from >= 0 && from + length <= block.bytes.length) return block.bytes.subarray(from, from + length);
    }
    return refuse('EFAULT', `there is no memory at ${address}`);
  }
}

/** How many bytes of `memory` are `value`. Mostly all of a block are the same: that is one comparison. */
function countOf(value: number, memory: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < memory.length; at += BLOCK) {
    const block = memory.subarray(at, at + BLOCK);
    if (Buffer.compare(block.subarray(1), block.subarray(0, -1)) === 0)
      count += block[0] === value ? block.length : 0;
    else for (const byte of block) if (byte === value) count++;
  }
  return count;
}

function peerCommands(peer: Peer): Record<string, Command> {
  return { send: (fd: number) => peer.send(fd), receive: () => peer.receive() };
}
