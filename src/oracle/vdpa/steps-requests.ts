/** Steps that use the rings: requests to a disk, frames and commands to a network device. */
import fc from 'fast-check';
import { plain } from '../language.js';
import { mostly, oneIn } from '../numbers.js';
import { SURE_MS, UNLIKELY_MS } from '../waits.js';
import { BASE, BUFFERS, RING_SIZE, type VdpaScene, type VdpaStep } from './scene.js';

const NEXT = 1;
const WRITE = 2;
/** Offsets of a request's parts. */
const HEADER = BUFFERS;
const STATUS = BUFFERS + 0x100;
const DATA = BUFFERS + 0x1000;

interface Part {
  readonly offset: number;
  readonly length: number;
  readonly write: boolean;
}

/** Makes one buffer of `parts` available in `queue` from descriptor `first` on. */
function offer(scene: VdpaScene, queue: number, first: number, parts: readonly Part[]): void {
  const { descriptors, available } = scene.ring(queue);
  const table = Buffer.alloc(16 * parts.length);
  for (const [n, { offset, length, write }] of parts.entries()) {
    const last = n === parts.length - 1;
    table.writeBigUInt64LE(BASE + BigInt(offset), 16 * n);
    table.writeUInt32LE(length, 16 * n + 8);
    table.writeUInt16LE((write ? WRITE : 0) | (last ? 0 : NEXT), 16 * n + 12);
    table.writeUInt16LE(last ? 0 : first + n + 1, 16 * n + 14);
  }
  const index = scene.pushed[queue]!;
  scene.pushed[queue] = index + 1;
  scene.add(
    plain('fill', 'b', descriptors + 16 * first, table.toString('hex')),
    plain('fill', 'b', available + 4 + 2 * (index % RING_SIZE), word(first)),
    plain('fill', 'b', available + 2, word(index + 1)),
  );
}

function word(value: number): string {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value & 0xffff);
  return bytes.toString('hex');
}

const kick = (scene: VdpaScene, queue: number) => scene.add(plain('write', `k${queue}`, '0100000000000000'));

/**
 * Waits until all that was made available is used, and shows the last of it. Where that is not expected, a
 * status that says why it is not follows at once.
 */
function collect(scene: VdpaScene, queue: number): void {
  const { used } = scene.ring(queue);
  const index = scene.pushed[queue]!;
  const wait = scene.alive ? SURE_MS : UNLIKELY_MS;
  scene.add(plain('until', 'b', used + 2, index & 0xffff, wait));
  if (!scene.alive) scene.call('VHOST_VDPA_GET_STATUS');
  scene.add(
    plain('peek', 'b', used + 4 + 8 * ((index - 1) % RING_SIZE), 8),
    plain('hear', `c${queue}`, wait),
  );
}

/** How a disk's request is to be. */
interface Request {
  readonly type: number;
  readonly sector: bigint;
  readonly sectors: number;
  /** Data in one part, or in parts of a sector each. */
  readonly split: boolean;
  /** One that nobody would expect to be served. */
  readonly lost: boolean;
}

const IN = 0;
const OUT = 1;
const FLUSH = 4;
const GET_ID = 8;
const WRITE_ZEROES = 13;
const CAPACITY = 0x40000n;

const request: fc.Arbitrary<Request> = fc.record({
  type: fc.constantFrom(IN, IN, IN, OUT, OUT, OUT, FLUSH, GET_ID, WRITE_ZEROES),
  sector: mostly(
    fc.nat(7).map(BigInt),
    fc.constantFrom(CAPACITY - 1n, CAPACITY, CAPACITY + 1n, 1n << 40n, (1n << 64n) - 1n),
    6,
  ),
  sectors: fc.integer({ min: 1, max: 4 }),
  split: fc.boolean(),
  lost: oneIn(12),
});

const dataBytes = ({ type, sectors }: Request): number =>
  type === GET_ID ? 20 : type === FLUSH ? 0 : type === WRITE_ZEROES ? 16 : 512 * sectors;

function headerOf({ type, sector }: Request): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(type, 0);
  bytes.writeBigUInt64LE(type === IN || type === OUT ? sector : 0n, 8);
  return bytes.toString('hex');
}

