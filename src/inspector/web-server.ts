/**
 * WebServer: the inspector's page and what it asks for, on the loopback addresses alone.
 *
 * A browser may stall, disconnect, or keep a connection open and say nothing: each connection has a time, and
 * there are so many of them. An answer that waits for news waits for so long, and is then an empty one.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Errno, Refusal } from '../linux/errno.js';
import { ownFile } from '../linux/own-package.js';
import { Gate } from './gate.js';
import type { Answer, News, Question } from './model.js';

const ADDRESSES = ['127.0.0.1', '::1'];
const CONNECTIONS = 32;
/** A connection on which nothing moves for so long is closed; who waits for news is told before. */
const IDLE_MS = 30_000;
const NEWS_MS = 10_000;
/** How often a port is looked for that is free at both addresses. */
const TRIES = 10;

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
};

/** What the page asks for. */
export interface Content {
  /** News for who knows so many frames and events, as soon as there are some. */
  news(frames: number, events: number, signal: AbortSignal): Promise<News>;
  ask(question: Question): Promise<Answer>;
}

interface Asset {
  readonly type: string;
  readonly body: Buffer;
}

/** The page, as the build has made it. @throws Error it is not there. */
function readAssets(): ReadonlyMap<string, Asset> {
  const read = (name: string) => readFileSync(ownFile(`lib/inspector/page/${name}`));
  return new Map([
    ['/', { type: 'text/html; charset=utf-8', body: read('index.html') }],
    ['/main.js', { type: 'text/javascript; charset=utf-8', body: read('main.js') }],
    ['/main.css', { type: 'text/css; charset=utf-8', body: read('main.css') }],
  ]);
}

export class WebServer {
  readonly port: number;
  readonly #gate: Gate;
  readonly #content: Content;
  readonly #servers: readonly Server[];
  readonly #assets = readAssets();

  private constructor(servers: readonly Server[], port: number, token: string, content: Content) {
    this.port = port;
    this.#gate = new Gate(token, port);
    this.#content = content;
    this.#servers = servers;
    for (const server of servers) {
      server.on('request', (request, response) => this.#serve(request, response));
      server.on('clientError', (_error, socket) => socket.destroy());
    }
  }

  /**
   * Listens at `port` of both loopback addresses, of the only one where there is one; at a free one for 0.
   * @throws Refusal EADDRINUSE, EACCES.
   */
  static async listen(port: number, token: string, content: Content): Promise<WebServer> {
    for (let tried = 1; ; tried++) {
      const first = await listenAt(ADDRESSES[0]!, port);
      const chosen = (first.address() as { port: number }).port;
      try {
        const second = await listenAt(ADDRESSES[1]!, chosen).catch(withoutIpv6);
        const servers = second === undefined ? [first] : [first, second];
        return new WebServer(servers, chosen, token, content);
      } catch (error) {
        first.close();
        if (port !== 0 || tried === TRIES) throw error;
      }
    }
  }

  close(): void {
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', () => undefined);
    const verdict = this.#gate.judge(request);
    if (verdict.kind === 'enter') {
      response.writeHead(303, { ...HEADERS, 'set-cookie': verdict.cookie, location: '/' }).end();
    } else if (verdict.kind === 'refuse') say(response, verdict.status, verdict.reason);
    else this.#answer(verdict.url, response).catch(() => response.destroy());
  }

  async #answer({ pathname, searchParams }: URL, response: ServerResponse): Promise<void> {
    const asset = this.#assets.get(pathname);
    if (asset !== undefined) send(response, 200, asset.type, asset.body);
    else if (pathname === '/news') await this.#news(searchParams, response);
    else if (pathname === '/ask') {
      const answer = await this.#content.ask(questionIn(searchParams));
      send(response, 200, 'application/json', JSON.stringify(answer));
    } else say(response, 404, 'there is no such page');
  }

  async #news(query: URLSearchParams, response: ServerResponse): Promise<void> {
    const [frames, events] = [Number(query.get('frames') ?? 0), Number(query.get('events') ?? 0)];
    if (!Number.isSafeInteger(frames) || !Number.isSafeInteger(events) || frames < 0 || events < 0) {
      say(response, 400, 'frames and events are whole numbers');
      return;
    }
    const end = new AbortController();
    const timer = setTimeout(() => end.abort(), NEWS_MS);
    response.on('close', () => end.abort());
    const news = await this.#content.news(frames, events, end.signal);
    clearTimeout(timer);
    send(response, 200, 'application/json', JSON.stringify(news));
  }
}

function questionIn(query: URLSearchParams): Question {
  const text = (name: string) => query.get(name) ?? '';
  return {
    ask: text('ask') as never,
    device: text('device'),
    vpasid: Number(text('vpasid')),
    space: text('space'),
    iova: text('iova'),
    from: text('from'),
    write: text('write') === 'true',
  };
}

function say(response: ServerResponse, status: number, sentence: string): void {
  send(response, status, 'text/plain; charset=utf-8', `ioasid: ${sentence}\n`);
}

function send(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
  response.writeHead(status, { ...HEADERS, 'content-type': type }).end(body);
}

function listenAt(host: string, port: number): Promise<Server> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 });
  server.maxConnections = CONNECTIONS;
  server.timeout = IDLE_MS;
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(told(error, host, port)));
    server.listen(port, host, () => resolve(server));
  });
}

/** The error of a port that cannot be had, as a sentence. */
function told(error: NodeJS.ErrnoException, host: string, port: number): Error {
  if (error.code === 'EADDRINUSE') return new Refusal(Errno.EADDRINUSE, `port ${port} of ${host} is in use`);
  if (error.code === 'EACCES')
    return new Refusal(Errno.EACCES, `port ${port} of ${host} is not for this user to listen at`);
  return error;
}

function withoutIpv6(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT') return undefined;
  throw error;
}
