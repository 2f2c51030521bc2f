/**
 * The inspector's page: the picture, what is selected, what has happened, and the moment that is shown.
 */
import { render } from 'preact';
import { Detail, Events } from './detail.js';
import { Graph } from './graph.js';
import { frames, listen, moment, scene, search, selected, status, time } from './state.js';

function Timeline() {
  const last = Math.max(0, frames.value - 1);
  const shown = moment.value ?? last;
  const move = (value: number) => {
    moment.value = value >= last ? undefined : value;
  };
  return (
    <footer>
      <input
        type="range"
        aria-label="moment"
        min={0}
        max={last}
        value={shown}
        onInput={(event) => move(Number(event.currentTarget.value))}
      />
      <output>
        {time.value === undefined ? '' : new Date(time.value).toISOString().slice(11, 23)} {shown + 1}/
        {last + 1}
      </output>
      <button type="button" disabled={moment.value === undefined} onClick={() => move(last)}>
        Live
      </button>
    </footer>
  );
}

function App() {
  const { found, grouped } = scene.value;
  return (
    <>
      <header>
        <h1>ioasid</h1>
        <input
          type="search"
          placeholder="Search address spaces  ( / )"
          aria-label="search"
          value={search.value}
          onInput={(event) => {
            search.value = event.currentTarget.value;
          }}
        />
        <span>
          {found} address spaces{grouped > 0 ? `, ${grouped} of them grouped` : ''}
        </span>
        <span id="status">{moment.value === undefined ? status.value : 'an earlier moment'}</span>
      </header>
      <main>
        <Graph />
      </main>
      <aside>
        <Detail />
        <Events />
      </aside>
      <Timeline />
    </>
  );
}

/** `/` searches, Escape selects nothing, `l` goes back to now. */
function onKey(event: KeyboardEvent): void {
  const typing = event.target instanceof HTMLInputElement && event.target.type !== 'range';
  if (event.key === 'Escape') selected.value = undefined;
  else if (typing) return;
  else if (event.key === 'l') moment.value = undefined;
  else if (event.key === '/') {
    document.querySelector<HTMLInputElement>('input[type=search]')?.focus();
    event.preventDefault();
  }
}

document.addEventListener('keydown', onKey);
render(<App />, document.body);
void listen();
