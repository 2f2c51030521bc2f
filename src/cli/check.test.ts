/** What `ioasid check` finds in models, and that it finds nothing in those that are right. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { listingsOf } from '../testkit/listings.js';
import { ioasid } from '../testkit/processes.js';
import { typescriptModel } from '../testkit/typescript-model.js';
import { pageOf } from './check.js';

const directory = mkdtempSync(join(tmpdir(), 'ioasid-check-'));
after(() => rmSync(directory, { recursive: true }));
const example = (name: string) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));

const PCI = 'vendorId: 1, deviceId: 2, classCode: 0, msi: 1, pasidBits: 20, bars: [{ index: 0, size: 64 }]';
/** What is said, without the colours that a CI's environment asks for. */
const page = async (spec: string, seed: number, accesses: number, baseDirectory = directory) => {
  const said = await pageOf(spec, { seed, accesses, baseDirectory });
  return { ...said, page: stripVTControlCharacters(said.page) };
};
let models = 0;

/** The path of a module that has `state` and makes a model with `methods` in place of the right ones. */
function model(methods: string, state = ''): string {
  const path = join(directory, `model${models++}.mjs`);
  const right = 'readBar(_bar, _offset, target) { target.fill(0); }, writeBar() {}, reset() {}';
  writeFileSync(
    path,
    `export default function create(host) {\n  ${state}\n` +
      `  return { pci: { ${PCI} }, ${right},\n    ${methods} };\n}\n`,
  );
  return path;
}

const REGISTER = 'let register = 0;';
const READ = 'readBar(_bar, _offset, target) { target.fill(register); }';
const WRITE = 'writeBar(_bar, _offset, source) { register = source[0]; }';
const DMA = 'host.dma.write(0, 0, Buffer.alloc(8))';
const BUSY = 'busy: () => register !== 0';

const wrong: readonly [rule: string, path: string, sentence: RegExp][] = [
  ['throws', model('writeBar(_bar, offset) { if (offset === 8) null.x; }'), /^1\. TypeError: Cannot read/m],
  ['throws by its file and line', model('step() { null.x; }, busy: () => true'), /^ +at .*mjs:4:/m],
  ['returns a promise', model('step: () => Promise.resolve(), busy: () => true'), /step returned a promise/],
  [
    'raises a vector that it has not',
    model('writeBar() { host.interrupt(1); }'),
    /vector 1 was raised, and its/,
  ],
  ['drives a line that it has not', model('writeBar() { host.intx(true); }'), /pci\.intx is not true/],
  [
    'passes on an address that is none',
    model('writeBar() { host.dma.read(0, NaN, Buffer.alloc(8)); }'),
    /NaN/,
  ],
  [
    'passes on a PASID of 21 bits',
    model('writeBar() { host.dma.read(1 << 20, 0, Buffer.alloc(8)); }'),
    /20 bits/,
  ],
  [
    'does DMA out of its buffer',
    model('writeBar() { host.dma.read(0, 0, Buffer.alloc(8), 4, 8); }'),
    /of 8$/m,
  ],
  [
    'keeps registers over a reset',
    model(`${READ}, ${WRITE}`, REGISTER),
    /after a reset 0x.* reads .* at first/,
  ],
  ['is busy after a reset', model(`${WRITE}, ${BUSY}`, REGISTER), /busy is true after a reset/],
  [
    'never ends',
    model(`${WRITE}, ${BUSY}, reset() { register = 0; }`, REGISTER),
    /busy is still true after 10000 steps/,
  ],
  [
    'waits for nothing',
    model(`${WRITE}, ${BUSY}, step: () => false, reset() { register = 0; }`, REGISTER),
    /waits for no page, timer or drain/,
  ],
  [
    'does DMA after a reset',
    model(`${WRITE}, busy: () => false, step() { if (register) ${DMA}; }`, REGISTER),
    /DMA goes on in a reset, or after it/,
  ],
  ['interrupts in a reset', model('reset() { host.interrupt(0); }'), /an interrupt comes in a reset/],
  [
    'trusts lengths that it has read',
    model('writeBar(_b, o, s) { host.dma.read(0, o, s); new Uint8Array(2 ** 54 * s[0]); }'),
    /Invalid typed array length/,
  ],
  [
    'keeps asking for timers',
    model('writeBar() { if (!asked) for (asked = true; ; ) host.after(1, () => {}); }', 'let asked = false;'),
    /while 4096 timers wait/,
  ],
  ['fails later', model('writeBar() { Promise.reject(new Error("late")); }'), /Error: late/],
];

