import assert from 'node:assert/strict';
import { test } from 'node:test';
import { functionsOf } from './functions.js';

/** The lines that each function of `source` has. */
const lines = (source: string) => functionsOf(source).map((found) => found.lines);

test('every kind of function is found, with the lines from its beginning to the end of its body', () => {
  const three = [
    'function f() {\n  a;\n}',
    'async function* f<T extends { a: string }>(a: T): Promise<{ b: T }> {\n  a;\n}',
    'export default function () {\n  a;\n}',
    'const f = (a) => {\n  a;\n};',
    'const f = async (a: string, b = { c: 1 }): Promise<void> => {\n  a;\n};',
    'const f = a => {\n  a;\n};',
    'const f = (a) =>\n  a.map(b)\n    .filter(c);',
    'class A {\n  f(): asserts this is B {\n    a;\n  }\n}',
    'class A {\n  static async *#f(a: A): AsyncGenerator<A> {\n    a;\n  }\n}',
    'class A {\n  constructor(a = [b]) {\n    a;\n  }\n}',
    'class A {\n  get [Symbol.iterator](): { a: B } | undefined {\n    a;\n  }\n}',
    "const a = {\n  'f'(a) {\n    a;\n  },\n};",
    'test(\n  `a`, (a) => {\n    a;\n  },\n);',
    "test('a', { skip: b }, () => {\n  a;\n});",
  ];
  for (const source of three) assert.deepEqual(lines(source), [3], source);
});

test('a function type is no function, and what returns one ends where its body ends', () => {
  assert.deepEqual(lines('function f(): () => void {\n}\nfunction g() {\n}'), [2, 1, 2]);
  assert.deepEqual(lines('class A {\n  *f(): Generator<() => void> {\n  }\n  g() {\n  }\n}'), [2, 1, 2]);
});

test('what is no function is not taken for one', () => {
  const none = [
    'if (a) {\n}',
    'for (const a of b(c)) {\n}',
    'while (a(b)) {\n}',
    'switch (a) {\n  case b(c): {\n  }\n}',
    'try {\n} catch (error) {\n}',
    'const a = b ? c(d) : { e };',
    "const a = 'function f() {' + /function f() {/.source;",
    '// function f() {\n// }',
    'declare function f(a: A): B;',
    'a.f(b);\n{\n}',
    "describe('a', () => {\n});",
    'describe(a.b, { skip: [c] }, () => {\n});',
  ];
  for (const source of none) assert.deepEqual(lines(source), [], source);
});

test('a function counts in those around it, and a test in no describe', () => {
  assert.deepEqual(lines('function f() {\n  const g = () => {\n    a;\n  };\n}'), [5, 3]);
  assert.deepEqual(lines("describe('a', () => {\n  test('b', () => {\n    c;\n  });\n});"), [3]);
  assert.deepEqual(lines('const a = (b) => c(b, (d) => {\n  d;\n});'), [3, 3]);
});
