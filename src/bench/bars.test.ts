import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ratioBars } from './bars.js';
import type { Measurement, Outcome } from './measurement.js';

const row = (fields: Partial<Measurement>): Measurement => ({ name: 'a', unit: 'ns', ours: 100, ...fields });

/** The widths of the bars, and where the marks are. */
function drawn(...outcomes: Outcome[]): { widths: number[]; marks: number[] } {
  const svg = ratioBars(outcomes);
  const numbers = (pattern: RegExp) => [...svg.matchAll(pattern)].map(([, found]) => Number(found));
  return {
    widths: numbers(/<rect x="430" y="\d+" width="(\d+)"/g),
    marks: numbers(/x1="(\d+)" y1="\d+" x2="\d+" y2="\d+" stroke="#111"/g),
  };
}

test('a bar ends at its mark when a row is exactly as it is expected to be', () => {
  const { widths, marks } = drawn(row({ ratio: 2, maxRatio: 2 }), row({ ours: 50, max: 50, ratio: 9 }));
  assert.deepEqual(
    marks,
    widths.map((width) => 430 + width),
  );
  assert.ok(widths[0]! > widths[1]!);
});

test('a row with nothing to be measured by is left out, and one with no expectation has no mark', () => {
  const { widths, marks } = drawn(row({}), { name: 'b', told: 'c' }, row({ ratio: 3 }));
  assert.equal(widths.length, 1);
  assert.deepEqual(marks, []);
});

test('what is off the scale stays in the picture, and a name may have any characters', () => {
  const { widths } = drawn(row({ ratio: 1e6 }), row({ ratio: 0 }));
  assert.ok(widths.every((width) => width >= 1 && 430 + width <= 950));
  assert.match(ratioBars([row({ name: 'a<b & c', ratio: 1 })]), />a&lt;b &amp; c</);
});
