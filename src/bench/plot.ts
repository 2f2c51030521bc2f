/**
 * Curves over powers of ten, as an SVG that needs nothing else: lines with their points, and their names at
 * the right, where they end.
 */

export interface Curve {
  readonly name: string;
  /** Count and nanoseconds, both above 0. */
  readonly points: readonly (readonly [count: number, ns: number])[];
}

const WIDTH = 760;
const HEIGHT = 380;
const LEFT = 70;
const RIGHT = 210;
const TOP = 20;
const BOTTOM = 50;
const COLOURS = ['#0b6e4f', '#c1292e', '#63b995', '#ef8354'];

/** A scale from a logarithm to where it is drawn. */
interface Scale {
  readonly first: number;
  readonly last: number;
  readonly at: (value: number) => number;
}

/** @returns the text of the SVG. `across` and `up` are the titles of the axes. */
export function logLogPlot(curves: readonly Curve[], across: string, up: string): string {
  const all = curves.flatMap(({ points }) => points);
  const x = scale(
    all.map(([count]) => count),
    LEFT,
    WIDTH - RIGHT,
  );
  const y = scale(
    all.map(([, ns]) => ns),
    HEIGHT - BOTTOM,
    TOP,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif"
  font-size="12">
<title>${up}, by ${across}</title>
<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>
${decades(x)
  .map((n) => line([x.at(10 ** n), y.at(10 ** y.first)], [x.at(10 ** n), y.at(10 ** y.last)]))
  .join('\n')}
${decades(y)
  .map((n) => line([x.at(10 ** x.first), y.at(10 ** n)], [x.at(10 ** x.last), y.at(10 ** n)]))
  .join('\n')}
${decades(x)
  .map((n) => text(x.at(10 ** n), HEIGHT - BOTTOM + 18, 'middle', (10 ** n).toLocaleString('en')))
  .join('\n')}
${decades(y)
  .map((n) => text(LEFT - 8, y.at(10 ** n) + 4, 'end', time(n)))
  .join('\n')}
${text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, 'middle', across)}
${text(8, 14, 'start', up)}
${curves.map((curve, n) => drawn(curve, COLOURS[n % COLOURS.length]!, x, y)).join('\n')}
</svg>
`;
}

function drawn({ name, points }: Curve, colour: string, x: Scale, y: Scale): string {
  const places = points.map(([count, ns]) => [x.at(count), y.at(ns)].map(Math.round));
  const dots = places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3" fill="${colour}"/>`);
  const [endX = 0, endY = 0] = places.at(-1) ?? [];
  return [
    `<polyline points="${places.join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...dots,
    `<text x="${endX + 10}" y="${endY + 4}" fill="${colour}">${name}</text>`,
  ].join('\n');
}

function scale(values: readonly number[], from: number, to: number): Scale {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...values))));
  return { first, last, at: (value) => from + ((Math.log10(value) - first) / (last - first)) * (to - from) };
}

function decades({ first, last }: Scale): number[] {
  return Array.from({ length: last - first + 1 }, (_, n) => first + n);
}

function line([x1, y1]: readonly [number, number], [x2, y2]: readonly [number, number]): string {
  const ends = [x1, y1, x2, y2].map(Math.round);
  return `<line x1="${ends[0]}" y1="${ends[1]}" x2="${ends[2]}" y2="${ends[3]}" stroke="#ddd"/>`;
}

function text(x: number, y: number, anchor: string, words: string): string {
  const place = `x="${Math.round(x)}" y="${Math.round(y)}"`;
  return `<text ${place} text-anchor="${anchor}" fill="#333">${words}</text>`;
}

/** 10^n nanoseconds. */
function time(n: number): string {
  const units = ['ns', 'µs', 'ms', 's'];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(n / 3)));
  return `${10 ** (n - 3 * step)} ${units[step]!}`;
}
