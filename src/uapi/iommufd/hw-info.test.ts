import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Caller } from '../../file/open-file.js';
import { workOf } from '../../file/work.js';
import type { IommufdContext } from '../../iommufd/context.js';
import { setBig, setU32 } from '../struct.js';
import { HwInfoStruct, hwInfoIoctls } from './hw-info.js';

const TARGET = 0x1000;

test('what the caller has beyond the information is cleared, in slices of 64 KiB', () => {
  const info = { type: 1, data: new Uint8Array(8).fill(7) };
  const context = { device: () => ({ hardware: { info, pasidBits: 20 } }) } as unknown as IommufdContext;
  const room = 2 ** 20 + 5;
  const memory = new Uint8Array(TARGET + room + 1).fill(1);
  const caller = {
    writeMemory: (address: number, bytes: Uint8Array) => memory.set(bytes, address),
  } as unknown as Caller;
  const data = new Uint8Array(HwInfoStruct.size);
  setU32(data, HwInfoStruct.at.data_len, room);
  setBig(data, HwInfoStruct.at.data_uptr, BigInt(TARGET));
  let slices = 1;
  const respond = () => assert.equal(slices, 17);
  const work = workOf(hwInfoIoctls.IOMMU_GET_HW_INFO.handle(context, { caller, data, respond }));
  for (const _ of work) slices++;
  assert.equal(slices, 17);
  assert.equal(memory.indexOf(0), TARGET + 8);
  assert.ok(memory.subarray(TARGET, TARGET + 8).every((byte) => byte === 7));
  assert.ok(memory.subarray(TARGET + 8, -1).every((byte) => byte === 0));
  assert.equal(memory.at(-1), 1);
});
