import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Caller } from '../../file/open-file.js';
import { workOf } from '../../file/work.js';
import { Iommu } from '../../iommu/iommu.js';
import { IommufdSubsystem } from '../../iommufd/subsystem.js';
import { refused } from '../../testkit/refused.js';
import { setBig, setU32 } from '../struct.js';
import { iommufd } from './command.js';
import { AllowIovasStruct, ioasIoctls } from './ioas.js';

const ARRAY = 0x1000;

test('4096 ranges can be allowed at once; more are ENOMEM before they are read, and change nothing', () => {
  const context = new IommufdSubsystem(new Iommu()).open(1);
  const ioas = context.allocIoas();
  const memory = new Uint8Array(ARRAY + 16 * 4096);
  let furthest = 0;
  const readMemory = (address: number, target: Uint8Array) => {
    furthest = Math.max(furthest, address + target.length);
    target.set(memory.subarray(address, address + target.length));
  };
  const caller = { readMemory } as unknown as Caller;
  let slices = 0;
  const allow = (count: number) => {
    const { at, size } = AllowIovasStruct;
    const data = new Uint8Array(size);
    setU32(data, 0, size);
    setU32(data, at.ioas_id, ioas.id);
    setU32(data, at.num_iovas, count);
    setBig(data, at.allowed_iovas, BigInt(ARRAY));
    memory.set(data);
    const ioctl = ioasIoctls.IOMMU_IOAS_ALLOW_IOVAS;
    const call = { cmd: 0x3b00 | ioctl.nr, arg: 0, data: new Uint8Array(0) };
    slices = 0;
    for (const _ of workOf(iommufd('ALLOW_IOVAS', ioctl)(context, caller, call))) slices++;
  };
  // The first is not where a mapping would go by itself.
  for (let n = 0; n < 4096; n++) {
    setBig(memory, ARRAY + 16 * n, BigInt((n + 7) * 0x10000));
    setBig(memory, ARRAY + 16 * n + 8, BigInt((n + 7) * 0x10000 + 0xfff));
  }
  allow(4096);
  assert.ok(slices >= 60);
  for (const count of [4097, 0xffff_ffff]) {
    refused(() => allow(count), 'ENOMEM');
  }
  assert.equal(furthest, memory.length);
  assert.equal(ioas.space.iovas.find(4096n, 0n, undefined), 0x70000n);
});
