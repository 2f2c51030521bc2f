import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { fitting, Screen } from './screen.js';

/** What a terminal of so many columns and rows shows when `text` was written; null: something is gone. */
function shownBy(text: string, columns: number, rows: number): string[] | null {
  const all = text
    .split('\n')
    .flatMap((line) => (line === '' ? [''] : (line.match(new RegExp(`.{1,${columns}}`, 'g')) ?? [])));
  return all.length > rows ? null : all;
}

test('a drawing fits into the terminal, and says how many lines are not there', () => {
  const line = fc.array(fc.constantFrom('a', 'bc', ' '), { maxLength: 40 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(
      fc.array(line),
      fc.integer({ min: 20, max: 60 }),
      fc.integer({ min: 4, max: 20 }),
      (...given) => {
        const [lines, columns, rows] = given;
        const coloured = lines.map((text) => `\u001b[1m${text}\u001b[22m`);
        const drawn = fitting(coloured, columns, rows - 1, '`ioasid ls`');
        const plain = drawn.map((text) => stripVTControlCharacters(text));
        assert.notEqual(shownBy(`${plain.join('\n')}\n`, columns, rows), null);
        const whole = shownBy(`${lines.join('\n')}\n`, columns, rows) !== null;
        const left = lines.length - drawn.length + 1;
        if (whole) assert.deepEqual(drawn, coloured);
        else assert.equal(plain.at(-1), `and ${left} more line${left === 1 ? '' : 's'}: \`ioasid ls\``);
        const first = whole ? drawn : drawn.slice(0, -1);
        assert.deepEqual(first, coloured.slice(0, first.length));
      },
    ),
  );
});

test('what a terminal showed before scrolls away once, and a new size is drawn at once', () => {
  const written: string[] = [];
  let resized = () => {};
  const terminal = {
    columns: 80,
    rows: 5,
    write: (text: string) => written.push(text),
    on: (_event: 'resize', listener: () => void) => {
      resized = listener;
    },
  };
  const screen = new Screen(terminal, '`ioasid ls`');
  resized();
  assert.deepEqual(written, []);
  const lines = ['1', '2', '3', '4', '5'];
  screen.draw(lines);
  screen.draw(lines);
  terminal.rows = 8;
  resized();
  const short = '\u001b[H\u001b[J1\n2\n3\nand 2 more lines: `ioasid ls`\n';
  assert.deepEqual(written, [`\n\n\n\n\n${short}`, short, '\u001b[H\u001b[J1\n2\n3\n4\n5\n']);
});

test('a terminal that does not say how large it is gets all', () => {
  const written: string[] = [];
  const screen = new Screen({ columns: 0, rows: 0, write: (text) => written.push(text), on: () => {} }, '');
  screen.draw(['1', '2']);
  assert.deepEqual(written, ['\u001b[H\u001b[J1\n2\n']);
});
