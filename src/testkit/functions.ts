/**
 * The functions in a source file, with how many lines each has: declarations, expressions, methods and
 * arrows, from their name or parameters to the end of their body. A function in another counts in both.
 */
import { type Token, tokensOf } from './tokens.js';

/** A function, by the words that it begins with. */
export interface FoundFunction {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

/** Words that stand before parentheses and a block, and name no function. */
const statements = new Set(['if', 'for', 'while', 'switch', 'catch', 'with', 'await', 'function', 'return']);
/** Words of types that another type follows. */
const typeOperators = new Set(['is', 'asserts', 'readonly', 'keyof', 'typeof', 'infer', 'unique', 'extends']);
const closers: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

class Finder {
  readonly functions: FoundFunction[] = [];
  readonly #tokens: readonly Token[];
  /** Of each opening bracket the index of the closing one, and the other way round. */
  readonly #partner = new Map<number, number>();

  constructor(source: string) {
    this.#tokens = tokensOf(source);
    this.#pair();
    for (let i = 0; i < this.#tokens.length; i++) {
      if (this.#is(i, '=') && this.#is(i + 1, '>')) this.#arrow(i);
      else if (this.#is(i, '(')) this.#parameters(i);
    }
  }

  #pair(): void {
    const open: number[] = [];
    for (const [i, { kind, text }] of this.#tokens.entries()) {
      if (kind !== 'sign') continue;
      if (text in closers) open.push(i);
      if (!')]}'.includes(text)) continue;
      const opener = open.pop()!;
      this.#partner.set(opener, i).set(i, opener);
    }
  }

  #is(i: number, ...texts: readonly string[]): boolean {
    const token = this.#tokens[i];
    return token !== undefined && token.kind !== 'string' && texts.includes(token.text);
  }

  /** A function or method whose parameters begin at `open`: something that has a name, and a body behind. */
  #parameters(open: number): void {
    const name = this.#nameBefore(open);
    const close = this.#partner.get(open)!;
    if (name === undefined) return;
    const body = this.#is(close + 1, ':') ? this.#typeEnd(close + 2) : close + 1;
    if (this.#is(body, '{')) this.#found(name, name, this.#partner.get(body)!);
  }

  /** The index of what names the function whose parameters begin at `open`; undefined when that is a call. */
  #nameBefore(open: number): number | undefined {
    let i = open - 1;
    if (this.#is(i, '>')) i = this.#beforeAngles(i);
    if (this.#is(i, ']')) return this.#partner.get(i);
    const { kind, text } = this.#tokens[i] ?? { kind: 'sign', text: '' };
    if (this.#is(i, 'function') || this.#is(i - 1, 'function')) return i;
    if (kind === 'string' || (kind === 'word' && !statements.has(text)))
      return this.#is(i - 1, '.') ? undefined : i;
    return undefined;
  }

  #beforeAngles(close: number): number {
    let depth = 0;
    for (let i = close; i >= 0; i--) {
      if (this.#is(i, '>') && !this.#is(i - 1, '=')) depth++;
      if (this.#is(i, '<') && --depth === 0) return i - 1;
    }
    return -1;
  }

  /** The index behind the type that begins at `i`. */
  #typeEnd(i: number): number {
    for (let at = i; ; ) {
      while (this.#is(at, ...typeOperators)) at++;
      at = this.#partner.has(at) ? this.#partner.get(at)! + 1 : at + 1;
      if (this.#is(at, '<')) at = this.#afterAngles(at);
      while (this.#is(at, '[')) at = this.#partner.get(at)! + 1;
      if (this.#is(at, '=') && this.#is(at + 1, '>')) at += 2;
      else if (this.#is(at, '|', '&', '.', '?', ':', 'is', 'extends')) at++;
      else return at;
    }
  }

  #afterAngles(open: number): number {
    let depth = 0;
    for (let i = open; i < this.#tokens.length; i++) {
      if (this.#is(i, '<')) depth++;
      if (this.#is(i, '>') && !this.#is(i - 1, '=') && --depth === 0) return i + 1;
    }
    return this.#tokens.length;
  }

  /** The arrow function whose arrow is at `arrow`: its body is a block, or an expression. */
  #arrow(arrow: number): void {
    const before = arrow - 1;
    const first = this.#is(before, ')') ? this.#partner.get(before)! : before;
    const body = arrow + 2;
    const last = this.#is(body, '{') ? this.#partner.get(body)! : this.#expressionEnd(body);
    if (!this.#isDescription(first)) this.#found(this.#named(first), first, last);
  }

  /** Is what begins at `first` an argument of `describe`? That has tests, and is none. */
  #isDescription(first: number): boolean {
    let i = first - 1;
    while (i >= 0 && !this.#is(i, '(', '[', '{'))
      i = (this.#is(i, ')', ']', '}') ? this.#partner.get(i)! : i) - 1;
    return this.#is(i, '(') && this.#is(i - 1, 'describe');
  }

  /**
   * Where the words begin that an arrow is told by: the call that it is given to, or the name it is bound to.
   */
  #named(first: number): number {
    const { line } = this.#tokens[first]!;
    let i = first;
    while (i > 0 && this.#tokens[i - 1]!.line === line) i--;
    return i;
  }

  /** The last token of the expression that begins at `body`, or of the type, where the arrow is in one. */
  #expressionEnd(body: number): number {
    let i = body;
    for (; i < this.#tokens.length && !this.#is(i, ',', ';', ')', ']', '}'); i++) {
      if (this.#is(i, '{') && i > body && this.#endsType(i - 1)) break;
      i = this.#partner.get(i) ?? i;
    }
    return i - 1;
  }

  /** No brace follows on a word or bracket in an expression: it is the body of what the type is of. */
  #endsType(i: number): boolean {
    if (this.#is(i, '>')) return !this.#is(i - 1, '=');
    return this.#tokens[i]!.kind === 'word' || this.#is(i, ')', ']');
  }

  #found(name: number, first: number, last: number): void {
    const { line } = this.#tokens[first]!;
    const words = this.#tokens.slice(name, name + 4).map(({ text }) => text);
    this.functions.push({ name: words.join(' '), line, lines: this.#tokens[last]!.line - line + 1 });
  }
}

/** The functions in `source`, in the order of their parameters. */
export function functionsOf(source: string): readonly FoundFunction[] {
  return new Finder(source).functions;
}
