import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { History } from './history.js';
import type { News } from './model.js';

const note = { kind: 'note', device: 'vfio0', sentence: 'n', time: 0 } as const;

/** A page: what it knows of the items after each frame, and how many events it was told. */
class Page {
  readonly states: string[] = [];
  items = new Map<string, string>();
  events = 0;
  next = { frames: 0, events: 0 };

  hear({ whole, frames, events, next }: News): void {
    if (whole) this.items = new Map();
    for (const { changed, gone } of frames) {
      for (const key of gone) this.items.delete(key);
      for (const [key, text] of Object.entries(changed)) this.items.set(key, text);
      this.states.push(JSON.stringify([...this.items].sort()));
    }
    this.events += events.length;
    this.next = { ...next };
  }
}

const states = fc.array(fc.dictionary(fc.constantFrom('a', 'b', '__proto__', 'constructor'), fc.string()), {
  minLength: 1,
  maxLength: 12,
});

test('a page that asks at any time knows each moment that is still kept, and what there is now', () => {
  fc.assert(
    fc.property(
      states,
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 4 }),
      (all, frames, told) => {
        const history = new History({ frames, told });
        const [always, late] = [new Page(), new Page()];
        const catchUp = (page: Page) => {
          do page.hear(history.news(page.next.frames, page.next.events));
          while (page.next.frames < history.known.frames);
        };
        const moments: string[] = [];
        for (const [n, state] of all.entries()) {
          const items = new Map(Object.entries(state));
          const text = JSON.stringify([...items].sort());
          if (moments.at(-1) !== text) moments.push(text);
          history.add(n, items, [note]);
          catchUp(always);
        }
        catchUp(late);
        assert.deepEqual(always.states, moments);
        assert.equal(always.events, all.length);
        assert.deepEqual(late.states.slice(-frames), moments.slice(-frames));
      },
    ),
    { numRuns: 200 },
  );
});

test('the oldest frames and events are forgotten, and a page that is far behind is told all anew', () => {
  const history = new History({ frames: 3, events: 8 });
  for (let n = 0; n < 100; n++) history.add(n, new Map([['a', `${n}`]]), [note]);
  const { whole, frames, events } = history.news(50, 50);
  assert.ok(whole);
  assert.deepEqual(
    frames.map(({ changed }) => changed.a),
    ['96', '97', '98', '99'],
  );
  assert.ok(events.length >= 8 && events.length <= 10, `${events.length}`);
});
