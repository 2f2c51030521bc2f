/**
 * What the page is showing: signals, which all parts read and few functions write.
 */
import { computed, signal } from '@preact/signals';
import type { TraceEvent } from '../../trace/event.js';
import type { Answer, News } from '../model.js';
import { Past } from '../past.js';
import { Scenes } from '../scene.js';

const past = new Past();

/** How many frames are known. */
export const frames = signal(0);
/** Counts what was heard, so that those who show events look again. */
const heard = signal(0);
/** The frame that is shown; undefined: the last one, whatever comes. */
export const moment = signal<number | undefined>(undefined);
export const selected = signal<string | undefined>(undefined);
export const search = signal('');
export const status = signal('connecting');

export const items = computed(() => {
  heard.value;
  const at = moment.value;
  return at === undefined || at >= past.frames.length ? new Map(past.now) : past.at(at);
});

const scenes = computed(() => new Scenes(items.value));
export const scene = computed(() => scenes.value.of(search.value));

/** What had happened at the moment that is shown, the last first: `most` of those that are `wanted`. */
export function lastEvents(wanted: (event: TraceEvent) => boolean, most: number): TraceEvent[] {
  heard.value;
  const shown = moment.value === undefined ? past.next.frames : past.frames[moment.value]?.number;
  const found: TraceEvent[] = [];
  for (let n = past.events.length - 1; n >= 0 && found.length < most; n--) {
    const { frame, event } = past.events[n]!;
    if (frame <= (shown ?? 0) && wanted(event)) found.push(event);
  }
  return found;
}

export const time = computed(() => {
  heard.value;
  return past.frames[moment.value ?? past.frames.length - 1]?.time;
});

/** Asks for news, again and again, until the server ends. */
export async function listen(): Promise<void> {
  for (;;) {
    try {
      const { frames: known, events: told } = past.next;
      const response = await fetch(`/news?frames=${known}&events=${told}`);
      if (!response.ok) throw new Error(await response.text());
      past.hear((await response.json()) as News);
      heard.value++;
      frames.value = past.frames.length;
      status.value = past.ended ? 'it has ended' : 'live';
      if (past.ended) return;
    } catch {
      status.value = 'the inspector does not answer: what is shown is the last that is known';
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

export async function ask(question: Record<string, string>): Promise<Answer> {
  try {
    const response = await fetch(`/ask?${new URLSearchParams(question)}`);
    return (await response.json()) as Answer;
  } catch {
    return { error: 'the inspector does not answer' };
  }
}
