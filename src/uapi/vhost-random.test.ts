/**
 * Random calls on vhost-vdpa files, in any order: rings and messages that make no sense, kicks at any time,
 * an AUTHORIZE now and then. Nothing but refusals comes back, and after the last close nothing is left.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { Refusal } from '../linux/errno.js';
import { Machine } from '../machine/machine.js';
import { AUTHORIZE_ASID, AuthorizeStruct, ioctlNumber, RevokeStruct } from './ioasid.js';
import { setU32, sized } from './struct.js';
import { ConfigStruct, VHOST_TYPE, VringAddrStruct, VringStateStruct } from './vhost.js';
import { MessageStruct } from './vhost-iotlb.js';

const directory = mkdtempSync(join(tmpdir(), 'ioasid-vhost-random-'));
after(() => rmSync(directory, { recursive: true, force: true }));
writeFileSync(join(directory, 'disk.img'), new Uint8Array(1 << 16));

const BYTES = 0x10000;
const BASE = 0x10000;
/** Direction, number and bytes of every ioctl that has a struct of fixed size. */
const IOCTLS = [
  [0, 0x01, 0],
  [1, 0x00, 8],
  [1, 0x10, VringStateStruct.size],
  [1, 0x11, VringAddrStruct.size],
  [1, 0x12, VringStateStruct.size],
  [3, 0x12, VringStateStruct.size],
  [1, 0x25, 8],
  [1, 0x72, 1],
  [2, 0x73, ConfigStruct.size],
  [1, 0x74, ConfigStruct.size],
  [1, 0x75, VringStateStruct.size],
  [3, 0x7b, VringStateStruct.size],
  [1, 0x7c, VringStateStruct.size],
  [0, 0x7d, 0],
  [0, 0x7e, 0],
] as const;

const word = fc.oneof(fc.nat(3), fc.constantFrom(8, 16, 0xb, 0xf, BASE, BASE + 0x400), fc.nat());
const act = fc.record({
  what: fc.constantFrom('ioctl', 'ioctl', 'message', 'kick', 'start', 'ring', 'authorize', 'revoke', 'step'),
  which: fc.nat(IOCTLS.length - 1),
  words: fc.array(word, { minLength: 10, maxLength: 10 }),
});
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

/** A program with a device, memory, an eventfd and a PASID. */
class Program {
  readonly process: InProcess;
  readonly fd: number;
  readonly #memory;
  readonly #eventfd;
  readonly #ioasid: Ioasid;
  readonly #pasid: number;

  constructor(machine: Machine, path: string) {
    this.process = new InProcess(machine);
    this.fd = this.process.open(path);
    this.#memory = this.process.allocate(BYTES);
    this.#eventfd = this.process.createEventfd();
    this.#ioasid = Ioasid.open(this.process);
    this.#pasid = this.#ioasid.alloc();
  }

  act({ what, which, words }: Act): void {
    const [direction, nr, size] = IOCTLS[which]!;
    if (what === 'ioctl') this.#ioctl(direction, nr, size, words);
    else if (what === 'message') this.#message(words);
    else if (what === 'start') this.#start(words[0]! % 3);
    else if (what === 'ring') for (const [n, each] of words.entries()) this.#store((each % 0x500) + n, each);
    else if (what === 'kick') this.#kick();
    else if (what === 'authorize') this.#authorize(words[0]! % 3);
    else if (what === 'revoke')
      this.process.ioctl(this.fd, ioctlNumber('IOASID_REVOKE'), sized(RevokeStruct, { pasid: this.#pasid }));
  }

  /** Has the device used a buffer of a queue? */
  get used(): boolean {
    return [0, 1, 2].some((queue) => this.#memory.bytes[queue * 0x2000 + 0x802] !== 0);
  }

  #ioctl(direction: number, nr: number, size: number, words: readonly number[]): void {
    const data = new Uint8Array(Math.max(size, 64));
    for (const [n, each] of words.entries()) setU32(data, 4 * n, each);
    this.process.ioctl(this.fd, ((direction << 30) | (size << 16) | (VHOST_TYPE << 8) | nr) >>> 0, data);
  }

  #message(words: readonly number[]): void {
    const [kind, asid, page, pages, perm, short] = words as [number, number, number, number, number, number];
    const message = MessageStruct.encode({
      type: 1 + (kind % 2),
      asid: asid % 4,
      iova: BASE + (page % 4) * 0x1000,
      size: (pages % 17) * 0x1000,
      uaddr: this.#memory.address,
      perm: perm % 8,
      iotlb_type: words[6]! % 8,
    });
    this.process.write(this.fd, message.subarray(0, short % 9 === 0 ? short % 40 : MessageStruct.size));
  }

  /** What a driver does, as far as it is let. */
  #start(queue: number): void {
    const at = BASE + queue * 0x2000;
    const steps: readonly (readonly [number, number, number, readonly number[]])[] = [
      [0, 0x01, 0, []],
      [1, 0x25, 8, [0x17e, 0]],
      [1, 0x00, 8, [0, 3]],
      [1, 0x10, 8, [queue, 16]],
      [1, 0x11, 40, [queue, 0, at, 0, at + 0x800, 0, at + 0x400, 0, 0, 0]],
      [1, 0x20, 8, [queue, this.#eventfd.fd]],
      [1, 0x75, 8, [queue, 1]],
      [1, 0x72, 1, [0xf]],
    ];
    for (const [direction, nr, size, words] of steps) {
      attempt(() => this.#ioctl(direction, nr, size, words));
      attempt(() => this.#message([1, 0, 0, 16, 3, 1, 2]));
    }
    this.#offer(queue * 0x2000);
    this.#kick();
  }

  /** A buffer of one descriptor for the device to write, in the queue whose ring lies at `at`. */
  #offer(at: number): void {
    for (const [n, each] of [BASE + 0x7000, 0, 0x40, 2].entries()) this.#store(at + 4 * n, each);
    const { bytes } = this.#memory;
    bytes[at + 0x402] = (bytes[at + 0x402]! + 1) & 15;
  }

  #kick(): void {
    this.process.write(this.#eventfd.fd, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  }

  #authorize(vpasid: number): void {
    const given = { flags: AUTHORIZE_ASID, ioasid_fd: this.#ioasid.fd, pasid: this.#pasid, vpasid };
    this.process.ioctl(this.fd, ioctlNumber('IOASID_AUTHORIZE'), sized(AuthorizeStruct, given));
  }

  #store(at: number, value: number): void {
    setU32(this.#memory.bytes, at, value);
  }
}

/** Does what may be refused. @throws whatever else it throws. */
function attempt(body: () => void): void {
  try {
    body();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

for (const spec of ['virtio-blk,file=disk.img,queues=2', 'virtio-net'])
  test(`${spec}: whatever is called, only refusals come back, and nothing is left`, async () => {
    const machine = await Machine.create({ devices: [spec], baseDirectory: directory });
    let used = 0;
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const program = new Program(machine, 'vhost-vdpa-0');
        for (const each of acts) attempt(() => program.act(each));
        if (program.used) used++;
        program.process.exit();
        const { contexts, pasids, mappings, memories, devices } = machine.snapshot();
        assert.deepEqual([contexts.length, pasids.used, mappings, memories], [0, 0, 0, 0]);
        assert.deepEqual(
          [devices[0]!.pid, devices[0]!.authorizations.length, devices[0]!.busy],
          [undefined, 0, false],
        );
      }),
      { numRuns: 300 },
    );
    assert.ok(used > 10, `only ${used} devices used a buffer`);
  });
