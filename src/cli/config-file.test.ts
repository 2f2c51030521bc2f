/** `--config FILE`: what a file may say, that nothing else is taken, and who has the last word. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { Machine } from '../machine/machine.js';
import { ioasid, runner } from '../testkit/processes.js';
import { configKeys, deviceKeys, withConfig } from './config-file.js';
import type { MachineArguments } from './service.js';

const directory = mkdtempSync(join(tmpdir(), 'ioasid-config-'));
after(() => rmSync(directory, { recursive: true }));
const file = join(directory, 'ioasid.json');

/** What the command line says by itself. */
const usual: MachineArguments = {
  device: ['edu'],
  link: ['b=unix:/run/b'],
  time: 1,
  pasidQuota: 100,
  mappingQuota: 100,
  objectQuota: 100,
  tableQuota: 100,
  fillShare: 50,
  container: 'type1',
};

function configured(source: string, given: readonly string[] = []): MachineArguments {
  writeFileSync(file, source);
  return withConfig(usual, file, (key) => given.includes(key));
}

/** Why a file with `source` is not taken, without its path. */
function reasonFor(source: string): string {
  try {
    configured(source);
  } catch (error) {
    const { message } = error as Error;
    assert.ok(message.startsWith(`${file}: `), message);
    assert.doesNotMatch(message, /\n/);
    return message.slice(file.length + 2);
  }
  return 'taken';
}

