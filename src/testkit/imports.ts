/**
 * The modules that a source file names: static, dynamic and type-only imports, re-exports, `require`, and
 * workers and programs by `new URL('./x.js', ...)`.
 */
import { tokensOf } from './tokens.js';

/** The module names in `source`, as they are written. */
export function importsOf(source: string): string[] {
  const tokens = tokensOf(source);
  const is = (i: number, text: string) => tokens[i]?.text === text && tokens[i].kind !== 'string';
  return tokens.flatMap((token, i) => {
    if (token.kind !== 'string') return [];
    if (is(i - 1, 'from') || is(i - 1, 'import')) return [token.text];
    if (!is(i - 1, '(')) return [];
    if (is(i - 2, 'import') || is(i - 2, 'require')) return [token.text];
    if (is(i - 2, 'URL') && is(i - 3, 'new') && /^\.\.?\/.*\.[cm]?[jt]s$/.test(token.text))
      return [token.text];
    return [];
  });
}
