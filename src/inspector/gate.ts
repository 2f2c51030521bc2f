/**
 * Gate: who may see the page. Anybody on this machine can connect to a loopback port, and any page that a
 * browser shows can make it do so; so whoever asks has to know the token.
 *
 * It comes in the URL once, and stays in a cookie that no other site's page can have sent along. A request
 * must be meant for this server by its Host, so that no name can be made to lead here, and come from its own
 * page by its Origin, where there is one.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export interface Asked {
  readonly method?: string | undefined;
  /** The path with its query. */
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
}

/** `enter`: the token is right, and becomes this cookie. */
export type Verdict =
  | { readonly kind: 'serve'; readonly url: URL }
  | { readonly kind: 'enter'; readonly cookie: string }
  | { readonly kind: 'refuse'; readonly status: 400 | 403 | 405; readonly reason: string };

export class Gate {
  readonly #token: string;
  readonly #port: number;

  /** @param port where the server listens. */
  constructor(token: string, port: number) {
    this.#token = token;
    this.#port = port;
  }

  /** May it be served? Everything in it may have been chosen by somebody else. */
  judge({ method, url = '', headers }: Asked): Verdict {
    const { host = '', origin } = headers;
    if (!this.#hosts().includes(host)) return refused(403, `"${host}" is not where this page is`);
    if (origin !== undefined && origin !== `http://${host}`)
      return refused(403, `pages of "${origin}" may not ask here`);
    const site = headers['sec-fetch-site'] ?? 'none';
    if (site !== 'none' && site !== 'same-origin')
      return refused(403, 'pages of other sites may not ask here');
    if (method !== 'GET') return refused(405, 'nothing can be changed here: there is only GET');
    const parsed = URL.canParse(url, `http://${host}`) ? new URL(url, `http://${host}`) : undefined;
    if (parsed === undefined || !url.startsWith('/')) return refused(400, 'that is no address of this page');
    const given = parsed.searchParams.get('token');
    if (given !== null) return this.#entering(given);
    return same(this.#cookieIn(headers.cookie ?? ''), this.#token)
      ? { kind: 'serve', url: parsed }
      : refused(403, 'open the address that ioasid has printed, with its token');
  }

  #entering(given: string): Verdict {
    if (!same(given, this.#token)) return refused(403, 'that is not the token that ioasid has printed');
    const attributes = 'HttpOnly; SameSite=Strict; Path=/';
    return { kind: 'enter', cookie: `${this.#cookieName}=${this.#token}; ${attributes}` };
  }

  #hosts(): string[] {
    return ['127.0.0.1', '[::1]', 'localhost'].map((name) => `${name}:${this.#port}`);
  }

  /** Cookies know no ports, and there may be several inspectors. */
  get #cookieName(): string {
    return `ioasid-${this.#port}`;
  }

  #cookieIn(cookies: string): string {
    const start = `${this.#cookieName}=`;
    const found = cookies.split(/; */).find((cookie) => cookie.startsWith(start));
    return found?.slice(start.length) ?? '';
  }
}

/** Compared in a time that does not depend on what they are. */
function same(given: string, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

function refused(status: 400 | 403 | 405, reason: string): Verdict {
  return { kind: 'refuse', status, reason };
}
