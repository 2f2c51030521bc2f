/** What people do wrong when they write their first model, and the sentence that each of it gives. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Refusal } from '../linux/errno.js';
import { Machine } from '../machine/machine.js';

const directory = mkdtempSync(join(tmpdir(), 'ioasid-mistakes-'));
after(() => rmSync(directory, { recursive: true }));

let files = 0;

/** The machine with the device whose module is `source`. */
function machineOf(source: string, name = `model${files++}.mjs`): Promise<Machine> {
  writeFileSync(join(directory, name), source);
  return Machine.create({ devices: [`./${name}`], baseDirectory: directory });
}

/** Why there is none. */
async function refusalOf(source: string, name?: string): Promise<Refusal> {
  const error: unknown = await machineOf(source, name).then(
    () => assert.fail('it was taken'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Refusal, String(error));
  return error;
}

const PCI = 'vendorId: 1, deviceId: 2, classCode: 0, msi: 1, intx: true, pasidBits: 20';
const BARS = 'bars: [{ index: 0, size: 4096 }]';
const METHODS = 'readBar() {}, writeBar() {}, reset() {}';
/** A module whose factory does `first`, and then makes a model with `more` in it. */
const model = (first: string, more = '') =>
  `export default function create(host) {\n  ${first}\n` +
  `  return { pci: { ${PCI}, ${BARS} }, ${METHODS}, ${more} };\n}\n`;

const mistakes: readonly [what: string, source: string, reason: RegExp, name?: string][] = [
  [
    'a key of pci',
    model('').replace('pasidBits', 'pasidbits'),
    /^pci has no key "pasidbits"; did you mean pa/,
  ],
  ['a method', model('', 'setp() {}'), /^the device model has no use for setp\(\); did you mean step\?$/],
  [
    'DMA in the factory',
    model('host.dma.read(0, 0, new Uint8Array(8));'),
    /threw RangeError: host.dma .*:2\)$/,
  ],
  [
    'a page request there',
    model('host.dma.requestPage(0, 0, true);'),
    /host.dma was used in the factory.*:2\)$/,
  ],
  ['an interrupt there', model('host.interrupt(0);'), /host.interrupt was used in the factory.*mjs:2\)$/],
  ['the line there', model('host.intx(true);'), /host.intx was used in the factory.*mjs:2\)$/],
  ['a timer there', model('host.after(1, () => {});'), /host.after was used in the factory.*mjs:2\)$/],
  ['an odd BAR', model('').replace('4096', '5000'), /^the size of BAR 0, 0x1388, is not a power of two$/],
  [
    'BARs in one another',
    model('').replace('4096 }', '4096, is64: true }, { index: 1, size: 16 }'),
    /upper half/,
  ],
  ['an async method', model('', 'async step() {}'), /^step of the device model is async/],
  ['an async factory', model('').replace('default function', 'default async function'), /returned a promise/],
  ['no default export', 'export const create = () => {};', /has no default export: it exports create$/],
  ['a syntax error', 'export default function create() {\n  const = 1;\n}\n', /Unexpected.* \(.*mjs:2\)$/],
  ['one in CommonJS', 'module.exports = (\n  1 +;\n);\n', /Unexpected.* \(.*cjs:2\)$/, 'broken.cjs'],
  [
    'an ES module that is taken for CommonJS',
    '\nexport default () => {};',
    /it is an ES module \(.*exports\.cjs:2\), and taken for CommonJS: call it exports\.mjs, or set "type"/,
    'exports.cjs',
  ],
  [
    'imports that are taken for CommonJS',
    'import "ioasid";',
    /an ES module \(.*common\.cjs:1\).*\.mjs, or/,
    'common.cjs',
  ],
  ['an import that is not there', 'import "./nowhere.mjs";\n', /cannot be loaded: .*nowhere\.mjs/],
  ['a name that it does not export', 'import { no } from "node:fs";\n', /named 'no' \(.*mjs:1\)$/],
  ['a throw of its module', '\nmissing.call();\n', /cannot be loaded: missing is not defined \(.*mjs:2\)$/],
  ['a throw of its factory', model('null.x;'), /threw TypeError: Cannot read .* \(.*mjs:2\)$/],
];

describe('a model', () => {
  for (const [what, source, reason, name] of mistakes)
    test(`with ${what} is refused in a sentence that names it`, async () => {
      const refusal = await refusalOf(source, name);
      assert.match(refusal.reason, reason);
      assert.doesNotMatch(refusal.reason, /\n|\.$/);
    });

  test('that is wrong code has its stack in the cause, and one with a wrong option none', async () => {
    for (const source of ['\nmissing.call();\n', model('missing.call();')]) {
      const { cause } = await refusalOf(source);
      assert.ok(cause instanceof ReferenceError);
      assert.match(cause.stack!, /model\d+\.mjs:2/);
    }
    const told = machineOf(model('throw new Error("speed is slow or fast");'));
    await assert.rejects(told, (error: Error) => {
      assert.deepEqual([error.message, error.cause], ['speed is slow or fast', undefined]);
      return true;
    });
  });

  test('in TypeScript is loaded where Node strips types, and else it is said what to do', async () => {
    const source = 'export default function create(host: object) { return host as never; }';
    const { reason } = await refusalOf(source, 'typed.ts');
    // What is taken for a model is refused as one.
    if ('typescript' in process.features && process.features.typescript)
      assert.equal(reason, 'the device model has no method readBar');
    else assert.match(reason, /^device ".\/typed.ts" is TypeScript, which Node .* 22\.18 or newer, a loader/);
  });

  test('made by mdev.create is told as one', async () => {
    const cut = 'mdev: { max: 1, create(_index, host) { host.interrupt(0); } }';
    writeFileSync(join(directory, 'cut.mjs'), model('', cut));
    const made = Machine.create({ devices: ['./cut.mjs,mdevs=1'], baseDirectory: directory });
    await assert.rejects(made, /the factory of device "vfio0" threw RangeError: host.interrupt was used in/);
  });
});
