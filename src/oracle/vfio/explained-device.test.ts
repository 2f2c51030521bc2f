/** An explanation is of one difference, and of nothing that is like it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Difference, explanation } from '../compare.js';
import { type Line, number, plain } from '../language.js';
import { call, type LayoutName } from '../layouts.js';
import { explainedOfDevices, explainedOfFiles } from './explained-device.js';

const open = (group: number) => plain('open', 'g', `/dev/vfio/${group}`);

function why(line: Line, kernel: string, ours: string, ...before: readonly Line[]): string | undefined {
  const difference: Difference = {
    at: before.length,
    line,
    before,
    answers: before.map(() => '4'),
    kernel,
    ours,
  };
  return explanation(difference, explainedOfDevices)?.name;
}

const ask = (name: LayoutName, fields: Record<string, number>, address?: number) =>
  call(name, fields, {
    fd: /IOMMU|EXTENSION/.test(name) ? 'c' : 'dev',
    ...(address !== undefined && { address: number(address) }),
  });

test('a BAR that can be mapped may differ in that, and in nothing else', () => {
  const info = ask('VFIO_DEVICE_GET_REGION_INFO', { argsz: 32, index: 0 });
  assert.equal(
    why(info, '0 +4=07000000 +16=00001000', '0 +4=03000000 +16=00001000'),
    'BARs that can be mapped',
  );
  assert.equal(
    why(info, '0 +0=280000000f000000 +16=00400000', '0 +4=03000000 +16=00400000'),
    'BARs that can be mapped',
  );
  assert.equal(why(info, '0 +4=07000000 +16=00001000', '0 +4=03000000 +16=00002000'), undefined);
  assert.equal(why(info, '0 +4=07000000', '0 +4=01000000'), undefined);
  assert.equal(why(info, 'EINVAL', '0 +4=03000000'), undefined);
  const config = ask('VFIO_DEVICE_GET_REGION_INFO', { argsz: 32, index: 7 });
  assert.equal(why(config, '0 +4=07000000', '0 +4=03000000'), undefined);
});

test('of extensions one may differ, in one way', () => {
  const extension = (number: number) => ask('VFIO_CHECK_EXTENSION', {}, number);
  assert.equal(why(extension(4), '0', '1'), 'coherence of DMA');
  for (const n of [1, 3, 9, 10]) assert.equal(why(extension(n), '1', '0'), undefined);
  assert.equal(why(extension(4), '1', '0'), undefined);
});

test('a mapping may be refused a new address that has no memory, and nothing else', () => {
  const move = ask('VFIO_IOMMU_MAP_DMA', { argsz: 32, flags: 4 });
  assert.equal(why(move, '0', 'EFAULT'), 'a new address without memory');
  assert.equal(why(move, '0', 'EINVAL'), undefined);
  assert.equal(why(ask('VFIO_IOMMU_MAP_DMA', { argsz: 32, flags: 3 }), '0', 'EFAULT'), undefined);
});

test('of dirty pages some may be clean here, and none may be dirty', () => {
  const bitmap = plain('peek', 's', 0x800, 2);
  assert.equal(why(bitmap, 'ff07', 'ff03'), 'clean pages beside a mapping');
  assert.equal(why(bitmap, 'ff03', 'ff07'), undefined);
  assert.equal(why(plain('peek', 'b', 0x800, 2), 'ff07', 'ff03'), undefined);
});

test('bytes that are read may differ where there is no capability, and where edu has kept them', () => {
  const read = (place: string, length: number) => plain('pread', 'dev', place, length);
  const unassigned = 'bytes of configuration space that are of no capability';
  assert.equal(why(read('$msix+0x8', 5), '5 01100000ec', '5 0110000000', open(2)), unassigned);
  assert.equal(why(read('$msix+0x8', 5), '5 02100000ec', '5 0110000000', open(2)), undefined);
  assert.equal(why(read('$msix+0x8', 5), '5 01100000ec', '5 0110000000', open(3)), undefined);
  const kept = 'registers that are kept from one program to the next';
  assert.equal(why(read('152', 4), '4 04000000', '4 00000000', open(1)), kept);
  assert.equal(why(read('144', 4), '4 04000000', '4 00000000', open(1)), undefined);
  assert.equal(
    why(read('152', 4), '4 04000000', '4 00000000', open(1), plain('await', 'dev', 152, 1)),
    undefined,
  );
  const settled = plain('pwrite', 'dev', '0x70000000010', '00000000');
  assert.equal(why(read('46', 7), '7 00000400000000', '7 00000000000000', open(2)), kept);
  assert.equal(why(read('46', 7), '7 00000400000000', '7 00000000000000', open(10)), undefined);
  assert.equal(why(read('46', 7), '7 00000400000000', '7 00000000000000', open(2), settled), undefined);
  const link = 'the link of an integrated endpoint';
  assert.equal(why(read('$exp+0xc', 2), '2 1104', '2 0000', open(3)), link);
  assert.equal(why(read('$exp+0x8', 2), '2 1104', '2 0000', open(3)), undefined);
});

test('a mapping that is missing is not refused in another way', () => {
  const map = (how: string, kernel: string, ours: string) => {
    const line = plain('mmap', 'map', 'dev', 0, 4096, how);
    const difference = { at: 0, line, before: [], answers: [], kernel, ours };
    return explanation(difference, explainedOfFiles)?.name;
  };
  assert.equal(map('rw', '0', 'ENODEV'), 'mappings of files');
  assert.equal(map('rwp', 'EINVAL', '0'), 'mappings of files');
  assert.equal(map('rw', '0', 'EINVAL'), undefined);
  assert.equal(map('rw', 'EINVAL', '0'), undefined);
});

test('parts of a transfer may make a difference when they are 4 bytes together at most', () => {
  const files = (line: Line, kernel: string, ours: string) => {
    const difference: Difference = { at: 1, line, before: [open(1)], answers: [], kernel, ours };
    return explanation(difference, explainedOfFiles)?.name;
  };
  const parts = (at: number, ...lengths: number[]) => plain('preadv', 'dev', at, ...lengths);
  assert.equal(files(parts(0, 2, 2), '4 00', '4 01'), 'parts of a transfer');
  assert.equal(files(parts(0, 4, 0), '4 00', '4 01'), undefined);
  assert.equal(files(parts(0, 4, 1), '5 00', '5 01'), undefined);
});