/** Fills the data with what `type` takes, or with a mark that reading replaces. */
function fillData(scene: VdpaScene, request: Request, length: number): void {
  if (request.type === WRITE_ZEROES) {
    const segment = Buffer.alloc(16);
    segment.writeBigUInt64LE(request.sector, 0);
    segment.writeUInt32LE(request.sectors, 8);
    scene.add(plain('fill', 'b', DATA, segment.toString('hex')));
  } else if (length > 0) {
    const byte = request.type === OUT ? Number(request.sector % 200n) + request.sectors : 0xaa;
    scene.add(plain('fill', 'b', DATA, Buffer.alloc(length, byte).toString('hex')));
  }
}

export const disk: fc.Arbitrary<VdpaStep> = request.map((request) => (scene) => {
  if (scene.device.name !== 'blk' || (!scene.alive && !request.lost)) return;
  const length = dataBytes(request);
  fillData(scene, request, length);
  scene.add(plain('fill', 'b', HEADER, headerOf(request)), plain('fill', 'b', STATUS, 'ee'));
  const write = request.type === IN || request.type === GET_ID;
  const size = request.split && length > 512 ? 512 : length;
  const data: Part[] = [];
  for (let at = 0; at < length; at += size) data.push({ offset: DATA + at, length: size, write });
  const header = { offset: HEADER, length: 16, write: false };
  offer(scene, 0, 0, [header, ...data, { offset: STATUS, length: 1, write: true }]);
  kick(scene, 0);
  collect(scene, 0);
  scene.add(plain('peek', 'b', STATUS, 1));
  if (write) scene.add(plain('peek', 'b', DATA + length - 20, 20));
});

/** Bytes for a frame: what finds no room is lost on the one side, and waits on the other. */
const ROOM = 2048;

/** A frame that comes back: to everybody, or to the address that the device has now or may have. */
export const frame: fc.Arbitrary<VdpaStep> = fc
  .record({
    to: fc.constantFrom('ffffffffffff', 'ffffffffffff', '3333000000fb'),
    length: mostly(fc.integer({ min: 14, max: 1514 }), fc.constantFrom(60, 1514)),
    lost: oneIn(12),
  })
  .map(({ to, length, lost }) => (scene) => {
    if (scene.device.name !== 'net' || (!scene.alive && !lost)) return;
    // The simulator sends nothing then.
    if (scene.enabled[1] && !scene.enabled[0]) return;
    const [sent, received] = [BUFFERS, BUFFERS + 0x2000];
    const payload = Buffer.alloc(length, length & 0xff);
    payload.set(Buffer.from(to, 'hex'));
    scene.add(
      plain('fill', 'b', received, Buffer.alloc(40, 0xaa).toString('hex')),
      plain('fill', 'b', sent, Buffer.alloc(12).toString('hex') + payload.toString('hex')),
    );
    offer(scene, 0, 0, [{ offset: received, length: ROOM, write: true }]);
    offer(scene, 1, 0, [{ offset: sent, length: 12 + length, write: false }]);
    kick(scene, 0);
    kick(scene, 1);
    collect(scene, 1);
    collect(scene, 0);
    // Byte 10 of the header counts buffers, and is not compared.
    scene.add(plain('peek', 'b', received, 10), plain('peek', 'b', received + 12, 20));
  });

/** A command: sets the address, or is one that only a longer list of features has. */
export const command: fc.Arbitrary<VdpaStep> = fc
  .record({
    kind: fc.constantFrom('0101', '0101', '0101', '0102', '0500', 'ff00'),
    address: fc.constantFrom('021122334455', '0211223344ff', '02aabbccddee'),
    short: oneIn(8),
    lost: oneIn(12),
  })
  .map(({ kind, address, short, lost }) => (scene) => {
    if (scene.device.name !== 'net' || (!scene.alive && !lost)) return;
    const [sent, answer] = [BUFFERS, STATUS];
    const bytes = `${kind}${short ? address.slice(0, 6) : address}`;
    scene.add(plain('fill', 'b', sent, bytes), plain('fill', 'b', answer, 'ee'));
    const parts = [
      { offset: sent, length: bytes.length / 2, write: false },
      { offset: answer, length: 1, write: true },
    ];
    offer(scene, 2, 0, parts);
    kick(scene, 2);
    collect(scene, 2);
    scene.add(plain('peek', 'b', answer, 1));
    scene.call('VHOST_VDPA_GET_CONFIG', { off: 0, len: 6 });
  });
