/** What people do wrong when they write their first model, and the sentence that each of it gives. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Refusal } from '../linux/errno.js';
import { Machine } from '../machine/machine.js';

const directory = mkdtempSync(join(tmpdir(), 'ioasid-mistakes-'));
after(() => rmSync(directory, { recursive: true }));
// As after `npm install ioasid` beside the model.
mkdirSync(join(directory, 'node_modules'));
symlinkSync(fileURLToPath(new URL('../..', import.meta.url)), join(directory, 'node_modules/ioasid'));

let files = 0;

/** The machine with the device whose module is `source`. */
function machineOf(source: string, name = `model${files++}.mjs`): Promise<Machine> {
  writeFileSync(join(directory, name), source);
  return Machine.create({ devices: ['edu', `./${name}`], baseDirectory: directory });
}

/** Why there is none: what is said of it has its file. */
async function refusalOf(source: string, name = `model${files++}.mjs`): Promise<Refusal> {
  const error: unknown = await machineOf(source, name).then(
    () => assert.fail('it was taken'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Refusal, String(error));
  assert.ok(error.reason.startsWith(`device "./${name}"`), error.reason);
  return error;
}

const PCI = 'vendorId: 1, deviceId: 2, classCode: 0, msi: 1, intx: true, pasidBits: 20';
const BARS = 'bars: [{ index: 0, size: 4096 }]';
const METHODS = 'readBar() {}, writeBar() {}, reset() {}';
/** One whose table of registers has a row with `more`. */
const row = (more: string) =>
  `import { Registers } from 'ioasid/registers';\n${model(
    `const registers = new Registers([{ name: 'A', offset: 0, width: 4, access: 'rw', ${more} }]);`,
  )}`;
/** A module whose factory does `first`, and then makes a model with `more` in it. */
const model = (first: string, more = '') =>
  `export default function create(host) {\n  ${first}\n` +
  `  return { pci: { ${PCI}, ${BARS} }, ${METHODS}, ${more} };\n}\n`;

const mistakes: readonly [what: string, source: string, reason: RegExp, name?: string][] = [
  [
    'a key of pci',
    model('').replace('pasidBits', 'pasidbits'),
    /: pci has no key "pasidbits"; did you mean pa/,
  ],
  ['a method', model('', 'setp() {}'), /: the device model has no use for setp\(\); did you mean step\?$/],
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
  ['an odd BAR', model('').replace('4096', '5000'), /: the size of BAR 0, 0x1388, is not a power of two$/],
  [
    'BARs in one another',
    model('').replace('4096 }', '4096, is64: true }, { index: 1, size: 16 }'),
    /upper half/,
  ],
  ['step without busy', model('', 'step() {}'), /: the device model has step, which is called while busy/],
  [
    'no return in its factory',
    model('').replace('return', 'void'),
    /: the device factory returned undefined, no/,
  ],
  ['no class code', model('').replace('classCode: 0,', ''), /: pci.classCode is undefined, not an integer/],
  [
    'no array of BARs',
    model('').replace('[{', '({').replace('}]', '})'),
    /: pci.bars is an object, not an ar/,
  ],
  ['a vector that PCI has not', model('').replace('msi: 1', 'msi: 3'), /: pci.msi is 3, not 1, 2, 4, 8, 16/],
  [
    'a key of a register',
    row('resett: 1'),
    /: register "A" has no key "resett"; did you mean reset\? \(.*:3\)$/,
  ],
  [
    'a width of a register',
    row('width: 3'),
    /: register "A": width 3 is not 1, 2, 4 or 8 bytes \(.*mjs:3\)$/,
  ],
  [
    'a register that it has not described',
    `${row('width: 4').replace('return {', 'registers.get(8); return {')}`,
    /: the factory threw RangeError: no register begins at offset 0x8 \(.*mjs:4\)$/,
  ],
  [
    'an option that its helper was not told all of',
    `import { required } from 'ioasid/options';\n` +
      `export const options = { max: required('most') };\n${model('')}`,
    /cannot be loaded: .*values of required\("most"\) is undefined, not a text \(.*mjs:2\)$/,
  ],
  [
    'an option that is none',
    `export const options = { max: { what: 'most', parse: Number } };\n${model('')}`,
    /: option "max" of its module has no text "values"$/,
  ],
  ['an async method', model('', 'async step() {}'), /: step of the device model is async/],
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
      assert.match(error.message, /^device "\.\/model\d+\.mjs": speed is slow or fast$/);
      assert.equal(error.cause, undefined);
      return true;
    });
  });

  test('in TypeScript is loaded where Node strips types, and else it is said what to do', async () => {
    const source = 'export default function create(host: object) { return host as never; }';
    const { reason } = await refusalOf(source, 'typed.ts');
    // What is taken for a model is refused as one.
    if ('typescript' in process.features && process.features.typescript)
      assert.equal(reason, 'device "./typed.ts": the device model has no method readBar');
    else assert.match(reason, /^device ".\/typed.ts" is TypeScript, which Node .* 22\.18 or newer, a loader/);
  });

  test('made by mdev.create is told as one', async () => {
    const cut = 'mdev: { max: 1, create(_index, host) { host.interrupt(0); } }';
    writeFileSync(join(directory, 'cut.mjs'), model('', cut));
    const made = Machine.create({ devices: ['./cut.mjs,mdevs=1'], baseDirectory: directory });
    await assert.rejects(
      made,
      /device "\.\/cut\.mjs,mdevs=1": mdev 0: mdev\.create threw RangeError: host\.inter/,
    );
  });

  test('of several is told by its file, or by its place among the devices', async () => {
    writeFileSync(join(directory, 'odd.mjs'), model('').replace('4096', '5000'));
    const right = () => ({ pci: { vendorId: 1, deviceId: 2, classCode: 0, bars: [] } });
    const methods = { readBar() {}, writeBar() {}, reset() {} };
    const good = () => ({ ...right(), ...methods });
    for (const [devices, reason] of [
      [['edu', './odd.mjs'], /^device "\.\/odd\.mjs": the size of BAR 0/],
      [['edu,dma-mask=x', './odd.mjs'], /^device "edu,dma-mask=x": dma-mask "x" is/],
      [['edu,mdevs=x'], /^device "edu,mdevs=x": mdevs "x" is not/],
      [[good, right], /^devices\[1\]: the device model has no method readBar/],
      [[good, 7], /^devices\[1\] is 7, not a factory or a text$/],
      ['dsa', /^devices is "dsa", not a list of devices/],
      [undefined, /^devices is undefined, not a list of devices/],
    ] as const) {
      const made = Machine.create({ devices: devices as never, baseDirectory: directory });
      await assert.rejects(made, (error: Error) => {
        assert.match(error instanceof Refusal ? error.reason : error.message, reason);
        return true;
      });
    }
  });
});