describe('a config file', () => {
  it('has devices and links before those of the command line, which has the last word on the rest', () => {
    const source = JSON.stringify({
      devices: [
        'dsa',
        { model: './m.js', mdevs: 2, options: { file: ['a', 'b'], n: 3 } },
        { model: 'dsa', idxd: true },
        { model: 'edu', bdf: '0000:01:00.0', port: true },
      ],
      links: { a: 'unix:./wire.sock', t: 'bytes:./tty.sock' },
      pasidQuota: 7,
      time: 10,
      strict: true,
    });
    const { device, link, pasidQuota, time, strict, container } = configured(source, ['time']);
    const specs = device.map((each) => (typeof each === 'string' ? each : each.spec));
    const ofFile = ['dsa', './m.js,mdevs=2,file=a,file=b,n=3', 'dsa,idxd=1', 'edu,bdf=0000:01:00.0,port=1'];
    assert.deepEqual(specs, [...ofFile, 'edu']);
    assert.deepEqual(link, [
      { link: `a=unix:${directory}/wire.sock`, from: `${file}: links.a` },
      { link: `t=bytes:${directory}/tty.sock`, from: `${file}: links.t` },
      'b=unix:/run/b',
    ]);
    assert.deepEqual([pasidQuota, time, strict, container], [7, 1, true, 'type1']);
  });

  it('has paths that begin at its folder: of models, and in their options', async () => {
    mkdirSync(join(directory, 'models'));
    writeFileSync(
      join(directory, 'models/where.mjs'),
      `export default (host) => {
        if (host.baseDirectory !== ${JSON.stringify(directory)}) throw new Error(host.baseDirectory);
        const pci = { vendorId: 1, deviceId: 2, classCode: 0, bars: [] };
        return { pci, readBar() {}, writeBar() {}, reset() {} };
      };`,
    );
    const { device } = configured('{ "devices": ["./models/where.mjs"] }');
    assert.equal((await Machine.create({ devices: device })).devices.length, 2);
  });

  const wrong: readonly [source: string, reason: RegExp][] = [
    ['', /^line 1 is no JSON: /],
    ['{\n  "devices": [],\n  nonsense\n}', /^line 3 is no JSON: /],
    ['{ "devices": [}', /^line 1 is no JSON: /],
    ['{\n"devices": [],\n"devices": []\n}', /^line 3 has the key "devices" for the second time$/],
    [
      String.raw`{ "links": { "a": "unix:{", "\u0061": "unix:b" } }`,
      /^line 1 has the key "a" for the second/,
    ],
    ['[]', /^it is an array, not an object$/],
    ['null', /^it is null, not an object$/],
    ['{ "device": ["dsa"] }', /^"device" is no key that it may have; did you mean devices\?$/],
    ['{ "__proto__": { "strict": true } }', /^"__proto__" is no key/],
    ['{ "constructor": 1 }', /^"constructor" is no key/],
    ['{ "devices": "dsa" }', /^devices is "dsa", not a list of devices$/],
    ['{ "devices": [1] }', /^devices\[0\] is 1, not a text or an object with a model$/],
    ['{ "devices": ["dsa", {}] }', /^devices\[1\] has no model$/],
    [
      '{ "devices": [{ "model": "dsa", "mdev": 2 }] }',
      /^"devices\[0\]\.mdev" is no key.*; did you mean mdevs\?$/,
    ],
    ['{ "devices": [{ "model": "dsa,mdevs=2" }] }', /^devices\[0\]\.model is "dsa,mdevs=2", not .* a comma$/],
    ['{ "devices": [{ "model": "dsa", "mdevs": "2" }] }', /^devices\[0\]\.mdevs is "2", not a whole number/],
    ['{ "devices": [{ "model": "x", "options": { "a": null } }] }', /^devices\[0\]\.options\.a is null/],
    ['{ "devices": [{ "model": "x", "options": { "a": "1,2" } }] }', /options\.a is "1,2", not .* a comma$/],
    ['{ "links": { "wire0": "./wire.sock" } }', /^links\.wire0 is ".\/wire.sock", not like "unix:/],
    ['{ "time": 0 }', /^time is 0, not a number above 0$/],
    ['{ "pasidQuota": -1 }', /^pasidQuota is -1, not a whole number from 0/],
    ['{ "fillShare": 101 }', /^fillShare is 101, not a whole number from 0 to 100$/],
    ['{ "container": "vfio" }', /^container is "vfio", not one of type1, iommufd$/],
    ['{ "strict": "yes" }', /^strict is "yes", not true or false$/],
  ];
  for (const [source, reason] of wrong)
    it(`${JSON.stringify(source)} is refused by its line or key`, () =>
      assert.match(reasonFor(source), reason));

  it('has equal keys in different objects, and values like keys', () => {
    const source = '{ "$schema": "strict", "devices": [{ "model": "a" }, { "model": "\\"a\\":" }] }';
    assert.equal(configured(source).device.length, 3);
  });

  it('may begin with a byte order mark', () => {
    assert.equal(configured('\uFEFF{ "time": 2 }').time, 2);
  });

  const misfits: readonly [source: string, sentence: RegExp][] = [
    [
      '{ "devices": ["edu", "dsa,rady=1"] }',
      /: devices\[1\]: dsa has no option "rady" .*; did you mean ready\?$/,
    ],
    ['{ "devices": [{ "model": "dsa", "bdf": "x" }] }', /: devices\[0\]: .*: bdf "x" is not a PCI address/],
    ['{ "devices": ["./nowhere.js"] }', /: devices\[0\]: device ".\/nowhere.js": there is no file/],
    ['{ "devices": [{ "model": "edu", "mdevs": 2 }] }', /: devices\[0\]: .* cannot be cut/],
    ['{ "devices": ["virtio-blk,file=no.img"] }', /: devices\[0\]: .*: file ".*" does not exist/],
    ['{ "devices": ["edu,bdf=6a:01.0", "dsa,bdf=6a:01.0"] }', /: devices\[1\]: two devices ask for bdf=/],
    ['{ "links": { "wire0": "unix:no.sock" } }', /: links\.wire0: 0 devices have link "wire0"/],
    [
      '{ "devices": ["virtio-net,link=w"], "links": { "w": "unix:no.sock" } }',
      /: links\.w: nobody listens at .*: no such file or directory$/,
    ],
  ];
  for (const [source, sentence] of misfits)
    it(`${source} makes no machine, and the sentence begins with file and place`, () => {
      writeFileSync(file, source);
      const { status, stdout, stderr } = ioasid(['run', '--config', file, '--', 'echo', 'started']);
      assert.deepEqual([status, stdout], [125, '']);
      const [said] = stderr.split('\n', 1);
      assert.ok(said!.startsWith(`ioasid: ${file}: `), stderr);
      assert.match(said!, sentence);
    });

  it('as README shows it is taken', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const [, shown] = /^```json\n(.*?)```/ms.exec(readme)!;
    const { device, link, strict } = configured(shown!);
    assert.deepEqual([device.length, link.length, strict], [3, 2, true]);
  });

  it('with any JSON is taken, or refused in a sentence', () => {
    const keys = fc.constantFrom(...Object.keys(configKeys), ...Object.keys(deviceKeys), '__proto__');
    const value = fc.oneof(fc.jsonValue(), fc.dictionary(keys, fc.jsonValue()), fc.array(fc.jsonValue()));
    fc.assert(
      fc.property(fc.dictionary(keys, value), (config) => {
        assert.notEqual(reasonFor(JSON.stringify(config)), '');
      }),
      { numRuns: 200 },
    );
  });

  it('has the keys of docs/config.schema.json', () => {
    const path = new URL('../../docs/config.schema.json', import.meta.url);
    const { properties } = JSON.parse(readFileSync(path, 'utf8'));
    assert.deepEqual(Object.keys(properties), Object.keys(configKeys));
    assert.deepEqual(Object.keys(properties.devices.items.anyOf[1].properties), Object.keys(deviceKeys));
  });

  it('that is not there, or no file, is refused by its path', () => {
    const of = (path: string) => () => withConfig(usual, path, () => false);
    const unread = (path: string, why: string) => ({
      message: `"${path}" for --config cannot be read: ${why}`,
    });
    assert.throws(of(`${file}.no`), unread(`${file}.no`, 'no such file or directory'));
    writeFileSync(file, '');
    assert.throws(of(`${file}/a`), unread(`${file}/a`, 'not a directory'));
    assert.throws(of(directory), {
      message: `"${directory}" for --config is no file of at most 1048576 bytes`,
    });
  });

  it('that is wrong ends run with 125 and a sentence, and nothing is started', () => {
    writeFileSync(file, '{ "pasidquota": 7 }');
    const { status, stdout, stderr } = ioasid(['run', '--config', file, '--', 'echo', 'started']);
    const said = `ioasid: ${file}: "pasidquota" is no key that it may have; did you mean pasidQuota?\n`;
    assert.deepEqual([status, stdout, stderr], [125, '', said]);
  });

  it('is what run serves', { skip: runner.skip }, () => {
    writeFileSync(file, '{ "devices": ["edu", "dsa,mdevs=2"] }');
    const { status, stdout } = ioasid(['run', '--config', file, '--', 'ls', '/dev/vfio/devices'], runner);
    assert.deepEqual([status, stdout], [0, 'vfio0\nvfio1\nvfio2\n']);
  });
});
