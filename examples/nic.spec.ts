// A unit test by vitest, of a model in TypeScript: no IOMMU, no files, and a clock that the test moves.
//
//     npx vitest run nic.spec.ts
import { FakeHost, settle } from 'ioasid/testing';
import { expect, test } from 'vitest';
import createNic from './nic.ts';

const [PASID, RING, PACKET] = [7, 0x10000, 0x20000];

test('two packets are sent to the other end of the link, and interrupt once, after 50 microseconds', () => {
  const host = new FakeHost();
  const other = host.wires.end('wire0');
  const nic = host.make(createNic, { link: 'wire0' });
  const ring = Buffer.alloc(64);
  host.map(PASID, RING, ring);
  host.map(PASID, PACKET, Buffer.from('hello...wire'));
  for (const [n, [offset, length]] of [
    [0, 5],
    [8, 4],
  ].entries()) {
    ring.writeUInt32LE(PACKET + offset!, 16 * n);
    ring.writeUInt32LE(length!, 16 * n + 8);
  }
  const registers = { 4: PASID, 8: 50, 32: RING, 40: 4, 44: 2 };
  for (const [offset, value] of Object.entries(registers)) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    nic.writeBar(0, Number(offset), bytes);
  }
  settle(nic);
  expect([other.receive(), other.receive()].map(String)).toEqual(
    ['hello', 'wire'].map((word) => `${Buffer.from(word).join()}`),
  );
  host.clock.advance(49);
  expect(host.interrupts).toEqual([]);
  host.clock.advance(1);
  expect(host.interrupts).toEqual([0]);
});