describe('check finds a model that', () => {
  for (const [rule, path, sentence] of wrong)
    it(rule, async () => {
      if (rule === 'fails later') return assertLate(path, sentence);
      const { page: said, isWrong } = await page(path, 1, 200);
      assert.ok(isWrong, said);
      assert.match(said, sentence);
    });
});

/** What fails on Node's queues is a process's own affair. */
function assertLate(path: string, sentence: RegExp): void {
  const { status, stdout } = ioasid(['check', path, '--seed', '1', '--accesses', '10']);
  assert.equal(status, 1, stdout);
  assert.match(stdout, sentence);
}

describe('check', () => {
  it('finds nothing wrong with the devices that there are, mediated ones too', async () => {
    for (const spec of [
      'edu',
      'virtio-net',
      'dsa,ready=1',
      example('checksum.js'),
      typescriptModel('examples/nic.ts'),
      example('serial.js'),
    ]) {
      const { page: said, isWrong } = await page(spec, 3, 200);
      assert.ok(!isWrong, said);
    }
  });

  it('gets at DMA and interrupts of a device whose registers it has to find', async () => {
    const { page: said } = await page(example('checksum.js'), 5, 1000);
    const [, dmas, faults, interrupts] = /(\d+) DMAs \((\d+) with a fault\), (\d+) interrupts/.exec(said)!;
    for (const count of [dmas, faults, interrupts]) assert.ok(Number(count) > 10, said);
  });

  it('does the same again for the seed that it prints', async () => {
    const path = wrong[0]![1];
    const pages = [1, 1, 2].map(async (seed) => (await page(path, seed, 500)).page);
    const [one, same, other] = await Promise.all(pages);
    assert.equal(one, same);
    assert.notEqual(one, other);
    assert.match(one!, /--seed 1 /);
  });

  it('finds nothing wrong with the devices that docs/devices.md shows, and has them do DMA', async () => {
    const models = listingsOf('docs/devices.md').flatMap(({ text }) => {
      const [, name] = /^\/\/ (\w+\.mjs): /.exec(text) ?? [];
      return name !== undefined && text.includes('export default') ? [{ name, text }] : [];
    });
    const names = ['copier.mjs', 'frame.mjs', 'pager.mjs', 'ticker.mjs', 'repeater.mjs', 'rng.mjs'];
    assert.deepEqual(
      models.map(({ name }) => name),
      names,
    );
    mkdirSync(join(directory, 'node_modules'));
    symlinkSync(fileURLToPath(new URL('../..', import.meta.url)), join(directory, 'node_modules/ioasid'));
    for (const { name, text } of models) {
      writeFileSync(join(directory, name), text);
      const { page: said, isWrong } = await page(`./${name}`, 1, 1000);
      assert.ok(!isWrong, said);
      assert.ok(!said.includes('there was no DMA'), said);
    }
  });

  it('remarks on no DMA where there are PASIDs, and on bytes left by a read that ended', async () => {
    const { page: idle } = await page(model('readBar() {}'), 1, 100);
    assert.match(idle, /there was no DMA/);
    assert.match(idle, /readBar leaves bytes as they are/);
    assert.doesNotMatch(idle, /it returns/);
    const { page: returning } = await page(model('readBar() { return 7; }'), 1, 100);
    assert.match(returning, /readBar leaves bytes as they are, .*; it returns 7, which nobody takes/);
    const { page: throwing } = await page(model('readBar() { null.x; }'), 1, 100);
    assert.doesNotMatch(throwing, /readBar leaves/);
  });

  it('finds nothing wrong with the device that README shows', async () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const [, source] = /```js\n(\/\/ hello\.mjs.*?)```/s.exec(readme)!;
    writeFileSync(join(directory, 'hello.mjs'), source!);
    const { page: said, isWrong } = await page('./hello.mjs', 1, 500);
    assert.ok(!isWrong, said);
  });

  it('ends with 0 for a model that is right, and with 125 where there is none', () => {
    const status = (spec: string) => ioasid(['check', spec, '--accesses', '10']).status;
    assert.deepEqual([status(example('checksum.js')), status('./nowhere.js')], [0, 125]);
  });
});
