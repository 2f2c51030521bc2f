import { transformSync } from 'esbuild';

/**
 * `text` without indentation, and without comments but those that name sources: V8 keeps it in memory, as it
 * may have to compile more of it. Whoever reads a stack still finds a line for a line. @throws Error more
 * would be gone: a literal is not seen as one.
 */
export function terse(text) {
  const strings = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*`/;
  const blank = /^(?: +\/\/.*| *\/\*[\s\S]*?\*\/)?\n|\/\*[\s\S]*?\*\/|^ +/;
  const both = new RegExp(`(${strings.source})|${blank.source}`, 'gm');
  const left = text.replace(both, (_, literal = '') => literal);
  const meant = (script) => transformSync(script, { minifyWhitespace: true, legalComments: 'none' }).code;
  if (meant(left) !== meant(text)) throw new Error('comments and indentation cannot be told from a literal');
  return left;
}
