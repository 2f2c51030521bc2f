/** The models in docs/devices.md and README.md run as they are printed there. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { NO_PASID } from '../iommu/pasid.js';
import { Machine } from '../machine/machine.js';
import { VirtioScene } from '../testkit/virtio-scene.js';
import type { DeviceFactory } from './device-model.js';
import { FakeHost, settle } from './fake-host.js';
import { loadDevice } from './load.js';
import { parseOptions } from './options.js';
import type { VirtioFactory } from './virtio/virtio-model.js';

const repository = new URL('../../', import.meta.url);
const guide = readFileSync(new URL('docs/devices.md', repository), 'utf8');
const readme = readFileSync(new URL('README.md', repository), 'utf8');

/** The block of code in `text` whose first line is the comment `// name: ...`. */
function block(name: string, text = guide): string {
  const start = text.indexOf(`\`\`\`js\n// ${name}: `);
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
    const device = host.make(factory as DeviceFactory);
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
  const names = ['options', 'frame', 'table', 'pager', 'ticker', 'repeater', 'rng'];
  const directory = mkdtempSync(join(tmpdir(), 'ioasid-guide-'));
  after(() => rmSync(directory, { recursive: true }));
  // As after `npm install ioasid` beside the model.
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(fileURLToPath(repository), join(directory, 'node_modules/ioasid'));
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  for (const name of names) writeFileSync(join(directory, `${name}.mjs`), block(`${name}.mjs`));

  /** The model of the guide that is called so, behind a fake host, with its registers of 4 bytes. */
  async function made(name: string) {
    const host = new FakeHost();
    const { factory } = await loadDevice(`./${name}.mjs`, directory);
    const device = host.make(factory as DeviceFactory);
    const write = (offset: number, value: number) =>
      device.writeBar(0, offset, new Uint8Array(Uint32Array.of(value).buffer));
    const read = (offset: number) => {
      const bytes = Buffer.alloc(4);
      device.readBar(0, offset, bytes);
      return bytes.readUInt32LE();
    };
    return { host, device, write, read };
  }

  test('the table of options reads texts, and says what it misses', async () => {
    const { options } = await import(pathToFileURL(join(directory, 'options.mjs')).href);
    const given = { serial: 'one', file: 'a,b', queues: '16', slow: '1', mac: '02:00:00:00:00:ff' };
    assert.deepEqual(parseOptions('it', options, given), {
      ...{ depth: 16, queues: 16, mode: 'shared', slow: true, serial: 'one', file: ['a', 'b'] },
      mac: Uint8Array.of(2, 0, 0, 0, 0, 255),
    });
    const said = (more: object) => () => parseOptions('it', options, { ...given, ...more });
    assert.throws(said({ mac: 'x' }), { message: 'mac "x" is no MAC address' });
    assert.throws(said({ mode: 'x' }), { message: 'mode "x" is not shared or dedicated' });
    assert.throws(() => parseOptions('it', options, { serial: 'x' }), {
      message: 'it needs file=PATH, a medium',
    });
  });

  test('the table of registers does what the guide says', async () => {
    const { registers } = await import(pathToFileURL(join(directory, 'table.mjs')).href);
    registers.set(0x04, 0x1ff);
    assert.equal(registers.write(0x00, Uint8Array.of(9, 9, 9, 9, 0x0f, 0xff)), true);
    assert.deepEqual([registers.get(0x00), registers.get(0x04)], [1, 0x1f0]);
    registers.write(0x100 + 3 * 64, Uint8Array.of(0, 1));
    registers.write(0x101 + 3 * 64, Uint8Array.of(2));
    assert.equal(registers.get(0x100 + 3 * 64), 256);
    assert.deepEqual([registers.nameOf(0x1c0), registers.nameOf(2)], ['QUEUE[3].SIZE', 'STATUS+2']);
  });

  test('the virtio device of the guide fills buffers with what differs each time', async () => {
    const { transport, factory } = await loadDevice('./rng.mjs', directory);
    assert.equal(transport, 'virtio');
    const scene = new VirtioScene(new FakeHost().make(factory as VirtioFactory));
    const buffers = [scene.in(64), scene.in(5000)];
    for (const buffer of buffers) scene.offer(0, buffer);
    await scene.settle();
    const [small, large] = buffers.map((buffer) => scene.bytesOf(buffer));
    assert.notDeepEqual(small, large!.subarray(0, 64));
    assert.ok(new Set(small).size > 16);
    assert.deepEqual(large!.subarray(4096), new Uint8Array(5000 - 4096).fill(0xee));
    assert.deepEqual([scene.drivers[0]!.collect()?.length, scene.drivers[0]!.collect()?.length], [64, 4096]);
  });

  test('the device that has a frame sends a page of it where its doorbell says', async () => {
    const { host, device, write } = await made('frame');
    const page = new Uint8Array(4096);
    host.map(NO_PASID, 0x5000, page);
    device.pci.bars[0]!.memory!.bytes.fill(9, 0, 8192);
    write(0x1004, 5);
    assert.equal(device.busy?.(), false);
    write(0x1000, 5);
    settle(device);
    assert.deepEqual([page, host.interrupts], [new Uint8Array(4096).fill(9), [0]]);
    host.reset(device);
    assert.equal(device.pci.bars[0]!.memory!.bytes[0], 0);
  });

  test('the device that asks for pages goes on when one is there, and ends when none comes', async () => {
    const { host, device, write, read } = await made('pager');
    const page = Buffer.alloc(4096);
    const begin = () => {
      write(0x00, 7);
      device.writeBar(0, 0x08, Uint8Array.of(0, 0x60, 0, 0, 0, 0, 0, 0));
      settle(device);
    };
    begin();
    assert.deepEqual([read(0x10), host.faults.length], [2, 1]);
    host.hearsPageRequests = true;
    for (const answer of ['invalid', 'success'] as const) {
      host.reset(device);
      begin();
      assert.deepEqual([device.busy?.(7), device.busy?.(8), device.step?.()], [true, false, false]);
      if (answer === 'success') host.map(7, 0x6000, page);
      host.pageRequests.at(-1)!.answer = answer;
      settle(device);
      assert.equal(read(0x10), answer === 'success' ? 1 : 2);
    }
    assert.equal(page.toString('latin1', 0, 4), 'here');
  });

  test('the device that ticks keeps its line up until each tick is acknowledged', async () => {
    const { host, device, write, read } = await made('ticker');
    write(0x00, 50);
    host.clock.advance(149);
    assert.deepEqual([read(0x08), read(0x04), host.line, host.interrupts], [2, 1, true, [0, 0]]);
    write(0x04, 1);
    assert.deepEqual([read(0x04), host.line], [0, false]);
    host.clock.advance(1);
    assert.equal(host.line, true);
    write(0x00, 0);
    host.clock.advance(1000);
    assert.equal(read(0x08), 3);
    write(0x00, 1);
    host.reset(device);
    host.clock.advance(1000);
    assert.deepEqual([read(0x08), host.line], [0, false]);
  });

  test('its repeater hands packets from each link to the other, also through real devices', async () => {
    const spec = './repeater.mjs,left=a,right=b';
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
