/**
 * The device in examples/ is one like any other: loaded as `--device ./examples/checksum.js` loads it, driven
 * as its comment says.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import type { DeviceFactory, DeviceModel } from './device-model.js';
import { FakeHost, settle } from './fake-host.js';
import { loadDevice } from './load.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const factory = (await loadDevice('./examples/checksum.js', root)).factory as DeviceFactory;

const PASID = 0x04;
const DOORBELL = 0x08;
const JOB = 0x8000;
const DATA = 0x10000;

function readU32(model: DeviceModel, offset: number): number {
  const bytes = Buffer.alloc(4);
  model.readBar(0, offset, bytes);
  return bytes.readUInt32LE();
}

function setPasid(model: DeviceModel, pasid: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(pasid);
  model.writeBar(0, PASID, bytes);
}

function ring(model: DeviceModel, iova: number): boolean | void {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(iova));
  return model.writeBar(0, DOORBELL, bytes);
}

function job(address: number, length: number): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeBigUInt64LE(BigInt(address), 0);
  bytes.writeBigUInt64LE(BigInt(length), 8);
  return bytes;
}

/** What the device wrote into the second half of a job. */
function result(bytes: Buffer): { status: number; checksum: number; fault: number } {
  return {
    status: bytes.readUInt32LE(16),
    checksum: bytes.readUInt32LE(20),
    fault: Number(bytes.readBigUInt64LE(24)),
  };
}

function adler32(data: Uint8Array): number {
  let a = 1n;
  let b = 0n;
  for (const byte of data) {
    a += BigInt(byte);
    b += a;
  }
  return Number((b % 65521n) * 65536n + (a % 65521n));
}

/** A device with one job in PASID 7, whose register is set to it. */
function prepare(data: Uint8Array, length = data.length) {
  const host = new FakeHost();
  const bytes = job(DATA, length);
  host.map(7, JOB, bytes);
  host.map(7, DATA, data, false);
  const device = host.make(factory);
  setPasid(device, 7);
  return { host, device, job: bytes };
}

describe('examples/checksum.js', () => {
  test('the Adler-32 of "Wikipedia" is 0x11e60398', () => {
    const { host, device, job } = prepare(Buffer.from('Wikipedia'));
    assert.equal(readU32(device, 0), 0x6d757363);
    ring(device, JOB);
    assert.deepEqual(host.interrupts, []);
    settle(device);
    assert.deepEqual(result(job), { status: 1, checksum: 0x11e60398, fault: 0 });
    assert.deepEqual(host.interrupts, [0]);
  });

  test('any data gives its Adler-32, of any length, in slices of 64 KiB', () => {
    for (const length of [0, 1, 65535, 65536, 65537, 200_000]) {
      const data = new Uint8Array(length).map((_, i) => 255 - (i % 7));
      const { device, job } = prepare(data);
      ring(device, JOB);
      settle(device, Math.max(1, Math.ceil(length / 65536)));
      assert.deepEqual(result(job), { status: 1, checksum: adler32(data), fault: 0 }, `${length} bytes`);
    }
  });

  test('a job whose data faults ends with status 2 and the IOVA at fault', () => {
    const { host, device, job } = prepare(new Uint8Array(70_000), 80_000);
    ring(device, JOB);
    settle(device);
    assert.deepEqual(result(job), { status: 2, checksum: 0, fault: DATA + 70_000 });
    assert.deepEqual(host.interrupts, [0]);
  });

  test('a doorbell for a job that is not there starts nothing', () => {
    const { host, device } = prepare(new Uint8Array(1));
    ring(device, 0x999000);
    assert.equal(device.busy?.(), false);
    assert.equal(host.faults[0]?.iova, 0x999000);
  });

  test('a doorbell during a job is not taken', () => {
    const { device } = prepare(new Uint8Array(200_000));
    assert.equal(ring(device, JOB), true);
    assert.equal(ring(device, JOB), false);
    settle(device);
    assert.equal(ring(device, JOB), true);
  });

  test('a job belongs to the PASID that was in the register when it was started', () => {
    const { device, job } = prepare(new Uint8Array(200_000));
    ring(device, JOB);
    setPasid(device, 8);
    assert.deepEqual([device.busy?.(7), device.busy?.(8), device.busy?.()], [true, false, true]);
    settle(device);
    assert.equal(result(job).status, 1);
  });

  test('a PASID that the host does not admit is not loaded', () => {
    const device = new FakeHost([7]).make(factory);
    setPasid(device, 7);
    setPasid(device, 8);
    assert.equal(readU32(device, PASID), 7);
  });

  test('reset drops the job: no DMA and no interrupt afterwards', () => {
    const { host, device, job } = prepare(new Uint8Array(200_000));
    ring(device, JOB);
    device.reset();
    assert.equal(device.busy?.(), false);
    device.step?.();
    assert.deepEqual([result(job).status, host.interrupts, readU32(device, PASID)], [0, [], 0]);
  });

  test('an option is refused, since it has none', () => {
    assert.throws(() => new FakeHost().make(factory, { fast: '1' }), /checksum has no option "fast"/);
  });

  test('it never throws, whatever a program reads and writes', () => {
    const access = fc.record({
      write: fc.boolean(),
      offset: fc.oneof(fc.constantFrom(0, PASID, DOORBELL), fc.nat(4095)),
      bytes: fc.oneof(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.uint8Array({ maxLength: 16 })),
    });
    fc.assert(
      fc.property(
        fc.array(access, { maxLength: 50 }),
        fc.uint8Array({ minLength: 64, maxLength: 64 }),
        (accesses, memory) => {
          const host = new FakeHost();
          host.map(0, 0, memory);
          const device = host.make(factory);
          for (const { write, offset, bytes } of accesses) {
            if (write) device.writeBar(0, offset, bytes);
            else device.readBar(0, offset, bytes);
            device.step?.();
          }
          ring(device, 0);
          device.step?.();
        },
      ),
      { numRuns: 200 },
    );
  });
});

test('examples/checksum.c compiles without a warning', (t) => {
  if (spawnSync('cc', ['--version']).error !== undefined) {
    t.skip('no C compiler');
    return;
  }
  const { status, stderr } = spawnSync(
    'cc',
    ['-Wall', '-Wextra', '-Werror', '-fsyntax-only', '-I', 'include', 'examples/checksum.c'],
    {
      cwd: root,
      encoding: 'utf8',
    },
  );
  assert.equal(status, 0, stderr);
});
