/** What helpers of options are given wrongly is said where it is given, and not to who uses the device. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { choice, each, integer, optional, parseOptions, powerOfTwo, required } from './options.js';

test('a helper that is not told all it needs refuses in a sentence with its name and the argument', () => {
  const wrong: readonly [option: () => unknown, reason: RegExp][] = [
    [() => required('most', undefined!), /values of required\("most"\) is undefined, not a text/],
    [() => each('media', undefined!), /values of each\("media"\) is undefined, not a text/],
    [() => integer('most', 4, 1, undefined!), /most of integer\("most"\) is undefined, not an integer/],
    [() => integer('most', 9, 1, 8), /otherwise of integer\("most"\) is 9, not from 1 to 8/],
    [
      () => powerOfTwo('size', '4' as never, 1, 8),
      /otherwise of powerOfTwo\("size"\) is "4", not an integer/,
    ],
    [() => choice('kind', 'a', undefined!), /values of choice\("kind"\) is undefined, not an array/],
    [() => choice('kind', 'c' as 'a', ['a']), /otherwise of choice\("kind"\) is "c", none of its values/],
    [() => optional('mac', 'like 02:..', undefined!, String), /otherwise of optional\("mac"\) is undefined/],
    [() => optional('mac', 'like 02:..', 'random', undefined!), /parse of optional\("mac"\) is undefined/],
  ];
  for (const [option, reason] of wrong) assert.throws(option, reason);
});

test('a table whose option is none is refused with the key of the option', () => {
  const parse = (option: unknown) => () => parseOptions('copier', { max: option } as never, { max: '1' });
  assert.throws(parse(4), /option "max" of copier is 4, not an option/);
  assert.throws(parse({ what: 'most', parse: Number }), /option "max" of copier has no text "values"/);
  assert.throws(parse({ what: 'most', values: 'N' }), /option "max" of copier has no method parse/);
  const misspelt = { ...required('most', 'N'), otherwize: '1' };
  assert.throws(parse(misspelt), /option "max" of copier has no key "otherwize"; did you mean otherwise\?/);
});
