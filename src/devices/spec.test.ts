import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseDeviceSpec } from './spec.js';

/** Of an Error that is none of a program's, and no mistake in code. */
function sentenceOf(error: unknown): string {
  assert.ok(error instanceof Error && error.constructor === Error, String(error));
  return error.message;
}

describe('parseDeviceSpec', () => {
  test('a name alone is a device without options', () => {
    assert.deepEqual(parseDeviceSpec('dsa'), { name: 'dsa', mdevs: 0, options: {} });
  });

  test('mdevs and bdf are taken out, the rest is for the model', () => {
    assert.deepEqual(parseDeviceSpec('dsa,mdevs=4,bdf=0000:6a:01.0,wqs=4'), {
      name: 'dsa',
      mdevs: 4,
      bdf: '0000:6a:01.0',
      options: { wqs: '4' },
    });
  });

  test('paths and package names are names', () => {
    for (const name of [
      './my-device.js',
      '../x/y.cjs',
      '/opt/device.mjs',
      '@someone/device',
      'a-package/device',
    ]) {
      assert.deepEqual(parseDeviceSpec(`${name},opt=1`), { name, mdevs: 0, options: { opt: '1' } });
    }
  });

  test('a value may contain an equals sign', () => {
    assert.deepEqual(parseDeviceSpec('x,filter=a=b').options, { filter: 'a=b' });
  });

  test('a bdf without a domain is in domain 0000, and letters become small', () => {
    assert.equal(parseDeviceSpec('dsa,bdf=6A:1f.7').bdf, '0000:6a:1f.7');
  });

  test('an option that may be repeated has its values with commas between them', () => {
    const parsed = parseDeviceSpec('nvme,file=a,queues=2,file=b', (key) => key === 'file');
    assert.deepEqual(parsed.options, { file: 'a,b', queues: '2' });
    assert.throws(() => parseDeviceSpec('nvme,bdf=6a:01.0,bdf=6a:01.0', () => true), /"bdf" is given twice/);
  });

  const wrong: [spec: string, reason: RegExp][] = [
    ['', /"" does not begin with the name of a device/],
    [',mdevs=2', /does not begin with the name/],
    [' dsa', /does not begin with the name/],
    ['dsa,', /"" in "dsa," is not an option of the form KEY=VALUE/],
    ['dsa,=1', /"=1" in "dsa,=1" is not an option/],
    ['dsa,wqs', /option "wqs" in "dsa,wqs" has no value/],
    ['dsa,wqs=', /option "wqs" in "dsa,wqs=" has no value/],
    ['dsa,wqs=1,wqs=2', /option "wqs" is given twice/],
    ['dsa,mdevs=1,mdevs=1', /option "mdevs" is given twice/],
    ['dsa,mdevs=0', /mdevs "0" is not a number of mediated devices from 1 up/],
    ['dsa,mdevs=-1', /mdevs "-1" is not/],
    ['dsa,mdevs=1.5', /mdevs "1.5" is not/],
    ['dsa,mdevs=many', /mdevs "many" is not/],
    ['dsa,mdevs=99999999999', /mdevs "99999999999" is not/],
    ['dsa,bdf=6a:01', /bdf "6a:01" is not a PCI address like 0000:6a:01.0/],
    ['dsa,bdf=0000:6a:20.0', /bdf "0000:6a:20.0" is not/],
    ['dsa,bdf=0000:6a:01.8', /bdf "0000:6a:01.8" is not/],
    ['dsa,bdf=10000:6a:01.0', /bdf "10000:6a:01.0" is not/],
    ['dsa,port=1,mdevs=2', /behind a port a function is whole/],
    ['dsa,port=1,idxd=1', /behind a port a function is whole/],
  ];
  for (const [spec, reason] of wrong) {
    test(`"${spec}" is refused by its part at fault`, () => {
      assert.throws(
        () => parseDeviceSpec(spec),
        (error: unknown) => {
          assert.match(sentenceOf(error), /^[^\n]+[^.\n]$/);
          assert.match(sentenceOf(error), reason);
          return true;
        },
      );
    });
  }

  test('any string either parses or is refused with one sentence', () => {
    const word = fc.oneof(
      fc.constantFrom('dsa', 'edu', 'mdevs', 'bdf', '=', ',', '1', '0000:6a:01.0', '__proto__', './x.js'),
      fc.string({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word, { maxLength: 12 }).map((words) => words.join('')),
        ),
        (spec) => {
          try {
            const { name, mdevs, options } = parseDeviceSpec(spec);
            assert.ok(name.length > 0 && Number.isSafeInteger(mdevs) && mdevs >= 0);
            for (const key of Object.keys(options)) assert.equal(typeof options[key], 'string');
          } catch (error) {
            // What was typed is repeated in the sentence; line breaks in it are its own.
            assert.doesNotMatch(sentenceOf(error).replaceAll(spec, ''), /\.$/);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('what was written out parses to the same device', () => {
    const key = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/).filter((k) => k !== 'mdevs' && k !== 'bdf');
    const options = fc.dictionary(key, fc.stringMatching(/^[^,]{1,8}$/), {
      noNullPrototype: true,
      maxKeys: 5,
    });
    fc.assert(
      fc.property(options, fc.integer({ min: 1, max: 9999 }), (given, mdevs) => {
        const spec = ['dsa', `mdevs=${mdevs}`, ...Object.entries(given).map(([k, v]) => `${k}=${v}`)].join(
          ',',
        );
        assert.deepEqual(parseDeviceSpec(spec), { name: 'dsa', mdevs, options: given });
      }),
    );
  });
});
