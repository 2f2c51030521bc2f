/**
 * Screen: lines that are drawn again and again in the same place of a terminal, as many as it has room for.
 *
 * What stood there before scrolls away once, and can be scrolled back to; after that each drawing replaces
 * the one before, also when the terminal has another size by then. Nothing of the terminal has to be
 * restored: who ends has his prompt below the last drawing.
 */
import { stripVTControlCharacters } from 'node:util';

/** To the upper left corner, and nothing from there on. */
const HOME = '\u001b[H\u001b[J';

/** A terminal; 0 or absent: it does not say how large it is. */
export interface Terminal {
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
  on(event: 'resize', listener: () => void): unknown;
}

export class Screen {
  readonly #terminal: Terminal;
  readonly #more: string;
  #lines: readonly string[] | undefined;

  /** @param more where all the lines can be seen that there is no room for. */
  constructor(terminal: Terminal, more: string) {
    this.#terminal = terminal;
    this.#more = more;
    terminal.on('resize', () => this.#lines !== undefined && this.draw(this.#lines));
  }

  draw(lines: readonly string[]): void {
    const { columns, rows } = this.#terminal;
    const before = this.#lines === undefined ? '\n'.repeat(rows ?? 0) : '';
    this.#lines = lines;
    // A row stays free for the cursor.
    const shown = fitting(lines, columns || Infinity, (rows || Infinity) - 1, this.#more);
    this.#terminal.write(`${before}${HOME}${shown.map((line) => `${line}\n`).join('')}`);
  }
}

/**
 * The first of `lines` that a terminal has room for, which wraps them; and where not all of them, how many
 * there are besides.
 */
export function fitting(lines: readonly string[], columns: number, rows: number, more: string): string[] {
  const all = lines.map((line) => rowsOf(line, columns));
  if (sum(all) <= rows) return [...lines];
  const told = (count: number) => `and ${count} more line${count === 1 ? '' : 's'}: ${more}`;
  let shown = 0;
  let used = rowsOf(told(lines.length), columns);
  while (used + all[shown]! <= rows) used += all[shown++]!;
  return [...lines.slice(0, shown), told(lines.length - shown)];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, number) => all + number, 0);
}

/** Rows that a line takes; what is not ASCII may be wide. */
function rowsOf(line: string, columns: number): number {
  let width = 0;
  for (const character of stripVTControlCharacters(line)) width += character > '~' ? 2 : 1;
  return Math.max(1, Math.ceil(width / columns));
}
