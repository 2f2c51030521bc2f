/** A wire that goes on in a Unix socket, with peers of every kind at the other end of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { InProcess } from '../client/in-process.js';
import { CONFIG_REGION, VfioDeviceFile } from '../client/vfio-device.js';
import { type WireEnd, Wires } from '../devices/wire.js';
import { Machine } from '../machine/machine.js';
import { parseLink, UnixLink } from './unix-link.js';

const directory = mkdtempSync(join(tmpdir(), 'ioasid-link-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let paths = 0;

/** A device's end of a wire, the link of its other end, and a peer that is connected. */
class Scene {
  readonly device: WireEnd;
  readonly outside: WireEnd;
  readonly link: UnixLink;
  readonly server: Server;
  peer: Socket;

  static async make(context: TestContext): Promise<Scene> {
    const path = join(directory, `${paths++}`);
    const server = createServer().listen(path);
    await once(server, 'listening');
    const wires = new Wires();
    const device = wires.end('w');
    const connected = once(server, 'connection') as Promise<[Socket]>;
    const outside = wires.outside('w');
    const link = await UnixLink.connect(outside, path);
    link.step();
    const scene = new Scene({ device, outside, link, server, peer: (await connected)[0] });
    context.after(() => scene.end());
    return scene;
  }

  private constructor(made: Pick<Scene, 'device' | 'outside' | 'link' | 'server' | 'peer'>) {
    this.device = made.device;
    this.outside = made.outside;
    this.link = made.link;
    this.server = made.server;
    this.peer = made.peer;
  }

  end(): void {
    this.link.close();
    this.peer.destroy();
    this.server.close();
  }

  /** The next frame that the device receives. */
  async receive(): Promise<Uint8Array> {
    while (!this.device.waiting) await turn();
    const frame = new Uint8Array(this.device.next);
    this.device.peek(frame, frame.length);
    this.device.shift();
    return frame;
  }
}

function framed(frame: Uint8Array): Buffer {
  const bytes = Buffer.alloc(4 + frame.length);
  bytes.writeUInt32BE(frame.length, 0);
  bytes.set(frame, 4);
  return bytes;
}

const frames = fc.array(
  fc.record({
    length: fc.oneof(fc.integer({ min: 14, max: 60 }), fc.integer({ min: 14, max: 65553 })),
    byte: fc.nat(255),
  }),
  { maxLength: 12 },
);

test('frames go both ways, whole and in order, however the stream is cut', async (context) => {
  const scene = await Scene.make(context);
  let heard = Buffer.alloc(0);
  scene.peer.on('data', (bytes: Buffer) => {
    heard = Buffer.concat([heard, bytes]);
  });
  await fc.assert(
    fc.asyncProperty(frames, fc.infiniteStream(fc.integer({ min: 1, max: 30_000 })), async (given, cuts) => {
      const sent = given.map(({ length, byte }) => new Uint8Array(length).fill(byte));
      const stream = Buffer.concat(sent.map(framed));
      for (let at = 0; at < stream.length; ) {
        const n = cuts.next().value as number;
        scene.peer.write(stream.subarray(at, at + n));
        at += n;
        await turn();
      }
      for (const frame of sent) assert.deepEqual(await scene.receive(), frame);
      heard = Buffer.alloc(0);
      for (const frame of sent) scene.device.send(frame, frame.length, 0);
      scene.link.step();
      while (heard.length < stream.length) await turn();
      assert.ok(heard.equals(stream));
    }),
    { numRuns: 30 },
  );
});

test('what is too short is dropped; a length that no frame has ends the connection', async (context) => {
  const scene = await Scene.make(context);
  const good = new Uint8Array(60).fill(7);
  for (const length of [0, 1, 13]) scene.peer.write(framed(new Uint8Array(length)));
  scene.peer.write(framed(good));
  assert.deepEqual(await scene.receive(), good);
  for (const length of [65554, 0x80000000, 0xffffffff]) {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length, 0);
    const { changes } = scene.device;
    const again = once(scene.server, 'connection') as Promise<[Socket]>;
    scene.peer.write(Buffer.concat([head, framed(good)]));
    await once(scene.peer.resume(), 'close');
    assert.ok(scene.device.changes > changes, 'the link did not go down');
    assert.equal(scene.device.waiting, false, 'something behind a wrong length was taken for a frame');
    [scene.peer] = await again;
    while (!scene.device.joined) await turn();
  }
});

