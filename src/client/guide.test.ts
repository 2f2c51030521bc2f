/** The TypeScript in docs/iommufd.md runs as it is printed there. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { eventually, PAGE } from '../conformance/rule.js';
import { Flag, Opcode, Status } from '../devices/dsa/descriptor.js';
import * as ioasid from '../index.js';
import { decodeCompletion, encodeDescriptor } from './dsa.js';

const guide = readFileSync(new URL('../../docs/iommufd.md', import.meta.url), 'utf8');
const PASID = 5;
/** The IOVA that the device writes to, and the offset in the file that the guide maps there. */
const DATA = 0x20_0000;

/**
 * Runs the guide's block of code in which `words` stand, with what it uses in `names`. @returns those of its
 * own names that are in `gives`.
 */
function runBlock(words: string, names: object, gives: readonly string[] = []): Record<string, unknown> {
  const blocks = [...guide.matchAll(/^```ts\n(.*?)^```/gms)].map((found) => found[1]!);
  const code = blocks.find((each) => each.includes(words));
  assert.ok(code, `the guide has no code with ${words}`);
  const all = { ...ioasid, ...names };
  return new Function(...Object.keys(all), `${code}\nreturn { ${gives.join(', ')} };`)(...Object.values(all));
}

async function openDevice() {
  const transport = new ioasid.InProcess(await ioasid.Machine.create({ devices: ['dsa,ready=1'] }));
  const names = runBlock('device.bind', { transport }, ['block', 'iommufd', 'ioas', 'iova', 'device', 'id']);
  return { transport, ...names } as {
    readonly transport: ioasid.InProcess;
    readonly block: ioasid.ProcessMemoryBlock;
    readonly iommufd: ioasid.Iommufd;
    readonly ioas: number;
    readonly iova: bigint;
    readonly device: ioasid.VfioDeviceFile;
    readonly id: number;
  };
}

describe('docs/iommufd.md', () => {
  test('a device asks for pages, and gets them', async () => {
    const names = await openDevice();
    const { transport, block, iova, device } = names;
    device.detach();
    device.enable();
    const memory = transport.createMemfd(DATA + 2 * PAGE);
    const descriptor = encodeDescriptor({
      opcode: Opcode.FILL,
      pasid: PASID,
      completion: Number(iova),
      pattern: [0x0101_0101, 0x0101_0101],
      destination: DATA,
      size: 2 * PAGE,
      flags: Flag.BLOCK_ON_FAULT,
    });
    runBlock('FaultQueue', { ...names, memory, pasid: PASID, descriptor });
    eventually(() => block.bytes[0] !== 0, 'a completion record');
    assert.equal(decodeCompletion(block.bytes).status, Status.SUCCESS);
    assert.deepEqual(memory.read(DATA, 2 * PAGE), new Uint8Array(2 * PAGE).fill(1));
  });

  test('a page table of the user is attached, and invalidated when it has changed', async () => {
    const names = await openDevice();
    const { nested } = runBlock('allocVtdS1', { ...names, root: names.iova }, ['nested']);
    assert.throws(() => names.iommufd.destroy(nested as number), { code: 'EBUSY' });
  });
});
