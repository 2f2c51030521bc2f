/** The stand-in at a socket instead of /dev/fuse, and a serving thread that stops when the test wants it. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { Errno } from '../linux/errno.js';
import { address, check, libc } from '../linux/ffi.js';
import { FuseChannel } from './fuse-channel.js';
import { Opcode, ReadIn, Request } from './fuse-wire.js';
import { StandIn, TooEarly } from './stand-in.js';

const AF_UNIX = 1;
const SOCK_SEQPACKET_NONBLOCK = 5 | 0o4000;
const POLLIN = 1;
const PATIENCE_MS = 20_000;
const NEVER = new Int32Array(new SharedArrayBuffer(4));

class Wire {
  readonly standIn: StandIn;
  readonly channel: FuseChannel;
  readonly #kernel: number;
  readonly #server: number;
  readonly #words = new Uint32Array(32);
  readonly #address = address(new Uint8Array(this.#words.buffer));
  readonly #pollfd = new Int32Array(32);
  #last = 0;

  constructor(t: TestContext, atWork = true) {
    const ends = new Int32Array(32);
    check(
      libc().socketpair(AF_UNIX, SOCK_SEQPACKET_NONBLOCK, 0, address(new Uint8Array(ends.buffer))),
      'socketpair',
    );
    [this.#kernel, this.#server] = [ends[0]!, ends[1]!];
    this.standIn = new StandIn();
    this.standIn.serve(this.#server);
    if (atWork) this.standIn.untilAtWork();
    this.channel = new FuseChannel(this.#server, this.standIn);
    t.after(() => {
      this.standIn.end();
      for (const fd of [this.#kernel, this.#server, this.standIn.bell]) libc().close(fd);
    });
  }

  /** Sends a request of 80 bytes. @returns its number. */
  send(opcode: number, readFlags = 0): number {
    this.#words.fill(0);
    this.#words[Request.length] = 80;
    this.#words[Request.opcode] = opcode;
    this.#words[Request.unique] = ++this.#last;
    this.#words[ReadIn.readFlags] = readFlags;
    check(libc().write(this.#kernel, this.#address, 80), 'write');
    return this.#last;
  }

  /** Stands still until there is a reply. @returns the number of the request and the error. */
  reply(): [unique: number, error: number] {
    this.#pollfd.set([this.#kernel, POLLIN]);
    assert.equal(
      libc().poll(address(new Uint8Array(this.#pollfd.buffer)), 1, PATIENCE_MS),
      1,
      'there is a reply',
    );
    assert.equal(libc().read(this.#kernel, this.#address, 128), 16);
    return [this.#words[2]!, this.#words[1]! | 0];
  }

  /** The numbers of all requests that can be had now. */
  received(): number[] {
    const found: number[] = [];
    while (this.channel.receive() > 0) found.push(this.channel.request[Request.unique]!);
    return found;
  }

  /** Is there a request that nobody has taken? */
  waits(): boolean {
    this.#pollfd.set([this.#server, POLLIN]);
    return libc().poll(address(new Uint8Array(this.#pollfd.buffer)), 1, 0) === 1;
  }

  /** Has the bell of the stand-in rung? */
  rings(timeout = 0): boolean {
    this.#pollfd.set([this.standIn.bell, POLLIN]);
    return libc().poll(address(new Uint8Array(this.#pollfd.buffer)), 1, timeout) === 1;
  }

  beat(): void {
    this.standIn.sleeps();
    this.standIn.wakes();
  }
}

/**
 * From now on this process gets no more descriptors, until the function is called that is returned. poll(2)
 * takes one still.
 */
function withoutDescriptors(): () => void {
  const RLIMIT_NOFILE = 7;
  const [before, less] = [new BigUint64Array(16), new BigUint64Array(16)];
  const limit = (to: BigUint64Array | undefined, old?: BigUint64Array) => {
    const [there, here] = [to, old].map((words) => (words ? address(new Uint8Array(words.buffer)) : 0));
    check(libc().prlimit64(0, RLIMIT_NOFILE, there!, here!), 'prlimit64');
  };
  limit(undefined, before);
  less.set([1n, before[1]!]);
  limit(less);
  return () => limit(before);
}

test('when the serving thread stands still, requests for pages get EIO, and all others wait', (t) => {
  const wire = new Wire(t);
  for (let round = 0; round < 3; round++) {
    wire.beat();
    const before = [wire.send(Opcode.LOOKUP), wire.send(Opcode.READ, 2)];
    const page = wire.send(Opcode.READ);
    assert.deepEqual(wire.reply(), [page, -Errno.EIO]);
    const after = [wire.send(Opcode.RELEASE), wire.send(Opcode.IOCTL)];
    assert.deepEqual(wire.received(), [...before, ...after]);
  }
});

test('a request that needs the stand-in starts it, and is the next that is taken when it is at work', (t) => {
  const wire = new Wire(t, false);
  const first = wire.send(Opcode.OPEN);
  assert.deepEqual(wire.received(), [first]);
  for (const unique of [first, wire.send(Opcode.OPEN)]) {
    if (unique !== first) assert.equal(wire.channel.receive(), 80);
    assert.throws(() => wire.standIn.needed(), TooEarly);
    wire.standIn.keep(wire.channel.requestBytes.subarray(0, 80));
  }
  const other = wire.send(Opcode.IOCTL);
  assert.deepEqual(wire.received(), [other], 'others are served');
  assert.ok(wire.rings(PATIENCE_MS), 'it is at work');
  let received: number[] = [];
  // It rings before it says that it is at work.
  while (received.length === 0) received = wire.received();
  assert.deepEqual(received, [first, first + 1]);
  assert.ok(!wire.rings(), 'nothing more is to be had');
  wire.standIn.needed();
});

test('where no thread can be started, who needs it is refused, and the next starts another', async (t) => {
  const wire = new Wire(t, false);
  const refused = (action: () => void) => assert.throws(action, { code: 'EAGAIN', message: /no thread can/ });
  const limit = withoutDescriptors();
  t.after(limit);
  const sent = [wire.send(Opcode.OPEN), wire.send(Opcode.OPEN)];
  for (const _ of sent) {
    assert.equal(wire.channel.receive(), 80);
    assert.throws(() => wire.standIn.needed(), TooEarly);
    wire.standIn.keep(wire.channel.requestBytes.subarray(0, 80));
  }
  t.mock.method(console, 'error', () => undefined);
  while (!wire.rings()) await sleep(5);
  for (const unique of sent) {
    assert.equal(wire.channel.receive(), 80);
    assert.equal(wire.channel.request[Request.unique], unique);
    refused(() => wire.standIn.needed());
  }
  assert.deepEqual(wire.received(), []);
  assert.ok(!wire.rings(), 'nothing more is to be had');
  limit();
  assert.throws(() => wire.standIn.needed(), TooEarly);
  wire.standIn.untilAtWork();
  wire.standIn.needed();
});

test('the stand-in leaves the connection alone while the serving thread sleeps, however long', async (t) => {
  const wire = new Wire(t);
  wire.standIn.sleeps();
  wire.send(Opcode.READ);
  await sleep(100);
  assert.ok(wire.waits(), 'the request is where it was sent to');
});

test('no request overtakes another or is lost, whenever the serving thread stands still', (t) => {
  const wire = new Wire(t);
  let expected = 1;
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ send: fc.integer({ min: 1, max: 30 }) }) },
    { weight: 5, arbitrary: fc.constant('beat' as const) },
    { weight: 5, arbitrary: fc.constant('receive' as const) },
    { weight: 2, arbitrary: fc.record({ stand: fc.integer({ min: 15, max: 30 }) }) },
  );
  const receive = (): void => {
    for (const unique of wire.received()) assert.equal(unique, expected++);
  };
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      let sent = 0;
      for (const each of steps) {
        if (each === 'beat') wire.beat();
        else if (each === 'receive') receive();
        else if ('stand' in each) Atomics.wait(NEVER, 0, 0, each.stand);
        else for (let n = 0; n < each.send && sent < 150; n++, sent++) wire.send(Opcode.IOCTL);
      }
      const last = wire.send(Opcode.IOCTL);
      while (expected <= last) receive();
    }),
    { numRuns: 30 },
  );
});

test('once the serving thread reads again, the stand-in takes nothing beside it', (t) => {
  const wire = new Wire(t);
  for (let round = 0; round < 5; round++) {
    const before = wire.send(Opcode.READ);
    assert.deepEqual(wire.reply(), [before, -Errno.EIO], 'the stand-in is at work');
    const start = performance.now();
    assert.deepEqual(wire.received(), []);
    const page = wire.send(Opcode.READ);
    assert.deepEqual(wire.reply(), [page, -Errno.EIO]);
    // It has begun anew, by waiting for its 20 ms.
    assert.ok(performance.now() - start > 15);
  }
});
