/** What the C compiler says of structs, numbers and macros of headers. */
import { execFileSync } from 'node:child_process';
import type { Struct } from '../uapi/struct.js';
import { compile } from './c-program.js';

/** Has the C compiler evaluate `expressions`, each an unsigned number. */
export function evaluate(headers: readonly string[], expressions: readonly string[]): Map<string, number> {
  const source = [
    '#include <stddef.h>',
    '#include <stdio.h>',
    ...headers.map((name) => `#include <${name}>`),
    'int main(void)',
    '{',
    ...expressions.map((expression) => `\tprintf("%llu\\n", (unsigned long long)(${expression}));`),
    '\treturn 0;',
    '}',
    '',
  ].join('\n');
  const lines = execFileSync(compile('evaluate.c', source, { standard: 'c99' }), { encoding: 'utf8' })
    .trimEnd()
    .split('\n');
  return new Map(expressions.map((expression, i) => [expression, Number(lines[i])]));
}

/** Each C expression about `struct`, and the number that TypeScript has for it. */
export function layoutExpressions(struct: Struct, nameOf: (field: string) => string): [string, number][] {
  const c = `struct ${struct.cName}`;
  const fields = Object.entries(struct.fields).flatMap(([field, { offset, size }]): [string, number][] => [
    [`offsetof(${c}, ${nameOf(field)})`, offset],
    [`sizeof(((${c} *)0)->${nameOf(field)})`, size],
  ]);
  return [[`sizeof(${c})`, struct.size], ...fields];
}

/** The macros that `header` defines, itself or by what it includes: their values as text. */
export function macros(header: string): Map<string, string> {
  const options = ['-dM', '-E', '-x', 'c', '-include', header, '/dev/null'];
  const lines = execFileSync('cc', options, { encoding: 'utf8' }).matchAll(/^#define (\w+) (.*)$/gm);
  return new Map([...lines].map(([, name, value]) => [name!, value!]));
}
