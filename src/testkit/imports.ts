/**
 * The modules that a source file names: static, dynamic and type-only imports, re-exports, `require`, and
 * workers and programs by `new URL('./x.js', ...)`.
 *
 * The scanner knows comments, strings, templates and regular expressions, so that only what the compiler
 * would take for an import counts.
 */

/** A word, a string (its contents) or a sign of the source. */
export interface Token {
  readonly kind: 'word' | 'string' | 'sign';
  readonly text: string;
}

const spaceOrComment = /(?:\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/)+/y;
const word = /[\p{ID_Start}$_#][\p{ID_Continue}$]*|\d[\w.]*/uy;
const quoted = /'((?:[^'\\\n]|\\[\s\S])*)'|"((?:[^"\\\n]|\\[\s\S])*)"/y;
const regularExpression = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y;
// After these words a slash begins a regular expression, as it does after all signs but closing brackets.
const beforeExpression = new Set([
  'return',
  'typeof',
  'case',
  'in',
  'of',
  'void',
  'delete',
  'throw',
  'new',
  'await',
  'yield',
  'else',
  'do',
]);

/** Splits a source into tokens. The text of a template is one string, and the code inside comes before it. */
class Scanner {
  readonly tokens: Token[] = [];
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
    this.#code();
  }

  /** Scans to the end, or to the brace that closes the one before. */
  #code(): void {
    for (let depth = 0; this.#at < this.#source.length; ) {
      if (this.#take(spaceOrComment) || this.#literal()) continue;
      const sign = this.#source[this.#at++]!;
      if (sign === '{') depth++;
      if (sign === '}' && depth-- === 0) return;
      this.#push('sign', sign);
    }
  }

  /** A word, string, template or regular expression, if there is one here. */
  #literal(): boolean {
    const name = this.#take(word);
    if (name) return this.#push('word', name[0]);
    const string = this.#take(quoted);
    if (string) return this.#push('string', string[1] ?? string[2] ?? '');
    if (this.#source[this.#at] === '`') return this.#template();
    const slash = this.#source[this.#at] === '/' && this.#slashBeginsRegularExpression();
    return slash && this.#take(regularExpression) !== undefined && this.#push('string', '');
  }

  #template(): true {
    const source = this.#source;
    let text = '';
    for (this.#at++; this.#at < source.length && source[this.#at] !== '`'; ) {
      if (source.startsWith('${', this.#at)) {
        this.#at += 2;
        this.#code();
        text += '{}';
      } else {
        const length = source[this.#at] === '\\' ? 2 : 1;
        text += source.slice(this.#at, this.#at + length);
        this.#at += length;
      }
    }
    this.#at++;
    return this.#push('string', text);
  }

  #slashBeginsRegularExpression(): boolean {
    const last = this.tokens.at(-1);
    if (last === undefined) return true;
    return last.kind === 'word'
      ? beforeExpression.has(last.text)
      : last.kind === 'sign' && !')]}'.includes(last.text);
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#source);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }

  #push(kind: Token['kind'], text: string): true {
    this.tokens.push({ kind, text });
    return true;
  }
}

/** The words, strings and signs of `source`. */
export function tokensOf(source: string): readonly Token[] {
  return new Scanner(source).tokens;
}

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
