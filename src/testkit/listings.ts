/**
 * The listings of a document: its fenced blocks of code, and what a reader does with them. Tests take
 * programs, commands and their output out of the documents themselves, so that these cannot say what is not
 * so.
 */
import { readFileSync } from 'node:fs';

const root = new URL('../../', import.meta.url);

export interface Listing {
  /** Its path in the repository. */
  readonly document: string;
  /** Of the fence before it, from 1. */
  readonly line: number;
  /** What is behind the fence: `sh`, `console`, `c`, or nothing. */
  readonly language: string;
  readonly text: string;
}

/** A command, and what it prints. */
export interface ShownCommand {
  readonly command: string;
  readonly output: string;
}

export function listingsOf(document: string): Listing[] {
  const source = readFileSync(new URL(document, root), 'utf8');
  return [...source.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(({ index, 1: language, 2: text }) => ({
    document,
    line: source.slice(0, index).split('\n').length,
    language: language!,
    text: text!,
  }));
}

/** Those of `document` in which `words` stand. @throws Error there is not exactly one. */
export function listingWith(document: string, words: string): Listing {
  const found = listingsOf(document).filter(({ text }) => text.includes(words));
  if (found.length !== 1) throw new Error(`${document} has ${found.length} listings with ${words}`);
  return found[0]!;
}

/** The commands of a console, each behind `$ `, with what stands below each. */
export function shownCommands({ text }: Listing): ShownCommand[] {
  return text
    .replaceAll('\\\n', ' ')
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const end = part.indexOf('\n');
      return { command: part.slice(0, end), output: part.slice(end + 1) };
    });
}

/** The commands of a block without output, a line each; comments behind them are a shell's. */
export function plainCommands({ text }: Listing): string[] {
  return text
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
}