test('a peer that never reads costs what a socket and a ring hold; nobody waits', async (context) => {
  const scene = await Scene.make(context);
  scene.peer.pause();
  const frame = new Uint8Array(1514);
  for (let n = 0; n < 20_000; n++) {
    scene.device.send(frame, frame.length, 0);
    scene.link.step();
    if (n % 100 === 0) await turn();
  }
  assert.ok(scene.device.joined);
  const lost = scene.outside.lost;
  assert.ok(lost > 10_000, `only ${lost} of 20000 frames were lost`);
  let read = 0;
  scene.peer.on('data', (bytes: Buffer) => {
    read += bytes.length;
  });
  scene.peer.resume();
  while (read < (20_000 - lost) * (4 + frame.length)) {
    scene.link.step();
    await turn();
  }
  assert.equal(read, (20_000 - lost) * (4 + frame.length));
});

test('when the peer goes the link is down; when somebody listens again it is up', async (context) => {
  const scene = await Scene.make(context);
  const { changes } = scene.device;
  scene.peer.write(framed(new Uint8Array(100)).subarray(0, 50));
  await turn();
  const again = once(scene.server, 'connection') as Promise<[Socket]>;
  scene.peer.destroy();
  [scene.peer] = await again;
  while (scene.device.changes < changes + 2) await turn();
  assert.ok(scene.device.joined);
  const good = new Uint8Array(60).fill(9);
  scene.peer.write(framed(good));
  assert.deepEqual(await scene.receive(), good, 'half a frame of the connection before was remembered');
});

test('an argument without a path, and a path where nobody listens, are told in one sentence', async () => {
  assert.deepEqual(parseLink('wire0=unix:/run/net=1'), { name: 'wire0', path: '/run/net=1', framed: true });
  assert.deepEqual(parseLink('tty0=bytes:./a:b'), { name: 'tty0', path: './a:b', framed: false });
  for (const text of ['wire0', 'wire0=', 'wire0=/run/net', 'wire0=unix:', '=unix:/run/net'])
    assert.throws(() => parseLink(text), /is not like wire0=unix:PATH/);
  const wires = new Wires();
  wires.end('w');
  await assert.rejects(
    UnixLink.connect(wires.outside('w'), join(directory, 'none')),
    /nobody listens at ".*": no such file/,
  );
});

test('of a stream of bytes nothing is lost: it waits for a device that does not take it', async (context) => {
  const path = join(directory, 'stream');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const wires = new Wires();
  const device = wires.end('tty0');
  const connected = once(server, 'connection') as Promise<[Socket]>;
  const link = await UnixLink.connect(wires.outside('tty0'), path, false);
  const [peer] = await connected;
  peer.write('x');
  for (let n = 0; n < 100; n++) await turn();
  assert.equal(device.waiting, false, 'the peer is read before its machine is served');
  link.step();
  while (!device.waiting) await turn();
  assert.equal(String(device.receive()), '120');
  context.after(() => {
    link.close();
    peer.destroy();
    server.close();
  });
  const sent = Buffer.from(Uint32Array.from({ length: 1 << 20 }, (_, n) => n * 2654435761).buffer);
  peer.write(sent);
  while (!device.waiting) await turn();
  // The device takes nothing until the peer is no more read: what it has written is more than a ring.
  for (let n = 0; n < 1000; n++) {
    link.step();
    await turn();
  }
  assert.ok(peer.writableLength > 0, 'all of it was read');
  let taken = Buffer.alloc(0);
  while (taken.length < sent.length) {
    const parts: Uint8Array[] = [];
    while (device.waiting) parts.push(device.receive()!);
    taken = Buffer.concat([taken, ...parts]);
    link.step();
    await turn();
  }
  assert.ok(taken.equals(sent));
});

test('a serial port goes on in a socket of bytes, however small or large the pieces', async (context) => {
  const path = join(directory, 'tty');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const connected = once(server, 'connection') as Promise<[Socket]>;
  const serial = fileURLToPath(new URL('../../examples/serial.js', import.meta.url));
  const machine = await Machine.create({ devices: [`${serial},link=tty0`] });
  const link = await UnixLink.connect(machine.wires.outside('tty0'), path, false);
  const [peer] = await connected;
  context.after(() => {
    link.close();
    peer.destroy();
    server.close();
  });
  const port = VfioDeviceFile.open(new InProcess(machine), 'vfio0');
  port.write(CONFIG_REGION, 4, Uint8Array.of(2, 0));
  for (const byte of Buffer.from('login: ')) port.write(0, 0, Uint8Array.of(byte));
  link.step();
  let heard = '';
  peer.on('data', (bytes: Buffer) => {
    heard += bytes;
  });
  while (heard.length < 7) await turn();
  assert.equal(heard, 'login: ');
  const typed = 'x'.repeat(10_000);
  peer.write('a');
  peer.write(typed);
  let read = '';
  while (read.length < 10_001) {
    await turn();
    while (machine.step());
    while (port.read(0, 5, 1)[0]! & 1) {
      read += String.fromCharCode(port.read(0, 0, 1)[0]!);
      machine.step();
    }
  }
  assert.equal(read, `a${typed}`);
});
