/**
 * A trace as an SVG that needs nothing else: its lines as a terminal shows them, in colours, and broken where
 * they are too long.
 */
import type { TraceEvent } from '../trace/event.js';
import { lineOf, type Paint } from '../trace/lines.js';

const COLUMNS = 106;
const [ADVANCE, HEIGHT, MARGIN, SIZE] = [7.25, 17, 14, 12];
const COLOURS = { dim: '#6a7079', call: '#0b62d6', bad: '#c4232b', note: '#8a5a00' } as const;

/** Characters that no line has, since they would be escaped, begin a colour; another one ends it. */
const END = '\u0000';
const LAST_MARK = '\u0004';
const INDENT = 4;
const kinds = Object.keys(COLOURS) as (keyof typeof COLOURS)[];
const paint = Object.fromEntries(
  kinds.map((kind, n) => [kind, (text: string) => String.fromCharCode(n + 1) + text + END]),
) as unknown as Paint;

/** @returns the text of the SVG. */
export function tracePicture(events: readonly TraceEvent[]): string {
  const lines = events.flatMap((event) => broken(lineOf(event, { paint })));
  const [width, height] = [2 * MARGIN + COLUMNS * ADVANCE, 2 * MARGIN + lines.length * HEIGHT];
  const texts = lines.map((line, n) => {
    const y = MARGIN + (n + 0.75) * HEIGHT;
    return `<text x="${MARGIN}" y="${y}" xml:space="preserve">${line}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-size="${SIZE}"
  font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" fill="#1c1e21">
<title>A trace of a program, whose DMA is refused</title>
<rect width="${width}" height="${height}" rx="6" fill="#fafafa" stroke="#d4d7dc"/>
${texts.join('\n')}
</svg>
`;
}

/** A painted line as spans, in pieces of COLUMNS characters that end at a space, the later ones indented. */
function broken(line: string): string[] {
  const pieces: string[] = [];
  let [piece, colour, column] = ['', '', 0];
  for (const word of line.split(/(?= )/)) {
    const length = [...word].filter((character) => character > LAST_MARK).length;
    if (column + length > COLUMNS) {
      pieces.push(piece + (colour === '' ? '' : '</tspan>'));
      [piece, column] = [`   ${colour}`, INDENT - 1];
    }
    for (const character of word) {
      const kind = kinds[character.charCodeAt(0) - 1];
      if (kind !== undefined) colour = `<tspan fill="${COLOURS[kind]}">`;
      piece +=
        kind !== undefined ? colour : character === END ? '</tspan>' : (escapes[character] ?? character);
      if (character === END) colour = '';
    }
    column += length;
  }
  return [...pieces, piece];
}

const escapes: Readonly<Record<string, string>> = { '<': '&lt;', '>': '&gt;', '&': '&amp;' };
