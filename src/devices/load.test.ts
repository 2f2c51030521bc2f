import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Refusal } from '../linux/errno.js';
import createEdu from './edu.js';
import { loadDevice } from './load.js';

function reasonOf(error: unknown): string {
  assert.ok(error instanceof Refusal, `not a Refusal: ${error}`);
  return error.reason;
}

function assertOneSentence(reason: string): void {
  assert.match(reason, /^[^\n]+[^.\n]$/);
}

describe('loadDevice', () => {
  const factory = '(host, options) => ({ host, options })';
  const files: Record<string, string> = {
    'esm.mjs': `export default ${factory};`,
    'common.cjs': `module.exports = ${factory};`,
    'compiled.cjs': `exports.__esModule = true; exports.default = ${factory};`,
    'plain.js': `module.exports = ${factory};`,
    'node_modules/a-device/package.json': '{"name":"a-device","exports":"./device.mjs"}',
    'node_modules/a-device/device.mjs': `export default ${factory};`,
    'named.mjs': 'export const device = () => {};',
    'empty.cjs': '',
    'number.mjs': 'export default 7;',
    'class.mjs': 'export default class Device {}',
    'syntax.mjs': 'export default (((',
    'throws.mjs': 'throw new Error("no luck.\\nat all")',
    'imports.mjs': 'import "./not-there.mjs"; export default () => {};',
  };
  let directory = '';

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'ioasid-load-'));
    mkdirSync(join(directory, 'node_modules/a-device'), { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  });
  after(() => rmSync(directory, { recursive: true }));

  async function refusal(name: string): Promise<Refusal> {
    const error = await loadDevice(name, directory).then(
      () => assert.fail(`${name} was loaded`),
      (e: unknown) => e,
    );
    assertOneSentence(reasonOf(error));
    return error as Refusal;
  }

  test('edu is built in', async () => {
    assert.equal((await loadDevice('edu', directory)).factory, createEdu);
  });

  test('dsa is built in', async () => {
    assert.equal(typeof (await loadDevice('dsa', directory)).factory, 'function');
  });

  test('ES modules, CommonJS modules, compiled CommonJS modules and packages export factories', async () => {
    for (const name of [
      './esm.mjs',
      './common.cjs',
      './compiled.cjs',
      './plain.js',
      join(directory, 'esm.mjs'),
      'a-device',
    ]) {
      assert.equal(typeof (await loadDevice(name, directory)).factory, 'function', name);
    }
  });

  test('a missing file is ENOENT and named by its whole path', async () => {
    const { code, reason } = await refusal('./missing.js');
    assert.equal(code, 'ENOENT');
    assert.equal(reason, `device "./missing.js": there is no file ${directory}/missing.js`);
  });

  const wrong: [name: string, reason: RegExp][] = [
    ['./named.mjs', /"\.\/named\.mjs" has no default export: it exports device$/],
    ['./empty.cjs', /"\.\/empty\.cjs" has no default export/],
    ['./number.mjs', /exports by default number, not a function/],
    ['./class.mjs', /exports a class by default, not a function/],
    ['./syntax.mjs', /cannot be loaded: Unexpected .* \(.*\/syntax\.mjs:1\)$/],
    ['./throws.mjs', /cannot be loaded: no luck \(.*\/throws\.mjs:1\)$/],
    ['./imports.mjs', /cannot be loaded: .*not-there\.mjs/],
    ['.', /is not a file/],
  ];
  for (const [name, reason] of wrong) {
    test(`${name} is EINVAL and says why`, async () => {
      const error = await refusal(name);
      assert.equal(error.code, 'EINVAL');
      assert.match(error.reason, reason);
    });
  }

  test('a typo of a built-in name gets the nearest one as a suggestion', async () => {
    assert.equal((await refusal('dsaa')).reason, 'there is no device "dsaa"; did you mean dsa?');
    assert.equal((await refusal('EUD')).reason, 'there is no device "EUD"; did you mean edu?');
  });

  test('a name that is a file here gets the path as a suggestion', async () => {
    assert.equal(
      (await refusal('esm.mjs')).reason,
      'there is no device "esm.mjs"; for the file of this name write ./esm.mjs',
    );
  });

  test('any other name is told what the choices are, also the names of Object.prototype', async () => {
    for (const name of ['nothing-like-it', 'constructor', '__proto__']) {
      assert.match(
        (await refusal(name)).reason,
        /not built in \(dsa, edu, nvme, virtio-blk, virtio-net\), not a path .* no package .* is installed$/,
      );
    }
  });
});
