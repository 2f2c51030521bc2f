/** What happens at a link to the world outside, as a recording has it (Input). */
import type { LinkEvent } from '../devices/wire.js';
import { Ask, type Asked } from './input.js';

export function linkAsked({ link, what, note = 0, bytes }: LinkEvent): Asked {
  switch (what) {
    case 'up':
    case 'down':
      return { kind: 'asked', what: Ask.LINK_UP, of: [link], answer: [Number(what === 'up')] };
    case 'taken':
    case 'dropped':
      return { kind: 'asked', what: Ask.LINK_TAKEN, of: [link], answer: [Number(what === 'taken')] };
    case 'in':
    case 'out': {
      const of = [link, note, bytes!.length];
      return { kind: 'asked', what: what === 'in' ? Ask.LINK_IN : Ask.LINK_OUT, of, answer: [], bytes };
    }
  }
}
