/** The models in docs/devices.md and README.md run as they are printed there. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Machine } from '../machine/machine.js';
import { VirtioScene } from '../testkit/virtio-scene.js';
import { checkModel } from './check-model.js';
import type { DeviceFactory } from './device-model.js';
import { FakeHost, settle } from './fake-host.js';
import { loadDevice } from './load.js';
import { checkVirtioModel } from './virtio/check-virtio-model.js';
import type { VirtioFactory } from './virtio/virtio-model.js';

const repository = new URL('../../', import.meta.url);
const guide = readFileSync(new URL('docs/devices.md', repository), 'utf8');
const readme = readFileSync(new URL('README.md', repository), 'utf8');

/** The block of code in `text` whose first line is the comment `// name`, with more after a colon or not. */
function block(name: string, text = guide): string {
  const starts = [`\`\`\`js\n// ${name}\n`, `\`\`\`js\n// ${name}:`].map((words) => text.indexOf(words));
  const start = Math.max(...starts);
  assert.notEqual(start, -1, `there is no ${name}`);
  return text.slice(start + 6, text.indexOf('\n```', start));
}

describe('README.md', () => {
  test('its device writes hello where its program says, with an admitted PASID, and interrupts', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ioasid-readme-'));
    after(() => rmSync(directory, { recursive: true }));
    writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
    writeFileSync(join(directory, 'hello.mjs'), block('hello.mjs', readme));
    const host = new FakeHost([7]);
    const memory = Buffer.alloc(16);
    host.map(7, 0x5000, memory);
    const { factory } = await loadDevice('./hello.mjs', directory);
    const device = checkModel((factory as DeviceFactory)(host, {}));
    const write = (offset: number, value: number) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(value);
      device.writeBar(0, offset, bytes);
    };
    write(0, 7);
    write(0, 8);
    write(8, 0x5002);
    assert.equal(memory.toString('latin1', 2, 7), 'hello');
    assert.deepEqual([host.faults, host.interrupts], [[], [0]]);
    device.reset();
    write(8, 0x5002);
    assert.deepEqual([host.faults.map(({ pasid }) => pasid), host.interrupts], [[0], [0]]);
  });
});

describe('docs/devices.md', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ioasid-guide-'));
  after(() => rmSync(directory, { recursive: true }));
  // As after `npm install ioasid` beside the model.
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(fileURLToPath(repository), join(directory, 'node_modules/ioasid'));
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  for (const name of ['copier.js', 'table.js', 'rng.js']) writeFileSync(join(directory, name), block(name));
  writeFileSync(join(directory, 'copier.test.js'), block('copier.test.js'));

  test('the table of registers does what the guide says', async () => {
    const { registers } = await import(pathToFileURL(join(directory, 'table.js')).href);
    registers.set(0x04, 0x1ff);
    assert.equal(registers.write(0x00, Uint8Array.of(9, 9, 9, 9, 0x0f, 0xff)), true);
    assert.deepEqual([registers.get(0x00), registers.get(0x04)], [1, 0x1f0]);
    registers.write(0x100 + 3 * 64, Uint8Array.of(0, 1));
    registers.write(0x101 + 3 * 64, Uint8Array.of(2));
    assert.equal(registers.get(0x100 + 3 * 64), 256);
    assert.deepEqual([registers.nameOf(0x1c0), registers.nameOf(2)], ['QUEUE[3].SIZE', 'STATUS+2']);
  });

  test('the virtio device of the guide fills buffers with what differs each time', async () => {
    const { transport, factory } = await loadDevice('./rng.js', directory);
    assert.equal(transport, 'virtio');
    const scene = new VirtioScene(checkVirtioModel((factory as VirtioFactory)(new FakeHost(), {})));
    const buffers = [scene.in(64), scene.in(5000)];
    for (const buffer of buffers) scene.offer(0, buffer);
    await scene.settle();
    const [small, large] = buffers.map((buffer) => scene.bytesOf(buffer));
    assert.notDeepEqual(small, large!.subarray(0, 64));
    assert.ok(new Set(small).size > 16);
    assert.deepEqual(large!.subarray(4096), new Uint8Array(5000 - 4096).fill(0xee));
    assert.deepEqual([scene.drivers[0]!.collect()?.length, scene.drivers[0]!.collect()?.length], [64, 4096]);
  });

  test('the smallest device passes the test that the guide prints', () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--test', 'copier.test.js'], {
      cwd: directory,
      env,
      encoding: 'utf8',
    });
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, /^# pass 1$/m);
  });

  test('the smallest device is a valid model, and keeps the rules that the guide gives', async () => {
    const host = new FakeHost([7]);
    const { factory } = await loadDevice('./copier.js', directory);
    const device = checkModel((factory as DeviceFactory)(host, {}));
    const read = (offset: number) => {
      const bytes = Buffer.alloc(8);
      device.readBar(0, offset, bytes);
      return Number(bytes.readBigUInt64LE());
    };
    const write = (offset: number, value: number) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt(value));
      return device.writeBar(0, offset, bytes);
    };
    write(0, 7);
    write(0, 8);
    assert.equal(read(0), 7);
    assert.equal(read(4096 - 8), 0);
    write(0x08, 0x5000);
    write(0x10, 0x6000);
    assert.equal(write(0x10, 0x7000), false);
    settle(device);
    assert.deepEqual([host.faults[0]?.iova, host.faults.length, host.interrupts], [0x5000, 1, [0]]);
    write(0x10, 0x6000);
    device.reset();
    assert.deepEqual([device.busy?.(), read(0), read(8)], [false, 0, 0]);
  });

  test('its repeater hands packets from each link to the other, also through real devices', async () => {
    writeFileSync(join(directory, 'repeater.js'), block('repeater.js'));
    const spec = './repeater.js,left=a,right=b';
    const machine = await Machine.create({ devices: [spec], baseDirectory: directory });
    const [a, b] = [machine.wires.end('a'), machine.wires.end('b')];
    a.send(Uint8Array.of(1, 2, 3));
    a.send(Uint8Array.of(4));
    b.send(new Uint8Array(0));
    assert.equal(machine.step(), true);
    while (machine.step());
    assert.deepEqual(
      [b.receive(), b.receive(), b.receive()].map((p) => p && [...p]),
      [[1, 2, 3], [4], undefined],
    );
    assert.deepEqual(a.receive(), new Uint8Array(0));
  });
});
