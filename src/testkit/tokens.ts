/**
 * A source file as tokens: words, strings and signs. The scanner knows comments, strings, templates and
 * regular expressions, so that what is asked of the tokens is what the compiler would see.
 */

/** A word, a string (its contents) or a sign of the source. */
export interface Token {
  readonly kind: 'word' | 'string' | 'sign';
  readonly text: string;
  /** Of its first character, counted from 1; of the last, where it is a template. */
  readonly line: number;
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
  /** The line of `#counted`. */
  #line = 1;
  #counted = 0;

  constructor(source: string) {
    this.#source = source;
    this.#code();
  }

  /** Scans to the end, or to the brace that closes the one before. */
  #code(): void {
    for (let depth = 0; this.#at < this.#source.length; ) {
      if (this.#take(spaceOrComment) || this.#literal()) continue;
      const start = this.#at++;
      const sign = this.#source[start]!;
      if (sign === '{') depth++;
      if (sign === '}' && depth-- === 0) return;
      this.#push('sign', sign, start);
    }
  }

  /** A word, string, template or regular expression, if there is one here. */
  #literal(): boolean {
    const start = this.#at;
    const name = this.#take(word);
    if (name) return this.#push('word', name[0], start);
    const string = this.#take(quoted);
    if (string) return this.#push('string', string[1] ?? string[2] ?? '', start);
    if (this.#source[start] === '`') return this.#template();
    const slash = this.#source[start] === '/' && this.#slashBeginsRegularExpression();
    return slash && this.#take(regularExpression) !== undefined && this.#push('string', '', start);
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
    return this.#push('string', text, this.#at++);
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

  #push(kind: Token['kind'], text: string, start: number): true {
    for (; this.#counted < start; this.#counted++) if (this.#source[this.#counted] === '\n') this.#line++;
    this.tokens.push({ kind, text, line: this.#line });
    return true;
  }
}

/** The words, strings and signs of `source`. */
export function tokensOf(source: string): readonly Token[] {
  return new Scanner(source).tokens;
}
